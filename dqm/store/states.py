"""States of elements, by the address of their content: written and synced before the commit that names them."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from dqm.records import DROPPED
from dqm.store.problems import StoreProblem, explained
from dqm.store.tables import states

SUFFIX = ".npz"
ORPHAN_AGE_S = 180.0
"""A state that nothing names is kept so long: its commit may still come, or a page has just read its name."""
SYNCED_AT_ONCE = 8


def address_of(content: bytes) -> str:
    """The address of a state: 40 hex digits of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:40]


class MissingState(KeyError):
    """A state that is named and is not there: deleted by hand, lost by a disk, or in the data directory of another host."""

    def __str__(self) -> str:
        return (
            f"the state {self.args[0]}, which was counted before, is not in the store (deleted, or lost by its disk); "
            "read the files of its run again to count it anew"
        )


class States(ABC):
    """Write once, read by address."""

    @abstractmethod
    def put_all(self, contents: Collection[bytes]) -> list[str]:
        """Keeps all `contents` safely and gives their addresses; not before every one of them is safe."""

    def put(self, content: bytes) -> str:
        """Keeps `content` safely and gives its address."""
        return self.put_all([content])[0]

    @abstractmethod
    def get(self, address: str) -> bytes:
        """The content at `address`; raises MissingState, a KeyError, when it is not there."""

    @abstractmethod
    def missing(self, addresses: Collection[str]) -> set[str]:
        """Those of `addresses` that should be there and are not."""

    @abstractmethod
    def size(self, address: str) -> int:
        """Bytes at `address`; 0 when it is not there."""

    @abstractmethod
    def collect(self, named: Collection[str], now: float | None = None) -> int:
        """Removes what is not among `named` and older than ORPHAN_AGE_S; gives how many."""


class FileStates(States):
    """Files ``ab/cdef....npz`` below a directory."""

    def __init__(self, directory: Path):
        self.directory = directory

    def _path(self, address: str) -> Path:
        return self.directory / address[:2] / (address[2:] + SUFFIX)

    def put_all(self, contents: Collection[bytes]) -> list[str]:
        try:
            return self.write_all(contents)
        except OSError as error:
            why = f"the states in {self.directory} cannot be written: {error.strerror or error}"
            raise StoreProblem(f"{why}; nothing that was counted is lost") from error

    def write(self, content: bytes) -> str:
        """As `put`; what is wrong with the disk is raised as it is."""
        return self.write_all([content])[0]

    def write_all(self, contents: Collection[bytes]) -> list[str]:
        """As `put_all`; what is wrong with the disk is raised as it is."""
        addresses = [address_of(content) for content in contents]
        parts: dict[Path, Path] = {}
        try:
            for address, content in zip(addresses, contents, strict=True):
                path = self._path(address)
                if path in parts:
                    continue
                if path.exists():
                    os.utime(path)  # it is wanted again: not an orphan to be collected before the commit
                else:
                    parts[path] = _write_beside(path, content)
            _sync(parts.values())
            for path, part in parts.items():
                os.replace(part, path)
        except BaseException:
            for part in parts.values():
                part.unlink(missing_ok=True)
            raise
        _sync({path.parent for path in parts})
        return addresses

    def get(self, address: str) -> bytes:
        try:
            return self._path(address).read_bytes()
        except FileNotFoundError:
            raise MissingState(address) from None

    def missing(self, addresses: Collection[str]) -> set[str]:
        return {address for address in addresses if address != DROPPED and not self._path(address).is_file()}

    def size(self, address: str) -> int:
        try:
            return self._path(address).stat().st_size
        except OSError:
            return 0

    def collect(self, named: Collection[str], now: float | None = None) -> int:
        oldest = (time.time() if now is None else now) - ORPHAN_AGE_S
        removed = 0
        for path in self.directory.glob("??/*"):
            orphan = path.suffix != SUFFIX or path.parent.name + path.stem not in named
            with suppress(OSError):  # a disk that cannot be written: the next housekeeping finds it again
                if orphan and path.stat().st_mtime < oldest:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed


class RowStates(States):
    """Rows of the database: with PostgreSQL a web host needs nothing else."""

    def __init__(self, engine: Engine):
        self._engine = engine

    def put_all(self, contents: Collection[bytes]) -> list[str]:
        by_address = {address_of(content): content for content in contents}
        now = time.time()
        with explained(), self._engine.begin() as connection:
            again = states.update().where(states.c.address.in_(list(by_address))).values(written=now)
            known = set(connection.scalars(again.returning(states.c.address)))
            new = [
                {"address": address, "content": content, "written": now}
                for address, content in by_address.items()
                if address not in known
            ]
            if new:
                connection.execute(states.insert(), new)
        return [address_of(content) for content in contents]

    def get(self, address: str) -> bytes:
        with explained(), self._engine.connect() as connection:
            content = connection.scalar(sa.select(states.c.content).where(states.c.address == address))
        if content is None:
            raise MissingState(address)
        return bytes(content)

    def missing(self, addresses: Collection[str]) -> set[str]:
        with explained(), self._engine.connect() as connection:
            there = connection.scalars(sa.select(states.c.address).where(states.c.address.in_(list(addresses)))).all()
        return set(addresses) - {*there, DROPPED}

    def size(self, address: str) -> int:
        with explained(), self._engine.connect() as connection:
            found = sa.select(sa.func.length(states.c.content)).where(states.c.address == address)
            return connection.scalar(found) or 0

    def collect(self, named: Collection[str], now: float | None = None) -> int:
        oldest = (time.time() if now is None else now) - ORPHAN_AGE_S
        with explained(), self._engine.begin() as connection:
            old = connection.scalars(sa.select(states.c.address).where(states.c.written < oldest)).all()
            orphans = [address for address in old if address not in named]
            for address in orphans:
                connection.execute(states.delete().where(states.c.address == address))
        return len(orphans)


def _write_beside(path: Path, content: bytes) -> Path:
    """Writes what is to come to `path` into another file of its directory, not synced yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    return Path(part)


def _sync(paths: Collection[Path]) -> None:
    """Syncs files and directories: several at once, for which the disk takes little more time than for one."""
    if len(paths) < 2:
        for path in paths:
            _sync_one(path)
        return
    with ThreadPoolExecutor(min(len(paths), SYNCED_AT_ONCE)) as pool:
        for _ in pool.map(_sync_one, paths):
            pass


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Batch:
    """States that are written together: their addresses are known at once, they are safe after `write`."""

    def __init__(self, states: States):
        self._states = states
        self._contents: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        address = address_of(content)
        self._contents[address] = content
        return address

    def write(self) -> None:
        self._states.put_all(self._contents.values())
        self._contents = {}
