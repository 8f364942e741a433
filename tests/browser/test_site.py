"""The site, so far one page: the plots that were found."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from werkzeug.serving import make_server

from app import create_app
from dqm.settings import PlotSettings, Settings

pytestmark = pytest.mark.browser


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    (tmp_path / "bad.py").write_text("raise RuntimeError('<b>no</b> licence')")
    return tmp_path


@pytest.fixture
def address(plugins: Path) -> Iterator[str]:
    server = make_server(
        "127.0.0.1", 0, create_app(Settings(plots=PlotSettings(paths=[plugins]))).server, threaded=True
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_plots_page_lists_plots_with_trends_and_the_broken_with_reasons(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_role("heading", name="ADC spectrum")).to_be_visible()
    expect(page.get_by_text("data_rate_hz [Hz]")).to_be_visible()
    expect(page.locator(".why-not")).to_contain_text("RuntimeError: <b>no</b> licence")


def test_a_plug_in_dropped_in_is_listed_at_the_next_load(page: Page, address: str, plugins: Path) -> None:
    page.goto(address)
    expect(page.get_by_role("heading", name="ADC spectrum")).to_be_visible()
    (plugins / "mine.py").write_text(
        "from plots.base import Plot\nclass Mine(Plot):\n    title = 'A plot of mine'\n    def __call__(self, p, fig): ...\n"
    )
    page.reload()
    expect(page.get_by_role("heading", name="A plot of mine")).to_be_visible()
