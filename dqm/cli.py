"""The command ``larboard``: wiring only. Exit 0: done; 1: something failed; 2: bad usage or nothing could be read."""

from __future__ import annotations

from typing import Annotated

import typer

from dqm.commands import database, demo, files, plots, processing, services, token, user
from dqm.commands.common import say

app = typer.Typer(
    help="Monitoring and data quality for pixel liquid-argon detectors.",
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
VERBS = (
    demo.demo, services.up, services.serve, services.watch, services.init, processing.process, processing.inspect,
    processing.convert,
)  # fmt: skip
NOUNS = {"files": files.app, "plots": plots.app, "db": database.app, "user": user.app, "token": token.app}

for verb in VERBS:
    app.command()(verb)
for noun, group in NOUNS.items():
    app.add_typer(group, name=noun)


@app.callback()
def larboard(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from dqm import __version__

        say(f"larboard {__version__}")
        raise typer.Exit


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
