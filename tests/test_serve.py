"""`larboard serve` as a process: it says where it is, stops when it is told to, and says in a sentence why it cannot."""

from __future__ import annotations

import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from gunicorn.workers.gthread import PollableMethodQueue

from dqm.logs import Text
from dqm.serve import Worker, address_of
from dqm.store import notices, open_store

REPOSITORY = Path(__file__).parent.parent
STOP_S = 15
"""Far below what the streams would hold it for, far above what a busy machine needs."""
SERVE = """
from dqm.serve import serve
from dqm.settings import load_settings
serve(load_settings(), lambda text: print(text, flush=True))
"""
# a site of the API alone: it starts in a moment
SERVE_API = """
from types import SimpleNamespace
from flask import Flask
from dqm.api import register
from dqm.serve import serve
from dqm.settings import load_settings, store_url
from dqm.store import open_store
from dqm.views.site import open_site

def make(settings):
    server = Flask("site")
    store = open_store(store_url(settings), settings.data.directory / "states")
    register(server, open_site(settings, store))
    server.add_url_rule("/fails", "fails", lambda: {}["key"])
    return SimpleNamespace(server=server)

serve(load_settings(), lambda text: print(text, flush=True), make)
"""
# its database is away while there is a file of this name
SERVE_AWAY = SERVE_API.replace(
    "def make(settings):\n",
    "def make(settings):\n    if os.path.exists('away'): raise StoreProblem('the database cannot be used: it is away')\n",
).replace("from dqm.store import", "import os\nfrom dqm.store import StoreProblem,")
Start = Callable[..., "Running"]


class Running:
    """A process that serves."""

    def __init__(self, code: str, folder: Path, **settings: object):
        values = {"data__directory": folder / "data", "web__port": 0, "web__threads": 8} | settings
        environment = {f"LARBOARD_{name.upper()}": str(value) for name, value in values.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.pid = self.process.pid

    def where(self) -> tuple[str, int]:
        """(host, port), once it says where it is."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line.startswith("Larboard is at http://"), self.process.communicate()
        host, _, port = line.strip().removeprefix("Larboard is at http://").rpartition(":")
        return host, int(port)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """(exit code, what it said further, what it complained of)."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err

    @property
    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Running] = []

    def begin(code: str = SERVE_API, **settings: object) -> Running:
        running.append(Running(code, tmp_path, **settings))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.wait()


def get(where: tuple[str, int], path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*where, timeout=20)
    connection.request("GET", path)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


def listen(where: tuple[str, int]) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """An event stream of which hello has come."""
    connection = http.client.HTTPConnection(*where, timeout=20)
    connection.request("GET", "/api/v1/events")
    response = connection.getresponse()
    assert response.status == 200
    while not response.readline().startswith(b"data:"):
        pass
    response.readline()
    return connection, response


def test_it_serves_from_any_directory_and_stops_though_browsers_listen(start: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("raise SystemExit('the app of somebody else')")
    running = start(SERVE)
    where = running.where()
    assert where[0] == "127.0.0.1"
    status, page = get(where, "/")
    assert (status, b"_dash-config" in page) == (200, True)
    assert get(where, "/health")[0] == 200
    streams = [listen(where) for _ in range(3)]
    began = time.monotonic()
    code, out, err = running.end()
    assert time.monotonic() - began < STOP_S
    assert (code, out, err) == (0, "", "")
    for connection, response in streams:
        assert response.read() == b""  # a proper end, not a broken connection
        connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_peace(start: Start, number: int) -> None:
    running = start(web__workers=2)
    where = running.where()
    streams = [listen(where) for _ in range(4)]
    began = time.monotonic()
    assert running.end(number) == (0, "", "")
    assert time.monotonic() - began < STOP_S
    for connection, response in streams:
        response.close()
        connection.close()


def test_a_worker_that_is_to_stop_at_once_is_not_ended_in_the_middle_of_anything() -> None:
    worker = object.__new__(Worker)
    worker.alive, worker.nr_conns, worker.method_queue = True, 3, PollableMethodQueue()
    worker.method_queue.init()
    try:
        for number in (signal.SIGINT, signal.SIGQUIT):  # of the terminal, and of the master that got it too
            worker.handle_quit(number, None)
            assert (worker.alive, worker.nr_conns) == (False, 0)
    finally:
        worker.method_queue.close()


def test_every_worker_tells_what_happens(start: Start, tmp_path: Path) -> None:
    # who is given which worker, the kernel decides: each could take all
    running = start(web__workers=3, web__threads=16)
    where = running.where()
    streams = [listen(where) for _ in range(6)]
    store = open_store(f"sqlite:///{tmp_path / 'data/larboard.sqlite'}", tmp_path / "data/states")
    with store.begin() as tx:
        notices.post(tx, "run", "7")
        last = notices.last(tx)
    store.close()
    for connection, response in streams:
        lines = [response.readline() for _ in range(4)]
        assert lines[:2] == [b"id: %d\n" % last, b"event: notice\n"]
        assert json.loads(lines[2].removeprefix(b"data: "))["key"] == "7"
        response.close()
        connection.close()
    code, out, err = running.end()
    assert (code, out, err) == (0, "", "")  # the address was said once


def test_a_worker_that_died_is_replaced(start: Start) -> None:
    running = start(web__workers=1)
    where = running.where()
    (worker,) = running.workers
    worker.kill()
    worker.wait(10)
    assert get(where, "/ready")[0] == 200
    code, out, err = running.end()
    assert (code, out) == (0, "")
    assert "SIGKILL" in err
    assert "Traceback" not in err


def test_workers_do_not_outlive_their_master(start: Start) -> None:
    running = start()
    connection, response = listen(running.where())
    workers = running.workers
    running.process.kill()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert (len(gone), alive) == (len(workers), [])
    assert gone
    response.close()
    connection.close()
    running.wait()


def test_an_error_is_one_line_of_the_log(start: Start) -> None:
    running = start()
    where = running.where()
    assert get(where, "/fails")[0] == 500
    code, _, err = running.end()
    assert code == 0
    (line,) = err.splitlines()
    assert "ERROR" in line
    assert "[KeyError: 'key'" in line


def test_a_port_in_use_is_a_sentence(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert start(web__port=port).wait() == (
            2,
            "",
            f"larboard: port {port} on 127.0.0.1 is in use: another Larboard? "
            "choose another with --port or [web] port\n",
        )


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_of_another_host_is_a_sentence(start: Start, host: str) -> None:
    code, out, err = start(web__host=host).wait()
    assert (code, out) == (2, "")
    assert err == f"larboard: setting web.host: {host} is no address of this host\n" or "(" in err
    assert len(err.splitlines()) == 1


def test_an_old_schema_is_a_sentence(start: Start, tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'data/larboard.sqlite'}", tmp_path / "data/states")
    with store.begin() as tx:
        tx.exec_driver_sql("DELETE FROM alembic_version")
    store.close()
    code, out, err = start().wait()
    assert (code, out) == (2, "")
    assert "run: larboard db upgrade" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("url", ["sqlite:////dev/null/no/where.sqlite", "nonsense://x", "postgresql://127.0.0.1:1/x"])
def test_a_database_that_is_not_there_is_a_sentence(start: Start, url: str) -> None:
    code, out, err = start(store__url=url).wait()
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("larboard: ")


def test_a_site_that_cannot_be_made_ends_the_process(start: Start) -> None:
    code, out, err = start(SERVE_API.replace('server = Flask("site")', "raise ValueError('no plots')")).wait()
    assert (code, out) == (1, "")
    assert "ValueError: no plots" in err
    assert "Traceback" not in err


def test_a_log_line_is_one_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord("larboard.api", logging.ERROR, "", 0, "GET %s", ("/a\nb",), sys.exc_info())
    line = Text().format(record)
    assert "\n" not in line
    assert "larboard.api: GET /a\\nb [ValueError: two\\nlines (test_a_log_line_is_one_line in test_serve.py:" in line


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", socket.gethostname())])
def test_the_address_is_one_that_a_browser_takes(host: str, shown: str) -> None:
    with socket.socket() as listener:
        listener.bind((host, 0))
        assert address_of(listener) == f"http://{shown}:{listener.getsockname()[1]}"


def test_a_worker_that_begins_while_the_database_is_away_waits_for_it(start: Start, tmp_path: Path) -> None:
    running = start(SERVE_AWAY, web__workers=1)
    where = running.where()
    (tmp_path / "away").touch()
    [worker] = running.workers
    worker.kill()
    assert running.process.stderr
    for line in running.process.stderr:
        if "it is away; the site waits for it" in line:
            break
    (tmp_path / "away").unlink()
    assert get(where, "/api/v1/runs")[0] == 200
    code, _, complaints = running.end()
    assert (code, complaints) == (0, "")
