"""Kills at random instants while files come, and then counts: every packet once, bit for bit as a single clean pass.

`soak(...)` starts the real processes over a new folder, lets files arrive in every way (`arrivals`), and kills one process
after the other: at any time, or right after something was committed, when the next commit is on its way. At the end it
waits until all is worked off and compares the store with that of a fresh watch over the files as they are then. The seed
decides what arrives, what is killed and when; the machine decides how far the work is at that moment.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from dqm.auth.roles import Actor
from dqm.records import FINISHED, ElementState, FileState
from dqm.store import Store, StoreProblem, files, notices, open_store, parts, plugins
from dqm.store import runs as run_rows
from dqm.views.plot_list import NotResting, retry_plot
from tests.ingest.watching import Site, all_but
from tests.postgresql import Server, free_port, running
from tests.soak import inside
from tests.soak.arrivals import WAYS, Arrivals, World
from tests.soak.faults import Fault, Faults, small_disk
from tests.soak.fleet import COMMAND, Fleet
from tests.soak.picture import RunPicture, audit_rows, differences, not_well, picture, unrest, unsound, wrong_counts

LEASE_S = 2
REST_S = 240.0
ROLES = ("watch", "standby", "serve")
PLUGIN_NAME = "FloatSums"
PLUGIN = '''
"""A plot whose state is floats: only the order of files and rows makes its bits."""

import numpy as np

from plots.base import MergeablePlot, Trend


class FloatSums(MergeablePlot):
    title = "Sums of floats"

    def count(self, packets):
        tenths = packets["timestamp"] / 7 + 0.1
        return {"sum": np.array([tenths.sum()]), "by_group": np.bincount(packets["io_group"], tenths, 256) + 0.0}

    def draw(self, state, fig):
        fig.add_bar(y=state["by_group"])

    def trends(self, state):
        return {"sum": Trend(float(state["sum"][0]), "")}
'''


@dataclass
class Result:
    """What a run of the harness found."""

    engine: str
    seed: int
    kills: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    ways: dict[str, int] = field(default_factory=dict)
    files: int = 0
    runs: int = 0
    packets: int = 0
    changes: int = 0
    notices: int = 0
    missed: int = 0
    """Runs with a file that was deleted before a plug-in whose process was killed could see it."""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        return sum(self.kills.values())

    def summary(self) -> str:
        victims = ", ".join(f"{number} {name}" for name, number in sorted(self.kills.items()))
        faults = "".join(f", {number} x {name}" for name, number in sorted(self.faults.items()))
        end = "nothing lost, nothing twice" if not self.problems else f"{len(self.problems)} PROBLEMS"
        return (
            f"{self.engine}, seed {self.seed}: {self.killed} kills ({victims}){faults}; {self.files} files of {self.runs} "
            f"runs in {len(self.ways)} ways, {self.packets:,} packets, {self.changes} changes by the API, "
            f"{self.notices} notices; {self.missed} runs lost a file before a killed plug-in had seen it; "
            f"{self.seconds:.0f} s: {end}"
        )


def soak(
    kills: int, seed: int, engine: str = "sqlite", *, folder: Path | None = None, code: str = COMMAND,
    say: Callable[[str], None] = lambda text: None, keep: bool = False, runs: int = 3, rest_s: float = REST_S,
    roles: Sequence[str] = ROLES, every_way: bool = False, fault_every: int = 0, retries: bool = False,
    plots: Collection[str] | None = None,
    **settings: Any,
) -> Result:  # fmt: skip
    """One run of the harness: at least `runs` runs come, with `every_way` in every way; with all plots or these built-in.

    `settings` are LARBOARD_INGEST__*, `code` is what the processes run. After each `fault_every` kills another fault comes.
    The kill of a plug-in's process looks like its own fault, and it rests. With `retries` an expert has it tried again in
    the end, which takes a minute or two, and it must agree too; else it is left out of what is compared.
    """
    place = folder or Path(tempfile.mkdtemp(prefix="larboard-soak-"))
    elsewhere = Path(tempfile.mkdtemp(prefix="larboard-soak-", dir=_another_file_system()))
    try:
        with small_disk(place / "state") if fault_every else nullcontext(), _database(engine, place) as (url, server):
            code = inside.CODE if fault_every else code
            harness = Harness(place, elsewhere, url, engine, seed, code, say, settings, rest_s, roles, plots)
            harness.retries = retries
            if fault_every:
                harness.faults = Faults(place / "state", harness.clock, harness.fleet, server, Random(seed + 2))
            return harness.run(kills, runs, every_way, fault_every)
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)
        if not keep:
            shutil.rmtree(place, ignore_errors=True)


def _another_file_system() -> Path | None:
    return shm if (shm := Path("/dev/shm")).is_dir() else None


@contextmanager
def _database(engine: str, place: Path) -> Iterator[tuple[str, Server | None]]:
    if engine == "sqlite":
        yield f"sqlite:///{place / 'state' / 'larboard.sqlite'}", None
        return
    with running() as server:
        yield server.url, server


class Harness:
    """Processes, arrivals, a listener, an editor; and one thread, this one, that kills."""

    def __init__(
        self, place: Path, elsewhere: Path, url: str, engine: str, seed: int, code: str, say: Callable[[str], None],
        settings: dict[str, Any], rest_s: float, roles: Sequence[str], plots: Collection[str] | None,
    ):  # fmt: skip
        self.place, self.say, self.rest_s, self.plots = place, say, rest_s, plots
        self.result = Result(engine, seed)
        self.random = Random(seed)
        (place / "plugins").mkdir(parents=True, exist_ok=True)
        (place / "plugins" / "float_sums.py").write_text(PLUGIN)
        self.store: Store = open_store(url, place / "state" / "states", migrate=True)
        self.port = free_port()
        self.clock = place / "clock"
        inside.set_clock(self.clock, 0.0)
        self.faults: Faults | None = None
        self.retries = False
        self.resting: set[str] = set()
        self.missed: set[str] = set()
        self.world = World(place / "data", place / "outside", elsewhere, Random(seed + 1), self._is_counted)
        self.arrivals = Arrivals(self.world, self._backlog, seed)
        self.fleet = Fleet(place, self._environment(url, settings), code)
        for role in roles:
            self.fleet.add(role, "serve" if role == "serve" else "watch")
        self.serves = "serve" in roles
        self.api = _Api(self.port)
        self._seen = 0

    def _environment(self, url: str, settings: dict[str, Any]) -> dict[str, str]:
        ingest = {"lease_s": LEASE_S, "reconcile_s": 2, "settle_s": 0.3, "commit_s": 0.2, **settings}
        return {
            inside.FILE: str(self.clock),
            "LARBOARD_STORE__URL": url,
            "LARBOARD_DATA__DIRECTORY": str(self.place / "state"),
            "LARBOARD_PLOTS__PATHS": json.dumps([str(self.place / "plugins")]),
            "LARBOARD_PLOTS__WITHOUT": json.dumps([] if self.plots is None else all_but(self.plots)),
            "LARBOARD_INGEST__ROOTS": json.dumps([str(self.world.root)]),
            "LARBOARD_WEB__PORT": str(self.port),
            "LARBOARD_WEB__THREADS": "8",
            **{f"LARBOARD_INGEST__{name.upper()}": str(value) for name, value in ingest.items()},
        }

    # -- the run ------------------------------------------------------------------------------------------------------

    def run(self, kills: int, runs: int, every_way: bool, fault_every: int = 0) -> Result:
        begun = time.monotonic()
        try:
            self.fleet.start()
            self.arrivals.start()
            if self.serves:
                self.api.start()
            self._until(lambda: self._news() > 0, "the ingest has not begun")
            for number in range(kills):
                self._kill_one(number + 1)
                if self.faults and number % fault_every == fault_every - 1:
                    self._go_wrong(self.faults.next())
                if number % 10 == 9:
                    self.api.confirm(audit_rows(self.store))
            ways = len(WAYS) if every_way else 0
            self._until(
                lambda: self.arrivals.number >= runs and len(self.arrivals.used) >= ways, "the files do not come"
            )
            self.arrivals.finish(at_most_s=self.rest_s)
            self._until_rest()
            if self.serves:
                self._until(lambda: self.api.heard >= self._last_notice(), "the page has not heard the last notice")
        except Exception as error:
            self.result.problems.append(f"{type(error).__name__}: {error}")
        finally:
            self.arrivals.stop()
            if self.serves:
                self.api.stop()
            self.result.problems += self.fleet.stop()
        self._judge()
        self.result.seconds = time.monotonic() - begun
        self.store.close()
        self.say(self.result.summary())
        return self.result

    def _kill_one(self, number: int) -> None:
        """Waits for its moment, kills, and starts again what a supervisor would."""
        self._wait_for_a_moment()
        living = self.fleet.processes()
        assert living, "no process lives"
        wanted = self.random.choices(["watch", "standby", "serve"], [5, 2, 2])[0]
        chosen = [entry for entry in living if entry[0].endswith(wanted)] or living
        role, victim = self.random.choice(chosen)
        self.say(f"kill {number}: {role} ({victim.pid})")
        self.fleet.kill(victim)
        self.result.kills[role] = self.result.kills.get(role, 0) + 1
        self.fleet.start()

    def _go_wrong(self, fault: Fault) -> None:
        seconds = self.random.uniform(fault.at_least_s, fault.at_most_s)
        self.say(f"fault: {fault.name} for {seconds:.1f} s")
        with fault.make():
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                threading.Event().wait(0.2)
                self.fleet.start()
        self.result.faults[fault.name] = self.result.faults.get(fault.name, 0) + 1

    def _wait_for_a_moment(self) -> None:
        """Any instant; or shortly after some commits, when work is under way."""
        pause = threading.Event()
        if self.random.random() < 0.3:
            pause.wait(self.random.uniform(0.05, 1.5))
            return
        after, until = self._news() + self.random.randrange(1, 60), time.monotonic() + 4
        while self._news() < after and time.monotonic() < until:
            pause.wait(0.004)
        pause.wait(self.random.uniform(0, 0.1))

    # -- what is asked of the store -------------------------------------------------------------------------------------

    def _news(self) -> int:
        with suppress(StoreProblem):
            self._seen = self._last_notice()
        return self._seen

    def _last_notice(self) -> int:
        with self.store.read() as tx:
            return notices.last(tx)

    def _backlog(self) -> int:
        try:
            with self.store.read() as tx:
                return files.queue(tx, time.time())
        except StoreProblem:
            return 10**6

    def _is_counted(self, path: Path) -> bool:
        try:
            with self.store.read() as tx:
                row = files.at(tx, str(path))
        except StoreProblem:
            return False
        info = path.stat()
        return (
            row is not None
            and row.state in (*FINISHED, FileState.SAME)
            and (row.size, row.mtime_ns) == (info.st_size, info.st_mtime_ns)
        )

    def _until_rest(self) -> None:
        """Until nothing waits, twice in a row: what is seen last may have been seen just before it is taken."""
        names = {str(path): path.stat() for path in self.world.root.rglob("*") if path.is_file()}
        self.result.files = len(names)

        def moves() -> list[str]:
            return unrest(self.store, names) or unrest(self.store, names)

        def wants() -> list[str]:
            return moves() or not_well(self._picture(), self.missed)

        self._until(lambda: not moves(), moves)
        self.missed = self._missed()
        self.result.missed = len(self.missed)
        if self.retries:
            for name in self._ended():
                with suppress(NotResting):
                    self.say(retry_plot(self.store, Actor("expert", "expert"), name, time.time()))
        self._until(lambda: not wants(), wants)

    def _ended(self) -> set[str]:
        """Plug-ins whose process was killed."""
        with self.store.read() as tx:
            rests = {plugin.name: plugins.rest(tx, plugin.name) for plugin in plugins.listed(tx)}
        return {name for name, rest in rests.items() if rest.stops or rest.on}

    def _picture(self) -> dict[str, RunPicture]:
        """What is counted now, without plug-ins that nobody had tried again."""
        if not self.retries:
            self.resting |= self._ended()
        return self._without(picture(self.store))

    def _missed(self) -> set[str]:
        """Runs with a file that was deleted before the plug-in could see it: nobody brings it back.

        A worker whose process for plug-ins was just killed, or is slow to start, counts a file without them: they follow.
        """
        found: set[str] = set()
        with self.store.read() as tx:
            for row in files.current(tx).values():
                if row.state is not FileState.GONE or not row.counted or row.run_id is None:
                    continue
                part = parts.of_file(tx, row.id).get(PLUGIN_NAME)
                if part is None or part.state is not ElementState.OK:
                    found.add(run_rows.by_id(tx, row.run_id).key)
        return found

    def _without(self, runs: dict[str, RunPicture]) -> dict[str, RunPicture]:
        for plot in self.resting:
            runs = {key: run.without(plot) for key, run in runs.items()}
        return {key: run.without(PLUGIN_NAME) if key in self.missed else run for key, run in runs.items()}

    def _until(self, question: Callable[[], bool], complaint: Any) -> None:
        end = time.monotonic() + self.rest_s
        while True:
            try:
                if question():
                    return
            except StoreProblem:
                pass
            self.fleet.start()
            if time.monotonic() > end:
                what = complaint() if callable(complaint) else complaint
                raise TimeoutError(f"after {self.rest_s:g} s: {'; '.join(what) if isinstance(what, list) else what}")
            threading.Event().wait(0.1)

    # -- the judgement --------------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        result = self.result
        mine, clean = self._picture(), self._without(self._clean_pass())
        result.problems += wrong_counts(mine, self.arrivals.rows)
        result.problems += not_well(mine, self.missed)
        result.problems += differences(mine, clean)
        result.problems += unsound(self.store, self.api.audit, self.api.answered)
        result.problems += self.api.problems(self.store)
        result.problems += self.fleet.complaints()
        result.ways = self.arrivals.used
        result.runs = len(mine)
        result.packets = sum(run.facts["packets"] for run in mine.values())
        result.changes = len(self.api.answered)
        result.notices = len(self.api.numbers)

    def _clean_pass(self) -> Any:
        """What one watch gives over the files as they are now (and those that were deleted when they had been counted)."""
        roots, plugins = [self.world.root, self.world.kept], [self.place / "plugins"]
        clean = Site(self.place / "clean", plots=self.plots, roots=roots, plugins=plugins)
        for _ in range(4):
            clean.clock.now += 5  # type: ignore[union-attr]
            while clean.watch.step():
                pass
        found = picture(clean.store)
        clean.store.close()
        return found


class _Api:
    """A page that listens to the notices, and an expert who changes things, both through the site as it comes and goes."""

    def __init__(self, port: int):
        self.url = f"http://127.0.0.1:{port}/api/v1"
        self.numbers: list[int] = []
        self.answered: list[str] = []
        self.audit: dict[int, Any] = {}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._listen, self._edit)]

    @property
    def heard(self) -> int:
        return self.numbers[-1] if self.numbers else 0

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def confirm(self, audit: dict[int, Any]) -> None:
        """Remembers audit rows: they must never change."""
        self.audit |= audit

    def _listen(self) -> None:
        while not self._stop.is_set():
            request = urllib.request.Request(f"{self.url}/events", headers={"Last-Event-ID": str(self.heard)})
            try:
                with urllib.request.urlopen(request, timeout=5) as stream:
                    self._take(stream)
            except (OSError, ValueError, urllib.error.URLError):
                pass
            except Exception as error:
                if type(error).__name__ not in ("IncompleteRead", "RemoteDisconnected", "BadStatusLine"):
                    raise
            self._stop.wait(0.2)

    def _take(self, stream: Any) -> None:
        number, name = 0, ""
        while not self._stop.is_set():
            line = stream.readline().decode()
            if not line:
                return
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("event: "):
                name = line[7:].strip()
            elif line.startswith("data: ") and name == "notice":
                self.numbers.append(number)

    def _edit(self) -> None:
        number = 0
        while not self._stop.wait(0.3):
            number += 1
            text = f"change {number}"
            try:
                with urllib.request.urlopen(f"{self.url}/runs", timeout=10) as answer:
                    found = json.load(answer)["runs"]
                if not found:
                    continue
                body = json.dumps({"comment": text}).encode()
                request = urllib.request.Request(
                    f"{self.url}/runs/{found[0]['key']}", body, {"Content-Type": "application/json"}, method="PATCH"
                )
                with urllib.request.urlopen(request, timeout=10) as answer:
                    if answer.status == 200:
                        self.answered.append(text)
            except Exception:  # the site is away: whether the change was made, nobody can say
                continue

    def problems(self, store: Store) -> list[str]:
        """Notices that a page did not get, or not in order."""
        with store.read() as tx:
            there = [notice.seq for notice in notices.after(tx, 0, 10_000_000)]
        found = []
        if self.numbers != sorted(set(self.numbers)):
            found.append("the page got notices twice or out of order")
        got = set(self.numbers)
        if missing := [seq for seq in there if got and self.numbers[0] <= seq <= self.heard and seq not in got]:
            found.append(f"the page did not get {len(missing)} notices, such as {missing[:5]}")
        return found
