"""Plots whose states cannot tell channels apart, counted anew from the files without the channels of a mask.

One count at a time on a host, in a process of its own (dqm/recount.py), for as long as a page asks for it: a page that goes
to another mask, or away, asks no more, and the count ends. Only files that are done are counted; one that grows comes when
it is done, and is added to what was counted before.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from dqm.masks import Mask
from dqm.records import DROPPED, DataFile, Element, ElementState, FileState, Run
from dqm.store import files, geometries
from dqm.views.site import Site

ASKED_S = 12.0
"""Who wants a count asks for it more often than this, also where a page takes seconds to answer."""
AGAIN_S = 30.0
"""What could not be counted is tried again after so long."""
KEPT_S = 24 * 3600
OF_ITS_OWN = "it works on files of its own, from which no channel can be left out"


@dataclass(frozen=True)
class Recount:
    """What is known of a count."""

    mark: str = ""
    """Tells one result from the next; empty: there is none."""
    files: int = 0
    """How many are in the result."""
    plots: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """By plot: kind, content or why."""
    coming: str = ""
    """How far the count is that is under way; empty when nothing is."""
    cannot: str = ""
    growing: int = 0
    """Files that come when they are done."""


@dataclass(frozen=True)
class _Job:
    """What is to be counted."""

    key: tuple[Any, ...]
    """Run, mask, plots with their versions, geometry."""
    files: tuple[tuple[int, str, int, int], ...]
    """Id, path, size, mtime of the files that are done."""
    wish: dict[str, Any]

    @property
    def stamps(self) -> frozenset[tuple[int, int, int]]:
        return frozenset((number, size, mtime) for number, _, size, mtime in self.files)


def can_recount(site: Site, element: Element, at_once: bool = False) -> str:
    """Why a plot is not counted anew (or, `at_once`, cannot follow its sums); empty when it is."""
    found = site.registry.plots.get(element.plot)
    if element.state is not ElementState.OK:
        return "there is nothing of it to count anew"
    if found is None or found.plot.version != element.plot_version:
        return "this host has no plug-in of its version"
    if at_once:
        return "what it was drawn from was dropped by a retention rule" if element.base == DROPPED else ""
    if found.plot.private_memory:
        return OF_ITS_OWN
    return "" if site.settings.web.recount_s else "counting anew is switched off ([web] recount_s)"


def known(site: Site, run: Run, mask: Mask, found: Mapping[str, Element], ask: bool = False) -> Recount:
    """What there is of these plots without a mask; with `ask` it is counted if there is none yet."""
    with site.store.read() as tx:
        of_run = [file for file in files.of_run(tx, run.id) if file.counted]
    growing = sum(file.state in (FileState.GROWING, FileState.READING) for file in of_run)
    job = _job(site, run, mask, found, [file for file in of_run if file.state is FileState.DONE])
    result = site.cache.get(("recounted", *job.key)) or {"stamps": frozenset(), "plots": {}}
    if not result["stamps"] <= job.stamps:  # a file was taken out of the run
        result = {"stamps": frozenset(), "plots": {}}
    mark = hashlib.sha256(repr(sorted(result["stamps"])).encode()).hexdigest()[:12] if result["stamps"] else ""
    answer = Recount(mark, len(result["stamps"]), result["plots"], growing=growing)
    left = [file for file in job.files if (file[0], *file[2:]) not in result["stamps"]]
    if not left:
        return answer if mark else _but(answer, cannot="no file of this run is done yet")
    if failed := site.cache.get(("recount failed", *job.key)):
        return _but(answer, cannot=failed)
    if not ask:
        return answer
    site.cache.set(("recount asked", *job.key), time.time(), expire=KEPT_S)
    _begin(site, job, left, result)
    done = site.cache.get(("recount at", *job.key))
    if done is None:
        return _but(answer, coming="waiting for another count to end")
    return _but(answer, coming=f"counting without them: {done} of {len(left)} file{'s' if len(left) != 1 else ''}")


def _but(answer: Recount, **values: Any) -> Recount:
    return Recount(**{**answer.__dict__, **values})


def _job(site: Site, run: Run, mask: Mask, found: Mapping[str, Element], done: list[DataFile]) -> _Job:
    versions = tuple(sorted((name, element.plot_version) for name, element in found.items()))
    geometry = next((element.geometry for element in found.values() if element.geometry), None)
    where: tuple[str, str, str] | None = None
    if geometry:
        with site.store.read() as tx:
            name, directory = geometries.get(tx, geometry) or ("", "")
        where = (geometry, name, directory)
    wish = {
        "settings": site.settings.model_dump_json(include={"plots", "detector", "ingest", "log"}),
        "roots": [str(root) for root in site.settings.ingest.roots],
        "mask": mask.by_chip,
        "plots": versions,
        "geometry": where,
        "memory_mb": site.settings.ingest.memory_mb,
    }
    rows = tuple((file.id, file.path, file.size, file.mtime_ns) for file in done)
    return _Job((run.id, mask.address, versions, geometry, site.generation), rows, wish)


def _begin(site: Site, job: _Job, left: list[tuple[int, str, int, int]], result: dict[str, Any]) -> None:
    """Counts in a thread of its own, unless this host counts something already."""
    if not site.counting.acquire(blocking=False):
        return
    with ExitStack() as held:
        held.callback(site.counting.release)
        alone = _alone(Path(site.settings.data.directory) / "recount.lock")
        if alone is None:
            return
        held.callback(alone.close)
        site.cache.set(("recount at", *job.key), 0, expire=KEPT_S)
        arguments = [site, job, left, result, alone]
        threading.Thread(target=_run, args=arguments, name="recount", daemon=True).start()
        held.pop_all()  # it is the thread that lets go now


def _run(site: Site, job: _Job, left: list[tuple[int, str, int, int]], result: dict[str, Any], alone: IO[str]) -> None:
    try:
        _count(site, job, left, result)
    except Exception as error:  # nobody waits for a thread: what failed is said on the tiles
        site.cache.set(
            ("recount failed", *job.key), f"counting failed: {type(error).__name__}: {error}", expire=AGAIN_S
        )
    finally:
        site.cache.delete(("recount at", *job.key))
        alone.close()
        site.counting.release()


def _alone(path: Path) -> IO[str] | None:
    """The lock of the one process of this host that counts; None while another one has it."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _count(site: Site, job: _Job, left: list[tuple[int, str, int, int]], result: dict[str, Any]) -> None:
    with _folder(site) as into:
        for name, made in result["plots"].items():
            if made["kind"] == "state":
                (into / f"{name}.npz").write_bytes(made["content"])
        wish = {**job.wish, "into": str(into), "files": [row[1:] for row in left]}
        process = subprocess.Popen(
            [sys.executable, "-m", "dqm.recount"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        ended = threading.Event()
        watch = threading.Thread(target=_watch, args=[site, job, process, ended], name="recount watch", daemon=True)
        try:
            process.stdin.write(json.dumps(wish) + "\n")
            process.stdin.flush()
            watch.start()
            said = _follow(site, job, process.stdout)
        finally:
            ended.set()
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        if said is None:
            return
        if "cannot" in said:
            site.cache.set(("recount failed", *job.key), said["cannot"], expire=AGAIN_S)
            return
        plots = {**result["plots"]}
        for name, made in said["made"].items():
            if plots.get(name, {}).get("kind") == "broken":  # of a file before
                continue
            ending = {"state": ".npz", "figure": ".json"}.get(made["kind"])
            plots[name] = {**made, "content": (into / f"{name}{ending}").read_bytes()} if ending else made
        stamps = result["stamps"] | {(row[0], *row[2:]) for row in left}
        site.cache.set(("recounted", *job.key), {"stamps": stamps, "plots": plots}, expire=KEPT_S, tag=str(job.key[0]))


@contextmanager
def _folder(site: Site) -> Iterator[Path]:
    """Where a count leaves its states: of a count that was killed nothing stays beyond the next one."""
    into = Path(site.settings.data.directory) / "recount"
    shutil.rmtree(into, ignore_errors=True)  # nobody else counts: the lock is held
    into.mkdir(mode=0o700)
    try:
        yield into
    finally:
        shutil.rmtree(into, ignore_errors=True)
        site.cache.expire()  # results of yesterday, of this mask or another


def _follow(site: Site, job: _Job, lines: IO[str]) -> dict[str, Any] | None:
    """What the process said last; None when it was ended."""
    for line in lines:
        said = json.loads(line)
        if "done" not in said:
            return said
        site.cache.set(("recount at", *job.key), said["done"], expire=KEPT_S)
    if site.cache.get(("recount failed", *job.key)) is None and _wanted(site, job):
        site.cache.set(("recount failed", *job.key), "the process that counted ended by itself", expire=AGAIN_S)
    return None


def _wanted(site: Site, job: _Job) -> bool:
    return time.time() - site.cache.get(("recount asked", *job.key), 0) < ASKED_S


def _watch(site: Site, job: _Job, process: subprocess.Popen, ended: threading.Event) -> None:
    """Ends a count that nobody asks for any more, or that takes longer than it may."""
    until = time.monotonic() + site.settings.web.recount_s
    while not ended.wait(0.5):
        if time.monotonic() > until:
            why = f"counting took longer than {site.settings.web.recount_s:g} s ([web] recount_s)"
            site.cache.set(("recount failed", *job.key), why, expire=KEPT_S)
            process.kill()
        elif not _wanted(site, job):
            process.kill()
