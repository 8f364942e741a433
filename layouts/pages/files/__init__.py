"""The ledger: every file that was seen, where it stands and why."""

from layouts.pages.files.callbacks import register
from layouts.pages.files.layout import layout
from layouts.pages.page import Page

PAGE = Page("files", "/files", "Files", layout, register, nav="Files")
