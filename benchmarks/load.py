"""Many open viewers while files are counted: ``make bench``, or ``python -m benchmarks.load --viewers 100``.

Real parts: `larboard watch` and `larboard serve` as processes of their own; packet files of 220,000 packets renamed into a
data root so that 100,000 packets arrive each second; viewers that do over HTTP what a browser does: a page with its layout,
dependencies, callbacks and figures, one stream of notices, and with each notice (at most once a second) the callbacks of the
page and the figures that changed, by their ETag. Every so often a viewer loses its stream and comes back by Last-Event-ID.

Printed: how long the data of a page take (median, p95), notices lost (of those in the database, per viewer), how long after
it is closed a file is counted (p95, worst), and the load of the machine, since who else uses it decides these numbers, too.
The clients run on the same machine as all the rest, and cost about as much.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import queue
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.site import PACKETS, RUN, ask, files_to_come, larboard, memory_mb, wait_until
from dqm.settings import WebSettings
from tests.postgresql import free_port

RATE = 100_000
"""Packets that arrive each second."""
IN_VIEW = 6
"""Figures of a page that are seen without scrolling."""
FLUSH_S, REDRAW_S = 1.0, 0.5
"""As assets/live.js and figures.js: so often callbacks are asked, and one figure, at most."""
LOSES_S = 15.0
"""A viewer loses its stream so often, on the average."""
LIMITS = {"data p95 s": 0.3, "lag worst s": 5.0, "lost": 0}
HEADERS = {"Accept-Encoding": "gzip, deflate, br, zstd", "Connection": "keep-alive"}
PAGES = ("/", f"/runs/{RUN}", "/runs/latest")


@dataclass
class Seen:
    """What one viewer saw."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    notices: list[int] = field(default_factory=list)
    start: int = 0
    losses: int = 0
    gaps: int = 0
    errors: list[str] = field(default_factory=list)


class Viewer:
    """A browser with one page open."""

    def __init__(self, port: int, path: str, until: float, seed: int):
        self._address = ("127.0.0.1", port)
        self._path = path
        self._until = until
        self._random = random.Random(seed)
        self._connection = http.client.HTTPConnection(*self._address, timeout=60)
        self._news: queue.Queue[dict[str, Any]] = queue.Queue()
        self._figures: dict[str, list[Any]] = {}
        self.seen = Seen()

    def watch(self) -> Seen:
        try:
            after = self._open()
        except Exception as error:
            self.seen.errors.append(f"open: {type(error).__name__}: {error}")
            return self.seen
        self.seen.start = after
        stream = threading.Thread(target=self._stream, args=(after,), daemon=True)
        stream.start()
        try:
            self._live()
        except Exception as error:
            self.seen.errors.append(f"live: {type(error).__name__}: {error}")
        stream.join(10)
        return self.seen

    # -- requests

    def _ask(self, kind: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes, Any]:
        sent = None if body is None else json.dumps(body)
        more = {"Content-Type": "application/json"} if sent else {}
        begun = time.monotonic()
        for last in (False, True):
            try:
                self._connection.request(method, path, sent, {**HEADERS, **more, **headers})
                answer = self._connection.getresponse()
                content = answer.read()
                break
            except (http.client.BadStatusLine, ConnectionError):
                self._connection.close()  # the server ended what was not used for long: a browser opens another
                if last:
                    raise
        self.seen.seconds[kind].append(time.monotonic() - begun)
        if answer.status >= 400 and kind != "figure":
            raise RuntimeError(f"{method} {path}: {answer.status}")
        return answer.status, content, answer.headers

    def _json(self, kind: str, path: str) -> Any:
        return json.loads(self._ask(kind, "GET", path, **{"Accept-Encoding": "identity"})[1])

    def _callback(self, kind: str, output: str, **values: Any) -> Any:
        """Calls the callback of an output, as the renderer of Dash does."""
        found = next(one for one in self._dependencies if output in one["output"])
        names = found["output"].strip(".").split("...")
        outputs = [{"id": name.rpartition(".")[0], "property": name.rpartition(".")[2]} for name in names]

        def given(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [{**part, "value": values.get(part["id"])} for part in parts]

        inputs = [{"id": part["id"], "property": part["property"]} for part in found["inputs"]]
        body = {
            "output": found["output"],
            "outputs": outputs if len(outputs) > 1 else outputs[0],
            "inputs": given(inputs),
            "state": given([{"id": part["id"], "property": part["property"]} for part in found["state"]]),
            "changedPropIds": [f"{part['id']}.{part['property']}" for part in inputs if part["id"] in values],
        }
        headers = {"Accept-Encoding": "identity"} if kind == "page" else {}
        return self._ask(kind, "POST", "/_dash-update-component", body, **headers)[1]

    # -- a page

    def _open(self) -> int:
        """Asks for a page as a browser does; the number of the notice up to which it knows everything."""
        begun = time.monotonic()
        self._ask("layout", "GET", self._path)
        layout = self._ask("layout", "GET", "/_dash-layout", **{"Accept-Encoding": "identity"})[1].decode()
        self._dependencies = self._json("layout", "/_dash-dependencies")
        seq = re.search(r'"data-seq":"(\d+)"', layout)
        assert seq
        content = self._callback("page", "content.children", route={"path": self._path, "search": "", "n": 1})
        self._callback("callback", "run-strip.children")
        text = content.decode().replace("\\u002f", "/")
        for path in list(dict.fromkeys(re.findall(r'"data-figure":"(api/v1/[^"]+)"', text)))[:IN_VIEW]:
            self._figures[path] = ["", 0.0]
            self._figure(path)
        self.seen.seconds["whole page"].append(time.monotonic() - begun)
        return int(seq[1])

    def _figure(self, path: str) -> None:
        etag = self._figures[path][0]
        headers = {"If-None-Match": etag} if etag else {}
        status, _, answered = self._ask("figure", "GET", f"/{path}?zone=UTC", **headers)
        self._figures[path] = [answered.get("ETag", etag) if status < 400 else "", time.monotonic()]

    def _live(self) -> None:
        """What assets/live.js and figures.js do with notices."""
        output = "board-tree.data" if self._path == "/" else "run-body-tree.data"
        waiting: dict[str, dict[str, Any]] = {}
        changed: set[str] = set()
        flushed = 0.0
        while (now := time.monotonic()) < self._until:
            try:
                notice = self._news.get(timeout=0.1)
            except queue.Empty:
                notice = None
            if notice:
                topic = waiting.setdefault(notice["topic"], {"seq": 0, "keys": []})
                topic["seq"] = max(topic["seq"], notice["seq"])
                topic["keys"].append(notice["key"])
                if notice["topic"] == "element":
                    changed |= {path for path in self._figures if self._is_of(path, notice["key"])}
            due = [path for path in changed if self._figures[path][1] + REDRAW_S <= now]
            for path in due:
                changed.discard(path)
                self._figure(path)
            if waiting and flushed + FLUSH_S <= now:
                flushed = now
                values = {f"notice-{topic}": found for topic, found in waiting.items()}
                waiting = {}
                if "notice-run" in values:
                    self._callback("callback", "run-strip.children", **{"notice-run": values["notice-run"]})
                key = {} if self._path == "/" else {"run-key": self._path.rsplit("/", 1)[1]}
                self._callback("callback", output, **values, **key)

    def _is_of(self, path: str, key: str) -> bool:
        run, _, plot = key.partition("/")
        return f"/{plot}/figure" in path and f"/{run}/" in path

    # -- the stream

    def _stream(self, after: int) -> None:
        last = after
        while time.monotonic() < self._until:
            end = time.monotonic() + self._random.expovariate(1 / LOSES_S)
            try:
                last = self._listen(last, min(end, self._until))
            except (OSError, http.client.HTTPException) as error:
                if not isinstance(error, TimeoutError):
                    self.seen.errors.append(f"stream: {type(error).__name__}: {error}")
                    time.sleep(2)  # as the browser waits: `retry` of the stream
            self.seen.losses += time.monotonic() < self._until

    def _listen(self, last: int, end: float) -> int:
        connection = http.client.HTTPConnection(*self._address, timeout=20)
        try:
            connection.request("GET", f"/api/v1/events?after={last}", headers={**HEADERS, "Last-Event-ID": str(last)})
            answer = connection.getresponse()
            if answer.status != 200:
                raise OSError(f"{answer.status} {answer.read()[:100]!r}")
            name = ""
            while time.monotonic() < end:
                line = answer.readline()
                if not line:
                    raise OSError("the stream ended")
                if line.startswith(b"event: "):
                    name = line[7:].strip().decode()
                elif line.startswith(b"data: ") and name in ("notice", "gap"):
                    data = json.loads(line[6:])
                    if name == "gap":
                        self.seen.gaps += 1
                    else:
                        self.seen.notices.append(data["seq"])
                        self._news.put(data)
                    last = data["seq"]
        finally:
            connection.close()
        return last


def viewers(port: int, number: int, seconds: float, seed: int, told: Any) -> None:
    """So many viewers in this process."""
    until = time.monotonic() + seconds
    found: list[Seen] = []
    threads = []
    for place in range(number):
        viewer = Viewer(port, PAGES[(seed + place) % len(PAGES)], until, seed * 1000 + place)
        thread = threading.Thread(target=lambda one=viewer: found.append(one.watch()))
        threads.append(thread)
        thread.start()
        time.sleep(0.1)  # people do not come all at once
    for thread in threads:
        thread.join(seconds + 60)
    for seen in found:
        seen.seconds = dict(seen.seconds)
    told.put(found)


def arrive(files: list[Path], into: Path, arrived: dict[str, float]) -> None:
    """Renames each file into the data root when the detector would have filled it."""
    begun = time.monotonic()
    for place, file in enumerate(files):
        time.sleep(max(0.0, begun + place * PACKETS / RATE - time.monotonic()))
        shutil.move(file, into / file.name)
        arrived[file.name] = time.time()


def counted(address: str, names: set[str]) -> dict[str, float]:
    """When each file was done [unix s]."""
    from datetime import datetime

    done = {}
    for file in ask(f"{address}/api/v1/files?limit=1000")["files"]:
        name = Path(file["path"]).name
        if name in names and file["state"] == "done" and file["done"]:
            done[name] = datetime.fromisoformat(file["done"]).timestamp()
    return done


def lost_notices(found: list[Seen], folder: Path) -> int:
    """Notices of the database between the first and the last that a viewer could see, and that it did not see."""
    from dqm.store import open_store
    from dqm.store.tables import notices

    store = open_store(f"sqlite:///{folder}/state/larboard.sqlite", folder / "state/states")
    with store.read() as tx:
        every = np.array(sorted(row[0] for row in tx.execute(notices.select().with_only_columns(notices.c.seq))))
    store.close()
    lost = 0
    for seen in found:
        if not seen.notices:
            lost += len(every)
            continue
        due = every[(every > seen.start) & (every <= max(seen.notices))]
        lost += len(set(due.tolist()) - set(seen.notices)) + len(seen.notices) - len(set(seen.notices))
    return lost


def spread(seconds: list[float]) -> str:
    return f"median {np.median(seconds) * 1e3:5.0f} ms, p95 {np.quantile(seconds, 0.95) * 1e3:5.0f} ms ({len(seconds)})"


def run(number: int, seconds: float, folder: Path, workers: int, threads: int) -> list[str]:
    """The whole measurement; names of the limits that were missed."""
    port = free_port()
    (folder / "data").mkdir()
    web = f"[web]\nport = {port}\nworkers = {workers}\n" + (f"threads = {threads}\n" if threads else "")
    text = f'[data]\ndirectory = "state"\n[ingest]\nroots = ["data"]\n{web}'
    (folder / "larboard.toml").write_text(text, encoding="utf-8")
    address = f"http://127.0.0.1:{port}"
    files = files_to_come(folder / "made", int(seconds * RATE / PACKETS) + 1)
    arrived: dict[str, float] = {}
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    halves = [number // 2, number - number // 2]
    loads = [os.getloadavg()[0]]
    with larboard("watch", folder) as watch, larboard("serve", folder) as serve:
        wait_until(lambda: ask(f"{address}/ready"))
        shutil.move(files[0], folder / "data" / files[0].name)
        wait_until(lambda: ask(f"{address}/api/v1/runs/{RUN}"))
        clients = [
            context.Process(target=viewers, args=(port, each, seconds + 10, place * 100, told))
            for place, each in enumerate(halves)
        ]
        before = [sum(times(process)) for process in (watch, serve)]
        for client in clients:
            client.start()
        time.sleep(5 + number * 0.06)  # all pages are open
        arrive(files[1:], folder / "data", arrived)
        found = [seen for _ in clients for seen in told.get(timeout=seconds + 120)]
        loads.append(os.getloadavg()[0])
        names = set(arrived)
        wait_until(lambda: len(counted(address, names)) == len(names), 120)
        done = counted(address, names)
        spent = [sum(times(process)) - was for process, was in zip((watch, serve), before, strict=True)]
        memory = max(memory_mb(serve).values())
    lags = [done[name] - when for name, when in arrived.items()]
    return report(found, lags, lost_notices(found, folder), spent, seconds, memory, loads)


def times(process: Any) -> Iterator[float]:
    for one in (process, *process.children(recursive=True)):
        used = one.cpu_times()
        yield used.user + used.system


def report(
    found: list[Seen], lags: list[float], lost: int, spent: list[float], seconds: float, memory: float,
    loads: list[float],
) -> list[str]:  # fmt: skip
    kinds: dict[str, list[float]] = defaultdict(list)
    for seen in found:
        for kind, values in seen.seconds.items():
            kinds[kind] += values
    errors = [error for seen in found for error in seen.errors]
    for error in sorted(set(errors))[:5]:
        print(f"  {errors.count(error)} times: {error}")
    data = [value for kind in ("page", "callback", "figure") for value in kinds[kind]]
    print(f"{len(found)} viewers, {RATE:,} packets/s for {seconds:.0f} s; load of the machine {loads[0]:.1f} before,"
          f" {loads[1]:.1f} at the end, {os.cpu_count()} processors")  # fmt: skip
    for kind, values in kinds.items():
        if values:
            print(f"  {kind:10s} {spread(values)}")
    print(f"  a page's data (callbacks and figures): {spread(data)}, at most {LIMITS['data p95 s'] * 1e3:.0f} ms")
    print(
        f"  notices: {sum(len(seen.notices) for seen in found):,} received, {lost} lost or twice,"
        f" {sum(seen.losses for seen in found)} streams lost and replayed, {sum(seen.gaps for seen in found)} gaps"
    )
    print(
        f"  ingest: {len(lags)} files, lag median {np.median(lags):.2f} s, p95 {np.quantile(lags, 0.95):.2f} s,"
        f" worst {max(lags):.2f} s (at most {LIMITS['lag worst s']:g})"
    )
    print(f"  processor: watch {spent[0] / seconds:.2f}, serve {spent[1] / seconds:.2f}; serve {memory:.0f} MB PSS")
    values = {"data p95 s": float(np.quantile(data, 0.95)), "lag worst s": max(lags), "lost": float(lost)}
    return [name for name, limit in LIMITS.items() if values[name] > limit] + (["errors"] if errors else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=WebSettings().workers, help="of the site")
    parser.add_argument("--threads", type=int, default=0, help="0: as the settings have it")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="larboard-load-"))
    missed = run(arguments.viewers, arguments.seconds, folder, arguments.workers, arguments.threads)
    shutil.rmtree(folder, ignore_errors=True)
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
