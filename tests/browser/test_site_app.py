"""The wiring of the site, without a browser: headers, assets, and from where it may be started."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

import app as wiring
from dqm.settings import DataSettings, Settings, WebSettings
from dqm.store import StoreProblem


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    app = wiring.create_app(Settings(data=DataSettings(directory=tmp_path), web=WebSettings(title="2x2")))
    wiring.warm(app)
    yield app.server.test_client()
    app.server.config["LARBOARD_SITE"].close()


def test_every_answer_keeps_the_page_to_its_own_host(client: FlaskClient) -> None:
    for path in ("/", "/runs/17", "/assets/site.css", "/_dash-layout", "/api/v1/runs"):
        with client.get(path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "object-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "'unsafe-inline'" not in re.search("script-src[^;]*", policy)[0]  # type: ignore[index]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_nothing_comes_from_another_host(client: FlaskClient) -> None:
    page = client.get("/").get_data(as_text=True)
    loaded = re.findall(r'<(?:script|link)[^>]+(?:src|href)="([^"]+)"', page)
    assert loaded
    assert all(address.startswith("/") and not address.startswith("//") for address in loaded)
    assert "<title>2x2</title>" in page


def test_all_that_the_page_names_is_there_wherever_it_was_started(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = client.get("/").get_data(as_text=True)
    for address in [*re.findall(r'(?:src|href)="(/[^"]+)"', page), "/assets/notices-worker.js"]:
        with client.get(address) as answer:
            assert answer.status_code == 200, address


def test_scripts_of_the_report_and_the_worker_are_not_scripts_of_the_page(client: FlaskClient) -> None:
    page = client.get("/").get_data(as_text=True)
    assert "report.js" not in page
    assert '<script src="/assets/notices-worker.js' not in page


def test_a_database_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "larboard.sqlite").write_text("this is no database, however long one looks at it " * 20)
    with pytest.raises(StoreProblem, match="is no SQLite database"):
        wiring.create_app(Settings(data=DataSettings(directory=tmp_path)))
