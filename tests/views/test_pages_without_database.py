"""What lists and pictures say when the database cannot be used: a sentence, and the table gets its answer."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest

from dqm.store import StoreProblem
from dqm.views.site import Site
from layouts.pages.files.callbacks import rows as file_rows
from layouts.pages.runs.callbacks import rows as run_rows
from layouts.pages.trends.callbacks import picture_of

REQUEST = {"startRow": 0, "endRow": 100, "sortModel": []}


@pytest.fixture
def broken(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    @contextmanager
    def read() -> Any:
        raise StoreProblem("the database cannot be used: its disk is full")
        yield

    monkeypatch.setattr(site.store, "read", read)
    return site


@pytest.mark.parametrize("rows", [run_rows, file_rows])
def test_a_list_says_it_and_asks_again_later(broken: Site, rows: Any) -> None:
    answer, found, instead, hidden = rows(broken, REQUEST, {})
    assert answer == {"rowData": [], "rowCount": 0}
    assert (found, hidden) == ("", True)
    assert "its disk is full" in str(instead)


def test_a_picture_says_it(broken: Site) -> None:
    shown = picture_of(broken, "", "UTC")
    assert shown.figure is None
    assert "its disk is full" in str(shown.instead)
