"""A real PostgreSQL server (Debian's package) for the tests of one session, on a free port of 127.0.0.1."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def programs() -> Path:
    """Where initdb and pg_ctl are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    path = found[-1] if found else Path(shutil.which("initdb") or "")
    assert path.is_file(), "no PostgreSQL: `make postgresql` installs it"
    return path.parent


class Server:
    """A running server; `url` is that of its empty database."""

    def __init__(self, folder: Path, user: str):
        self._user, self._port = user, free_port()
        self._control = [str(programs() / "pg_ctl"), "-D", f"{folder}/data", "-w", "-l", f"{folder}/log"]
        self._options = f"-p {self._port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        _as(self._user, [*self._control, "-o", self._options, "start"])

    def stop(self) -> None:
        """At once: whoever is connected is thrown out, and it recovers when it starts again."""
        _as(self._user, [*self._control, "-m", "immediate", "stop"])


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server with an empty database; gone afterwards."""
    with running() as started:
        yield started.url


@contextmanager
def running() -> Iterator[Server]:
    """A server that a test may stop and start; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="larboard-pg-"))
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name  # it refuses to run as root
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    _as(user, [str(programs() / "initdb"), "-D", f"{folder}/data", "-A", "trust", "-U", "postgres", "--no-sync"])
    started = Server(folder, user)
    started.start()
    try:
        yield started
    finally:
        started.stop()
        shutil.rmtree(folder, ignore_errors=True)


def restart(url: str) -> None:
    """Stops the server as a power cut does, and starts it again at the same place."""
    import sqlalchemy as sa

    engine = sa.create_engine(url)
    with engine.connect() as connection:
        directory = connection.exec_driver_sql("SHOW data_directory").scalar_one()
    engine.dispose()
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    log = Path(directory).parent / "log"
    _as(user, [str(programs() / "pg_ctl"), "-D", directory, "-w", "-l", str(log), "-m", "immediate", "restart"])


def _as(user: str, command: list[str]) -> None:
    identity = {"user": user, "group": user, "extra_groups": []} if os.geteuid() == 0 else {}
    # its output goes to the log: a server that inherits a pipe would keep it open
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/tmp", **identity)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
