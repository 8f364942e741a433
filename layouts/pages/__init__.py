"""One folder per page, and the table of them all: the navigation, in its order, and what is reached by links."""

from __future__ import annotations

from layouts.pages import (
    account,
    audit,
    board,
    channel,
    files,
    level,
    monitor,
    people,
    plot,
    plots,
    rows,
    run,
    runs,
    trends,
)
from layouts.pages.page import Page

PAGES: tuple[Page, ...] = (
    board.PAGE,
    runs.PAGE,
    trends.PAGE,
    files.PAGE,
    plots.PAGE,
    monitor.PAGE,
    people.PAGE,
    audit.PAGE,
    account.PAGE,
    run.PAGE,
    plot.PAGE,
    *level.PAGES,
    channel.PAGE,
    rows.PAGE,
)
