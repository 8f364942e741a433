"""The database: ``db upgrade``."""

from __future__ import annotations

import typer

from dqm.commands.common import say, settings_in_force, store_of

app = typer.Typer(help="The database.", no_args_is_help=True)


@app.command("upgrade")
def upgrade() -> None:
    """Brings the tables of the database to this version of Larboard."""
    settings = settings_in_force()
    store_of(settings, migrate=True).close()
    say("the database has the tables of this version")
