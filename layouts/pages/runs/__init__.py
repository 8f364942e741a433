"""All runs: found by words, filters and columns; ten thousand are no more work than ten."""

from layouts.pages.page import Page
from layouts.pages.runs.callbacks import register
from layouts.pages.runs.layout import layout

PAGE = Page("runs", "/runs", "Runs", layout, register, nav="Runs")
