"""Larboard's framework: from files of a pixel liquid-argon detector to plots and numbers. No Dash in here."""

__version__ = "0.1.0"
