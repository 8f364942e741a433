"""What commands have in common: settings and store or a sentence, lines that cannot steer a terminal, exit codes."""

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
    from dqm.settings import Settings
    from dqm.store import Store
    from plots.discovery import Broken, Found, Registry

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Data files of any format.", show_default=False)]


def settings_in_force() -> Settings:
    from dqm.settings import BadSettings, load_settings

    try:
        return load_settings()
    except BadSettings as error:
        fail(str(error))


def store_of(settings: Settings, migrate: bool = False) -> Store:
    from dqm.settings import store_url
    from dqm.store import StoreProblem, open_store

    try:
        return open_store(store_url(settings), settings.data.directory / "states", migrate=migrate)
    except StoreProblem as error:
        fail(str(error))


def registry_of(settings: Settings) -> Registry:
    from plots.discovery import Limits, Options, discover

    with redirect_stdout(sys.stderr):  # what a plot prints must not get between the lines of JSON
        plots = settings.plots
        return discover(plots.paths, Limits.of(plots), options=Options.of(plots))


def sources_of(settings: Settings) -> Sources:
    from dqm.worker import sources_of

    detector = settings.detector
    for path in detector.directories:
        if not path.is_dir():
            fail(f"setting detector.directories: {shown(path)} is not a directory")
    for module, path in detector.modules.items():
        if not path.is_file():
            fail(f"setting detector.modules: {shown(path)} (module {module}) is not a file")
    return sources_of(settings)


def chosen(registry: Registry, names: str | None) -> list[Found]:
    if names is None:
        return list(registry.plots.values())
    if not names.replace(",", " ").strip():
        fail("--plots is empty, expected names separated by commas; `larboard plots list` shows them")
    try:
        return registry.select(name.strip() for name in names.split(",") if name.strip())
    except KeyError as error:
        fail(str(error.args[0]))


@contextmanager
def progress() -> Iterator[Any]:
    """A progress bar on stderr, shown only on a terminal; an interruption of the work below it is one line."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        try:
            yield bar
        except KeyboardInterrupt:
            say("larboard: interrupted; nothing is half written", err=True)
            raise typer.Exit(INTERRUPTED) from None


def ticker(bar: Any, path: Path) -> Callable[[float], None]:
    task = bar.add_task(shown(path.name), total=1.0)
    return lambda fraction: bar.update(task, completed=fraction)


def each(files: list[Path], bar: Any) -> Iterator[tuple[Path, Callable[[float], None]]]:
    for file in files:
        tick = ticker(bar, file)
        yield file, tick
        tick(1.0)


def warn_broken(broken: list[Broken]) -> None:
    for plugin in broken:
        say(f"BROKEN {plugin.name} ({shown(plugin.source)}): {plugin.reason}", err=True)


def shown(path: object) -> str:
    """A name that cannot steer a terminal: control characters and broken UTF-8 are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(path))


def print_json(data: object) -> None:
    text = json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False)
    typer.echo(text.encode("utf-8", "replace"))  # names of files need not be UTF-8, JSON must be


def say(text: str, err: bool = False) -> None:
    """One line; what it holds of files and plug-ins cannot steer the terminal."""
    typer.echo(shown(text), err=err)


def note(text: str) -> None:
    """A line of a process that goes on."""
    typer.echo(shown(text), err=True)


def fail(text: str) -> NoReturn:
    typer.echo(f"larboard: {shown(text)}", err=True)
    sys.exit(BAD_INPUT)
