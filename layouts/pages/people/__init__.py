"""Accounts, roles, tokens and sessions of everybody; for admins."""

from layouts.pages.page import Page
from layouts.pages.people.callbacks import register
from layouts.pages.people.layout import layout

PAGE = Page("people", "/people", "People", layout, register, nav="People", role="admin")
