"""The packets behind a bin, a pixel or a point: the first rows that fit, from the files of the run."""

from layouts.pages.page import Page
from layouts.pages.rows.callbacks import register
from layouts.pages.rows.layout import layout

PAGE = Page("rows", "/runs/<run>/rows", "Packets, run {run}", layout, register)
