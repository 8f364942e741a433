"""The commands that stay: watch, serve, up, demo; and init and db upgrade, which prepare them."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import psutil
import pytest

from dqm.demo import DemoRun, take_run
from dqm.store import open_store
from tests.cli.commands import larboard
from tests.postgresql import free_port
from tests.services import ask, newest_run, running, until


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with settings over a data root that holds a run."""
    (tmp_path / "data").mkdir()
    done = larboard("init", "--root", "data", cwd=tmp_path)
    assert done.code == 0
    take_run(DemoRun(duration_s=2).busier(0.1), tmp_path / "data", run_number=8)
    return tmp_path


def test_init_writes_settings_that_can_be_used_and_never_over_others(tmp_path: Path) -> None:
    assert larboard("init", cwd=tmp_path).code == 0
    before = (tmp_path / "larboard.toml").read_text()
    done = larboard("init", cwd=tmp_path)
    assert done.code == 2
    assert "larboard.toml is already there" in done.err
    assert (tmp_path / "larboard.toml").read_text() == before
    assert larboard("plots", "list", cwd=tmp_path).code == 0


def test_watch_reads_what_is_there_and_stops_when_it_is_told_to(place: Path) -> None:
    with running("watch", cwd=place) as watch:
        watch.wait_for("packet-0000008")
        assert watch.stop(signal.SIGTERM) == 0
    with open_store(f"sqlite:///{place}/larboard-data/larboard.sqlite", place).read() as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM watchers").scalar() == 0


def test_a_missing_data_root_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "larboard.toml").write_text("[ingest]\nroots = ['nowhere']\n")
    with running("watch", cwd=tmp_path) as watch:
        assert f"data root {tmp_path / 'nowhere'} is not there" in watch.wait_for("nowhere").replace("/./", "/")


@pytest.mark.parametrize("command", ["watch", "serve", "up"])
def test_a_database_that_must_be_upgraded_is_refused_with_the_command_to_run(place: Path, command: str) -> None:
    assert larboard("db", "upgrade", cwd=place).code == 0
    store = open_store(f"sqlite:///{place}/larboard-data/larboard.sqlite", place)
    with store.begin() as tx:
        tx.exec_driver_sql("DELETE FROM alembic_version")
    store.close()
    done = larboard(command, cwd=place)
    assert done.code == 2
    assert "run: larboard db upgrade" in done.err


def test_up_without_data_roots_says_where_to_name_them(tmp_path: Path) -> None:
    done = larboard("up", cwd=tmp_path)
    assert done.code == 2
    assert "[ingest] roots" in done.err


@pytest.mark.parametrize("command", ["serve", "up"])
def test_a_port_in_use_is_one_sentence(place: Path, command: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = larboard(command, cwd=place, LARBOARD_WEB__PORT=str(port))
    assert done.code == 2
    assert f"port {port} on 127.0.0.1 is in use" in done.err


def test_up_runs_ingest_and_site_and_starts_again_what_dies(place: Path) -> None:
    port = free_port()
    with running("up", "--port", port, cwd=place) as up:
        up.wait_for(f"Larboard is at http://127.0.0.1:{port}")
        (run,) = until(lambda: ask(f"http://127.0.0.1:{port}/api/v1/runs")["runs"])
        assert run["key"] == "8"
        ingest = next(child for child in psutil.Process(up.process.pid).children() if "watch" in child.cmdline())
        ingest.kill()
        up.wait_for("the ingest ended with code -9; it is started again in 1 s")
        take_run(DemoRun(seed=2, duration_s=2).busier(0.1), place / "data", run_number=9)
        until(lambda: "9" in [run["key"] for run in ask(f"http://127.0.0.1:{port}/api/v1/runs")["runs"]])
        assert up.stop() == 0


def test_the_demo_takes_data_shows_them_and_stops_cleanly(tmp_path: Path) -> None:
    port = free_port()
    with running("demo", "--data", tmp_path / "demo", "--port", port, "--speed", 4, cwd=tmp_path) as demo:
        demo.wait_for(f"Larboard is at http://127.0.0.1:{port}")
        packets = until(lambda: newest_run(port)["packets"])
        until(lambda: newest_run(port)["packets"] > packets)
        assert demo.stop() == 0
        assert demo.lines[-1] == "stopped"
    assert not list((tmp_path / "demo").rglob("*.part"))
    # a second start goes on with the next run
    with running("demo", "--data", tmp_path / "demo", "--port", port, "--speed", 4, cwd=tmp_path) as demo:
        demo.wait_for("run 2 begins")
        until(lambda: ask(f"http://127.0.0.1:{port}/api/v1/runs")["total"] == 2)


def test_a_demo_that_cannot_write_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = larboard("demo", "--data", tmp_path / "file")
    assert done.code == 2
    assert "cannot be written" in done.err
