"""Files without a database: ``process``, ``inspect``, ``convert``."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dqm.commands.common import (
    BAD_INPUT,
    DONE,
    FAILED,
    Files,
    Json,
    chosen,
    each,
    fail,
    print_json,
    progress,
    registry_of,
    say,
    settings_in_force,
    shown,
    sources_of,
    ticker,
    warn_broken,
)

if TYPE_CHECKING:
    from dqm.ingest.oneshot import Sources
    from dqm.results import FileReport
    from plots.discovery import Broken, Found


def process(
    files: Files,
    out: Annotated[Path | None, typer.Option(help="Write DIR/<file name>/<PlotName>.json and trends.json.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write an interactive report as one HTML file.")] = None,
    plots: Annotated[str | None, typer.Option(help="Only these plots, separated by commas.")] = None,
    as_json: Json = False,
) -> None:
    """Runs the plots over files, without a database."""
    settings = settings_in_force()
    registry = registry_of(settings)
    wanted = chosen(registry, plots)
    relevant = registry.broken if plots is None else []
    reports = process_all(files, wanted, sources_of(settings), out, html, relevant)
    if as_json:
        from dqm.views.export import summary_json

        print_json([summary_json(report) for report in reports])
    else:
        for report in reports:
            print_report(report)
        for where in (out, html):
            if where:
                say(f"written: {where}")
    warn_broken(relevant)
    raise typer.Exit(exit_code(reports, bool(relevant)))


def inspect(files: Files, as_json: Json = False) -> None:
    """Says what files are: format, rows, run, times, and the faults found in them."""
    from dqm.ingest.oneshot import inspect as inspect_file

    sources = sources_of(settings_in_force())
    with progress() as bar:
        reports = [inspect_file(file, sources, tick) for file, tick in each(files, bar)]
    if as_json:
        print_json([report.to_json() for report in reports])
    else:
        for report in reports:
            print_facts(report)
    known = [report.format != "unknown" and report.state != "quarantined" for report in reports]
    partial = any(report.state == "partial" for report in reports)
    raise typer.Exit(BAD_INPUT if not any(known) else FAILED if partial or not all(known) else DONE)


def convert(
    raw: Annotated[Path, typer.Argument(metavar="RAW", help="A raw PACMAN file.")],
    packets: Annotated[Path, typer.Argument(metavar="PACKETS", help="The packet file to write; must not exist yet.")],
    gzip: Annotated[bool, typer.Option("--gzip", help="Compress: smaller, and slower to read.")] = False,
    fifo_diagnostics: Annotated[
        bool,
        typer.Option(
            "--fifo-diagnostics",
            help="The chips had enable_fifo_diagnostics set: their FIFO counts are in the timestamps.",
        ),
    ] = False,
) -> None:
    """Converts a raw PACMAN file to a packet file (LArPix+HDF5 2.4), chip configurations included."""
    from dqm.formats import UnreadableFile, open_file
    from dqm.formats.convert import convert_raw

    if packets.exists():
        fail(f"{shown(packets)} is already there; remove it or name another file")
    try:
        with open_file(raw) as reader, progress() as bar:
            if reader.kind.format != "raw":
                fail(f"{shown(raw)} is a {reader.kind.format} file, expected a raw PACMAN file")
            tick = ticker(bar, raw)
            rows = convert_raw(reader, packets, "gzip" if gzip else None, tick, fifo_diagnostics)
            faults = [*reader.faults]
            if reader.state == "growing":
                faults.insert(0, f"{shown(raw)} is being written: these are the packets that are final so far")
    except UnreadableFile as error:
        fail(f"{shown(raw)}: {error.reason}")
    except OSError as error:
        fail(f"{shown(packets)} cannot be written: {error.strerror or error}")
    say(f"{shown(packets)}: {rows:,} packets")
    for fault in faults:
        say(f"  {fault}", err=True)
    raise typer.Exit(FAILED if faults else DONE)


def process_all(
    files: list[Path], chosen: list[Found], sources: Sources, out: Path | None, html: Path | None, broken: list[Broken]
) -> list[FileReport]:
    """One file after the other, each written and let go before the next: memory does not grow with their number."""
    from dqm.ingest.oneshot import process as process_file
    from dqm.views.export import folder_of, write_figures
    from dqm.views.report import ReportWriter, is_report

    if html and not is_report(html):
        fail(f"--html {shown(html)} is already there and is no report; name another file")
    reports, taken = [], set[str]()
    page: ReportWriter | None = None
    try:
        with progress() as bar:
            page = ReportWriter(html, files) if html else None
            for file, tick in each(files, bar):
                with redirect_stdout(sys.stderr):
                    report = process_file(file, [found.plot for found in chosen], sources, tick)
                folder = folder_of(report.path, taken)
                try:
                    if out and report.readable:
                        write_figures(report, out / folder)
                except OSError as error:
                    report.unwritten = f"cannot write {shown(out / folder if out else '')}: {error.strerror or error}"
                if page:
                    page.add(report)
                for element in report.elements:
                    element.release()
                reports.append(report)
            if page:
                page.close(broken)
                page = None
    except OSError as error:
        fail(f"cannot write {shown(html)}: {error.strerror or error}")
    finally:
        if page:
            page.abandon()
    return reports


def exit_code(reports: list[FileReport], failed: bool) -> int:
    if not any(report.readable for report in reports):
        return BAD_INPUT
    bad = any(not r.readable or r.state == "partial" or r.broken or r.lacks_geometry or r.unwritten for r in reports)
    return FAILED if bad or failed else DONE


def print_facts(report: FileReport) -> None:
    from dqm.views.words import time_span

    run = "" if report.run is None else f", run {report.run}"
    rows = "" if report.rows is None else f", {report.rows:,} rows"
    version = f" {report.version}" if report.version else ""
    when = f", {time_span(report.start, report.end)}" if report.start else ""
    say(f"{shown(report.path)}: {report.state}, {report.format}{version}{run}{rows}{when}")
    if report.geometry:
        say(f"  {report.geometry_reason}")
    for fault in report.faults:
        say(f"  {fault}")
    if report.unwritten:
        say(f"  {report.unwritten}")


def print_report(report: FileReport) -> None:
    from dqm.views.report import trend_rows

    print_facts(report)
    for row in trend_rows(report):
        why = f"  ({row.reason})" if row.reason else ""
        say(f"  {row.word:<8} {row.plot + '.' + row.name:<40} {row.shown}{why}")
    for element in report.elements:
        if element.broken:
            say(f"  BROKEN   {element.name}: {element.broken}")
        elif element.unavailable:
            say(f"  NO DATA  {element.name}: {element.unavailable}")
