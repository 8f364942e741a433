"""Backups of a store while it is used, and what is made of them again.

A backup is a directory: ``larboard.sqlite``, one moment of the database whatever engine it is on; ``states/``, those
that this moment names; and, written last, ``manifest.json`` with sizes and checksums. Without a manifest it is not whole:
the same command goes on with it. Settings, data files and the cache of figures are not in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.store import parts, watchers
from dqm.store.database import Store, make_private, open_store, open_to_read
from dqm.store.problems import StoreProblem, explained
from dqm.store.schema import revision_of
from dqm.store.states import FileStates, address_of
from dqm.store.tables import attempts, handshakes, leases, metadata, sessions, states
from dqm.store.tables import watchers as watcher_table

DATABASE, STATES, MANIFEST = "larboard.sqlite", "states", "manifest.json"
FORMAT = 1
PAGES_AT_ONCE = 2000
ROWS_AT_ONCE = 5000
HELD_S = 120.0
"""So long states are not collected after the last sign of life of a backup."""
PASSING = (leases, watcher_table, sessions, handshakes, attempts)
"""What is true only of the moment, such as who is signed in: not in a backup, and not taken over by a restored store."""

Told = Callable[[str, float], None]
"""Called with what is being done and how much of it is done, 0 to 1."""


def _silent(_what: str, _share: float) -> None:
    return


class BadBackup(StoreProblem):
    """It is not whole, or not what it was; the message says which part."""


def back_up(store: Store, target: Path, told: Told = _silent) -> dict[str, Any]:
    """Makes a backup in `target`, a new directory or one that an interrupted backup left; gives its manifest."""
    if (target / MANIFEST).exists():
        raise StoreProblem(f"{target} is a whole backup already; name another directory")
    if target.exists() and any(target.iterdir()) and not (target / STATES).is_dir():
        raise StoreProblem(f"{target} is not empty and no backup; name another directory")
    with _disk_explained(target), _collector_held(store) as hold:
        (target / STATES).mkdir(mode=0o700, parents=True, exist_ok=True)
        target.chmod(0o700)  # it holds names of people and hashes of their passwords
        database = target / DATABASE
        database.unlink(missing_ok=True)
        part = target / (DATABASE + ".part")
        part.unlink(missing_ok=True)
        make_private(part)
        copy = FileStates(target / STATES)

        def said(what: str, share: float) -> None:
            hold()
            told(what, share)

        if store.is_sqlite:
            _copy_sqlite(store, part, said)
            _without_passing(part)
            named = sorted(_named(part))
            sizes = _copy_states(store, named, copy, said)
        else:
            sizes = _export(store, part, copy, said)
        os.replace(part, database)
        made = _manifest(store, database, sizes)
        _write_manifest(target, made)
        return made


@contextmanager
def _collector_held(store: Store) -> Iterator[Callable[[], None]]:
    """States that the moment of the backup names are not collected meanwhile; call what it gives as a sign of life."""
    name = f"backup:{uuid.uuid4().hex[:8]}"
    said = 0.0

    def hold() -> None:
        nonlocal said
        if time.monotonic() - said < HELD_S / 4 and said:
            return
        with store.begin() as tx:
            watchers.back_up(tx, name, time.time() + HELD_S)
        said = time.monotonic()

    hold()
    try:
        yield hold
    finally:
        with store.begin() as tx:
            watchers.backed_up(tx, name)


@contextmanager
def _disk_explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        again = "; make room and run the same command again: it goes on where it was"
        raise StoreProblem(f"{target} cannot be written: {error.strerror or error}{again}") from error
    except sqlite3.OperationalError as error:
        again = "make room and run the same command again" if "full" in str(error) else "run the same command again"
        raise StoreProblem(f"{target} cannot be written: {error}; {again}") from error


# -- SQLite -----------------------------------------------------------------------------------------------------------


def _copy_sqlite(store: Store, path: Path, told: Told) -> None:
    """One moment of the database: the transaction that reads is held, so that writers neither wait nor restart the copy."""
    source = sqlite3.connect(f"file:{quote(str(store.engine.url.database))}?mode=ro", uri=True, isolation_level=None)
    copy = sqlite3.connect(path)
    try:
        path.chmod(0o600)
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM alembic_version").fetchone()  # the moment begins with the first reading

        def progress(_status: int, remaining: int, total: int) -> None:
            told("database", 1 - remaining / max(total, 1))

        source.backup(copy, pages=PAGES_AT_ONCE, progress=progress, sleep=0)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
    finally:
        copy.close()
        source.close()


def _named(database: Path) -> set[str]:
    """The states that a database names."""
    with open_to_read(database) as connection:
        return parts.addresses(connection)


def _copy_states(store: Store, named: list[str], copy: FileStates, told: Told) -> dict[str, int]:
    """States that are there already, of an interrupted backup, are read again and believed if they are what they say."""
    sizes = {}
    for place, address in enumerate(named):
        content = _kept(copy, address)
        if content is None:
            try:
                content = store.states.get(address)
            except KeyError:
                raise StoreProblem(
                    f"state {address} is named in the database and not there: it cannot be backed up"
                ) from None
            if copy.write(content) != address:
                raise StoreProblem(f"state {address} is damaged: its content is not what its name says")
        sizes[address] = len(content)
        told("states", (place + 1) / len(named))
    return sizes


def _kept(copy: FileStates, address: str) -> bytes | None:
    try:
        content = copy.get(address)
    except KeyError:
        return None
    return content if address_of(content) == address else None


# -- PostgreSQL -------------------------------------------------------------------------------------------------------


def _export(store: Store, path: Path, copy: FileStates, told: Told) -> dict[str, int]:
    """All rows at one moment into an SQLite file with the same tables; states into files."""
    target = open_store(f"sqlite:///{path}", path.parent / STATES)
    path.chmod(0o600)
    try:
        with explained(), store.engine.connect().execution_options(isolation_level="REPEATABLE READ") as source:
            sizes = _export_states(source, parts.addresses(source), copy, told)
            with target.begin() as tx:
                _copy_rows(source, tx, told)
    finally:
        with target.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA journal_mode=DELETE")
        target.close()
    return sizes


def _export_states(source: Connection, named: set[str], copy: FileStates, told: Told) -> dict[str, int]:
    sizes = {}
    for place, address in enumerate(sorted(named)):
        content = _kept(copy, address)
        if content is None:
            row = source.scalar(sa.select(states.c.content).where(states.c.address == address))
            if row is None:
                raise StoreProblem(f"state {address} is named in the database and not there: it cannot be backed up")
            content = bytes(row)
            copy.write(content)
        sizes[address] = len(content)
        told("states", (place + 1) / len(named))
    return sizes


def _copy_rows(source: Connection, target: Connection, told: Told) -> None:
    """Every row of every table but the states, in bites: memory does not grow with the tables."""
    tables = [table for table in metadata.sorted_tables if table is not states and table not in PASSING]
    counts = {table: source.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in tables}
    total, done = sum(counts.values()) or 1, 0
    for table in tables:
        rows = source.execution_options(yield_per=ROWS_AT_ONCE).execute(sa.select(table))
        for some in rows.partitions(ROWS_AT_ONCE):
            target.execute(table.insert(), [dict(row._mapping) for row in some])
            done += len(some)
            told("database", done / total)


# -- the manifest -----------------------------------------------------------------------------------------------------


def _manifest(store: Store, database: Path, sizes: dict[str, int]) -> dict[str, Any]:
    with open_to_read(database) as connection:
        rows = {
            table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in metadata.sorted_tables
            if table is not states and table not in PASSING
        }
        revision = revision_of(connection)
    return {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "engine": store.engine.dialect.name,
        "revision": revision,
        "database": {"size": database.stat().st_size, "sha256": _sha256(database)},
        "rows": rows,
        "states": sizes,
    }


def _write_manifest(target: Path, made: dict[str, Any]) -> None:
    part = target / (MANIFEST + ".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(made, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, target / MANIFEST)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_of(backup: Path) -> dict[str, Any]:
    """What a backup says of itself. Raises BadBackup."""
    try:
        found = json.loads((backup / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadBackup(
            f"{backup} has no {MANIFEST}: it is no backup, or not whole; run the backup again to complete it"
        ) from None
    except (OSError, ValueError) as error:
        raise BadBackup(f"{backup / MANIFEST} cannot be read: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BadBackup(f"{backup} is a backup of format {found.get('format')}, this Larboard knows {FORMAT}")
    return found


def verify(backup: Path, told: Told = _silent) -> dict[str, Any]:
    """Reads all of it again: checksums, the database itself, every state that it names. Raises BadBackup."""
    made = manifest_of(backup)
    database = backup / DATABASE
    if not database.is_file() or _sha256(database) != made["database"]["sha256"]:
        raise BadBackup(f"{database} is not what the manifest says: it is damaged or was changed")
    with sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True) as connection:
        said = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    if said != "ok":
        raise BadBackup(f"{database}: {said}")
    copy = FileStates(backup / STATES)
    named = _named(database)
    if named != set(made["states"]):
        raise BadBackup(f"{backup}: the states in the manifest are not those that the database names")
    for place, address in enumerate(sorted(named)):
        if _kept(copy, address) is None:
            raise BadBackup(f"state {address} of {backup} is missing or damaged")
        told("states", (place + 1) / len(named))
    return made


# -- restore ----------------------------------------------------------------------------------------------------------


def restore_files(backup: Path, database: Path, states_directory: Path, told: Told = _silent) -> dict[str, Any]:
    """Makes an SQLite store of a backup; refuses to touch one that is there. Gives the manifest."""
    if database.exists():
        raise StoreProblem(f"{database} is there already: move it away, or restore to another place with --into")
    made = verify(backup)
    copy, into = FileStates(backup / STATES), FileStates(states_directory)
    with _disk_explained(database.parent):
        part = database.with_name(database.name + ".part")
        part.unlink(missing_ok=True)
        make_private(part)
        for place, address in enumerate(sorted(made["states"])):
            into.write(copy.get(address))
            told("states", (place + 1) / len(made["states"]))
        shutil.copyfile(backup / DATABASE, part)
        _without_passing(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        try:
            os.link(part, database)  # unlike a rename it never takes the place of one that came meanwhile
        except FileExistsError:
            raise StoreProblem(f"{database} came meanwhile: nothing was changed in it") from None
        finally:
            part.unlink()
    return made


def _without_passing(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA secure_delete=ON")
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for name in [table.name for table in PASSING if table.name in there]:  # a backup may be of an older Larboard
            connection.execute(f"DELETE FROM {name}")  # noqa: S608
    connection.close()


def restore_rows(backup: Path, url: str, told: Told = _silent) -> dict[str, Any]:
    """Fills a new database of PostgreSQL from a backup, in one transaction. Gives the manifest."""
    made = verify(backup)
    with tempfile.TemporaryDirectory(prefix="larboard-restore-") as folder:
        work = Path(folder) / DATABASE
        shutil.copyfile(backup / DATABASE, work)
        source = open_store(
            f"sqlite:///{work}", backup / STATES, migrate=True
        )  # of an older Larboard: made of this one
        target = open_store(url, backup / STATES, migrate=True)
        try:
            with source.read() as rows, target.begin() as tx:
                _refuse_if_used(tx, url)
                _put_states(tx, FileStates(backup / STATES), made["states"], told)
                _copy_rows(rows, tx, told)
                _set_sequences(tx)
        finally:
            source.close()
            target.close()
    return made


def _refuse_if_used(tx: Connection, url: str) -> None:
    for table in metadata.sorted_tables:
        if tx.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
            where = sa.make_url(url).render_as_string(hide_password=True)
            raise StoreProblem(f"the database {where} is in use ({table.name} has rows): restore into a new one")


def _put_states(tx: Connection, copy: FileStates, named: dict[str, int], told: Told) -> None:
    for place, address in enumerate(sorted(named)):
        tx.execute(states.insert().values(address=address, content=copy.get(address), written=time.time()))
        told("states", (place + 1) / len(named))


def _set_sequences(tx: Connection) -> None:
    """Numbers go on after the highest that is there."""
    for table in metadata.sorted_tables:
        keys = list(table.primary_key.columns)
        if len(keys) == 1 and isinstance(keys[0].type, sa.Integer):
            name = tx.scalar(sa.select(sa.func.pg_get_serial_sequence(table.name, keys[0].name)))
            highest = tx.scalar(sa.select(sa.func.max(keys[0])))
            if name and highest:
                tx.execute(sa.select(sa.func.setval(name, highest)))
