"""The command ``larboard``: wiring only. Exit 0: done; 1: something failed; 2: bad usage or nothing could be read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from dqm.ingest.oneshot import Sources
    from dqm.results import FileReport
    from dqm.settings import Settings
    from dqm.store import Store
    from plots.discovery import Broken, Found, Registry

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    help="Monitoring and data quality for pixel liquid-argon detectors.",
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
plots_app = typer.Typer(help="The plots: what there is, a new one, and whether one keeps the contract.")
app.add_typer(plots_app, name="plots")
db_app = typer.Typer(help="The database.", no_args_is_help=True)
app.add_typer(db_app, name="db")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Data files of any format.", show_default=False)]


@app.callback()
def larboard(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from dqm import __version__

        _say(f"larboard {__version__}")
        raise typer.Exit


@app.command()
def process(
    files: Files,
    out: Annotated[Path | None, typer.Option(help="Write DIR/<file name>/<PlotName>.json and trends.json.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write an interactive report as one HTML file.")] = None,
    plots: Annotated[str | None, typer.Option(help="Only these plots, separated by commas.")] = None,
    as_json: Json = False,
) -> None:
    """Runs the plots over files, without a database."""
    settings = _settings()
    registry = _registry(settings)
    chosen = _chosen(registry, plots)
    relevant = registry.broken if plots is None else []
    reports = _process_all(files, chosen, _sources(settings), out, html, relevant)
    if as_json:
        from dqm.views.export import summary_json

        _print_json([summary_json(report) for report in reports])
    else:
        for report in reports:
            _print_report(report)
        for where in (out, html):
            if where:
                _say(f"written: {where}")
    _warn_broken(relevant)
    raise typer.Exit(_exit_code(reports, bool(relevant)))


@app.command()
def inspect(files: Files, as_json: Json = False) -> None:
    """Says what files are: format, rows, run, times, and the faults found in them."""
    from dqm.ingest.oneshot import inspect as inspect_file

    sources = _sources(_settings())
    with _progress() as bar:
        reports = [inspect_file(file, sources, tick) for file, tick in _each(files, bar)]
    if as_json:
        _print_json([report.to_json() for report in reports])
    else:
        for report in reports:
            _print_facts(report)
    known = [report.format != "unknown" and report.state != "quarantined" for report in reports]
    partial = any(report.state == "partial" for report in reports)
    raise typer.Exit(BAD_INPUT if not any(known) else FAILED if partial or not all(known) else DONE)


@app.command()
def convert(
    raw: Annotated[Path, typer.Argument(metavar="RAW", help="A raw PACMAN file.")],
    packets: Annotated[Path, typer.Argument(metavar="PACKETS", help="The packet file to write; must not exist yet.")],
    gzip: Annotated[bool, typer.Option("--gzip", help="Compress: smaller, and slower to read.")] = False,
) -> None:
    """Converts a raw PACMAN file to a packet file (LArPix+HDF5 2.4)."""
    from dqm.formats import UnreadableFile, open_file
    from dqm.formats.convert import convert_raw

    if packets.exists():
        _fail(f"{_shown(packets)} is already there; remove it or name another file")
    try:
        with open_file(raw) as reader, _progress() as bar:
            if reader.kind.format != "raw":
                _fail(f"{_shown(raw)} is a {reader.kind.format} file, expected a raw PACMAN file")
            tick = _ticker(bar, raw)
            rows = convert_raw(reader, packets, "gzip" if gzip else None, tick)
            faults = reader.faults
    except UnreadableFile as error:
        _fail(f"{_shown(raw)}: {error.reason}")
    except OSError as error:
        _fail(f"{_shown(packets)} cannot be written: {error.strerror or error}")
    _say(f"{_shown(packets)}: {rows:,} packets")
    for fault in faults:
        _say(f"  {fault}", err=True)
    raise typer.Exit(FAILED if faults else DONE)


@app.command()
def demo(
    data: Annotated[Path, typer.Option(help="Where the demo keeps its files.")] = Path("larboard-demo"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the site on 127.0.0.1.")] = 8050,
    speed: Annotated[float, typer.Option(min=0.1, max=100, help="Seconds of data in a second.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Make data, process them, print a summary, exit.")] = False,
    seconds: Annotated[float, typer.Option(min=1, help="With --once: length of the run.")] = 8.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same data.")] = 1,
    as_json: Json = False,
) -> None:
    """A live detector with everything running: it takes data, they are read, the site shows them. Ctrl-C stops it."""
    if once:
        _demo_once(data, seconds, seed, as_json)
    _demo_live(data, port, speed, seed)


def _demo_live(data: Path, port: int, speed: float, seed: int) -> NoReturn:
    import threading

    from dqm.demo import LiveDetector
    from dqm.supervise import Family, stop_on_signals

    config = _demo_config(data)
    stop = stop_on_signals()
    family = Family(_note)
    environment = {"LARBOARD_CONFIG": str(config.resolve()), "LARBOARD_WEB__PORT": str(port)}
    family.add("the site", "serve", environment=environment)
    family.add("the ingest", "watch", environment=environment)
    detector = LiveDetector(data / "data", speed=speed, seed=seed)
    failed: list[str] = []

    def take_data() -> None:
        try:
            detector.run(stop, _note)
        except OSError as error:
            failed.append(f"{_shown(data)} cannot be written: {error.strerror or error}")
            stop.set()

    taking = threading.Thread(target=take_data, name="detector")
    _note(
        f"the demo detector writes to {_shown(data / 'data')}; plug-ins go to {_shown(data / 'plugins')}; Ctrl-C stops it"
    )
    taking.start()
    code = family.run(stop)
    stop.set()
    taking.join()
    if failed:
        _fail(failed[0])
    _note("stopped")
    sys.exit(code)


def _demo_config(data: Path) -> Path:
    """The settings of the demo, made at its first start; a user may change them."""
    config = data / "larboard.toml"
    try:
        for folder in ("data", "plugins"):
            (data / folder).mkdir(parents=True, exist_ok=True)
        if not config.exists():
            config.write_text(DEMO_SETTINGS, encoding="utf-8")
    except OSError as error:
        _fail(f"{_shown(data)} cannot be written: {error.strerror or error}")
    return config


DEMO_SETTINGS = """\
# Settings of the live demo; `larboard init` writes a file with all of them, explained.
[data]
directory = "state"

[plots]
paths = ["plugins"]

[ingest]
roots = ["data"]

[detector]
zone = "America/Chicago"

[runs]
category = "test"
rules = [{ match = "", tags = ["demo"] }]

[web]
title = "Larboard demo"
contact = "nobody: this is a demo"
"""


def _demo_once(data: Path, seconds: float, seed: int, as_json: bool) -> NoReturn:
    """Lets the demo detector take a run and processes it."""
    from dqm.demo import DemoRun, take_run

    settings = _settings()
    registry = _registry(settings)
    run = DemoRun(seed=seed, duration_s=seconds)
    try:
        with _progress() as bar:
            taken = take_run(run, data / "data", progress=_ticker(bar, Path("the demo detector takes a run")))
        files = [subrun.packets for subrun in taken.subruns if subrun.packets]
        page = data / "report.html"
        every = list(registry.plots.values())
        reports = _process_all(files, every, _sources(settings), data / "figures", page, registry.broken)
    except OSError as error:
        _fail(f"{_shown(data)} cannot be written: {error.strerror or error}")
    if as_json:
        from dqm.views.export import summary_json

        _print_json(
            {
                "raw": str(taken.raw),
                "report": str(page.resolve()),
                "files": [summary_json(report) for report in reports],
            }
        )
    else:
        for report in reports:
            _print_report(report)
        _say(f"raw file:  {_shown(taken.raw)}")
        _say(f"report:    {_shown(page.resolve())}  (open it in a browser)")
    _warn_broken(registry.broken)
    raise typer.Exit(_exit_code(reports, bool(registry.broken)))


@plots_app.callback(invoke_without_command=True)
def plots_default(context: typer.Context) -> None:
    """The plots: list (the default), new, test."""
    if context.invoked_subcommand is None:
        plots_list()


@plots_app.command("list")
def plots_list(as_json: Json = False) -> None:
    """Lists the plots, where they are from, their trends, and the plug-ins that are broken, with the reason."""
    from dqm.views.plot_list import plot_list

    listed = plot_list(_registry(_settings()))
    if as_json:
        _print_json(listed.to_json())
    else:
        for plot in listed.plots:
            _say(f"{plot.name:<16} {plot.title}  [{plot.level}, {plot.kind}, {plot.source}]")
            for name, unit in plot.trends.items():
                _say(f"{'':<16}   {name} [{unit}]")
    _warn_broken(listed.broken)
    raise typer.Exit(FAILED if listed.broken else DONE)


@plots_app.command("new")
def plots_new(
    name: Annotated[str, typer.Argument(help="Class name of the new plot, such as ChargePerTile.")],
    simple: Annotated[bool, typer.Option("--simple", help="The simple kind, whose figure is its memory.")] = False,
    into: Annotated[Path | None, typer.Option(help="Directory; by default the first of settings plots.paths.")] = None,
) -> None:
    """Writes a plot file of twenty lines to start from."""
    from plots.scaffold import BadName, write_new_plot

    settings = _settings()
    directory = into or (settings.plots.paths[0] if settings.plots.paths else Path())
    try:
        path = write_new_plot(name, directory, simple, taken=_registry(settings).plots)
    except (BadName, OSError) as error:
        _fail(str(error))
    _say(f"written: {_shown(path)}")
    _say(f"try it:  larboard plots test {_shown(path)}")
    if directory.resolve() not in [path.resolve() for path in settings.plots.paths]:
        _say(f'use it:  add its directory to larboard.toml:  [plots]  paths = ["{_shown(directory.resolve())}"]')


@plots_app.command("test")
def plots_test(name: Annotated[str, typer.Argument(help="Name of a plot, or a plot file.")]) -> None:
    """Runs the tests that every plot gets for free, over packets of the demo detector."""
    from dqm.demo import demo_rows
    from dqm.detector import demo_detector
    from plots.contract import check_plot
    from plots.discovery import load_file

    if name.endswith(".py") or "/" in name:
        registry = load_file(Path(name))
        found = list(registry.plots.values())
    else:
        registry = _registry(_settings())
        found = _chosen(registry, name)
    _warn_broken(registry.broken if not found or name.endswith(".py") else [])
    failures, told = 0, ""
    rows = demo_rows()
    for plot in found:
        for outcome in check_plot(plot.plot, rows, demo_detector()):
            _say(f"{'pass' if outcome.passed else 'FAIL'}  {plot.name}: {outcome.sentence}")
            if not outcome.passed:
                failures += 1
                _say(f"      {'the same' if outcome.why == told else outcome.why}")
                told = outcome.why
    if not found:
        raise typer.Exit(BAD_INPUT)
    _say(f"{failures} failed" if failures else "all passed")
    raise typer.Exit(FAILED if failures else DONE)


@app.command()
def up() -> None:
    """Everything over one's own data, by larboard.toml: ingest and site. Ctrl-C stops it."""
    from dqm.supervise import Family, stop_on_signals

    settings = _settings()
    if not settings.ingest.roots:
        _fail(
            "no data roots are set: name them in larboard.toml, [ingest] roots = [...]; `larboard init` writes an example"
        )
    _store(settings).close()
    stop = stop_on_signals()
    family = Family(_note)
    family.add("the site", "serve")
    family.add("the ingest", "watch")
    sys.exit(family.run(stop))


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Instead of the port in the settings.")] = None,
    host: Annotated[str | None, typer.Option(help="Instead of the address in the settings.")] = None,
) -> None:
    """The site and the API."""
    from dqm.serve import serve as serve_site

    settings = _settings()
    if port is not None:
        settings.web.port = port
    if host is not None:
        settings.web.host = host
    serve_site(settings, _note)


@app.command()
def watch() -> None:
    """The ingest: reads new data files as they come."""
    import logging

    from dqm.ingest.service import Watch
    from dqm.supervise import stop_on_signals
    from plots.discovery import Shelf

    settings = _settings()
    logging.basicConfig(level="INFO", format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("alembic").setLevel("WARNING")
    stop = stop_on_signals()
    store = _store(settings)
    watching = Watch(store, settings, _sources(settings), Shelf(settings.plots.paths))
    for problem in watching.first_look():
        _note(problem)
    watching.run(stop)
    store.close()


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="The file to write; must not exist yet.")] = Path("larboard.toml"),
    roots: Annotated[
        list[Path] | None, typer.Option("--root", help="A directory with data files; may be repeated.")
    ] = None,
) -> None:
    """Writes a commented larboard.toml to start from."""
    from dqm.settings import example

    for root in roots or []:
        if not root.is_dir():
            _note(f"{_shown(root)} is not there (yet)")
    text = example(json.dumps([str(root) for root in roots])) if roots else example()
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        _fail(f"{_shown(file)} is already there; remove it or name another file")
    except OSError as error:
        _fail(f"{_shown(file)} cannot be written: {error.strerror or error}")
    _say(f"written: {_shown(file)}")
    _say("start it: larboard up" if roots else "set [ingest] roots in it, then: larboard up")


@db_app.command("upgrade")
def db_upgrade() -> None:
    """Brings the tables of the database to this version of Larboard."""
    settings = _settings()
    _store(settings, migrate=True).close()
    _say("the database has the tables of this version")


def main() -> None:
    """The entry point."""
    app()


# ---------------------------------------------------------------------------------------------------------------------


def _settings() -> Settings:
    from dqm.settings import BadSettings, load_settings

    try:
        return load_settings()
    except BadSettings as error:
        _fail(str(error))


def _store(settings: Settings, migrate: bool = False) -> Store:
    from dqm.settings import store_url
    from dqm.store import StoreProblem, open_store

    try:
        return open_store(store_url(settings), settings.data.directory / "states", migrate=migrate)
    except StoreProblem as error:
        _fail(str(error))


def _note(text: str) -> None:
    """A line of a process that goes on."""
    typer.echo(_shown(text), err=True)


def _registry(settings: Settings) -> Registry:
    from plots.discovery import discover

    with redirect_stdout(sys.stderr):  # what a plug-in prints must not get between the lines of JSON
        return discover(settings.plots.paths)


def _sources(settings: Settings) -> Sources:
    from dqm.ingest.oneshot import Sources

    detector = settings.detector
    for path in detector.directories:
        if not path.is_dir():
            _fail(f"setting detector.directories: {_shown(path)} is not a directory")
    for module, path in detector.modules.items():
        if not path.is_file():
            _fail(f"setting detector.modules: {_shown(path)} (module {module}) is not a file")
    return Sources(detector.directories, detector.modules, detector.name)


def _chosen(registry: Registry, names: str | None) -> list[Found]:
    if names is None:
        return list(registry.plots.values())
    if not names.replace(",", " ").strip():
        _fail("--plots is empty, expected names separated by commas; `larboard plots list` shows them")
    try:
        return registry.select(name.strip() for name in names.split(",") if name.strip())
    except KeyError as error:
        _fail(str(error.args[0]))


def _process_all(
    files: list[Path], chosen: list[Found], sources: Sources, out: Path | None, html: Path | None, broken: list[Broken]
) -> list[FileReport]:
    """One file after the other, each written and let go before the next: memory does not grow with their number."""
    from dqm.ingest.oneshot import process as process_file
    from dqm.views.export import folder_of, write_figures
    from dqm.views.report import ReportWriter, is_report

    if html and not is_report(html):
        _fail(f"--html {_shown(html)} is already there and is no report; name another file")
    reports, taken = [], set[str]()
    page: ReportWriter | None = None
    try:
        with _progress() as bar:
            page = ReportWriter(html, files) if html else None
            for file, tick in _each(files, bar):
                with redirect_stdout(sys.stderr):
                    report = process_file(file, [found.plot for found in chosen], sources, tick)
                folder = folder_of(report.path, taken)
                try:
                    if out and report.readable:
                        write_figures(report, out / folder)
                except OSError as error:
                    report.unwritten = f"cannot write {_shown(out / folder if out else '')}: {error.strerror or error}"
                if page:
                    page.add(report)
                for element in report.elements:
                    element.release()
                reports.append(report)
            if page:
                page.close(broken)
                page = None
    except OSError as error:
        _fail(f"cannot write {_shown(html)}: {error.strerror or error}")
    finally:
        if page:
            page.abandon()
    return reports


def _exit_code(reports: list[FileReport], failed: bool) -> int:
    if not any(report.readable for report in reports):
        return BAD_INPUT
    bad = any(not r.readable or r.state == "partial" or r.broken or r.lacks_geometry or r.unwritten for r in reports)
    return FAILED if bad or failed else DONE


@contextmanager
def _progress() -> Iterator[Any]:
    """A progress bar on stderr, shown only on a terminal; an interruption of the work below it is one line."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        try:
            yield bar
        except KeyboardInterrupt:
            _say("larboard: interrupted; nothing is half written", err=True)
            raise typer.Exit(INTERRUPTED) from None


def _ticker(bar: Any, path: Path) -> Callable[[float], None]:
    task = bar.add_task(_shown(path.name), total=1.0)
    return lambda fraction: bar.update(task, completed=fraction)


def _each(files: list[Path], bar: Any) -> Iterator[tuple[Path, Callable[[float], None]]]:
    for file in files:
        tick = _ticker(bar, file)
        yield file, tick
        tick(1.0)


def _print_facts(report: FileReport) -> None:
    from dqm.views.words import time_span

    run = "" if report.run is None else f", run {report.run}"
    rows = "" if report.rows is None else f", {report.rows:,} rows"
    version = f" {report.version}" if report.version else ""
    when = f", {time_span(report.start, report.end)}" if report.start else ""
    _say(f"{_shown(report.path)}: {report.state}, {report.format}{version}{run}{rows}{when}")
    if report.geometry:
        _say(f"  {report.geometry_reason}")
    for fault in report.faults:
        _say(f"  {fault}")
    if report.unwritten:
        _say(f"  {report.unwritten}")


def _print_report(report: FileReport) -> None:
    from dqm.views.report import trend_rows

    _print_facts(report)
    for row in trend_rows(report):
        why = f"  ({row.reason})" if row.reason else ""
        _say(f"  {row.word:<8} {row.plot + '.' + row.name:<40} {row.shown}{why}")
    for element in report.elements:
        if element.broken:
            _say(f"  BROKEN   {element.name}: {element.broken}")
        elif element.unavailable:
            _say(f"  NO DATA  {element.name}: {element.unavailable}")


def _warn_broken(broken: list[Broken]) -> None:
    for plugin in broken:
        _say(f"BROKEN {plugin.name} ({_shown(plugin.source)}): {plugin.reason}", err=True)


def _shown(path: object) -> str:
    """A name that cannot steer a terminal: control characters and broken UTF-8 are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(path))


def _print_json(data: object) -> None:
    text = json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False)
    typer.echo(text.encode("utf-8", "replace"))  # names of files need not be UTF-8, JSON must be


def _say(text: str, err: bool = False) -> None:
    """One line; what it holds of files and plug-ins cannot steer the terminal."""
    typer.echo(_shown(text), err=err)


def _fail(text: str) -> NoReturn:
    typer.echo(f"larboard: {_shown(text)}", err=True)
    sys.exit(BAD_INPUT)


if __name__ == "__main__":
    main()
