"""The site: shell, one folder per page, components. Pages ask `dqm.views`; they never open a data file."""
