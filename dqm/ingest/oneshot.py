"""One file, start to end, without a database: what ``larboard process`` and ``larboard inspect`` do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from dqm.detector import Detector, Library, Match, NoGeometry, find_geometry
from dqm.detector.layouts import BadLayout
from dqm.formats import Reader, UnreadableFile, identify, open_file
from dqm.formats.hdf5 import one_line
from dqm.formats.light import light_run
from dqm.formats.names import parse_name
from dqm.formats.scan import Scan
from dqm.ingest.engine import feed, finish, prepare
from dqm.results import FileReport
from plots.base import HostTrouble, Plot

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Sources:
    """Where geometries may be: the configured directories, and ``geometry/`` beside a data file or one level up."""

    directories: Sequence[Path] = ()
    modules: dict[int, Path] = field(default_factory=dict)
    name: str = "auto"

    def match(self, reader: Reader) -> Match:
        """The detector of a file: the configured one, or by the ids of a sample of its data packets."""
        beside = [reader.path.parent / "geometry", reader.path.parent.parent / "geometry"]
        library = Library([*self.directories, *beside], self.modules)
        if self.name != "auto":
            try:
                detector = library.get(self.name)
            except (NoGeometry, BadLayout) as error:
                return Match(None, f"{error} (asked for in the settings)")
            return Match(
                detector,
                f"geometry {detector.name} ({len(detector.pixels):,} pixels) set in the settings",
                library.directory_of(detector.name),
            )
        data = reader.sample().data
        return library.match(data["io_group"], data["io_channel"], data["chip_id"], data["channel_id"])

    def find(self, geometry_id: str, name: str, directory: str) -> Detector | None:
        """The detector of a geometry id: in the configured directories, or in the one where it was found before."""
        return find_geometry(geometry_id, name, directory, tuple(self.directories), tuple(self.modules.items()))


def process(path: Path, plots: Iterable[type[Plot]], sources: Sources, progress: Progress | None = None) -> FileReport:
    """Every packet of `path` through every plot. Never raises for what is in the file: the report says it."""
    report = _named(path)
    try:
        with open_file(path) as reader:
            _describe(report, reader, sources)
            report.elements = prepare(plots, reader)
            scan = Scan()
            for packets in reader.blocks():
                scan.feed(packets)
                feed(report.elements, packets)
                if progress:
                    progress(reader.fraction_done)
            finish(report.elements, reader.detector)
            _conclude(report, reader, scan)
    except UnreadableFile as error:
        _give_up(report, error)
    except (Exception, HostTrouble) as error:  # the last resort: nothing that is in a file may stop the next one
        _give_up(report, UnreadableFile(f"cannot be read: {type(error).__name__}: {one_line(error)}"))
    return report


def inspect(path: Path, sources: Sources, progress: Progress | None = None) -> FileReport:
    """What `path` is, its rows, run, times, and the faults found in it."""
    return process(path, (), sources, progress)


def _named(path: Path) -> FileReport:
    name = parse_name(path)
    return FileReport(path, run=name.run, subrun=name.subrun, start=name.start)


def _describe(report: FileReport, reader: Reader, sources: Sources) -> None:
    report.format, report.version = reader.kind.format, reader.kind.version
    match = sources.match(reader)
    reader.detector = report.detector = match.detector
    report.geometry = match.detector.name if match.detector else None
    report.geometry_reason = match.reason
    report.lacks_geometry = match.detector is None and sources.name != "auto"


def _conclude(report: FileReport, reader: Reader, scan: Scan) -> None:
    report.rows, report.state = scan.rows, reader.state
    report.faults = [*reader.faults, *scan.faults]
    if report.state == "growing":
        report.faults.insert(0, "is being written: these are the rows that are final so far")
    if report.detector is None and (scan.valid_data or report.lacks_geometry):
        report.faults.append(report.geometry_reason)
    if scan.first_unix is not None and scan.last_unix is not None:
        report.start = datetime.fromtimestamp(scan.first_unix, UTC)
        report.end = datetime.fromtimestamp(scan.last_unix, UTC)


def _give_up(report: FileReport, error: UnreadableFile) -> None:
    report.state, report.faults = error.state, [error.reason]
    report.elements = []  # what was counted until then would look like the whole file
    try:
        kind = identify(report.path)
    except Exception:
        return
    report.format, report.version = kind.format, kind.version
    if kind.format == "light":
        report.run = light_run(report.path) or report.run
