"""One plot of a run, enlarged."""

from layouts.pages.page import Page
from layouts.pages.plot.callbacks import register
from layouts.pages.plot.layout import layout

PAGE = Page("plot", "/runs/<run>/<plot>", "{plot}, run {run}", layout, register)
