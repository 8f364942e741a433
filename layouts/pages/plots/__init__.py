"""The plots that there are: from where, what they cost, and what is broken."""

from layouts.pages.page import Page
from layouts.pages.plots.callbacks import register
from layouts.pages.plots.layout import layout

PAGE = Page("plots", "/plots", "Plots", layout, register, nav="Plots")
