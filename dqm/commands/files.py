"""Files of the ledger: ``files list``, ``files retry``, ``files ignore``, ``files release``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dqm.commands.common import BAD_INPUT, DONE, FAILED, Json, fail, print_json, say, shown

if TYPE_CHECKING:
    from dqm.records import DataFile
    from dqm.store import Store

app = typer.Typer(help="The files that the ingest has seen: where they stand, and what is to be done with them.")
MOST = 10_000

Which = Annotated[
    list[str], typer.Argument(metavar="PATH-OR-ID...", help="Paths, or numbers of `files list`.", show_default=False)
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the audit trail and the page.")]


@app.command("list")
def files_list(
    state: Annotated[str, typer.Option(help="Only these: waiting, quarantined, partial, ignored, done ...")] = "",
    as_json: Json = False,
) -> None:
    """Lists the files, newest first, each with its state and the reason for it."""
    from dqm.commands.people import desk, moment
    from dqm.records import FileState
    from dqm.store import files

    if state and state not in {known.value for known in FileState}:
        fail(f"--state {state}: expected one of {', '.join(FileState)}")
    with desk() as (_, store, _actor):
        with store.read() as tx:
            found = files.search(tx, state=state, limit=MOST, history=state in ("replaced", "gone"))
        if as_json:
            names = ("id", "path", "state", "reason", "format", "rows", "rows_done", "size", "ignored")
            times = {
                "modified": lambda file: moment(file.mtime_ns / 1e9),
                "next_look": lambda file: moment(file.next_look),
            }
            print_json(
                [
                    {name: getattr(file, name) for name in names} | {"run": file.run_key}
                    | {name: of(file) for name, of in times.items()}
                    for file in found
                ]
            )  # fmt: skip
            return
        for file in found:
            say(f"{file.id:>6}  {file.state.value:<11}  {file.path}{f'  ({file.reason})' if file.reason else ''}")
        say(f"{len(found):,} files" + (f", the newest {MOST:,}" if len(found) == MOST else ""))


@app.command("retry")
def files_retry(which: Which, reason: Reason = "") -> None:
    """Has files read again from their first row."""
    from dqm.views import file_actions

    _each(which, reason, file_actions.retry, "will be read again")


@app.command("ignore")
def files_ignore(which: Which, reason: Reason = "") -> None:
    """Leaves files out, and takes what was counted of them out of their runs; `release` undoes it."""
    from dqm.views import file_actions

    _each(which, reason, file_actions.ignore, "is ignored")


@app.command("release")
def files_release(which: Which, reason: Reason = "") -> None:
    """Sends files through all again that were ignored, or are in quarantine."""
    from dqm.views import file_actions

    _each(which, reason, file_actions.release, "is released, and will be read again")


def _each(which: list[str], reason: str, act: Callable[..., Any], done: str) -> None:
    from dqm.commands.people import desk
    from dqm.views.queries import NotNow

    problems = unknown = 0
    with desk() as (_, store, actor):
        for word in which:
            file = _meant(store, word)
            if file is None:
                say(f"{word}: the ledger has no such file; `larboard files list` shows them", err=True)
                unknown += 1
                continue
            try:
                act(store, actor, file.id, reason)
                say(f"{shown(file.path)} {done}")
            except NotNow as problem:
                say(f"{file.path}: {problem}", err=True)
                problems += 1
    raise typer.Exit(FAILED if problems else BAD_INPUT if unknown else DONE)


def _meant(store: Store, word: str) -> DataFile | None:
    """The file of a number, or that is under a path now."""
    from dqm.store import files

    with store.read() as tx:
        if word.isascii() and word.isdecimal() and len(word) < 10 and (found := files.by_id(tx, int(word))):
            return found
        return files.at(tx, str(Path(word).absolute()))
