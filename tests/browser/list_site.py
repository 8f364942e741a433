"""A site with lists in it, served on a free port: for the tests of Runs, Trends, Files and Plots."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page
from werkzeug.serving import make_server

from app import create_app, warm
from dqm.records import FileState, TrendValue
from dqm.settings import DataSettings, DetectorSettings, PlotSettings, Settings
from dqm.store import Store, files, open_store, runs, trends
from dqm.store.tables import runs as run_table

NASTY = "<img src=x onerror=alert(1)>.h5"
SIZES = ((1366, 768), (1920, 1080))


@dataclass
class Served:
    """Where a site is, and its store."""

    url: str
    store: Store


@contextmanager
def served(folder: Path, plugins: list[Path] | None = None) -> Iterator[Served]:
    """A site over a new store in `folder`."""
    settings = Settings(
        data=DataSettings(directory=folder),
        detector=DetectorSettings(zone="America/Chicago"),
        plots=PlotSettings(paths=plugins or []),
    )
    store = open_store(f"sqlite:///{folder / 'larboard.sqlite'}", folder / "states")
    app = create_app(settings, store)
    # what it compresses as a stream it leaves open, and warnings are errors here
    app.server.config["COMPRESS_STREAMS"] = False
    warm(app)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server("127.0.0.1", 0, app.server, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Served(f"http://127.0.0.1:{server.server_port}", store)
    server.shutdown()
    thread.join()
    server.server_close()
    app.server.config["LARBOARD_SITE"].close()


def many_runs(store: Store, n: int, first: int = 1) -> None:
    """`n` runs at once, a quarter of an hour apart, the highest number the newest; every kind of quality is there."""
    now = time.time()
    qualities = ("good", "suspect", "bad", "unknown", None)
    rows: list[dict[str, Any]] = [
        {
            "key": str(number),
            "number": number,
            "category": ("physics", "cosmics", "calibration")[number % 3],
            "tags": ["hot"] if number % 50 == 0 else [],
            "comment": "tile 20 was off" if number % 100 == 0 else "",
            "start": now - 900 * (n + first - number) - 600,
            "end": now - 900 * (n + first - number),
            "files": 12,
            "unread": number % 7 == 0,
            "packets": number * 1000,
            "quality": qualities[number % 5],
            "updated": now - 900 * (n + first - number),
            "closed": True,
            "detector": "module0",
        }
        for number in range(first, first + n)
    ]
    with store.begin() as tx:
        tx.execute(run_table.insert(), rows)


def some_files(store: Store) -> None:
    """A run with one file in each state, each with a reason; one has a nasty name."""
    now = time.time()
    with store.begin() as tx:
        run = runs.ensure(tx, "50017", 50017, "physics", [])
        for i, state in enumerate(FileState):
            name = NASTY if state is FileState.QUARANTINED else f"packet-50017-{state.value}.h5"
            file_id = files.add(tx, f"/data/{name}", "/data", 12_345_678, time.time_ns() - i * 10**9, "", now)
            reason = f"<b>why</b> it is {state.value}"
            values = {"state": state, "reason": reason, "format": "packets", "version": "2.4", "run_id": run}
            files.update(tx, file_id, **values, rows=340_000, rows_done=120_000, start=now - 60 * i)


def steady_trends(store: Store, n: int = 200, every_s: float = 60, spike: int | None = None) -> float:
    """A rate and a parity fraction of `n` files that end now, with a gap; gives the time of the first."""
    first = time.time() - n * every_s
    with store.begin() as tx:
        run = runs.ensure(tx, "50017", 50017, "physics", [])
        runs.ensure(tx, "50018", 50018, "physics", [])
        tx.execute(run_table.update().values(start=first + 30 * every_s, files=1))
        for i in range(n):
            value = None if 50 <= i < 55 else 3e6 if i == spike else 15_000 + i % 7
            rate = TrendValue(value, "Hz", warn=(None, 2e5), alarm=(None, 2e6), reason="live time below 1 s")
            parity = TrendValue(0.004, "fraction", range=(0, 1), warn=(None, 0.01))
            trends.save(tx, "PacketRate", i + 1, run, first + i * every_s, None, {"data_rate_hz": rate})
            trends.save(tx, "ParityErrors", i + 1, run, first + i * every_s, None, {"invalid_parity_fraction": parity})
    return first


def keeps_inside(page: Page, sizes: Iterable[tuple[int, int]] = SIZES) -> None:
    """Nothing of a page is wider than the window, however large that is made; figures may follow a moment later."""
    for width, height in sizes:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
