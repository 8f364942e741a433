"""A run: its plots, the bad ones first, and its numbers."""

from layouts.pages.page import Page
from layouts.pages.run.callbacks import register
from layouts.pages.run.layout import layout

PAGE = Page("run", "/runs/<run>", "Run {run}", layout, register)
