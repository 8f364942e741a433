"""The monitor itself: does it see everything, does it keep up, is its own house in order? (`/health` is the API's probe.)"""

from layouts.pages.monitor.callbacks import register
from layouts.pages.monitor.layout import layout
from layouts.pages.page import Page

PAGE = Page("monitor", "/monitor", "Health", layout, register, nav="Health")
