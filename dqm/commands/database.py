"""The database: ``db upgrade``, ``db retention``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from dqm.commands.common import Json, print_json, progress, say, settings_in_force, store_of

app = typer.Typer(help="The database.", no_args_is_help=True)


@app.command("upgrade")
def upgrade() -> None:
    """Brings the tables of the database to this version of Larboard."""
    settings = settings_in_force()
    store_of(settings, migrate=True).close()
    say("the database has the tables of this version")


@app.command("retention")
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be dropped.")] = False,
    as_json: Json = False,
) -> None:
    """Drops what the retention rules say, which the ingest does bit by bit otherwise."""
    from dqm.ingest.upkeep import collect, drop, report

    settings = settings_in_force()
    store = store_of(settings)
    now = time.time()
    found = report(store, settings.retention, now)
    if as_json:
        print_json(found.to_json())
    else:
        for line in found.lines():
            say(line)
    if not dry_run and not found.empty:
        with progress() as bar:
            task = bar.add_task("dropping", total=None)
            drop(store, settings.retention, store.begin, now, 1e9, lambda what: bar.update(task, description=what))
        collect(store)
        if not as_json:
            say("dropped; states that nothing names any more go within minutes")
    store.close()
