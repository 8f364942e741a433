"""Opening HDF5 files that nobody vouches for: damaged, locked, still growing, with links that lead elsewhere."""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import math
import os
import re
import stat
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import h5py

from dqm.formats.trust import bad_filters, rows_of

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_CHUNK_BYTES = 64 * 2**20
"""A chunk must be read whole: a file that declares larger ones would not fit the memory that is promised."""

MAX_ROW_BYTES = 1024
"""Blocks have 131,072 rows."""

READ_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError)
"""What h5py raises for content that it does not understand: damaged, or not all of it written yet."""

LAST_ROWS, LAST_MESSAGES, MAX_LAST_READS = 1024, 32, 64
"""How many of the last rows of a growing dataset are looked at, at once and how often, for some that are not written."""

BEING_WRITTEN = "is being written, or its writer did not close it; try again when it is closed"

READ_ATTEMPTS = 26
"""How often HDF5 reads metadata whose check sum is wrong before it gives up, in a file that it follows (SWMR). Between
attempts it waits 1 ns, then 2, 4, ...: 26 are 0.07 s, the 100 of its default are for ever."""

FLOCK = "hhqqi4x"
"""struct flock of Linux on 64 bits: type, whence, start, length, process."""

State = Literal["ok", "growing", "partial", "quarantined"]


class UnreadableFile(Exception):
    """Nothing can be read from the file (now); `state` says whether waiting may help, the message says why."""

    def __init__(self, reason: str, state: State = "quarantined"):
        reason = shown(reason, 1000)
        super().__init__(reason)
        self.reason = reason
        self.state = state


class EmptyFile(UnreadableFile):
    """There is not one byte in the file: a writer that makes a file (again) begins so."""


def check_regular(path: Path) -> int:
    """Size in bytes of a regular, non-empty file; raises UnreadableFile for anything else (a pipe would block)."""
    try:
        info = path.stat()
    except OSError as error:
        raise UnreadableFile(f"cannot be opened: {error.strerror or error}") from None
    if not stat.S_ISREG(info.st_mode):
        raise UnreadableFile("is not a regular file, expected a data file")
    if info.st_size == 0:
        raise EmptyFile("is empty (0 bytes); it may not have been written yet")
    return info.st_size


def read_head(path: Path, size: int = 64) -> bytes:
    """The first bytes of a file; raises UnreadableFile when it may not be read."""
    check_regular(path)
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise UnreadableFile(f"cannot be opened: {error.strerror or error}") from None


def open_hdf5(path: Path, chunk_cache_bytes: int | None = None, provisional: bool = False) -> h5py.File:
    """The file, read-only, as a follower (SWMR) when its writer still has it open; raises UnreadableFile.

    With `provisional` in spite of the lock of a writer: what is read may be half written. No lock is taken, not even for
    a moment: it would make the DAQ fail that opens its file just then.
    """
    import hdf5plugin  # noqa: F401  (registers the filters that compressed files may use)

    options: dict = {"mode": "r"}
    if chunk_cache_bytes:
        options["rdcc_nbytes"] = chunk_cache_bytes
    try:
        file = _open(path, options)
    except READ_ERRORS as error:
        first = error
    else:
        if provisional or not is_locked(path):
            return file
        file.close()
        raise UnreadableFile(BEING_WRITTEN, "growing")
    if provisional:
        raise _explain(first, path)
    if not _is_marked_open(path) and "already open" not in str(first):
        raise _explain(first, path)
    try:
        return _follow(path, chunk_cache_bytes)
    except READ_ERRORS:
        raise _explain(first, path) from None


def _follow(path: Path, chunk_cache_bytes: int | None) -> h5py.File:
    """The file as a follower of its writer, which may be half way through whatever it writes."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    access.set_file_locking(False, True)
    if chunk_cache_bytes:
        slots, _, preemption = access.get_cache()[1:]
        access.set_cache(0, slots, chunk_cache_bytes, preemption)
    if (library := _library()) is not None:
        library.H5Pset_metadata_read_attempts(ctypes.c_int64(access.id), ctypes.c_uint(READ_ATTEMPTS))
    flags = h5py.h5f.ACC_RDONLY | h5py.h5f.ACC_SWMR_READ
    try:
        return h5py.File(h5py.h5f.open(os.fsencode(path), flags, access))
    except OSError as error:
        if "flag values don't match" not in str(error):
            raise
    access.set_file_locking(True, True)  # this very process writes the file, with locks
    return h5py.File(h5py.h5f.open(os.fsencode(path), flags, access))


@cache
def _library() -> Any:
    """The HDF5 library that h5py uses, for the one call that h5py does not have; None where it is not found."""
    with suppress(OSError, AttributeError):
        places = re.findall(r"\S*/libhdf5[-.][^/\s]*$", Path("/proc/self/maps").read_text(), re.MULTILINE)
        library = ctypes.CDLL(places[0]) if places else None
        return library if library is not None and library.H5Pset_metadata_read_attempts else None
    return None


def _open(path: Path, options: dict) -> h5py.File:
    try:
        return h5py.File(path, locking=False, **options)
    except OSError as error:
        if "flag values don't match" not in str(error):
            raise
    # this very process writes the file, with locks: HDF5 wants both to agree
    return h5py.File(path, locking="best-effort", **options)


def is_locked(path: Path) -> bool:
    """Whether a writer has locked the file, found out without locking it: from the kernel's table, and over NFS by asking.

    HDF5 locks with flock(2), which NFS turns into a lock on all bytes of the file.
    """
    if os.environ.get("HDF5_USE_FILE_LOCKING", "").upper() in ("FALSE", "0"):
        return False  # said by people whose locks do not work
    with suppress(OSError, ValueError):
        number = str(path.stat().st_ino)
        for line in Path("/proc/locks").read_text().splitlines():
            # "1: FLOCK  ADVISORY  WRITE 10339 fe:00:2162721 0 EOF"; the device may be given otherwise than by stat
            _, kind, _, mode, _, where, *_ = line.replace("->", "").split()
            if (kind, mode) == ("FLOCK", "WRITE") and where.rpartition(":")[2] == number:
                return True
    with suppress(OSError), open(path, "rb", opener=_without_waiting) as file:
        whole = struct.pack(FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        return struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, whole))[0] == fcntl.F_WRLCK
    return False


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a named pipe waits for its writer


def _is_marked_open(path: Path) -> bool:
    """Whether the superblock (version 3 on) says that a writer has the file open: HDF5 file format, II.A, flags."""
    try:
        head = read_head(path, 12)
    except UnreadableFile:
        return False
    return len(head) == 12 and head[8] >= 3 and bool(head[11] & 1)


def _explain(error: Exception, path: Path) -> UnreadableFile:
    text = str(error)
    refused = "unable to lock file" in text or "file is already open" in text or getattr(error, "errno", None) == 11
    if refused or _is_marked_open(path) or is_locked(path):
        return UnreadableFile(BEING_WRITTEN, "growing")
    if "truncated file" in text:
        return UnreadableFile(f"is truncated: {_sizes(text)}; copy it again or wait until it is complete")
    if "file signature not found" in text:
        return UnreadableFile("is not an HDF5 file, or its head is damaged")
    return UnreadableFile(f"cannot be read as HDF5: {one_line(error)}")


def _sizes(text: str) -> str:
    """``eof = 100, sblock->base_addr = 0, stored_eof = 200`` in words."""
    numbers = dict(
        part.split(" = ") for part in text.split("(")[-1].rstrip(")").split(": ")[-1].split(", ") if " = " in part
    )
    have, want = numbers.get("eof"), numbers.get("stored_eof")
    return f"{have} bytes, expected {want}" if have and want else "it ends before its own end mark"


def one_line(error: BaseException, limit: int = 200) -> str:
    """An error as one line without control characters, for a reason or a log."""
    text = " ".join(str(error).split()) or {"MemoryError": "there is not memory enough"}.get(type(error).__name__, "")
    text = text or type(error).__name__
    return shown(text, limit)


def shown(text: str, limit: int = 200) -> str:
    """Text from a file as one line of at most `limit` characters that all can be printed; others as escapes.

    Not only control characters are others: marks that turn the direction of writing make a line read as what it is not.
    """
    clean = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text[:limit]
    )
    return clean if len(text) <= limit and len(clean) <= limit else clean[: limit - 3] + "..."


def stored_bytes(shape: tuple[int, ...], itemsize: int) -> int:
    """Bytes of values of this shape."""
    return math.prod(int(n) for n in shape) * itemsize


def is_following(file: h5py.File) -> bool:
    """Whether the file was opened as a follower of a writer (SWMR)."""
    return bool(file.swmr_mode)


def is_shared(file: h5py.File) -> bool:
    """Whether this process has the file open more than once: HDF5 then shows what it has cached, perhaps long ago."""
    return h5py.h5f.get_obj_count(file.id, h5py.h5f.OBJ_FILE) > 1


def stamp_of(file: h5py.File | Path) -> tuple[int, int] | None:
    """Size and time of change, of an open file whatever has become of its name; None for a file that is not there."""
    try:
        info = file.stat() if isinstance(file, Path) else os.fstat(file.id.get_vfd_handle())
    except OSError:
        return None
    return info.st_size, info.st_mtime_ns


MAX_LINKS = 32


def find(file: h5py.File, path: str) -> h5py.Dataset | h5py.Group | None:
    """The object at `path` inside this very file, or None; raises UnreadableFile for a link that leaves it."""
    names, links = path.strip("/").split("/"), 0
    here: h5py.Group | h5py.Dataset = file
    while names:
        name = names.pop(0)
        if not isinstance(here, h5py.Group):
            return None
        link = here.get(name, getlink=True)
        if link is None:
            return None
        if isinstance(link, h5py.ExternalLink):
            raise UnreadableFile(f"{path} is an external link to another file, which is not followed")
        if isinstance(link, h5py.SoftLink):
            links += 1
            target = link.path.strip("/").split("/")
            if links > MAX_LINKS or len(target) > MAX_LINKS:
                raise UnreadableFile(f"{path} is a link that leads in a circle, or through too many others")
            here, names = (file if link.path.startswith("/") else here), target + names
            continue
        try:
            here = here[name]
        except (KeyError, OSError, RuntimeError) as error:
            raise UnreadableFile(f"{path} cannot be read: {one_line(error)}") from None
    return here


def find_dataset(file: h5py.File, path: str) -> h5py.Dataset | None:
    """The one-dimensional dataset at `path`, None if there is nothing; raises UnreadableFile when it is something else."""
    found = find(file, path)
    if found is None:
        return None
    if not isinstance(found, h5py.Dataset):
        raise UnreadableFile(f"{path} is a group, expected a dataset")
    if found.ndim != 1:
        raise UnreadableFile(f"{path} has {found.ndim} dimensions, expected 1")
    if found.external or found.is_virtual:
        raise UnreadableFile(f"{path} keeps its values in other files, which are not followed")
    if found.dtype.itemsize > MAX_ROW_BYTES:
        raise UnreadableFile(
            f"{path} has rows of {found.dtype.itemsize:,} bytes, at most {MAX_ROW_BYTES:,} can be read"
        )
    if found.chunks and (why := bad_filters(found)):
        raise UnreadableFile(f"{path} {why}")
    chunk_bytes = (found.chunks or (0,))[0] * found.dtype.itemsize
    if chunk_bytes > MAX_CHUNK_BYTES:
        raise UnreadableFile(
            f"{path} has chunks of {chunk_bytes / 2**20:.0f} MiB, at most {MAX_CHUNK_BYTES >> 20} can be read"
        )
    return found


def stored_ranges(dset: h5py.Dataset, growing: bool = False) -> list[tuple[int, int]]:
    """Ranges of rows that are stored, ascending: a damaged or forged file may declare more, and have holes in between."""
    # while a file grows chunks beyond its rows may be there already: then their number says nothing
    rows = len(dset)
    if dset.chunks is None:
        return [(0, rows)] if rows and dset.id.get_storage_size() >= rows * dset.dtype.itemsize else []
    chunk, starts = dset.chunks[0], _chunk_starts(dset, growing)
    if not growing and len(starts) >= -(-rows // chunk):
        return [(0, rows)] if rows else []
    ranges: list[tuple[int, int]] = []
    for start in sorted(start for start in starts if start < rows):
        stop = min(start + chunk, rows)
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], stop)
        else:
            ranges.append((start, stop))
    return ranges


def _chunk_starts(dset: h5py.Dataset, growing: bool) -> list[int]:
    """First rows of the chunks, ascending. HDF5 is not asked for rows by an index that contradicts itself: it may crash."""
    starts: list[int] = []
    sizes: list[int] = []

    def note(info: h5py.h5d.StoreInfo) -> None:
        starts.append(info.chunk_offset[0])
        sizes.append(info.size)

    dset.id.chunk_iter(note)
    assert dset.chunks is not None
    chunk, filters = dset.chunks[0], dset.id.get_create_plist().get_nfilters()
    ordered = all(start % chunk == 0 for start in starts) and all(a < b for a, b in itertools.pairwise(starts))
    whole = filters > 0 or all(size == chunk * dset.id.get_type().get_size() for size in sizes)
    if not ordered or not whole:
        what = "says other sizes than that of a chunk" if ordered else "has chunks twice, or out of order"
        state: State = "growing" if growing else "quarantined"  # a writer may be about to change it
        raise UnreadableFile(f"the index of {shown(dset.name, 100)} {what}: it is damaged", state)
    return starts


def rows_so_far(dset: h5py.Dataset, read: Callable[[int, int], Sequence[Any]] | None = None) -> int:
    """Rows of a growing dataset that its writer has written: from the first on, without a hole, without an empty tail.

    A writer may declare rows before it writes them: until then they are stored as zeros, and messages as empty ones.
    Rows [start, stop) come from `read`: of messages it must not be HDF5, which goes round for ever in a heap half written.
    """
    last_of = read or partial(rows_of, dset)
    ranges = stored_ranges(dset, growing=True)
    rows = ranges[0][1] if ranges and ranges[0][0] == 0 else 0
    step = LAST_MESSAGES if dset.dtype.hasobject else LAST_ROWS
    for _ in range(MAX_LAST_READS):
        if not rows:
            break
        first = max(rows - step, 0)
        try:
            last = last_of(first, rows)
        except READ_ERRORS:
            break  # reading will say from where on
        for row in reversed(last):
            if any(row.tobytes()):
                return rows
            rows -= 1
    return rows
