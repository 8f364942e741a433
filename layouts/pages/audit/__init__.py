"""The audit trail: who did what, when; for admins, and for nobody to change."""

from layouts.pages.audit.callbacks import register
from layouts.pages.audit.layout import layout
from layouts.pages.page import Page

PAGE = Page("audit", "/audit", "Audit", layout, register, nav="Audit", role="admin")
