"""What goes on until it is stopped: ``up``, ``serve``, ``watch``; and ``init``, which writes its settings."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dqm.commands.common import fail, note, say, settings_in_force, shown, sources_of, store_of

Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Instead of the port in the settings.")]


def up(port: Port = None) -> None:
    """Everything over one's own data, by larboard.toml: ingest and site. Ctrl-C stops it."""
    from dqm.supervise import Family, stop_on_signals

    settings = settings_in_force()
    if not settings.ingest.roots:
        fail(
            "no data roots are set: name them in larboard.toml, [ingest] roots = [...]; `larboard init` writes an example"
        )
    store_of(settings).close()
    stop = stop_on_signals()
    family = Family(note)
    family.add("the site", "serve", *([] if port is None else ["--port", str(port)]))
    family.add("the ingest", "watch")
    sys.exit(family.run(stop))


def serve(
    port: Port = None,
    host: Annotated[str | None, typer.Option(help="Instead of the address in the settings.")] = None,
) -> None:
    """The site and the API."""
    import logging

    from dqm import logs
    from dqm.serve import serve as serve_site

    settings = settings_in_force()
    if port is not None:
        settings.web.port = port
    if host is not None:
        settings.web.host = host
    logs.set_up(settings.log.format, settings.log.level)
    serve_site(settings, note if settings.log.format == "text" else logging.getLogger("larboard.site").info)


def watch() -> None:
    """The ingest: reads new data files as they come."""
    import logging

    from dqm import logs
    from dqm.ingest.service import Watch
    from dqm.supervise import stop_on_signals
    from dqm.worker import executor_of
    from plots.discovery import Limits, Shelf

    settings = settings_in_force()
    logs.set_up(settings.log.format, settings.log.level)
    sources = sources_of(settings)
    stop = stop_on_signals()
    store = store_of(settings)
    executor = executor_of(settings)
    shelf = Shelf(settings.plots.paths, Limits.of(settings.plots), settings.plots)
    watching = Watch(store, settings, sources, shelf, executor=executor)
    for problem in watching.first_look():
        logging.getLogger("larboard.watch").warning("%s", problem)
    try:
        watching.run(stop)
    finally:
        store.close()
        if executor is not None:
            executor.close()


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
            note(f"{shown(root)} is not there (yet)")
    text = example(json.dumps([str(root) for root in roots])) if roots else example()
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        fail(f"{shown(file)} is already there; remove it or name another file")
    except OSError as error:
        fail(f"{shown(file)} cannot be written: {error.strerror or error}")
    say(f"written: {shown(file)}")
    say("start it: larboard up" if roots else "set [ingest] roots in it, then: larboard up")
