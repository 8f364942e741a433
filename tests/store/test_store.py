"""The store, on SQLite and on PostgreSQL."""

from __future__ import annotations

import errno
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqm.records import Element, ElementState, TrendValue, Watcher
from dqm.store import (
    OldSchema,
    Store,
    StoreProblem,
    audit,
    elements,
    files,
    notices,
    open_store,
    runs,
    trends,
    watchers,
)
from dqm.store.schema import upgrade
from dqm.store.states import ORPHAN_AGE_S, FileStates, address_of
from dqm.store.tables import metadata
from tests.ingest.watching import Site, take


def test_the_migrations_give_exactly_the_tables_of_the_code(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_upgrading_again_changes_nothing(store: Store) -> None:
    assert upgrade(store) == upgrade(store)


def test_a_database_without_tables_is_refused_with_the_command_to_run(new_database: str, tmp_path: Path) -> None:
    with pytest.raises(OldSchema, match=r"no tables of Larboard, this Larboard needs \w+; run: larboard db upgrade"):
        open_store(new_database, tmp_path)


def test_a_database_of_a_newer_larboard_is_refused(url: str, store: Store, tmp_path: Path) -> None:
    with store.begin() as tx:
        tx.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(OldSchema, match="was made by a newer Larboard"):
        open_store(url, tmp_path)


def test_a_new_sqlite_file_gets_its_tables_by_itself(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/deep/down/new.sqlite", tmp_path)
    with store.read() as tx:
        assert runs.latest(tx) is None
        assert tx.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "setting store.url"),
        ("oracle+nothing://x", "setting store.url"),
        ("postgresql+psycopg://nobody@127.0.0.1:1/x", "the database cannot be used"),
        ("sqlite:////proc/nowhere/x.sqlite", "cannot be made"),
    ],
)
def test_a_url_that_cannot_be_used_is_explained(url: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(StoreProblem, match=words):
        open_store(url, tmp_path)


def test_a_file_that_is_no_database_is_explained(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"hello world " * 1000)
    with pytest.raises(StoreProblem, match="the file is no SQLite database"):
        open_store(f"sqlite:///{tmp_path}/x.sqlite", tmp_path)


def test_watched_files_give_the_same_bits_on_both_databases(store: Store, tmp_path: Path) -> None:
    site, plain = Site(tmp_path / "a", store=store), Site(tmp_path / "b")
    for one in (site, plain):
        take(one.root)
        one.settle()
    assert site.bases("5") == plain.bases("5")
    with store.read() as tx:
        run = runs.get(tx, "5")
        assert run is not None
        assert runs.search(tx, runs.Search(words="PHYS 5"), [("duration", True)]) == [run]
        assert runs.neighbours(tx, run) == (None, None)
        assert len(trends.recent(tx, run.id)) == len(trends.names(tx))
        assert [file.state for file in files.search(tx, state="same", order=[("path", False)])] == ["same", "same"]


def test_notices_come_in_the_order_of_their_commits_whoever_writes(store: Store) -> None:
    """Readers who go on after the last number they saw miss none, while four writers post."""
    done = threading.Event()
    seen: list[int] = []

    def write(name: int) -> None:
        for number in range(25):
            with store.begin() as tx:
                notices.post(tx, "file", f"{name}/{number}")

    def follow() -> None:
        while True:
            last_round = done.is_set()
            with store.read() as tx:
                seen.extend(notice.seq for notice in notices.after(tx, seen[-1] if seen else 0))
            if last_round:
                return

    writers = [threading.Thread(target=write, args=[name]) for name in range(4)]
    reader = threading.Thread(target=follow)
    for thread in [reader, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert len(seen) == 100
    assert seen == sorted(set(seen))


def test_notices_are_pruned_from_the_oldest(store: Store) -> None:
    for number in range(10):
        with store.begin() as tx:
            notices.post(tx, "run", str(number))
    with store.begin() as tx:
        notices.prune(tx, keep=4)
        assert [notice.key for notice in notices.after(tx, 0)] == ["6", "7", "8", "9"]
        assert notices.oldest(tx) == notices.last(tx) - 3


def an_element(run_id: int, version: int = 0) -> Element:
    return Element(
        run_id, "1", "P", 1, None, version, None, True, 10, ElementState.OK, "", "", False,
        {"x": TrendValue(1.5, "Hz", warn=(None, 2.0))}, 1.0,
    )  # fmt: skip


def test_an_element_is_saved_only_over_the_version_it_was_made_from(store: Store) -> None:
    with store.begin() as tx:
        run_id = runs.ensure(tx, "1", 1, "physics", [])
        saved = elements.save(tx, an_element(run_id))
    assert saved.version == 1
    assert saved.trends["x"] == TrendValue(1.5, "Hz", warn=(None, 2.0))
    with store.begin() as tx:
        assert elements.save(tx, saved).version == 2
    with pytest.raises(elements.Overtaken), store.begin() as tx:
        elements.save(tx, saved)
    with pytest.raises(elements.Overtaken), store.begin() as tx:
        elements.save(tx, an_element(run_id))


def test_an_edit_of_a_run_stands_in_the_audit_trail(store: Store) -> None:
    with store.begin() as tx:
        runs.ensure(tx, "1", 1, "physics", [])
        edited = runs.edit(tx, "1", "expert", {"category": "laser", "tags": ["b"]})
    assert edited is not None
    assert (edited.category, edited.tags) == ("laser", ("b",))
    with store.read() as tx:
        (entry,) = audit.of(tx, "1")
    assert (entry["actor"], entry["action"]) == ("expert", "edit run")
    assert (entry["before"], entry["after"]) == (
        {"category": "physics", "tags": []},
        {"category": "laser", "tags": ["b"]},
    )


def test_a_run_is_found_by_its_other_names(store: Store) -> None:
    with store.begin() as tx:
        runs.ensure(tx, "20240708T183742Z", 50017, "physics", [])
        assert runs.get(tx, "50017") == runs.get(tx, "20240708T183742Z")
        assert runs.get(tx, "50018") is None


@pytest.mark.parametrize("words", ["%", "_", "\\", "' OR 1=1 --", "<script>"])
def test_search_words_mean_themselves(store: Store, words: str) -> None:
    with store.begin() as tx:
        runs.ensure(tx, "1", 1, "physics", [])
        assert runs.search(tx, runs.Search(words=words)) == []
        assert files.search(tx, words=words) == []


def test_the_lease_passes_on_when_it_runs_out(store: Store) -> None:
    with store.begin() as tx:
        assert watchers.lead(tx, "a", now=0, for_s=10)
        assert not watchers.lead(tx, "b", now=5, for_s=10)
        assert watchers.lead(tx, "a", now=5, for_s=10)
        assert watchers.lead(tx, "b", now=16, for_s=10)
        assert not watchers.lead(tx, "a", now=17, for_s=10)


def test_a_sign_of_life_is_news_only_when_something_changed(store: Store) -> None:
    watcher = Watcher("w", "host", 1, 0.0, 1.0, True, "waiting", 0, None)
    for _ in range(3):
        with store.begin() as tx:
            watchers.beat(tx, watcher)
    with store.read() as tx:
        assert len(notices.after(tx, 0)) == 1
        assert watchers.alive(tx, 2.0) == []


def test_states_are_kept_by_content_and_collected_when_nothing_names_them(store: Store) -> None:
    one, other = store.states.put(b"one"), store.states.put(b"other")
    assert store.states.put(b"one") == one == address_of(b"one")
    later = time.time() + ORPHAN_AGE_S + 10
    assert store.states.collect({one}) == 0  # too young: its commit may still come
    assert store.states.collect({one}, later) == 1
    assert store.states.get(one) == b"one"
    with pytest.raises(KeyError):
        store.states.get(other)


def test_states_on_a_disk_that_cannot_be_written_wait_for_a_better_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = FileStates(tmp_path)
    orphans = [states.put(b"one"), states.put(b"other")]
    later = time.time() + ORPHAN_AGE_S + 10
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path == states._path(orphans[0]):
            raise OSError(errno.EROFS, "Read-only file system")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    assert states.collect([], later) == 1  # and the one that it cannot remove keeps none of the others
    monkeypatch.undo()
    assert states.collect([], later) == 1


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=5))
def test_a_file_has_one_point_of_each_trend_the_last_that_was_saved(store: Store, values: list[float | None]) -> None:
    with store.begin() as tx:
        run_id = runs.ensure(tx, "1", 1, "physics", [])
        for place, value in enumerate(values):
            trends.save(
                tx, "P", 7, run_id, 100.0 + place % 2, 200.0, {"x": TrendValue(value, "Hz", reason="too early")}
            )
        name = trends.names(tx)[0]
        (point,) = trends.points(tx, name.id, 0, 1e9)
    assert point.value == values[-1]
    assert point.reason == ("too early" if values[-1] is None else "")
