"""How files come to a data root: every way that the watch promises to survive, in an order that a seed decides.

A way is a generator: it does one thing to the file and yields how long it waits before the next. `Arrivals` interleaves
many of them, run after run, until it is told that enough is enough; then it lets each come to its end.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from random import Random

from dqm.demo import DemoRun, take_run
from dqm.formats import open_file
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.writers import PacketWriter, RawWriter
from tests.formats.archives import archive_of

Steps = Iterator[float]
START_UNIX = 1_750_000_000
ACTIVE = 6
BACKLOG = 12
LONG_EVERY = 8
"""One run in so many has a file of several blocks, so that a kill can fall between two commits of one file."""


@dataclass
class World:
    """Where files are made, where they go, and what a way may ask."""

    root: Path
    outside: Path
    """On the file system of the root."""
    elsewhere: Path
    """On another file system, where there is one."""
    random: Random
    counted: Callable[[Path], bool]
    """Whether the file is counted to its end."""
    kept: Path = Path()
    deletes: bool = True

    def __post_init__(self) -> None:
        self.kept = self.outside / "kept"
        for folder in (self.root, self.kept, self.elsewhere):
            folder.mkdir(parents=True, exist_ok=True)

    def folder(self) -> Path:
        """A directory of the root; often one that was not there before."""
        names = [f"{self.random.choice('abcdef')}{self.random.randrange(40)}" for _ in range(self.random.randrange(4))]
        folder = self.root.joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def pause(self, most: float = 0.3) -> float:
        return self.random.uniform(0, most)

    def cuts(self, length: int, most: int = 6) -> list[int]:
        """0, some places in between, `length`."""
        inner = (
            {self.random.randrange(1, length) for _ in range(self.random.randrange(1, most))} if length > 1 else set()
        )
        return [0, *sorted(inner), length]


@dataclass(frozen=True)
class Made:
    """A file as its writer meant it, and what the writer would have written had it been another detector."""

    run: str
    path: Path
    raw: bool
    other: Path


# -- the ways -----------------------------------------------------------------------------------------------------------


def written_in_place(world: World, made: Made) -> Steps:
    yield from _poured(world, made.path, world.folder() / made.path.name)


def rsynced(world: World, made: Made) -> Steps:
    folder = world.folder()
    part = folder / f".{made.path.name}.{world.random.randrange(16**6):06x}"
    yield from _poured(world, made.path, part)
    shutil.copystat(made.path, part)
    part.rename(folder / made.path.name)


def renamed_when_whole(world: World, made: Made) -> Steps:
    folder = world.folder()
    part = folder / f"{made.path.name}.part"
    yield from _poured(world, made.path, part)
    part.rename(folder / made.path.name)


def moved_in(world: World, made: Made) -> Steps:
    near = world.outside / f"moving-{made.path.name}"
    shutil.copy2(made.path, near)
    yield world.pause()
    near.rename(world.folder() / made.path.name)


def moved_from_another_file_system(world: World, made: Made) -> Steps:
    far = world.elsewhere / made.path.name
    shutil.copy2(made.path, far)
    yield world.pause()
    shutil.move(far, world.folder() / made.path.name)


def moved_in_with_its_directory(world: World, made: Made) -> Steps:
    tree = world.outside / f"tree-{made.path.name}"
    inner = tree / "deep" / "er"
    inner.mkdir(parents=True)
    shutil.copy2(made.path, inner / made.path.name)
    yield world.pause()
    tree.rename(world.folder() / f"tree-{world.random.randrange(10**9)}")


def hard_linked(world: World, made: Made) -> Steps:
    os.link(made.path, world.folder() / made.path.name)
    yield world.pause()


def with_two_names(world: World, made: Made) -> Steps:
    first = world.folder() / made.path.name
    yield from _poured(world, made.path, first)
    yield world.pause(1)
    os.link(first, _fresh(world) / made.path.name)


def linked_inside_the_root(world: World, made: Made) -> Steps:
    first = world.folder() / made.path.name
    (_fresh(world) / made.path.name).symlink_to(first)
    yield world.pause()
    shutil.copy2(made.path, first)


def copied_twice(world: World, made: Made) -> Steps:
    shutil.copy2(made.path, world.folder() / made.path.name)
    yield world.pause(1)
    shutil.copy2(made.path, _fresh(world) / made.path.name)


def growing_under_swmr(world: World, made: Made) -> Steps:
    yield from _grown(world, made, world.folder() / made.path.name, swmr=True)


def growing_without_swmr(world: World, made: Made) -> Steps:
    yield from _grown(world, made, world.folder() / made.path.name, swmr=False)


def growing_with_two_names(world: World, made: Made) -> Steps:
    target = world.folder() / made.path.name
    steps = _grown(world, made, target, swmr=True)
    yield next(steps)
    os.link(target, _fresh(world) / made.path.name)
    yield from steps


def growing_and_renamed_when_whole(world: World, made: Made) -> Steps:
    folder = world.folder()
    yield from _grown(world, made, folder / f"now-{made.path.name}", swmr=True)
    (folder / f"now-{made.path.name}").rename(folder / made.path.name)


def appended_to(world: World, made: Made) -> Steps:
    """Opened, added to and closed again and again, as the DAQ's raw files are."""
    if not made.raw:
        yield from growing_under_swmr(world, made)
        return
    target = world.folder() / made.path.name
    messages, groups, created = _messages(made.path)
    for first, last in pairwise(world.cuts(len(messages))):
        archive = None if first else archive_of(made.path)
        with RawWriter(target, created=created, append=first > 0, daq_configs=archive) as writer:
            writer.write(messages[first:last], groups[first:last])
        yield world.pause(1)


def replaced_by_a_rename(world: World, made: Made) -> Steps:
    target = world.folder() / made.path.name
    shutil.copy2(made.other, target)
    yield world.pause(2)
    part = target.with_name(f".{made.path.name}.new")
    shutil.copy(made.path, part)
    part.rename(target)


def rewritten_in_place(world: World, made: Made) -> Steps:
    target = world.folder() / made.path.name
    shutil.copy2(made.other, target)
    yield world.pause(2)
    yield from _poured(world, made.path, target)


def replaced_after_it_was_counted(world: World, made: Made) -> Steps:
    target = world.folder() / made.path.name
    shutil.copy2(made.other, target)
    yield from _until_counted(world, target)
    part = target.with_name(f".{made.path.name}.new")
    shutil.copy(made.path, part)
    part.rename(target)


def moved_to_the_archive(world: World, made: Made) -> Steps:
    target = world.folder() / made.path.name
    shutil.copy2(made.path, target)
    yield world.pause(2)
    target.rename(_fresh(world) / made.path.name)


def deleted_after_it_was_counted(world: World, made: Made) -> Steps:
    target = world.folder() / made.path.name
    shutil.copy2(made.path, target)
    if not world.deletes:
        return
    yield from _until_counted(world, target)
    os.link(made.path, world.kept / f"{world.random.randrange(10**9)}-{made.path.name}")
    target.unlink()


def with_a_clock_ahead(world: World, made: Made) -> Steps:
    yield from _stamped(world, made, time.time() + world.random.uniform(60, 86400))


def with_a_clock_behind(world: World, made: Made) -> Steps:
    yield from _stamped(world, made, world.random.choice([0.0, 1.0, time.time() - 3600, 946_684_800.0]))


WAYS: tuple[Callable[[World, Made], Steps], ...] = (
    written_in_place, rsynced, renamed_when_whole, moved_in, moved_from_another_file_system, moved_in_with_its_directory,
    hard_linked, with_two_names, linked_inside_the_root, copied_twice, growing_under_swmr, growing_without_swmr,
    growing_with_two_names, growing_and_renamed_when_whole, appended_to, replaced_by_a_rename, rewritten_in_place,
    replaced_after_it_was_counted, moved_to_the_archive, deleted_after_it_was_counted, with_a_clock_ahead,
    with_a_clock_behind,
)  # fmt: skip


def _fresh(world: World) -> Path:
    folder = world.root / f"other-{world.random.randrange(10**9)}"
    folder.mkdir()
    return folder


def _poured(world: World, source: Path, target: Path) -> Steps:
    content = source.read_bytes()
    with target.open("wb") as file:
        for first, last in pairwise(world.cuts(len(content), 4)):
            file.write(content[first:last])
            file.flush()
            yield world.pause()


def _stamped(world: World, made: Made, unix: float) -> Steps:
    target = world.folder() / made.path.name
    part = target.with_name(f".{target.name}.Xy12Zq")
    shutil.copy(made.path, part)
    os.utime(part, (unix, unix))
    yield world.pause()
    part.rename(target)


def _messages(path: Path) -> tuple[list, object, float]:
    with open_file(path) as source:
        created = float(source.created or 0)
        return list(source._messages), source._headers[:]["io_groups"], created  # type: ignore[attr-defined]


def _grown(world: World, made: Made, target: Path, swmr: bool) -> Steps:
    """Written piece by piece by a writer that has it open all the time; the pieces can be seen when they are flushed."""
    if made.raw:
        messages, groups, created = _messages(made.path)
        raw = RawWriter(target, created=created, swmr=swmr, daq_configs=archive_of(made.path))
        with raw:
            for first, last in pairwise(world.cuts(len(messages))):
                raw.write(messages[first:last], groups[first:last])
                raw._file.flush()
                yield world.pause(1)
        return
    with open_file(made.path) as source:
        rows, created = source._file["packets"][:].astype(PACKET_DTYPE), float(source.created or 0)
    with PacketWriter(target, created=created, swmr=swmr, daq_configs=archive_of(made.path)) as writer:
        for first, last in pairwise(world.cuts(len(rows))):
            writer.write(rows[first:last])
            writer._file.flush()
            yield world.pause(1)


def _until_counted(world: World, target: Path) -> Steps:
    while not world.counted(target):
        yield 0.2
    yield world.pause()


# -- all of them --------------------------------------------------------------------------------------------------------


@dataclass
class Arrivals:
    """Runs of the demo detector that come, each file in its way, while `go_on` says so."""

    world: World
    backlog: Callable[[], int]
    seed: int
    used: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    """Packets of each run, as they were made: what must have been counted in the end."""
    failed: BaseException | None = None

    def __post_init__(self) -> None:
        self._enough = threading.Event()
        self._ways: list[Callable[[World, Made], Steps]] = []
        self._active: list[tuple[float, Steps]] = []
        self._waiting: list[tuple[Callable[[World, Made], Steps], Made]] = []
        self.number = 0
        self._thread = threading.Thread(target=self._run, name="arrivals")

    def start(self) -> None:
        self._thread.start()

    def finish(self, at_most_s: float) -> None:
        """No new runs from now on; returns when every way is at its end."""
        self._enough.set()
        self._thread.join(at_most_s)
        if self.failed:
            raise self.failed
        assert not self._thread.is_alive(), f"{len(self._active)} files have not arrived after {at_most_s} s"

    def stop(self) -> None:
        """At once, wherever they are."""
        self._enough.set()
        self._waiting.clear()
        self._active.clear()
        self._thread.join(30)

    def _run(self) -> None:
        try:
            while self._active or self._waiting or not self._enough.is_set():
                self._begin()
                now = time.monotonic()
                self._active = [self._moved_on(due, steps, now) for due, steps in self._active]
                self._active = [entry for entry in self._active if entry[0] >= 0]
                self._enough.wait(0.02) if not self._enough.is_set() else time.sleep(0.02)
        except BaseException as error:
            self.failed = error

    def _begin(self) -> None:
        if not self._waiting and not self._enough.is_set() and self.backlog() < BACKLOG:
            self._take_data()
        while self._waiting and len(self._active) < ACTIVE:
            way, made = self._waiting.pop(0)
            self.used[way.__name__] = self.used.get(way.__name__, 0) + 1
            self._active.append((time.monotonic() + self.world.pause(), way(self.world, made)))

    @staticmethod
    def _moved_on(due: float, steps: Steps, now: float) -> tuple[float, Steps]:
        """The next step of a way when it is due; below 0 when it was its last."""
        if now < due:
            return due, steps
        try:
            return now + next(steps), steps
        except StopIteration:
            return -1.0, steps

    def _take_data(self) -> None:
        """A run of a few files, in one form or in both."""
        self.number += 1
        random, number = self.world.random, self.number
        long = number % LONG_EVERY == 3
        run = DemoRun(seed=self.seed + number, duration_s=3, start_unix=START_UNIX + 60 * number)
        run = run if long else run.busier(0.05)
        form = random.choice(["raw", "packets", "both", "both"])
        kinds = {"raw": form != "packets", "packets": form != "raw"}
        subrun_s = 3 if long else 1
        folder = Path(tempfile.mkdtemp(prefix=f"run{number}-", dir=self.world.outside))
        taken = take_run(run, folder / "right", number, subrun_s, **kinds)
        other = take_run(replace(run, seed=run.seed + 10**6), folder / "wrong", number, subrun_s, **kinds)
        pairs = zip(taken.subruns, other.subruns, strict=True)
        files = [
            Made(str(number), path, path == subrun.raw, wrong)
            for subrun, others in pairs
            for path, wrong in ((subrun.raw, others.raw), (subrun.packets, others.packets))
            if path is not None and wrong is not None
        ]
        random.shuffle(files)
        self.rows[str(number)] = sum(subrun.rows for subrun in taken.subruns)
        for made in files:
            self._waiting.append((self._next_way(), made))

    def _next_way(self) -> Callable[[World, Made], Steps]:
        """In turn, each turn in another order: a short harness too has them all."""
        if not self._ways:
            self._ways = list(WAYS)
            self.world.random.shuffle(self._ways)
        return self._ways.pop()
