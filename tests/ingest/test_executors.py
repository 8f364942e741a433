"""Whoever counts, in one process, in many or on a cluster, and whoever of them dies: the same bits."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dqm.demo import DemoRun
from dqm.ingest.executors import Away, Executor, Lost, TooLong, processes
from dqm.ingest.executors.dask import Dask
from dqm.ingest.executors.processes import Processes
from dqm.records import FileState
from dqm.settings import Settings
from dqm.store import plugins as plugins_store
from dqm.worker import MakeBench, executor_of
from tests.ingest.deeds import Die, Eat, Fail, Hang, Pid
from tests.ingest.watching import SHORT, Site, age, take
from tests.services import until

LONG = DemoRun(seed=4, duration_s=6, start_unix=1_750_000_000)
BENCH = MakeBench(Settings().model_dump_json(include={"plots", "detector", "ingest", "log"}))


def answer(executor: Executor, task: Any, limit_s: float = 60) -> Any:
    return executor.submit(task, limit_s).result(90)


# a pool of processes ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool() -> Iterator[Processes]:
    made = Processes(BENCH, workers=2, memory_mb=300)
    yield made
    made.close()


def test_a_task_is_done_in_another_process(pool: Processes) -> None:
    assert answer(pool, Pid()) != os.getpid()


def test_an_error_of_a_task_comes_back_as_it_is(pool: Processes) -> None:
    with pytest.raises(ZeroDivisionError, match="of all things"):
        answer(pool, Fail())


def test_a_task_that_a_worker_took_and_never_began_with_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it is killed in between: it holds the locks of its pipe for ever."""
    pool = Processes(BENCH, workers=1, memory_mb=300)
    try:
        assert answer(pool, Pid()) != os.getpid()
        (one,) = pool._all
        mutex = one._pool_manager.worker_manager.workers_channel.mutex
        assert mutex.acquire()
        monkeypatch.setattr(processes, "BEGIN_S", 1.0)
        with pytest.raises(Away, match="no worker began with it in 1 s"):
            answer(pool, Pid())
        monkeypatch.undo()
        assert answer(pool, Pid()) != os.getpid()
        assert pool._all != {one}
    finally:
        pool.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_is_said_with_its_signal_and_another_takes_its_place(
    pool: Processes, number: signal.Signals
) -> None:
    with pytest.raises(Lost, match=number.name):
        answer(pool, Die(number))
    assert answer(pool, Pid()) != os.getpid()


def test_a_worker_that_hangs_is_ended_at_its_limit(pool: Processes) -> None:
    with pytest.raises(TooLong, match=r"longer than 0\.5 s"):
        answer(pool, Hang(), limit_s=0.5)
    assert answer(pool, Pid()) != os.getpid()


def test_a_worker_cannot_use_more_memory_than_its_limit(pool: Processes) -> None:
    assert answer(pool, Eat(100)) == 100 << 20
    with pytest.raises(MemoryError):
        answer(pool, Eat(400))


def test_workers_end_with_whoever_made_the_pool(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from dqm.ingest.executors.processes import Processes\n"
        "from dqm.settings import Settings\n"
        "from dqm.worker import MakeBench\n"
        "from tests.ingest.deeds import Pid\n"
        "if __name__ == '__main__':\n"
        "    pool = Processes(MakeBench(Settings().model_dump_json()), workers=1)\n"
        "    print(pool.submit(Pid(), 60).result(), flush=True)\n"
        "    time.sleep(600)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert parent.stdout
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not psutil.pid_exists(worker), 10)


# the watch over a pool -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """What a clean pass inline gives for the run of `take`."""
    site = Site(tmp_path_factory.mktemp("once"))
    take(site.root, LONG, subrun_s=1)
    site.settle()
    return site.bases("5")


def test_a_pool_gives_the_bits_that_one_process_gives(tmp_path: Path, once: dict, pool: Processes) -> None:
    site = Site(tmp_path, executor=pool)
    take(site.root, LONG, subrun_s=1)
    site.settle()
    assert site.bases("5") == once
    assert set(site.states().values()) == {"done", "same"}


def test_files_are_counted_in_legs_when_they_are_long_and_give_the_same_bits(
    tmp_path: Path, once: dict, pool: Processes
) -> None:
    site = Site(tmp_path, executor=pool, commit_s=0.2)
    site.settings.ingest.commit_s = 0.0  # give back what was counted after every block
    take(site.root, LONG, subrun_s=6)
    take(site.root, LONG, subrun_s=6)
    site.settle()
    whole = Site(tmp_path / "whole")
    take(whole.root, LONG, subrun_s=6)
    whole.settle()
    assert site.bases("5") == whole.bases("5")


def kill_a_worker(number: int) -> int:
    """Kills one of the workers, which are children of a fork server of ours (a browser may be one too); how many."""
    with contextlib.suppress(psutil.NoSuchProcess):
        servers = [child for child in psutil.Process().children() if "forkserver" in " ".join(child.cmdline())]
        workers = [worker for server in servers for worker in server.children()]
        if workers:
            workers[number % len(workers)].kill()
            return 1
    return 0


def test_workers_that_are_killed_all_the_time_lose_and_double_nothing(
    tmp_path: Path, once: dict, pool: Processes
) -> None:
    site = Site(tmp_path, executor=pool, commit_s=0.2)
    site.settings.ingest.commit_s = 0.0
    take(site.root, LONG, subrun_s=1)
    site.watch._next["scan"] = 0.0
    kills = 0
    for _ in range(400):
        if not site.watch.step() and not site.watch.flights.in_air:
            site.clock.now += 2
        elif kills < 6 and site.watch.flights.in_air:
            kills += kill_a_worker(kills)
            assert site.watch.hints.news.wait(60)
    assert kills == 6
    for _ in range(8):
        site.settle(seconds=30)
    assert site.bases("5") == once
    assert set(site.states().values()) == {"done", "same"}


def test_a_file_over_which_workers_die_is_tried_again_and_then_put_in_quarantine_and_the_others_are_counted(
    tmp_path: Path, once: dict
) -> None:
    site = Site(tmp_path)
    paths = take(site.root, LONG, subrun_s=1)
    bad = site.root / "deadly.h5"
    bad.write_bytes(paths[0].read_bytes())
    age(bad)
    site.watch.executor = site.watch.flights._executor = Deadly(site.watch.executor, "deadly")
    site.settle(seconds=20, times=8)
    file = site.file("deadly.h5")
    assert file.state is FileState.QUARANTINED
    assert "SIGSEGV" in file.reason
    assert site.bases("5") == once


class Deadly:
    """An executor whose workers die over files of some name."""

    def __init__(self, inner: Executor, name: str):
        self.inner, self.name, self.slots, self.problem = inner, name, 1, ""

    def submit(self, task: Any, limit_s: float) -> Any:
        future = self.inner.submit(task, limit_s)
        if self.name in task.path:
            future = type(future)()
            future.set_exception(Lost("the worker that read it died (SIGSEGV)"))
        return future

    def close(self) -> None:
        return


def test_a_new_file_does_not_wait_for_a_long_one(tmp_path: Path) -> None:
    site = Site(tmp_path, commit_s=0.2)
    site.settings.ingest.commit_s = 0.0
    long = take(site.root, DemoRun(seed=5, duration_s=8, start_unix=1_750_000_000), subrun_s=8, raw=False)[0]
    site.watch._may_go_on = lambda: False  # type: ignore[method-assign] # one task in a step, as with workers
    site.watch.step()
    while site.file(long.name).rows_done == 0:
        site.clock.now += 1
        site.watch.step()
    new = take(site.root, SHORT, number=6, subrun_s=4, raw=False)[0]
    age(new, 1_700_000_100)
    site.watch._next["scan"] = 0.0
    site.watch.step()
    while site.file(new.name).state is not FileState.DONE:
        site.watch.step()
    assert site.file(long.name).state is FileState.READING
    site.settle()
    assert site.file(long.name).state is FileState.DONE


# Dask ----------------------------------------------------------------------------------------------------------------


class Cluster:
    """A real scheduler and two real workers on this machine."""

    def __init__(self, folder: Path, port: int = 0):
        self.folder = folder
        self.port = port or _free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.workers: list[subprocess.Popen] = []
        self.scheduler = self._start_scheduler()
        for _ in range(2):
            self.add_worker()

    def _start(self, *arguments: str) -> subprocess.Popen:
        # tests are a package of the directory that pytest was started in
        root = str(Path(__file__).parents[2])
        environment = {**os.environ, "PYTHONPATH": root, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "3"}
        command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]]
        with (self.folder / "dask.log").open("ab") as log:
            return subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )

    def _start_scheduler(self) -> subprocess.Popen:
        return self._start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--dashboard-address", "127.0.0.1:0"
        )

    def add_worker(self) -> None:
        self.workers.append(
            self._start(
                "dask_worker", self.address, "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard",
                "--local-directory", str(self.folder),
            )
        )  # fmt: skip

    def kill_a_worker(self) -> None:
        """With its nanny, as when a host goes."""
        _kill(self.workers.pop())

    def restart_scheduler(self) -> None:
        """Its workers end with it, and whoever looks after them starts them again."""
        for process in [self.scheduler, *self.workers]:
            _kill(process)
        self.workers = []
        self.scheduler = self._start_scheduler()
        for _ in range(2):
            self.add_worker()

    def close(self) -> None:
        for process in [*self.workers, self.scheduler]:
            _kill(process)


def _kill(process: subprocess.Popen) -> None:
    """A process and its children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid)
        for each in [*family.children(recursive=True), family]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
    process.wait()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("dask"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def dask(cluster: Cluster) -> Iterator[Dask]:
    made = Dask(BENCH, cluster.address)
    until(lambda: not made.problem, 60)
    yield made
    made.close()


def test_a_dask_cluster_gives_the_same_bits_also_when_one_of_its_workers_is_killed(
    tmp_path: Path, once: dict, cluster: Cluster, dask: Dask
) -> None:
    site = Site(tmp_path, executor=dask, commit_s=0.2)
    site.settings.ingest.commit_s = 0.0
    take(site.root, LONG, subrun_s=1)
    site.watch._next["scan"] = 0.0
    while not any(state == "done" for state in site.states().values()):
        site.clock.now += 0.5
        site.watch.step()
        if site.watch.flights.in_air:
            site.watch.hints.news.wait(60)
    cluster.kill_a_worker()
    for _ in range(4):
        site.settle(seconds=30)
    cluster.add_worker()
    assert site.bases("5") == once
    assert set(site.states().values()) == {"done", "same"}


def test_a_scheduler_that_goes_and_comes_back_loses_and_doubles_nothing(
    tmp_path: Path, once: dict, cluster: Cluster, dask: Dask
) -> None:
    site = Site(tmp_path, executor=dask, commit_s=0.2)
    site.settings.ingest.commit_s = 0.0
    take(site.root, LONG, subrun_s=1)
    site.watch._next["scan"] = 0.0
    while not site.watch.flights.in_air:
        site.watch.step()
    cluster.restart_scheduler()
    until(lambda: bool(dask.problem), 60)
    assert "Dask" in dask.problem
    until(lambda: not dask.problem, 90)
    for _ in range(4):
        site.settle(seconds=30)
    assert site.bases("5") == once
    assert set(site.states().values()) == {"done", "same"}


def test_a_dask_worker_that_hangs_is_ended(dask: Dask) -> None:
    until(lambda: not dask.problem, 60)
    with pytest.raises(TooLong):
        answer(dask, Hang(), limit_s=2)
    assert answer(dask, Pid()) != os.getpid()


def test_without_a_scheduler_the_ingest_says_so_and_its_files_wait(tmp_path: Path) -> None:
    address = f"tcp://127.0.0.1:{_free_port()}"
    away = Dask(BENCH, address)
    try:
        assert address in away.problem
        with pytest.raises(Away):
            answer(away, Pid())
        site = Site(tmp_path, executor=away)
        take(site.root, SHORT)
        site.settle()
        assert set(site.states().values()) == {"waiting"}
        assert address in site.watch.executor.problem
    finally:
        away.close()


# settings ------------------------------------------------------------------------------------------------------------


def test_processes_are_the_default_and_inline_is_nothing_of_its_own() -> None:
    assert Settings().ingest.executor == "processes"
    assert executor_of(Settings(ingest={"executor": "inline"})) is None


def test_dask_without_an_address_is_refused_with_an_example() -> None:
    with pytest.raises(ValueError, match="tcp://host:8786"):
        Settings(ingest={"executor": "dask"})


def test_a_worker_is_not_told_the_password_of_the_database() -> None:
    made = executor_of(Settings(store={"url": "postgresql+psycopg://me:secret@db/x"}, ingest={"workers": 1}))
    assert isinstance(made, Processes)
    try:
        assert "secret" not in made._make.settings  # type: ignore[attr-defined]
    finally:
        made.close()


HANGS = """
import time
from plots.base import Plot

class Hangs(Plot):
    title = "Hangs"
    fields = ("packet_type",)

    def __call__(self, packets, fig):
        time.sleep(3600)
"""


def test_a_plug_in_that_hangs_in_a_worker_costs_its_own_tile_there_too(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "hangs.py").write_text(HANGS)
    settings = Settings(plots={"paths": [plugins], "block_s": 1}, ingest={"workers": 1})
    executor = executor_of(settings)
    assert executor is not None
    try:
        site = Site(tmp_path, executor=executor, plugins=[plugins])
        take(site.root, SHORT)
        site.settle()
        found = site.elements("5")
        assert found["Hangs"].state == "broken"
        assert "took more than 1 s" in found["Hangs"].reason
        assert all(element.state == "ok" for name, element in found.items() if name != "Hangs")
        with site.store.read() as tx:
            assert plugins_store.rests(tx)["Hangs"].lasts(site.clock.now)
    finally:
        executor.close()
