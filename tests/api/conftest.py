"""A site over a store with a run in it, the API on a bare server, and that server on a port."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from dqm.api import EXTENSION, register
from dqm.api.events import Broadcaster
from dqm.settings import DataSettings, PlotSettings, Settings, WebSettings
from dqm.store import open_store
from dqm.views.site import Site, open_site
from tests.filling import fill

THREADS = 8
RUN = 7


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with one run of one file; copied for each test."""
    folder = tmp_path_factory.mktemp("filled")
    store = open_store(f"sqlite:///{folder / 'larboard.sqlite'}", folder / "states")
    fill(store, folder / "raw", run=RUN, start=1_720_000_000)
    store.close()
    return folder


@pytest.fixture
def site(filled: Path, tmp_path: Path) -> Iterator[Site]:
    data = tmp_path / "data"
    shutil.copytree(filled, data, ignore=shutil.ignore_patterns("raw"))
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    settings = Settings(
        data=DataSettings(directory=data), web=WebSettings(threads=THREADS), plots=PlotSettings(paths=[plugins])
    )
    site = open_site(settings, open_store(f"sqlite:///{data / 'larboard.sqlite'}", data / "states"))
    yield site
    site.close()


@pytest.fixture
def server(site: Site) -> Flask:
    server = Flask("api")
    register(server, site)
    return server


@pytest.fixture
def client(server: Flask) -> FlaskClient:
    return server.test_client()


@pytest.fixture
def broadcaster(server: Flask) -> Broadcaster:
    return server.extensions[EXTENSION]


@pytest.fixture
def address(server: Flask, broadcaster: Broadcaster) -> Iterator[tuple[str, int]]:
    """(host, port) where the API answers, each request in a thread of its own."""
    web = make_server("127.0.0.1", 0, server, threaded=True)
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    yield "127.0.0.1", web.server_port
    broadcaster.stop()
    web.shutdown()
    thread.join()
    web.server_close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits for something that no event tells of."""

    def wait(true: Callable[[], bool], seconds: float = 10) -> None:
        never = threading.Event()
        for _ in range(int(seconds / 0.02)):
            if true():
                return
            never.wait(0.02)
        raise AssertionError("it never came true")

    return wait
