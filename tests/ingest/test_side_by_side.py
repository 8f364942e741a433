"""Several files under way at once: what befalls a file while a worker has it, and other files meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dqm.demo import DemoRun
from dqm.ingest.executors import Away, Lost
from dqm.ingest.oneshot import Sources
from dqm.ingest.work import Bench, Count
from dqm.records import DataFile, FileState
from dqm.store import files
from dqm.store.tables import parts
from dqm.views.file_actions import _retry
from tests.ingest.watching import Site, age, backlog, take

RUN = DemoRun(seed=3, duration_s=4, start_unix=1_750_000_000).busier(0.5)
LATER, LAST = 1_700_000_500, 1_700_000_900


class Held:
    """Does a task at once; its answer lands when it is let go. As a pool whose answers wait for a busy ingest."""

    problem = ""

    def __init__(self) -> None:
        self.slots = 2
        self.held: list[Callable[[], None]] = []
        self.holds: Callable[[Any], bool] = lambda task: False
        self.before: Callable[[Any], None] = lambda task: None
        self.each_block = False
        self.given: list[str] = []
        self.bench: Any = None

    def submit(self, task: Any, limit_s: float) -> Future:
        self.given.append(Path(task.path).name)
        future: Future = Future()
        if self.each_block and isinstance(task, Count):
            task = replace(task, for_s=0.0)
        try:
            self.before(task)
            answer, error = task.run(self.bench), None
        except Exception as raised:
            answer, error = None, raised

        def land() -> None:
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(answer)

        if self.holds(task):
            self.held.append(land)
        else:
            land()
        return future

    def let_go(self) -> None:
        self.holds = lambda task: False
        held, self.held = self.held, []
        for land in held:
            land()

    def close(self) -> None:
        return


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def site(tmp_path: Path, held: Held) -> Site:
    made = Site(tmp_path, executor=held)
    held.bench = Bench(Sources(), made.watch._plots)
    return made


def made(site: Site, rows: int = 20, number: int = 1, where: str = "made") -> list[Path]:
    folder = site.folder / where
    folder.mkdir()
    return backlog(folder, number, rows=rows)


def put(source: Path, site: Site, unix: float = 1_700_000_000) -> Path:
    target = site.root / source.name
    shutil.copy2(source, target)
    age(target, unix)
    return target


def search(site: Site, steps: int) -> None:
    site.watch._next["scan"] = 0.0
    for _ in range(steps):
        site.watch.step()


def counted(site: Site) -> list[DataFile]:
    with site.store.read() as tx:
        return [file for file in files.search(tx, limit=10) if file.counted]


def is_count(task: Any) -> bool:
    return isinstance(task, Count)


def dies_after(held: Held, name: str, legs: int) -> Callable[[Any], None]:
    done: list[int] = []

    def before(task: Any) -> None:
        if is_count(task) and Path(task.path).name == name:
            done.append(1)
            if len(done) > legs:
                raise Lost("the worker that read it died (SIGKILL)")

    return before


def replaced_while_it_waits(site: Site, held: Held, new: Path, target: Path) -> None:
    """`new` comes over `target` while what a worker made of it has not landed yet."""
    search(site, 4)
    assert held.held
    age(new, LATER)
    new.replace(target)
    search(site, 1)
    held.let_go()
    site.settle(30, times=10)


def test_a_file_that_is_renamed_over_while_its_answer_waits_is_read_again(site: Site, held: Held) -> None:
    [small] = made(site, rows=20)
    [large] = made(site, rows=50, where="large")
    target = put(small, site)
    held.holds = is_count
    replaced_while_it_waits(site, held, large, target)
    assert site.file(target.name).rows_done == 50
    assert len(counted(site)) == 1


def test_a_file_that_is_made_whole_before_its_refusal_lands_is_not_left_in_quarantine(site: Site, held: Held) -> None:
    [whole] = made(site)
    target = site.root / whole.name
    target.write_bytes(whole.read_bytes()[:300])
    age(target)
    held.holds = lambda task: True
    replaced_while_it_waits(site, held, whole, target)
    assert site.file(target.name).state is FileState.DONE


def test_a_done_file_over_which_workers_die_does_not_keep_the_others_waiting(site: Site, held: Held) -> None:
    first, second = made(site, number=2)
    deadly = put(second, site)
    site.settle()

    def before(task: Any) -> None:
        if task.path == str(deadly):
            raise Lost("the worker that read it died (SIGSEGV)")

    held.before = before
    os.utime(deadly, (LAST, LAST))
    put(first, site)
    held.given.clear()
    search(site, 100)
    assert held.given.count(deadly.name) < 10
    assert site.file(first.name).state is not FileState.WAITING
    assert site.file(deadly.name).counted


def test_without_anybody_to_read_a_touched_file_is_not_tried_over_and_over(site: Site, held: Held) -> None:
    [path] = made(site)
    target = put(path, site)
    site.settle()
    held.given.clear()

    def before(task: Any) -> None:
        raise Away("nobody is there")

    held.before = before
    os.utime(target, (LAST, LAST))
    search(site, 100)
    assert len(held.given) < 10
    held.before = lambda task: None
    site.settle(30)
    assert site.file(target.name).state is FileState.DONE


@pytest.mark.parametrize("deleted", [False, True])
def test_a_raw_file_that_was_left_half_read_is_not_counted_beside_its_packets(
    site: Site, held: Held, deleted: bool
) -> None:
    held.slots, held.each_block = 1, True
    (site.folder / "made").mkdir()
    raw, packets = take(site.folder / "made", RUN, subrun_s=4)
    target = put(raw, site)
    held.before = dies_after(held, raw.name, 1)
    search(site, 3)
    assert site.file(raw.name).state is FileState.READING
    held.before = lambda task: None
    put(packets, site, LAST)
    search(site, 2)
    if deleted:
        target.unlink()
    site.settle(30)
    assert [Path(file.path).name for file in counted(site)] == [packets.name]
    clean = Site(site.folder / "clean")
    put(packets, clean)
    clean.settle()
    assert site.bases("5") == clean.bases("5")


def test_waiting_for_a_twin_is_no_failed_attempt(site: Site, held: Held) -> None:
    (site.folder / "made").mkdir()
    raw, packets = take(site.folder / "made", RUN, subrun_s=4)
    put(raw, site)
    put(packets, site, LAST)
    held.holds = lambda task: is_count(task) and task.path.endswith(packets.name)
    site.watch._next["scan"] = 0.0
    for _ in range(8):
        site.watch.step()
        site.clock.now += 1.1
    died: list[int] = []

    def before(task: Any) -> None:
        if task.path.endswith(raw.name) and not died:
            died.append(1)
            raise Lost("the worker that read it died (SIGKILL)")

    held.before = before
    for _ in range(4):
        site.watch.step()
        site.clock.now += 1.1
    assert died
    assert site.file(raw.name).state is not FileState.QUARANTINED


def test_a_file_is_finished_without_a_plot_that_the_workers_do_not_have(site: Site, held: Held) -> None:
    held.slots, held.each_block = 1, True
    [path] = made(site, rows=150_000)
    put(path, site)
    held.bench = Bench(Sources(), lambda: {n: p for n, p in site.watch._plots().items() if n != "AdcSpectrum"})
    held.before = dies_after(held, path.name, 1)
    search(site, 3)
    held.before = lambda task: None
    site.settle(70, times=6)
    assert site.file(path.name).state is FileState.DONE
    held.bench = Bench(Sources(), site.watch._plots)
    site.settle(70)
    whole = Site(site.folder / "whole")
    put(path, whole)
    whole.settle()
    run = site.file(path.name).run_key
    assert run is not None
    assert site.bases(run) == whole.bases(run)


def test_a_worker_that_cannot_be_asked_costs_nothing_but_time(site: Site, held: Held) -> None:
    [path] = made(site)
    put(path, site)
    asked: list[int] = []

    def submit(task: Any, limit_s: float) -> Future:
        asked.append(1)
        if len(asked) == 1:
            raise OSError(24, "Too many open files")
        return Held.submit(held, task, limit_s)

    held.submit = submit  # type: ignore[method-assign]
    site.settle(30)
    assert len(asked) > 1
    assert site.file(path.name).state is FileState.DONE


def test_a_file_that_is_to_be_read_again_is_although_a_plot_catches_up_on_it(site: Site, held: Held) -> None:
    [path] = made(site)
    put(path, site)
    site.settle()
    file = site.file(path.name)
    with site.store.begin() as tx:
        tx.execute(parts.delete().where(parts.c.plot == "AdcSpectrum"))
    site.watch._fill = True
    held.holds = is_count
    search(site, 3)
    assert held.held
    with site.store.begin() as tx:
        row = files.by_id(tx, file.id)
        assert row is not None
        _retry(tx, row, "shifter")
    held.let_go()
    site.settle(30)
    assert site.file(path.name).counted
    assert site.file(path.name).state is FileState.DONE
