"""The log of every process: one line for each thing that happened, in text for people or in JSON for programs.

A line that is about a file carries the number that the ledger gave the file and a short key that stays with it, from its
first sight to its end: ``with about(file):`` around whatever is done with it. A worker in another process goes on with
``with within(carried):``, where `carried` is what `carry` gave at home.

What comes from files stands in a line as text: nothing in it ends the line or steers a terminal.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

OURS = "larboard"
"""Loggers of Larboard begin with this; those of libraries are heard from WARNING on."""
FRAMES = 6
"""So many of the innermost calls of an error are in its line."""
KEY = 8

Carried = tuple[int, str, str | None] | None
"""What a line is about, as it goes to another process: number, key and run of a file."""


class Ledgered(Protocol):
    """A row of the ledger, as far as the log needs it."""

    @property
    def id(self) -> int: ...
    @property
    def first_seen(self) -> float: ...
    @property
    def run_key(self) -> str | None: ...


@dataclass(frozen=True)
class _Seen:
    """A file that was just written into the ledger."""

    id: int
    first_seen: float
    run_key: str | None = None


_about: ContextVar[Carried] = ContextVar("larboard_about", default=None)


def key_of(file_id: int, first_seen: float) -> str:
    """Eight hex digits for a file: the same in every process, others in every database."""
    return hashlib.blake2s(f"{file_id}:{first_seen!r}".encode(), digest_size=KEY // 2).hexdigest()


@contextmanager
def about(file: Ledgered) -> Iterator[None]:
    """Lines within are about this file."""
    with within((file.id, key_of(file.id, file.first_seen), file.run_key)):
        yield


@contextmanager
def about_new(file_id: int, first_seen: float) -> Iterator[None]:
    """Lines within are about a file that has just got its number."""
    with about(_Seen(file_id, first_seen)):
        yield


def carry() -> Carried:
    """What lines are about here, for a worker elsewhere."""
    return _about.get()


@contextmanager
def within(carried: Carried) -> Iterator[None]:
    """Lines within are about what was carried here."""
    token = _about.set(carried)
    try:
        yield
    finally:
        _about.reset(token)


class Text(logging.Formatter):
    """``2026-11-21T10:04:18Z ERROR larboard.watch: [file 12 1f0c6e2a run 5] what [ValueError: no (f in a.py:3)]``"""

    converter = time.gmtime  # type: ignore[assignment] # the stubs do not know its default

    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%SZ")

    def format(self, record: logging.LogRecord) -> str:
        found = _about_of(record)
        file = f"[file {found[0]} {found[1]}{f' run {found[2]}' if found[2] else ''}] " if found else ""
        text = f"{self.formatTime(record, self.datefmt)} {record.levelname} {record.name}: {file}{_said(record)}"
        if error := _error(record):
            text += f" [{error}]"
        return plain(text)


class Json(logging.Formatter):
    """One JSON object: time (UTC), level, logger, message, host, pid; file, key and run when it is about a file."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        line: dict[str, Any] = {
            "time": moment,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": plain(_said(record)),
        }
        if found := _about_of(record):
            line |= {"file": found[0], "key": found[1], "run": None if found[2] is None else plain(found[2])}
        if error := _error(record):
            line["error"] = plain(error)
        return json.dumps(
            line | {"host": socket.gethostname(), "pid": record.process or os.getpid()}, ensure_ascii=True
        )


FORMATS: dict[str, type[logging.Formatter]] = {"text": Text, "json": Json}
_chosen: logging.Formatter = Text()


def set_up(format: str = "text", level: str = "info", stream: IO[str] | None = None) -> None:
    """From now on this process logs like this, to stderr: what is Larboard's own from `level` on, other things when they
    are at least warnings.
    """
    global _chosen
    _chosen = FORMATS[format]()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_chosen)
    root = logging.getLogger()
    root.handlers = [handler]
    ours = logging.getLevelName(level.upper())
    root.setLevel(max(ours, logging.WARNING))
    logging.getLogger(OURS).setLevel(ours)


def formatter() -> logging.Formatter:
    """The one that was chosen: for handlers that libraries make."""
    return _chosen


def plain(text: str) -> str:
    """`text` on one line, without anything that steers a terminal; a backslash is doubled, so that it can be told apart."""
    doubled = text.replace("\\", "\\\\")
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in doubled)


def _about_of(record: logging.LogRecord) -> Carried:
    """What a line is about: said with it, or by where it was logged."""
    return getattr(record, "about", None) or _about.get()


def _said(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a line that cannot be formatted is better than none
        return f"{record.msg!r} {record.args!r}"


def _error(record: logging.LogRecord) -> str:
    """An exception in short: its type, text and innermost calls."""
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    error = record.exc_info[1]
    calls = traceback.extract_tb(error.__traceback__)[::-1][:FRAMES]
    places = " < ".join(f"{call.name} in {Path(call.filename).name}:{call.lineno}" for call in calls)
    return f"{type(error).__name__}: {error} ({places})"
