"""The numbers that are watched from outside, in a few small queries: they are asked for every some seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass

from dqm.records import Alarm, Plugin, Pulse, Watcher, WebWorker
from dqm.store import notices, plugins, pulses, runs, web_workers
from dqm.store.runs import Search
from dqm.views import queries
from dqm.views.alarm_list import open_alarms
from dqm.views.presence import WEB_SILENT_S
from dqm.views.site import Site


@dataclass(frozen=True)
class Gauges:
    """What `/metrics` tells, as it is now."""

    files: dict[str, int]
    runs: int
    open_runs: int
    watchers: list[Watcher]
    last_file: float | None
    notices: int
    pulse: Pulse | None
    plugins: list[Plugin]
    workers: list[WebWorker]
    alarms: tuple[Alarm, ...]


def gauges(site: Site) -> Gauges:
    """Raises StoreProblem."""
    ingest, now = queries.ingest(site), time.time()
    with site.store.read() as tx:
        return Gauges(
            files=ingest.files,
            runs=runs.count(tx, Search()),
            open_runs=len(runs.open_ones(tx)),
            watchers=ingest.watchers,
            last_file=ingest.last_done.done if ingest.last_done else None,
            notices=notices.last(tx),
            pulse=pulses.newest(tx),
            plugins=plugins.listed(tx),
            workers=web_workers.alive(tx, now - WEB_SILENT_S),
            alarms=open_alarms(site, tx, now).open,
        )
