"""One's own account: password, browsers, tokens."""

from layouts.pages.account.callbacks import register
from layouts.pages.account.layout import layout
from layouts.pages.page import Page

PAGE = Page("account", "/account", "Your account", layout, register)
