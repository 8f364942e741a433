"""How the chips were configured, as a file says it: the archive ``daq_configs`` and the table ``configs``.

``daq_configs`` is a tar archive of ``.../config_<io_group>-<io_channel>-<chip_id>.json`` in an array of bytes. It is read
where it lies, header by header, and nothing of it is ever written anywhere. The module tarfile is not used: it holds
whatever an archive declares in memory, and before Python 3.11.14 it walks in circles over some (CVE-2025-8194).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any

import h5py
import numpy as np
import orjson
from cachetools import LRUCache

from dqm.formats.hdf5 import READ_ERRORS, UnreadableFile, find_dataset, one_line, shown, stored_ranges
from dqm.formats.registers import (
    LAYOUTS,
    ROW_BYTES,
    NoRegisters,
    bytes_of,
    rows_of_registers,
    rows_of_values,
    values_of_json,
)
from dqm.formats.trust import rows_of

ARCHIVE, TABLE = "daq_configs", "configs"
BLOCK = 512
READ_BYTES = 1 << 20
CHIPS_AT_ONCE = 1024
MOST_CHIPS = 1 << 16
MOST_MEMBERS = 1 << 18
MOST_MEMBER_BYTES = 1 << 18
"""The JSON of a chip has some thousand bytes."""
MOST_READ_BYTES = 1 << 29
"""An archive of 6,400 chips has about 50 MB."""
MOST_NAME_BYTES = 1 << 12
TABLE_ROWS = 1 << 14
MOST_KNOWN_BYTES = 1 << 26
_known: LRUCache[bytes, Configuration] = LRUCache(4)
"""What the last archives say, by their digest: the files of a run carry the same one, and 1,600 chips take 0.2 s."""
_known_lock = Lock()

CHIP_FILE = re.compile(r"(?:^|/)config_(\d{1,3})-(\d{1,3})-(\d{1,3})\.json$")
REGULAR, LONG_NAME, ATTRIBUTES, FOLDER = (b"0", b"\0", b"7"), b"L", b"x", b"5"
KINDS = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe",
}  # fmt: skip
SILENT = (FOLDER, b"g", b"K", b"V")
"""What archives have besides files, and what says nothing about chips."""


@dataclass(frozen=True)
class Configuration:
    """Chips and their registers (rows of formats.registers); a chip that was written several times has several rows."""

    chip: np.ndarray
    """io_group << 16 | io_channel << 8 | chip_id, shape (n,)."""
    rows: np.ndarray
    """Shape (n, ROW_BYTES), u1."""
    time: np.ndarray
    """When it was written [unix s], shape (n,); -1 where only the file as a whole has a time."""
    problems: tuple[str, ...] = ()
    """What of it cannot be used, in sentences."""

    def __len__(self) -> int:
        return len(self.chip)


NOTHING = Configuration(np.zeros(0, np.int64), np.zeros((0, ROW_BYTES), np.uint8), np.zeros(0, np.int64))


def configuration_of(file: h5py.File) -> Configuration:
    """What the file says about its chips. Never raises for what is in it: `problems` say it."""
    return _joined([_attempt(file, ARCHIVE, _of_archive), _attempt(file, TABLE, _of_table)])


def has_configuration(file: h5py.File) -> bool:
    """Whether there is something to look at, be it good or not."""
    try:
        archive, table = (file.get(name, getlink=True) for name in (ARCHIVE, TABLE))
        return archive is not None or (table is not None and bool(len(find_dataset(file, TABLE) or ())))
    except (UnreadableFile, *READ_ERRORS):
        return True  # reading will say so


def copy_archive(file: h5py.File, to: h5py.File) -> list[str]:
    """Copies the archive, good or not, to another file; what of it cannot be copied, in sentences."""
    try:
        dset = find_dataset(file, ARCHIVE)
        if dset is None or dset.dtype != np.uint8 or not len(dset):
            return []
        if len(dset) > MOST_READ_BYTES:
            return [f"{ARCHIVE} has {len(dset):,} bytes, at most {MOST_READ_BYTES:,} are copied: left out"]
        step = max(READ_BYTES // (dset.chunks or (1,))[0], 1) * (dset.chunks or (1,))[0]
        copy = to.create_dataset(ARCHIVE, dset.shape, np.uint8, chunks=(min(1 << 18, len(dset)),), compression="gzip")
        for at in range(0, len(dset), step):
            copy[at : at + step] = rows_of(dset, at, min(at + step, len(dset)))
    except (UnreadableFile, *READ_ERRORS) as error:
        if ARCHIVE in to:
            del to[ARCHIVE]
        return [f"{ARCHIVE} cannot be copied: {one_line(error)}"]
    return []


def touch(file: h5py.File) -> None:
    """Lets HDF5 go through the indices of what `configuration_of` reads, and expand its first chunk."""
    for name in (ARCHIVE, TABLE):
        try:
            dset = find_dataset(file, name)
            if dset is not None and len(dset):
                stored_ranges(dset, growing=True)
                rows_of(dset, 0, 1)
                rows_of(dset, len(dset) - 1, len(dset))
        except (UnreadableFile, *READ_ERRORS):
            continue  # reading will say so


def chip_name(chip: int) -> str:
    """``io_group-io_channel-chip``."""
    return f"{chip >> 16}-{chip >> 8 & 255}-{chip & 255}"


def _attempt(file: h5py.File, name: str, read: Any) -> Configuration:
    try:
        dset = find_dataset(file, name)
        return NOTHING if dset is None else read(dset)
    except UnreadableFile as error:
        return _refused(error.reason)
    except READ_ERRORS as error:
        return _refused(f"{name} cannot be read: {one_line(error)}")


def _refused(problem: str) -> Configuration:
    return Configuration(NOTHING.chip, NOTHING.rows, NOTHING.time, (problem,))


def _joined(parts: list[Configuration]) -> Configuration:
    return Configuration(
        np.concatenate([part.chip for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.time for part in parts]),
        tuple(problem for part in parts for problem in part.problems),
    )


# -- the table -------------------------------------------------------------------------------------------------------


def _of_table(dset: h5py.Dataset) -> Configuration:
    """The rows that larpix-control wrote: the registers of a chip at a time [unix s]."""
    if not len(dset):
        return NOTHING
    names = dset.dtype.names or ()
    missing = [name for name in ("timestamp", "io_group", "io_channel", "chip_id", "registers") if name not in names]
    if missing:
        held = f"columns {', '.join(names[:6])}" if names else f"an array of {dset.dtype}"
        return _refused(f"{TABLE} has no column {missing[0]!r}, it is {shown(held, 120)}")
    registers = dset.dtype["registers"]
    ids_fit = all(dset.dtype[name] == np.uint8 for name in ("io_group", "io_channel", "chip_id"))
    if (
        registers.base != np.uint8
        or len(registers.shape) != 1
        or not ids_fit
        or dset.dtype["timestamp"].kind not in "ui"
    ):
        return _refused(
            f"{TABLE} has columns of other types, expected u1 ids, a whole timestamp and a row of u1 registers"
        )
    problems, version = [], _asic_version(dset)
    if version not in LAYOUTS:
        known = ", ".join(LAYOUTS)
        problems.append(f"{TABLE} is of ASIC version {version or 'unknown'}, registers are known of {known}")
    stop = min(len(dset), MOST_CHIPS)
    if stop < len(dset):
        problems.append(f"{TABLE} has {len(dset):,} rows, the first {stop:,} are read")
    parts = [_of_rows(rows_of(dset, at, min(at + TABLE_ROWS, stop)), version) for at in range(0, stop, TABLE_ROWS)]
    found = _joined(parts)
    return Configuration(found.chip, found.rows, found.time, tuple(problems))


def _of_rows(rows: np.ndarray, version: str) -> Configuration:
    chip = rows["io_group"].astype(np.int64) << 16 | rows["io_channel"].astype(np.int64) << 8 | rows["chip_id"]
    if version in LAYOUTS:
        packed = rows_of_registers(np.ascontiguousarray(rows["registers"]), version)
    else:
        packed = np.zeros((len(rows), ROW_BYTES), np.uint8)
    time = rows["timestamp"]
    return Configuration(chip, packed, np.where((time > 0) & (time < 1 << 33), time, -1).astype(np.int64))


def _asic_version(dset: h5py.Dataset) -> str:
    try:
        if "asic_version" not in dset.attrs or dset.attrs.get_id("asic_version").get_storage_size() > MOST_NAME_BYTES:
            return ""
        value = dset.attrs["asic_version"]
    except READ_ERRORS:
        return ""
    return shown(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value), 40)


# -- the archive -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Member:
    name: str
    kind: bytes
    at: int
    size: int


class _Broken(Exception):
    """The archive cannot be read on from here."""


def _of_archive(dset: h5py.Dataset) -> Configuration:
    if dset.dtype.itemsize != 1 or dset.dtype.kind not in "ui":
        return _refused(
            f"{ARCHIVE} is an array of {shown(str(dset.dtype), 80)}, expected the bytes (u1) of a tar archive"
        )
    digest = _digest(dset)
    with _known_lock:
        found = _known.get(digest) if digest else None
    if found is None:
        found = _Archive(dset).read()
        for array in (found.chip, found.rows, found.time):
            array.flags.writeable = False
        if digest:
            with _known_lock:
                _known[digest] = found
    return found


def _digest(dset: h5py.Dataset) -> bytes:
    """Of the bytes of an archive; empty where it is too large to be read twice, or cannot be read to its end."""
    if len(dset) > MOST_KNOWN_BYTES:
        return b""
    found = hashlib.sha256()
    try:
        for at in range(0, len(dset), READ_BYTES):
            found.update(rows_of(dset, at, min(at + READ_BYTES, len(dset))).tobytes())
    except (UnreadableFile, *READ_ERRORS):
        return b""
    return found.digest()


class _Archive:
    """A tar archive in an array of bytes: header after header, each member looked at where it lies."""

    def __init__(self, dset: h5py.Dataset):
        self._dset = dset
        self._length = len(dset)
        self._chunk = dset.chunks[0] if dset.chunks else 1
        self._from, self._bytes = 0, b""
        self._members_seen = self._bytes_read = 0
        self._told: dict[str, tuple[int, str]] = {}

    def read(self) -> Configuration:
        chips: dict[int, int] = {}
        parts: list[np.ndarray] = []
        batch: list[dict[str, bytes]] = []
        try:
            for member in self._members():
                content = self._json_of(member)
                values = None if content is None else self._registers(member, content)
                if values is None:
                    continue
                chip = _chip_of(member.name)
                if len(chips) == MOST_CHIPS:
                    raise _Broken(f"holds more than {MOST_CHIPS:,} chips: the others are left out")
                if chip in chips:
                    self._say("twice", f"{_short(member.name)} is there more than once, the last counts")
                chips[chip] = sum(map(len, parts)) + len(batch)
                batch.append(values)
                if len(batch) == CHIPS_AT_ONCE:
                    parts.append(_packed(batch))
                    batch = []
        except _Broken as error:
            self._told[""] = (1, str(error))
        parts.append(_packed(batch))
        if not chips and not self._told:
            self._told[""] = (
                1,
                f"has no config_<io_group>-<io_channel>-<chip>.json among its {self._members_seen:,} members",
            )
        found = sorted(chips)
        rows = np.concatenate(parts)[[chips[chip] for chip in found]]
        return Configuration(np.array(found, np.int64), rows, np.full(len(found), -1), self._problems())

    def _problems(self) -> tuple[str, ...]:
        return tuple(
            f"{ARCHIVE} {what}" if not kind else f"{ARCHIVE}: {what}" + (f"; so are {n - 1:,} more" if n > 1 else "")
            for kind, (n, what) in self._told.items()
        )

    def _say(self, kind: str, sentence: str) -> None:
        """The first of each kind in full, the others counted."""
        before = self._told.get(kind)
        self._told[kind] = (1, sentence) if before is None else (before[0] + 1, before[1])

    def _json_of(self, member: _Member) -> bytes | None:
        """The content of a member that may be the JSON of a chip; None for all others, which are said where they are odd."""
        if member.kind in SILENT:
            return None
        name = _short(member.name)
        if member.name.startswith("/") or ".." in member.name.split("/"):
            self._say("outside", f"member {name} leads out of the archive and is left out")
        elif member.kind not in REGULAR:
            what = KINDS.get(member.kind, "of an unknown kind")
            self._say("link", f"member {name} is {what} and is left out")
        elif CHIP_FILE.search(member.name) is None:
            return None
        elif member.size > MOST_MEMBER_BYTES:
            most = f"{MOST_MEMBER_BYTES:,}"
            self._say(
                "large", f"member {name} says that it has {member.size:,} bytes, at most {most} are read: left out"
            )
        else:
            return self._at(member.at, member.size)
        return None

    def _registers(self, member: _Member, content: bytes) -> dict[str, bytes] | None:
        name = _short(member.name)
        if _chip_of(member.name) < 0:
            self._say("ids", f"member {name} names ids above 255 and is left out")
            return None
        try:
            config = orjson.loads(content)
        except ValueError:
            self._say("json", f"member {name} is not JSON and is left out")
            return None
        try:
            return {register: bytes_of(register, value) for register, value in values_of_json(config).items()}
        except NoRegisters as error:
            self._say("shape", f"member {name} {error}; it is left out")
            return None

    def _members(self) -> Iterator[_Member]:
        at, long_name, whole = 0, "", False
        while at < self._length:
            if at + BLOCK > self._length:
                raise _Broken(_ends(at, self._length)) if at else _Broken("is not a tar archive: it is too short")
            header = self._at(at, BLOCK)
            if not any(header):
                whole = True
                break
            if not _sum_is_right(header):
                raise (
                    _Broken(f"is damaged at byte {at:,}: no header of a member is there")
                    if at
                    else _Broken(_what(header))
                )
            size = _number(header[124:136])
            if size < 0:
                raise _Broken(f"is damaged at byte {at:,}: the size of a member is no number")
            self._members_seen += 1
            if self._members_seen > MOST_MEMBERS:
                raise _Broken(f"has more than {MOST_MEMBERS:,} members: the others are left out")
            member = _Member(long_name or _name(header), header[156:157], at + BLOCK, size)
            long_name = ""
            if member.kind in (LONG_NAME, ATTRIBUTES):
                long_name = self._long_name(member)
            else:
                if member.kind in REGULAR and member.at + size > self._length:
                    left = self._length - member.at
                    raise _Broken(f"is truncated: of the {size:,} bytes of {_short(member.name)} {left:,} are there")
                yield member
            at = member.at + -(-size // BLOCK) * BLOCK if member.kind not in KINDS else member.at
        if not whole:
            raise _Broken("is truncated: its end mark is missing")

    def _long_name(self, member: _Member) -> str:
        """The name of the next member, where it is too long for its header (GNU), or has attributes (POSIX, "path")."""
        content = self._at(member.at, min(member.size, MOST_NAME_BYTES))
        if member.kind == ATTRIBUTES:
            found = re.search(rb"(?:^|\n)\d+ path=([^\n]*)\n", content)
            content = found[1] if found else b""
        return content.split(b"\0")[0].decode("utf-8", "replace")

    def _at(self, start: int, size: int) -> bytes:
        """Bytes [start, start + size), or fewer at the end; what was read ahead is kept."""
        stop = min(start + size, self._length)
        if not self._from <= start <= stop <= self._from + len(self._bytes):
            # whole chunks: each is expanded once
            first = start // self._chunk * self._chunk
            end = min(-(-max(stop, start + READ_BYTES) // self._chunk) * self._chunk, self._length)
            self._bytes_read += end - first
            if self._bytes_read > MOST_READ_BYTES:
                raise _Broken(f"holds more than {MOST_READ_BYTES >> 20} MiB: what follows byte {start:,} is left out")
            try:
                self._bytes = rows_of(self._dset, first, end).tobytes()
            except READ_ERRORS as error:
                raise _Broken(f"cannot be read from byte {start:,} on: {one_line(error)}") from None
            self._from = first
        return self._bytes[start - self._from : stop - self._from]


def _packed(batch: list[dict[str, bytes]]) -> np.ndarray:
    columns: dict[str, tuple[list[int], list[bytes]]] = {}
    for number, values in enumerate(batch):
        for name, content in values.items():
            chips, contents = columns.setdefault(name, ([], []))
            chips.append(number)
            contents.append(content)
    return rows_of_values(columns, len(batch))


def _chip_of(name: str) -> int:
    """The chip that a name tells, -1 for ids that no chip has."""
    found = CHIP_FILE.search(name)
    ids = [int(number) for number in found.groups()] if found else [256]
    return -1 if max(ids) > 255 else ids[0] << 16 | ids[1] << 8 | ids[2]


def _short(name: str) -> str:
    return shown(name, 100) or "without a name"


def _ends(at: int, length: int) -> str:
    return f"is truncated: {length - at} bytes follow the last member, expected {BLOCK}"


def _what(header: bytes) -> str:
    packed = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"PK": "zip"}.get(header[:2])
    return f"is not a tar archive: it is {packed}, expected plain tar" if packed else "is not a tar archive"


def _sum_is_right(header: bytes) -> bool:
    """POSIX ustar: the sum of all bytes of the header, its own field taken as blanks; old ones took bytes as signed."""
    said = _number(header[148:156])
    others = np.frombuffer(header[:148] + b" " * 8 + header[156:], np.uint8)
    return said in (int(others.sum()), int(others.view(np.int8).sum(dtype=np.int64)))


def _number(field: bytes) -> int:
    """An octal number, or one of GNU's binary ones; -1 for anything else."""
    if field[:1] and field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1
    digits = field.split(b"\0")[0].strip(b" ")
    return int(digits, 8) if re.fullmatch(rb"[0-7]+", digits) else -1 if digits else 0


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0")[0]
    if header[257:263] == b"ustar\0" and (prefix := header[345:500].split(b"\0")[0]):
        name = prefix + b"/" + name
    return name.decode("utf-8", "replace")
