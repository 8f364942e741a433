"""The API asked with what its OpenAPI document allows and forbids; `make soak` asks far longer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app import create_app, warm
from dqm.settings import DataSettings, Settings
from dqm.store import open_store
from tests.filling import fill
from tests.soak.api_fuzz import fuzz

EXAMPLES = 12


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("fuzz")
    store = open_store(f"sqlite:///{folder}/larboard.sqlite", folder / "states")
    fill(store, folder / "raw", run=7)
    app = create_app(Settings(data=DataSettings(directory=folder)), store)
    warm(app)
    yield app.server
    app.server.config["LARBOARD_SITE"].close()


def test_nothing_that_is_asked_breaks_the_api_and_each_answer_is_as_the_document_says(site: Any) -> None:
    found = fuzz(site, EXAMPLES, seed=1)
    assert found.failures == []
    assert found.asked > 10 * EXAMPLES
    assert {status for _, status in found.statuses} >= {200, 202, 400, 404}


def test_an_endpoint_that_fails_is_found(site: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("dqm.views.queries.trend_names", fail)
    failures = fuzz(site, 5, seed=1).failures
    assert failures
    assert all(failure.startswith("GET /api/v1/trends") and "Server error" in failure for failure in failures)
