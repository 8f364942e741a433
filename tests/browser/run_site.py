"""The site over a store with runs in it, in a thread, that can be stopped and started again on the same port."""

from __future__ import annotations

import logging
import re
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from werkzeug.serving import BaseWSGIServer, make_server

from app import create_app, warm
from dqm.demo import DemoRun, take_run
from dqm.ingest.oneshot import Sources, process
from dqm.records import Watcher
from dqm.results import FileReport
from dqm.settings import DataSettings, DetectorSettings, PlotSettings, Settings, WebSettings
from dqm.store import Store, elements, open_store, runs, watchers
from plots.discovery import discover
from tests.ingest.watching import all_but

ZONE = "America/Chicago"


PLOTS = (
    "AdcSpectrum", "HotPixels", "IoGroupRate", "PacketRate", "ParityErrors", "PixelMap", "SilentChannels", "SyncDt",
    "TileRate", "TriggerCharge", "TriggerPackets",
)  # fmt: skip
"""Of the built-in plots those that a page is looked at with: a browser draws each."""


def reports(folder: Path) -> list[FileReport]:
    """Three files, one after the other."""
    plots = [found.plot for found in discover().select(PLOTS)]
    start = int(time.time()) - 10
    made = []
    for number in range(3):
        into = folder / str(number)
        into.mkdir()
        taken = take_run(
            DemoRun(seed=number + 1, duration_s=2, start_unix=start + 3 * number), into, run_number=17, raw=False
        )
        assert taken.packets
        made.append(process(taken.packets, plots, Sources()))
    return made


@dataclass
class Running:
    """A site that is served."""

    settings: Settings
    store: Store
    url: str = ""
    _server: BaseWSGIServer | None = None
    _thread: threading.Thread | None = None
    _app: Any = None

    def start(self, port: int = 0) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._app = create_app(self.settings, self.store)
        warm(self._app)
        self._server = make_server("127.0.0.1", port, self._app.server, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def events(self) -> Any:
        """The streams of notices."""
        return self._app.server.extensions["larboard.events"]

    def stop(self) -> None:
        """As when the machine is switched off: nothing answers, and streams end."""
        assert self._server
        assert self._thread
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.events.stop()
        self._app.server.config["LARBOARD_SITE"].cache.close()
        self._server = None

    def close(self) -> None:
        if self._server:
            self.stop()
        self.store.close()

    def beat(self, state: str = "reading", problems: tuple[str, ...] = ()) -> None:
        """A sign of life of an ingest process."""
        now = time.time()
        with self.store.begin() as tx:
            watchers.beat(tx, Watcher("w1", "daq", 1, now, now, True, state, 0, None, problems))
            watchers.lead(tx, "w1", now, 15)

    def touch(self, plot: str, run: str = "17", **changes: Any) -> None:
        """Another version of an element, as a commit of the ingest makes it."""
        with self.store.begin() as tx:
            found = runs.get(tx, run)
            assert found
            element = elements.get(tx, found.id, plot)
            assert element
            elements.save(tx, replace(element, updated=time.time(), **changes))


PLACES = {"io_group": "1", "tile": "1", "chip": "1-1-11"}


def path_of(rule: str, plot: str) -> str:
    """The path of a page about run 7, one of its plots, and a place of the demo detector."""
    parts = {"<run>": "7", "<plot>": plot, "<channel>": "1-1-11-0"}
    rule = re.sub(r"(\w+)/<place>", lambda found: f"{found[1]}/{PLACES[found[1]]}", rule)
    return re.sub(r"<\w+>", lambda part: parts[part[0]], rule)


def site_over(folder: Path, plugins: list[Path] | None = None, **web: Any) -> Running:
    """A site over a new store in `folder`, not started yet."""
    settings = Settings(
        data=DataSettings(directory=folder),
        detector=DetectorSettings(zone=ZONE),
        plots=PlotSettings(paths=plugins or [], without=all_but(PLOTS)),
        web=WebSettings(contact="the charge expert, 555 0100", **web),
    )
    return Running(settings, open_store(f"sqlite:///{folder / 'larboard.sqlite'}", folder / "states"))
