"""What ``user`` and ``token`` have in common: the store, who types, and mistakes as one sentence."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dqm.auth.roles import ALL, Actor
from dqm.commands.common import fail, settings_in_force, store_of

if TYPE_CHECKING:
    from dqm.settings import Settings
    from dqm.store import Store


@contextmanager
def desk() -> Iterator[tuple[Settings, Store, Actor]]:
    """Settings, store, and whoever types: with the database in his hands he is an admin. Mistakes end the command."""
    from dqm.auth.people import Mistake
    from dqm.store import StoreProblem

    settings = settings_in_force()
    store = store_of(settings)
    try:
        yield settings, store, Actor(f"{_login()}@{socket.gethostname()} (command)", "admin")
    except (Mistake, StoreProblem) as problem:
        fail(str(problem))
    except ModuleNotFoundError as missing:
        fail(f'{missing.name} is not installed; run: pip install "larboard[web]"')
    finally:
        store.close()


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        return "somebody"


def subsystems(text: str | None) -> tuple[str, ...]:
    """``charge,light`` as names; everything when nothing is said."""
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text is not None else (ALL,)


def moment(unix: float | None) -> str | None:
    """A time as JSON and lines of text have it."""
    return None if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
