"""The demo detector: ``demo``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dqm.commands.common import (
    Json,
    fail,
    note,
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
from dqm.commands.processing import exit_code, print_report, process_all


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
    family = Family(note)
    environment = {"LARBOARD_CONFIG": str(config.resolve()), "LARBOARD_WEB__PORT": str(port)}
    family.add("the site", "serve", environment=environment)
    family.add("the ingest", "watch", environment=environment)
    detector = LiveDetector(data / "data", speed=speed, seed=seed)
    failed: list[str] = []

    def take_data() -> None:
        try:
            detector.run(stop, note)
        except OSError as error:
            failed.append(f"{shown(data)} cannot be written: {error.strerror or error}")
            stop.set()

    taking = threading.Thread(target=take_data, name="detector")
    note(
        f"the demo detector writes to {shown(data / 'data')}; plug-ins go to {shown(data / 'plugins')}; Ctrl-C stops it"
    )
    taking.start()
    code = family.run(stop)
    stop.set()
    taking.join()
    if failed:
        fail(failed[0])
    note("stopped")
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
        fail(f"{shown(data)} cannot be written: {error.strerror or error}")
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

[health]
data_time_s = 172800  # the demo begins yesterday, so that its times may run ahead

[web]
title = "Larboard demo"
contact = "nobody: this is a demo"
"""


def _demo_once(data: Path, seconds: float, seed: int, as_json: bool) -> NoReturn:
    """Lets the demo detector take a run and processes it."""
    from dqm.demo import DemoRun, take_run

    settings = settings_in_force()
    registry = registry_of(settings)
    run = DemoRun(seed=seed, duration_s=seconds)
    try:
        with progress() as bar:
            taken = take_run(run, data / "data", progress=ticker(bar, Path("the demo detector takes a run")))
        files = [subrun.packets for subrun in taken.subruns if subrun.packets]
        page = data / "report.html"
        every = list(registry.plots.values())
        reports = process_all(files, every, sources_of(settings), data / "figures", page, registry.broken)
    except OSError as error:
        fail(f"{shown(data)} cannot be written: {error.strerror or error}")
    if as_json:
        from dqm.views.export import summary_json

        print_json(
            {
                "raw": str(taken.raw),
                "report": str(page.resolve()),
                "files": [summary_json(report) for report in reports],
            }
        )
    else:
        for report in reports:
            print_report(report)
        say(f"raw file:  {shown(taken.raw)}")
        say(f"report:    {shown(page.resolve())}  (open it in a browser)")
    warn_broken(registry.broken)
    raise typer.Exit(exit_code(reports, bool(registry.broken)))
