"""Backups that are made while the store is written to, and stores that are made of them, on either engine."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dqm.ingest.upkeep import collect
from dqm.records import Session, TrendValue
from dqm.store import (
    Store,
    StoreProblem,
    accounts,
    attempts,
    audit,
    backup,
    elements,
    notices,
    open_store,
    parts,
    runs,
    sessions,
    trends,
    watchers,
)
from dqm.store.backup import BadBackup, back_up, restore_files, restore_rows, verify
from dqm.store.states import FileStates
from dqm.store.tables import metadata
from tests.conftest import REPOSITORY
from tests.ingest.watching import Site, take

PASSING = {"states", "leases", "watchers"}


@pytest.fixture
def filled(store: Store, tmp_path: Path) -> Store:
    """A store that has counted files."""
    site = Site(tmp_path / "site", store=store)
    take(site.root, raw=False)
    site.settle()
    with store.begin() as tx:
        audit.note(tx, "expert", "edit run", "5", {"category": ""}, {"category": "laser"})
    return store


@pytest.fixture(params=["sqlite", "postgresql"])
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where to restore to: a new place on either engine."""
    return f"sqlite:///{tmp_path}/new/larboard.sqlite" if request.param == "sqlite" else _new(request)


def _new(request: pytest.FixtureRequest) -> str:
    server = request.getfixturevalue("postgresql_url")
    name = f"r{os.urandom(6).hex()}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return server.rpartition("/")[0] + f"/{name}"


def restore(made: Path, url: str, folder: Path) -> Store:
    if url.startswith("sqlite"):
        restore_files(made, Path(url.removeprefix("sqlite:///")), folder / "new/states")
    else:
        restore_rows(made, url)
    return open_store(url, folder / "new/states")


def rows_of(store: Store) -> dict[str, list[Any]]:
    """Every row of every table that outlives the moment."""
    with store.read() as tx:
        return {
            table.name: [tuple(row) for row in tx.execute(sa.select(table).order_by(*table.primary_key.columns))]
            for table in metadata.sorted_tables
            if table.name not in PASSING
        }


def test_a_restored_store_is_equal_on_either_engine(filled: Store, other_url: str, tmp_path: Path) -> None:
    made = tmp_path / "backup"
    back_up(filled, made)
    assert verify(made)["rows"]["files"] == 2
    other = restore(made, other_url, tmp_path)
    try:
        assert rows_of(other) == rows_of(filled)
        with filled.read() as tx, other.read() as its:
            assert parts.addresses(tx) == parts.addresses(its) != set()
            for address in parts.addresses(its):
                assert other.states.get(address) == filled.states.get(address)
            assert watchers.alive(its, 0) == []
        with other.begin() as tx:  # numbers go on
            before = notices.last(tx)
            runs.ensure(tx, "6", 6, "physics", [])
            assert notices.last(tx) == before + 1
    finally:
        other.close()


def test_what_a_database_holds_is_for_its_owner_alone_and_who_is_signed_in_is_in_no_backup(
    filled: Store, other_url: str, tmp_path: Path
) -> None:
    with filled.begin() as tx:
        number = accounts.add(tx, "ada", "admin", ("*",), 1.0)
        sessions.add(tx, Session("the-hash", number, "password", "192.0.2.7", "", 1.0, 1.0))
        attempts.note(tx, "the-key", 1, 1.0)
    made = tmp_path / "backup"
    back_up(filled, made)
    content = (made / "larboard.sqlite").read_bytes()
    assert b"the-hash" not in content
    assert b"the-key" not in content
    assert verify(made)["rows"]["accounts"] == 1
    other = restore(made, other_url, tmp_path)
    with other.begin() as tx:
        assert sessions.of_account(tx) == []
        files_of_it = [*(tmp_path / "new").glob("larboard.sqlite*"), made / "larboard.sqlite"]
        assert {oct(path.stat().st_mode & 0o777) for path in files_of_it} == {"0o600"}
    other.close()
    if other_url.startswith("sqlite"):
        assert (tmp_path / "new").stat().st_mode & 0o077 == 0


def test_a_new_database_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = open_store(f"sqlite:///{folder}/larboard.sqlite", folder / "states")
    with store.begin() as tx:
        runs.ensure(tx, "6", 6, "physics", [])
        assert {path.name: oct(path.stat().st_mode & 0o777) for path in folder.glob("larboard.sqlite*")} == {
            f"larboard.sqlite{end}": "0o600" for end in ("", "-wal", "-shm")
        }
    assert folder.stat().st_mode & 0o077 == 0
    store.close()


def test_who_does_not_wait_for_a_writer_is_told_at_once(filled: Store) -> None:
    with filled.begin(), pytest.raises(StoreProblem), filled.begin(wait=False):
        pass
    with filled.begin(wait=False) as tx:
        runs.ensure(tx, "6", 6, "physics", [])


def test_a_backup_is_one_moment_while_ingest_writes(filled: Store, other_url: str, tmp_path: Path) -> None:
    stop, written = threading.Event(), []

    def write() -> None:
        """Each transaction: a point, an element with a new state, and the orphans of the states before are collected."""
        while not stop.is_set():
            number = len(written) + 1
            with filled.begin() as tx:
                run = runs.get(tx, "5")
                assert run
                trends.save(tx, "Mine", 1000 + number, run.id, 1.75e9 + number, None, {"x": TrendValue(1.0, "Hz")})
                element = elements.of_run(tx, run.id)["AdcSpectrum"]
                base = filled.states.put(b"state %d" % number)
                elements.save(tx, _with_base(element, base))
            written.append(number)
            collect(filled, 1e11)  # everything that is not named is old enough

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(written) < 3:
            threading.Event().wait(0.01)
        back_up(filled, tmp_path / "backup", lambda what, share: threading.Event().wait(0.02) and None)
        during = len(written)
    finally:
        stop.set()
        writer.join()
    assert during > 3
    other = restore(tmp_path / "backup", other_url, tmp_path)
    try:
        with other.read() as tx:
            run = runs.get(tx, "5")
            assert run
            base = elements.of_run(tx, run.id)["AdcSpectrum"].base
            assert base
            name = next(name for name in trends.names(tx) if name.key == "Mine.x")
            points = len(trends.points(tx, name.id, 0, 1e10))
        assert other.states.get(base) == b"state %d" % points
    finally:
        other.close()


def _with_base(element: Any, base: str) -> Any:
    from dataclasses import replace

    return replace(element, base=base)


def test_an_interrupted_backup_is_refused_and_goes_on_where_it_was(filled: Store, tmp_path: Path) -> None:
    made = tmp_path / "backup"

    def break_off(what: str, share: float) -> None:
        if what == "states" and share > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(filled, made, break_off)
    with pytest.raises(BadBackup, match=r"not whole; run the backup again to complete it"):
        verify(made)
    half = {path.name: path.stat().st_mtime_ns for path in (made / "states").glob("??/*")}
    assert half
    back_up(filled, made)
    verify(made)
    assert {path.name: path.stat().st_mtime_ns for path in (made / "states").glob("??/*")}.items() >= half.items()
    with pytest.raises(StoreProblem, match="is a whole backup already"):
        back_up(filled, made)
    with filled.read() as tx:
        assert not watchers.backing_up(tx, 0)


def test_what_was_changed_in_a_backup_is_found(filled: Store, tmp_path: Path) -> None:
    made = tmp_path / "backup"
    back_up(filled, made)
    state = next((made / "states").glob("??/*"))
    whole = state.read_bytes()
    state.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BadBackup, match="is missing or damaged"):
        verify(made)
    state.write_bytes(whole)
    database = made / backup.DATABASE
    database.write_bytes(database.read_bytes()[:-1] + b"x")
    with pytest.raises(BadBackup, match="damaged or was changed"):
        restore_files(made, tmp_path / "new.sqlite", tmp_path / "new")
    assert not (tmp_path / "new.sqlite").exists()
    (made / "manifest.json").write_text("{}")
    with pytest.raises(BadBackup, match="format None"):
        verify(made)


def test_a_store_that_is_in_use_is_never_restored_into(filled: Store, url: str, tmp_path: Path) -> None:
    made = tmp_path / "backup"
    back_up(filled, made)
    before = rows_of(filled)
    with pytest.raises(StoreProblem, match=r"is there already|is in use"):
        restore(made, url, tmp_path)
    assert rows_of(filled) == before


def test_a_full_disk_ends_a_backup_with_one_sentence_and_room_lets_it_go_on(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, room = tmp_path / "backup", [2]
    write = FileStates.write

    def until_full(self: FileStates, content: bytes) -> str:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, content)

    monkeypatch.setattr(FileStates, "write", until_full)
    with pytest.raises(StoreProblem, match=r"No space left on device; make room and run the same command again"):
        back_up(filled, made)
    assert not (made / "manifest.json").exists()
    assert len(list((made / "states").glob("??/*"))) == 2
    room[0] = 1000
    back_up(filled, made)
    verify(made)


def test_the_commands_back_up_verify_and_restore(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    take(site.root, raw=False)
    site.settle()
    site.store.close()
    (tmp_path / "larboard.toml").write_text(f'[data]\ndirectory = "{tmp_path}/data"\n')
    (tmp_path / "data").mkdir()
    (tmp_path / "site/larboard.sqlite").rename(tmp_path / "data/larboard.sqlite")
    (tmp_path / "site/states").rename(tmp_path / "data/states")
    done = larboard(tmp_path, "db", "backup", "copy", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"]["files"] == 2
    said = larboard(tmp_path, "db", "backup", "--verify", "copy")
    assert (said.returncode, "whole and undamaged" in said.stdout) == (0, True)
    again = larboard(tmp_path, "db", "restore", "copy")
    assert (again.returncode, "is there already" in again.stderr) == (1, True)
    into = larboard(tmp_path, "db", "restore", "copy", "--into", "other")
    assert into.returncode == 0, into.stderr
    restored = open_store(f"sqlite:///{tmp_path}/other/larboard.sqlite", tmp_path / "other/states")
    with restored.read() as tx:
        assert all(restored.states.get(address) for address in parts.addresses(tx))
    restored.close()
    kept = larboard(tmp_path, "db", "retention", "--dry-run")
    assert (kept.returncode, "everything is kept" in kept.stdout) == (0, True)


def larboard(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dqm.cli", *arguments], capture_output=True, text=True, cwd=folder,
        env={**os.environ, "LARBOARD_CONFIG": str(folder / "larboard.toml"), "PYTHONPATH": str(REPOSITORY)}, timeout=120,
    )  # fmt: skip
