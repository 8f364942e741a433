"""Plots: ``plots list``, ``plots new``, ``plots test``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dqm.commands.common import (
    BAD_INPUT,
    DONE,
    FAILED,
    Json,
    chosen,
    fail,
    print_json,
    registry_of,
    say,
    settings_in_force,
    shown,
    warn_broken,
)

if TYPE_CHECKING:
    from dqm.settings import Settings

app = typer.Typer(help="The plots: what there is, a new one, and whether one keeps the contract.")


@app.callback(invoke_without_command=True)
def _plots_default(context: typer.Context) -> None:
    """The plots: list (the default), new, test."""
    if context.invoked_subcommand is None:
        _plots_list()


@app.command("list")
def _plots_list(as_json: Json = False) -> None:
    """Lists the plots, where they are from, their trends, and the plug-ins that are broken, with the reason."""
    from dqm.views.plot_list import plot_list

    settings = settings_in_force()
    listed, rests = plot_list(registry_of(settings)), _rests(settings)
    if as_json:
        print_json(listed.to_json() | {"resting": rests})
    else:
        for plot in listed.plots:
            say(f"{plot.name:<16} {plot.title}  [{plot.level}, {plot.kind}, {plot.source}]")
            if plot.name in rests:
                say(f"{'':<16}   {rests[plot.name]}")
            for name, unit in plot.trends.items():
                say(f"{'':<16}   {name} [{unit}]")
    warn_broken(listed.broken)
    raise typer.Exit(FAILED if listed.broken else DONE)


def _rests(settings: Settings) -> dict[str, str]:
    """Plots that rest where files are counted, with when they are tried again; nothing where there is no database yet."""
    from dqm.settings import store_url
    from dqm.store import StoreProblem, open_store, plugins
    from dqm.views.plot_list import rest_words

    if not settings.store.url and not (settings.data.directory / "larboard.sqlite").exists():
        return {}
    try:
        store = open_store(store_url(settings), settings.data.directory / "states", migrate=False)
    except StoreProblem:
        return {}
    try:
        with store.read() as tx:
            return {it.name: rest_words(it) for it in plugins.listed(tx) if it.rests and not it.broken}
    except StoreProblem:
        return {}
    finally:
        store.close()


@app.command("retry")
def _plots_retry(
    name: Annotated[str, typer.Argument(help="Name of a plot that was stopped for going over a limit.")],
) -> None:
    """Lets a plot that was stopped try again, with all files that it was stopped on."""
    import time

    from dqm.commands.people import desk
    from dqm.views.plot_list import NotResting, retry_plot

    with desk() as (_, store, actor):
        try:
            say(retry_plot(store, actor, name, time.time()))
        except NotResting as error:
            fail(str(error))


@app.command("new")
def _plots_new(
    name: Annotated[str, typer.Argument(help="Class name of the new plot, such as ChargePerTile.")],
    simple: Annotated[bool, typer.Option("--simple", help="The simple kind, whose figure is its memory.")] = False,
    into: Annotated[Path | None, typer.Option(help="Directory; by default the first of settings plots.paths.")] = None,
) -> None:
    """Writes a plot file of twenty lines to start from."""
    from plots.scaffold import BadName, write_new_plot

    settings = settings_in_force()
    directory = into or (settings.plots.paths[0] if settings.plots.paths else Path())
    try:
        path = write_new_plot(name, directory, simple, taken=registry_of(settings).plots)
    except (BadName, OSError) as error:
        fail(str(error))
    say(f"written: {shown(path)}")
    say(f"try it:  larboard plots test {shown(path)}")
    if directory.resolve() not in [path.resolve() for path in settings.plots.paths]:
        say(f'use it:  add its directory to larboard.toml:  [plots]  paths = ["{shown(directory.resolve())}"]')


@app.command("test")
def _plots_test(name: Annotated[str, typer.Argument(help="Name of a plot, or a plot file.")]) -> None:
    """Runs the tests that every plot gets for free, over packets of the demo detector."""
    from dqm.demo import demo_rows
    from dqm.detector import demo_detector
    from plots.base import HostTrouble
    from plots.contract import check_plot
    from plots.discovery import Limits, load_file

    if name.endswith(".py") or "/" in name:
        registry = load_file(Path(name), Limits.of(settings_in_force().plots))
        found = list(registry.plots.values())
    else:
        registry = registry_of(settings_in_force())
        found = chosen(registry, name)
    warn_broken(registry.broken if not found or name.endswith(".py") else [])
    failures, told = 0, ""
    rows = demo_rows()
    try:
        for plot in found:
            for outcome in check_plot(plot.plot, rows, demo_detector()):
                say(f"{'pass' if outcome.passed else 'FAIL'}  {plot.name}: {outcome.sentence}")
                if not outcome.passed:
                    failures += 1
                    say(f"      {'the same' if outcome.why == told else outcome.why}")
                    told = outcome.why
    except HostTrouble as error:
        fail(f"this machine cannot call plug-ins now: {error}")
    if not found:
        raise typer.Exit(BAD_INPUT)
    say(f"{failures} failed" if failures else "all passed")
    raise typer.Exit(FAILED if failures else DONE)
