"""The database: ``db upgrade``, ``db retention``, ``db backup``, ``db restore``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from dqm.commands.common import FAILED, Json, note, print_json, progress, say, settings_in_force, shown, store_of

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


@app.command("backup")
def backup(
    target: Annotated[Path, typer.Argument(help="A new directory, or one that an interrupted backup left.")],
    verify: Annotated[bool, typer.Option("--verify", help="Only read a backup again and compare checksums.")] = False,
    as_json: Json = False,
) -> None:
    """Backs up database and states while everything runs. Settings are not in it."""
    from dqm.store.backup import back_up
    from dqm.store.backup import verify as verify_backup

    with _told() as told:
        if verify:
            made = verify_backup(target, told)
        else:
            store = store_of(settings_in_force())
            try:
                made = back_up(store, target, told)
            finally:
                store.close()
    _say_made(made, as_json, f"{'whole and undamaged' if verify else 'backed up'}: {shown(target)}")
    if not verify and not as_json:
        say("not in it: larboard.toml and other settings, data files, drawn figures")
        say("it holds names of people and hashes of their passwords: keep it safe")


@app.command("restore")
def restore(
    backup: Annotated[Path, typer.Argument(help="The directory of a backup.")],
    into: Annotated[
        str,
        typer.Option(
            help="A directory, or the URL of a new PostgreSQL database; instead of the store in the settings."
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Makes a store of a backup. One that is in use is refused."""
    from dqm.settings import store_url
    from dqm.store.backup import restore_files, restore_rows
    from dqm.store.schema import newest_revision

    settings = settings_in_force()
    url = into if "://" in into else "" if into else store_url(settings)
    with _told() as told:
        if url and not url.startswith("sqlite"):
            made = restore_rows(backup, url, told)
        else:
            folder = Path(into) if into and not url else settings.data.directory
            database = Path(url.removeprefix("sqlite:///")) if url else folder / "larboard.sqlite"
            made = restore_files(backup, database, folder / "states", told)
    _say_made(made, as_json, f"restored: {shown(backup)}")
    if not as_json and made["revision"] != newest_revision():
        say("it is of an older Larboard: run `larboard db upgrade` before anything else")


@contextmanager
def _told() -> Iterator[Callable[[str, float], None]]:
    """A progress bar with the time left; a problem as one line and exit code 1."""
    from dqm.store import StoreProblem

    tasks: dict[str, Any] = {}
    with progress() as bar:

        def told(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=1.0)
            bar.update(tasks[what], completed=share)

        try:
            yield told
        except StoreProblem as problem:
            note(f"larboard: {problem}")
            sys.exit(FAILED)


def _say_made(made: dict[str, Any], as_json: bool, words: str) -> None:
    if as_json:
        print_json(
            {name: made[name] for name in ("made", "engine", "revision", "rows")} | {"states": len(made["states"])}
        )
        return
    rows = sum(made["rows"].values())
    size = (made["database"]["size"] + sum(made["states"].values())) / 1e6
    say(f"{words} ({rows:,} rows, {len(made['states']):,} states, {size:,.1f} MB, as of {made['made']})")
