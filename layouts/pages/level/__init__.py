"""The pixels of a run at one level: the detector, an io_group, a tile, a chip. A click goes one level down."""

from functools import partial

from layouts.pages.level.callbacks import register
from layouts.pages.level.layout import layout
from layouts.pages.page import Page

PAGES = (
    Page("detector", "/runs/<run>/detector", "Detector, run {run}", partial(layout, "detector"), register),
    Page("io_group", "/runs/<run>/io_group/<place>", "io_group {place}, run {run}", partial(layout, "io_group")),
    Page("tile", "/runs/<run>/tile/<place>", "Tile {place}, run {run}", partial(layout, "tile")),
    Page("chip", "/runs/<run>/chip/<place>", "Chip {place}, run {run}", partial(layout, "chip")),
)
"""One layout and its callbacks for all levels."""
