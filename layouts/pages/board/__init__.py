"""The board: is the detector all right now, what is wrong, since when?"""

from layouts.pages.board.callbacks import register
from layouts.pages.board.layout import layout
from layouts.pages.page import Page

PAGE = Page("board", "/", "Board", layout, register, nav="Board")
