"""Numbers over time: what became of a number from file to file, and when did it change."""

from layouts.pages.page import Page
from layouts.pages.trends.callbacks import register
from layouts.pages.trends.layout import layout

PAGE = Page("trends", "/trends", "Trends", layout, register, nav="Trends")
