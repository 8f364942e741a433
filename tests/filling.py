"""A store with real states in it, made without the ingest: for tests of views, pages and the API."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from dqm.checks.range_check import judge, worst
from dqm.demo import DemoRun, take_run
from dqm.ingest.oneshot import Sources, process
from dqm.records import Element, ElementState, Part, TrendValue
from dqm.results import FileReport
from dqm.store import Store, elements, files, geometries, parts, runs, trends
from plots.base import MergeablePlot
from plots.discovery import discover


def fill(
    store: Store, folder: Path, run: int = 1, seconds: float = 3, start: int | None = None, seed: int = 1
) -> FileReport:
    """Takes a demo run into `folder` and puts it in the store as ingest would."""
    start = int(time.time() - seconds) if start is None else start
    taken = take_run(DemoRun(seed=seed, duration_s=seconds, start_unix=start), folder, run_number=run, raw=False)
    assert taken.packets
    report = process(taken.packets, [found.plot for found in discover().plots.values()], Sources())
    put(store, report, run)
    return report


def put(store: Store, report: FileReport, run: int) -> None:
    """One file, and the elements of its run."""
    assert report.start
    assert report.end
    assert report.detector
    assert report.rows
    now, info = time.time(), report.path.stat()
    start, end = report.start.timestamp(), report.end.timestamp()
    with store.begin() as tx:
        run_id = runs.ensure(tx, str(run), run, "physics", ["test"])
        geometries.note(tx, report.detector.geometry_id, report.detector.name, "")
        file_id = files.add(tx, str(report.path), str(report.path.parent), info.st_size, info.st_mtime_ns, "", now)
        done = {
            "state": "done",
            "counted": True,
            "done": now,
            "next_look": None,
            "rows": report.rows,
            "rows_done": report.rows,
        }
        files.update(
            tx, file_id, run_id=run_id, format=report.format, start=start, end=end, geometry=report.geometry, **done
        )
        qualities = []
        for found in report.elements:
            values = {
                name: TrendValue(t.value, t.unit, t.range, t.warn, t.alarm, t.reason)
                for name, t in found.trends.items()
            }
            trends.save(tx, found.name, file_id, run_id, start, end, values)
            qualities += [verdict for verdict in map(judge, values.values()) if verdict]
            mergeable = isinstance(found.made, MergeablePlot)
            base = store.states.put(found.state.to_bytes()) if found.state is not None else None
            geometry = report.detector.geometry_id
            part = Part(
                file_id,
                found.name,
                found.plot.version,
                geometry,
                report.rows,
                None,
                True,
                base,
                (),
                ElementState.OK,
                "",
                "",
            )
            parts.save(tx, part)
            element = Element(
                run_id, str(run), found.name, found.plot.version, geometry, 0, base, mergeable, report.rows,
                ElementState.OK, "", "", False, values, now,
            )  # fmt: skip
            before = elements.get(tx, run_id, found.name)
            elements.save(tx, replace(element, version=before.version if before else 0))
        runs.recount(tx, run_id, worst(qualities))
