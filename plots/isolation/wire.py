"""The bytes between a host and a child. What comes from a child is never unpickled: JSON and plain arrays, checked.

Host to child: a pickle, with the rows of a block in shared memory that the child can only read. Child to host: a frame of
magic, two lengths, JSON, and the bytes of arrays or of a figure.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import mmap
import os
import pickle
import re
import socket
import struct
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.recfunctions import repack_fields

from dqm.formats.clock import ClockState
from dqm.formats.columns import Columns
from dqm.formats.packets import Packets
from plots.base import HostTrouble
from plots.state import Extent, KeyedCounts, LiveTime, Scatter, Series, Versions, _arrays_of

MAGIC = b"larb"
ANSWER = struct.Struct("<4sIQ")
REQUEST = struct.Struct("<QI")
MAX_HEADER = 4 << 20
INLINE = 1 << 16
"""Rows of fewer bytes go with the request itself."""
ARRAY_TYPE = re.compile(r"[<|>][iufb][1248]")
NAME = re.compile(r"[^.\0]{1,200}(\.[A-Za-z]{1,20}\.[a-z]{1,20})?")
MAX_ARRAYS = 2000


class Garbage(Exception):
    """Bytes that are no answer; the message says why."""


# -- rows in shared memory -------------------------------------------------------------------------------------------


_numbers = itertools.count(1)


class Sheet:
    """A piece of shared memory that the rows of one block lie in; children can read it, not write."""

    def __init__(self, size: int):
        self.number = next(_numbers)
        self.size = size
        try:
            writable = os.memfd_create("larboard-block", os.MFD_CLOEXEC)
            try:
                os.ftruncate(writable, size)
                self._map = mmap.mmap(writable, size)
                self.fd = os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
            finally:
                os.close(writable)
        except OSError as error:
            raise HostTrouble(
                f"no shared memory for a block of {size:,} bytes, as plug-ins need: {error.strerror}"
            ) from error
        self._bytes = np.frombuffer(self._map, np.uint8)

    def write(self, rows: np.ndarray) -> None:
        self._bytes[: rows.nbytes] = rows.reshape(-1).view(np.uint8)

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.close(self.fd)


_sheets: dict[int, Sheet] = {}
_free: deque[int] = deque()
MAX_FREE = 8


def forget_sheets() -> None:
    """After a fork: the other process goes on writing into them."""
    _free.clear()
    _sheets.clear()


class Posted:
    """The rows of a block where children can read them; their memory is used again when the block is forgotten."""

    def __init__(self, packets: Packets):
        rows, clock = packets.source  # type: ignore[misc]
        # its number only: a block may end in a garbage collection, which would end the sheet with it
        self._number: int | None = None
        self._owner = os.getpid()
        if rows.dtype.hasobject:  # references into the file lead nowhere from another process
            kept = [name for name in rows.dtype.names or () if not rows.dtype[name].hasobject]
            rows = repack_fields(rows[kept])
        rows = np.ascontiguousarray(rows)
        self.request: dict[str, Any] = {
            "dtype": np.lib.format.dtype_to_descr(rows.dtype), "length": len(rows), "first_row": packets.first_row,
            "clock": clock.before.to_json(), "file": packets.file,
        }  # fmt: skip
        if rows.nbytes < INLINE:
            self.request["inline"] = rows.tobytes()
            return
        sheet = _sheet(rows.nbytes)
        self._number = self.request["sheet"] = sheet.number
        sheet.write(rows)

    @property
    def sheet(self) -> Sheet | None:
        return None if self._number is None else _sheets[self._number]

    def __del__(self) -> None:
        if self._number is not None and self._owner == os.getpid():
            _free.append(self._number)


def _sheet(size: int) -> Sheet:
    """A sheet that nobody reads, and that is large enough."""
    while len(_free):
        try:
            number = _free.popleft() if len(_free) > MAX_FREE else _free.pop()
        except IndexError:  # another thread was faster
            break
        if _sheets[number].size >= size and len(_free) <= MAX_FREE:
            return _sheets[number]
        del _sheets[number]
    sheet = Sheet(1 << (size - 1).bit_length())
    _sheets[sheet.number] = sheet
    return sheet


def post(packets: Packets) -> Posted | dict[str, Any]:
    """A block for a child: its rows, put in shared memory once for all children; columns for one that has no rows."""
    if packets.source is not None:
        return packets.once("isolation.posted", lambda: Posted(packets))
    columns = {name: np.asarray(packets[name]) for name in packets.columns}
    return {"columns": columns, "length": len(packets), "first_row": packets.first_row}


class LazyClock:
    """The clock of a block, worked out when a plot asks for a time."""

    def __init__(self, rows: np.ndarray, before: dict):
        self.rows, self._before, self._clock = rows, before, None
        self.columns = Columns(rows)

    def _ready(self) -> Any:
        if self._clock is None:
            from dqm.formats.clock import BlockClock

            self._clock = BlockClock(self.rows, ClockState.from_json(self._before), self.columns)  # type: ignore[assignment]
        return self._clock

    @property
    def before(self) -> ClockState:
        return self._ready().before

    def unix_time(self) -> np.ndarray:
        return self._ready().unix_time()

    def time_ticks(self) -> np.ndarray:
        return self._ready().time_ticks()


def packets_of(request: Mapping[str, Any], maps: Mapping[int, mmap.mmap], detector: Any) -> Packets:
    """The block of a request, in the child."""
    if "columns" in request:
        columns = request["columns"]
        return Packets(lambda n: columns[n], tuple(columns), request["length"], detector, request["first_row"])
    dtype = np.lib.format.descr_to_dtype(request["dtype"])
    buffer = request["inline"] if "inline" in request else maps[request["sheet"]]
    rows = np.frombuffer(buffer, dtype, request["length"]) if request["length"] else np.zeros(0, dtype)
    clock = LazyClock(rows, request["clock"])
    packets = Packets.of_rows(rows, clock, detector, request["first_row"])  # type: ignore[arg-type]
    packets.file = request["file"]
    return packets


# -- requests --------------------------------------------------------------------------------------------------------


def send_request(channel: socket.socket, request: Any, fds: list[int]) -> None:
    content = pickle.dumps(request, protocol=5)
    socket.send_fds(channel, [REQUEST.pack(len(content), len(fds))], fds)
    channel.sendall(content)


def receive_request(channel: socket.socket) -> tuple[Any, list[int]]:
    """The next request and the descriptors that came with it; EOFError when the host has gone."""
    head, fds, _, _ = socket.recv_fds(channel, REQUEST.size, 8)
    while len(head) < REQUEST.size:
        more = channel.recv(REQUEST.size - len(head))
        if not more:
            raise EOFError
        head += more
    size, _ = REQUEST.unpack(head)
    content = bytearray(size)
    view, done = memoryview(content), 0
    while done < size:
        got = channel.recv_into(view[done:])
        if not got:
            raise EOFError
        done += got
    return pickle.loads(content), fds  # noqa: S301  (from our own host)


# -- answers ---------------------------------------------------------------------------------------------------------


def send_answer(channel: socket.socket, header: dict[str, Any], parts: list[Any] = []) -> None:  # noqa: B006
    text = json.dumps(header).encode("utf-8", "replace")
    sizes = [memoryview(part).nbytes for part in parts]
    buffers: list[Any] = [ANSWER.pack(MAGIC, len(text), sum(map(_padded, sizes))), text]
    for part, size in zip(parts, sizes, strict=True):
        buffers += [memoryview(part).cast("B"), bytes(_padded(size) - size)]
    for buffer in buffers:
        channel.sendall(buffer)


def _padded(size: int) -> int:
    return -(-size // 8) * 8


def pack_leaves(leaves: Any) -> tuple[list[list[Any]], list[np.ndarray]]:
    """Leaves as (name, type, shape) for the header, and their arrays."""
    arrays = {name: np.asarray(array, order="C") for name, array in _arrays_of(leaves).items()}
    listed: list[list[Any]] = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    return listed, [array.reshape(-1) for array in arrays.values()]


def unpack_leaves(listed: Any, payload: memoryview, limit: int) -> dict[str, Any]:
    """The leaves of an answer, each checked: sizes bounded by `limit` bytes, and whole. Raises Garbage."""
    from plots.state import _leaves

    if not isinstance(listed, list) or len(listed) > MAX_ARRAYS:
        raise Garbage("no list of arrays")
    arrays: dict[str, np.ndarray] = {}
    at = 0
    for entry in listed:
        name, dtype, shape = _entry(entry)
        size = math.prod(shape) * dtype.itemsize
        if at + size > len(payload):
            raise Garbage(f"array {name} is longer than what came")
        arrays[name] = np.frombuffer(payload[at : at + size], dtype).reshape(shape)
        at += _padded(size)
    for name, array in arrays.items():
        if name.endswith(".Hist.json"):
            _check_hist_json(array.tobytes(), limit)
    try:
        leaves = _leaves(arrays)
    except Exception as error:  # a histogram may raise anything
        raise Garbage(f"leaves that do not fit together: {type(error).__name__}") from None
    for name, leaf in leaves.items():
        if not _is_whole(leaf, limit):
            raise Garbage(f"leaf {name} is no {type(leaf).__name__}")
    return leaves


def _entry(entry: Any) -> tuple[str, np.dtype, tuple[int, ...]]:
    whole = isinstance(entry, list) and len(entry) == 3 and isinstance(entry[0], str) and isinstance(entry[1], str)
    if not whole or not NAME.fullmatch(entry[0]) or not ARRAY_TYPE.fullmatch(entry[1]):
        raise Garbage("an array without a name or type")
    shape = entry[2]
    if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < 1 << 40 for n in shape) or len(shape) > 8:
        raise Garbage("an array without a shape")
    return entry[0], np.dtype(entry[1]), tuple(shape)


def _check_hist_json(content: bytes, limit: int) -> None:
    """A histogram allocates what its axes ask for: not before this was looked at."""
    try:
        axes = json.loads(content)["axes"]
        bins = math.prod(_bins(axis) + 2 for axis in axes)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Garbage(f"a histogram that cannot be read: {type(error).__name__}") from None
    if bins * 16 > limit:
        raise Garbage("a histogram with more bins than fit")


def _bins(axis: Mapping[str, Any]) -> int:
    for key, more in (("bins", 0), ("edges", 0), ("categories", 0)):
        if key in axis:
            value = axis[key]
            return int(value) + more if isinstance(value, (int, float)) else len(value)
    return 2  # boolean


def _is_whole(leaf: Any, limit: int) -> bool:
    """Whether a leaf keeps what its class promises, so that adding it ends and takes no more memory than it says."""
    match leaf:
        case np.ndarray():
            return True
        case Scatter():
            values = np.asarray(leaf.values)
            ints = leaf.index.dtype.kind in "iu" and leaf.index.ndim == 1 and values.shape == leaf.index.shape
            within = not len(leaf.index) or (leaf.index.min() >= 0 and leaf.index.max() < leaf.size)
            return bool(0 <= leaf.size * 8 <= limit and ints and values.dtype.kind in "iuf" and within)
        case Series():
            width = leaf.width
            good = leaf.seconds.dtype.kind == "i" and leaf.seconds.ndim == 1 and leaf.counts.ndim == 2
            good = good and leaf.counts.dtype.kind in "iu" and len(leaf.counts) == len(leaf.seconds)
            return bool(good and 0 < width < 1 << 40 and width & (width - 1) == 0 and _ascends(leaf.seconds))
        case LiveTime():
            return leaf.gap >= LiveTime.GAP_TICKS and leaf.gap < 1 << 60 and all(
                0 <= group < 256 and spans.dtype == np.int64 and spans.ndim == 2 and spans.shape[1] == 2
                and bool((spans[:, 0] <= spans[:, 1]).all())
                for group, spans in leaf.spans.items()
            )  # fmt: skip
        case Extent():
            same = leaf.low.shape == leaf.high.shape and leaf.low.ndim == 1
            return same and leaf.low.dtype == leaf.high.dtype == np.int64
        case KeyedCounts():
            same = leaf.keys.shape == leaf.counts.shape and leaf.keys.ndim == 1
            ints = leaf.keys.dtype == leaf.counts.dtype == np.int64
            return bool(same and ints and _ascends(leaf.keys) and (not len(leaf.keys) or leaf.keys[0] >= 0))
        case Versions():
            same = leaf.keys.shape == leaf.first.shape == leaf.last.shape == leaf.rows.shape[:1]
            ints = leaf.keys.dtype == leaf.first.dtype == leaf.last.dtype == np.int64
            within = same and len(leaf.keys) <= Versions.LIMIT and (not len(leaf.keys) or leaf.keys.min() >= 0)
            return bool(within and ints and leaf.rows.ndim == 2 and leaf.rows.dtype == np.uint8)
    return True  # a histogram, which has checked itself


def _ascends(values: np.ndarray) -> bool:
    return len(values) < 2 or bool((np.diff(values) > 0).all())


def size_of(leaves: Mapping[str, Any]) -> int:
    """Bytes that a state of these leaves has."""
    return sum(
        8 * leaf.size if isinstance(leaf, Scatter) else sum(a.nbytes for a in _arrays_of({"x": leaf}).values())
        for leaf in leaves.values()
    )
