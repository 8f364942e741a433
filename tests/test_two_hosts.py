"""Ingest on one host, the site on another: processes that share nothing but a real PostgreSQL; two workers on the site."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from dqm.auth import people
from dqm.auth.roles import LOCAL_ADMIN
from dqm.demo import DemoRun, take_run
from dqm.store import open_store
from tests.cli.commands import larboard
from tests.postgresql import server
from tests.services import running, until

PASSWORD = "correct horse battery"
WORKERS = 2
Answer = tuple[int, bytes, Any]


@dataclass
class Hosts:
    """The folder of each host, and the address of the site."""

    daq: Path
    web: Path
    where: tuple[str, int]
    url: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Over a connection of its own: whichever worker takes it."""
        sent = body if isinstance(body, str) or body is None else json.dumps(body)
        kind = "application/x-www-form-urlencoded" if isinstance(body, str) else "application/json"
        with closing(http.client.HTTPConnection(*self.where, timeout=60)) as connection:
            connection.request(method, path, sent, {"Content-Type": kind} | headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers

    def get(self, path: str) -> Any:
        status, content, _ = self.ask("GET", f"/api/v1{path}")
        assert status == 200, content
        return json.loads(content)

    def take(self, run: int, seed: int = 1) -> Path:
        """A run of the detector, on the DAQ host alone."""
        taken = take_run(DemoRun(seed=seed, duration_s=2).busier(0.1), self.daq / "data", run_number=run, raw=False)
        assert taken.packets
        return taken.packets


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    daq, web = tmp_path_factory.mktemp("daq"), tmp_path_factory.mktemp("web")
    (daq / "data").mkdir()
    with server() as url:
        store = f'[store]\nurl = "{url}"\n'
        (daq / "larboard.toml").write_text(f'{store}[ingest]\nroots = ["data"]\n')
        (web / "larboard.toml").write_text(f"{store}[web]\nport = 0\nworkers = {WORKERS}\nthreads = 16\n")
        assert larboard("db", "upgrade", cwd=web).code == 0
        with running("watch", cwd=daq), running("serve", cwd=web) as serve:
            port = re.search(r":(\d+)$", serve.wait_for("Larboard is at http://127.0.0.1:"))
            assert port
            yield Hosts(daq, web, ("127.0.0.1", int(port[1])), url)


def runs_of(hosts: Hosts) -> list[str]:
    return [run["key"] for run in hosts.get("/runs")["runs"]]


def test_what_one_host_counts_the_other_shows_and_draws_from_the_database_alone(hosts: Hosts) -> None:
    hosts.take(7)
    until(lambda: "7" in runs_of(hosts))
    listed = until(lambda: hosts.get("/runs/7/elements")["elements"])
    assert {one["state"] for one in listed} == {"ok"}
    for one in listed:
        status, content, _ = hosts.ask("GET", one["figure"])
        assert status == 200, (one["plot"], content)
        drawn = json.loads(content)
        assert drawn["data"] or drawn["layout"]["annotations"], one["plot"]  # too few packets for some: they say so
    assert not (hosts.web / "larboard-data/states").exists()
    assert not list(hosts.web.rglob("*.hdf5"))


def test_a_page_of_the_site_needs_no_file(hosts: Hosts) -> None:
    files = until(lambda: [file for file in hosts.get("/files")["files"] if file["state"] == "done"])
    assert hosts.get(f"/files/{files[0]['id']}")["path"].startswith(str(hosts.daq))
    assert hosts.get("/ingest")["watchers"][0]["leader"]
    assert hosts.ask("GET", f"/files?file={files[0]['id']}")[0] == 200


def test_a_file_that_is_to_be_read_again_is_read_on_the_other_host(hosts: Hosts) -> None:
    (file,) = until(lambda: [file for file in hosts.get("/files?run=7")["files"] if file["state"] == "done"])
    assert hosts.ask("POST", f"/api/v1/files/{file['id']}/retry", {})[0] == 202
    again = until(lambda: (found := hosts.get(f"/files/{file['id']}"))["done"] != file["done"] and found)
    until(lambda: hosts.get(f"/files/{file['id']}")["state"] == "done")
    assert again["rows"] == file["rows"]
    assert hosts.get("/runs/7")["packets"] == file["rows"]  # once, all the same


def test_streams_of_every_worker_tell_what_the_other_host_does(hosts: Hosts) -> None:
    streams = []
    for _ in range(6):
        connection = http.client.HTTPConnection(*hosts.where, timeout=60)
        connection.request("GET", "/api/v1/events")
        answer = connection.getresponse()
        assert answer.status == 200
        streams.append((connection, answer))
    hosts.take(8, seed=2)
    for connection, answer in streams:
        seen = b""
        while b'"topic":"run"' not in seen or b'"key":"8"' not in seen:
            seen += answer.readline()
        answer.close()
        connection.close()


def test_a_session_holds_with_every_worker(hosts: Hosts) -> None:
    """Last of this file: from now on changes ask for a name."""
    store = open_store(hosts.url, hosts.web)
    people.add(store, LOCAL_ADMIN, "ada", "admin", password=PASSWORD)
    store.close()
    assert until(lambda: hosts.ask("PATCH", "/api/v1/runs/7", {"comment": "x"})[0] in (401, 403))
    form = urlencode({"name": "ada", "password": PASSWORD})
    status, _, headers = hosts.ask("POST", "/sign-in", form)
    assert status == 303
    cookie = headers["Set-Cookie"].split(";")[0]
    assert "HttpOnly" in headers["Set-Cookie"]
    answers = [hosts.ask("PATCH", "/api/v1/runs/7", {"comment": f"{n}"}, Cookie=cookie)[0] for n in range(12)]
    assert set(answers) == {200}
