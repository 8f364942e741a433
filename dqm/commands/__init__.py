"""The verbs of ``larboard``: a file for each noun. `dqm.cli` puts them together."""
