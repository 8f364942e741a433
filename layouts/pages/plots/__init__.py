"""The page of all plots: what was discovered, from where, and what is broken."""
