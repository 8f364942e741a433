"""The biography of a channel: its numbers and registers over the newest runs, its ADC spectrum on demand."""

from layouts.pages.channel.callbacks import register
from layouts.pages.channel.layout import layout
from layouts.pages.page import Page

PAGE = Page("channel", "/channels/<channel>", "Channel {channel}", layout, register)
