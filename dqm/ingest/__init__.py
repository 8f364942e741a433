"""From files to states: the engine that hands each block to every plot, once."""
