"""What a file may make this process do: chunks that expand without measure, heaps that HDF5 walks in circles.

Checked before HDF5 is asked for rows, with numbers that the file itself cannot forge: what is stored, and where.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import h5py
import numpy as np

FREE_BYTES = 256 * 2**20
"""A chunk that cannot expand to more than this is not looked at."""
DEFLATE, SHUFFLE, FLETCHER32, SZIP, NBIT, SCALEOFFSET, LZF = 1, 2, 3, 4, 5, 6, 32000
BLOSC, LZ4, BITSHUFFLE, ZSTD, BLOSC2 = 32001, 32004, 32008, 32015, 32026
LARGEST_RATIO = {DEFLATE: 1032, LZF: 300, SZIP: 300, NBIT: 64, SCALEOFFSET: 64}
"""How many bytes a stored byte can become at most."""
NO_COMPRESSION = (SHUFFLE, FLETCHER32)

MOST_MESSAGE_BYTES = 8 + 65_535 * 16
"""A PACMAN message counts its words of 16 bytes in two bytes."""
HEAP_HEADER, HEAP_OBJECT = struct.Struct("<4sB3xQ"), struct.Struct("<HHIQ")
MOST_HEAP_BYTES = 64 * 2**20
REFERENCE = np.dtype([("size", "<u4"), ("heap", "<u8"), ("index", "<u4")])
"""How an element of any length is stored: its bytes lie in a global heap (HDF5 file format, VIII.C)."""


class Untrusted(ValueError):
    """Reading this would take memory or time without measure; the message says why."""


def bad_filters(dset: h5py.Dataset) -> str:
    """Why the filters of a dataset are not used; empty when they are."""
    codes = _filters(dset)
    squeezing = [code for code in codes if code not in NO_COMPRESSION]
    unknown = [code for code in squeezing if code not in LARGEST_RATIO and code not in DECLARED]
    if unknown or any(not h5py.h5z.filter_avail(code) for code in codes):
        strange = (unknown or [code for code in codes if not h5py.h5z.filter_avail(code)])[0]
        return f"is compressed by filter {strange}, which is not known here"
    return f"is compressed {len(squeezing)} times over, expected once" if len(squeezing) > 1 else ""


def _filters(dset: h5py.Dataset) -> list[int]:
    plist = dset.id.get_create_plist()
    return [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]


def rows_of(dset: h5py.Dataset, start: int, stop: int) -> np.ndarray:
    """Rows [start, stop) by HDF5, after a look at their chunks; raises Untrusted beside what HDF5 raises."""
    if dset.chunks is not None and (codes := _filters(dset)):
        rows = dset.chunks[0]
        for first in range(start - start % rows, stop, rows):
            _check_chunk(dset, first, codes)
    return dset[start:stop]


def _check_chunk(dset: h5py.Dataset, first: int, codes: list[int]) -> None:
    assert dset.chunks is not None
    chunk_bytes = dset.chunks[0] * dset.id.get_type().get_size()
    info = dset.id.get_chunk_info_by_coord((first,))
    if info.byte_offset is None:
        return
    squeezing = [code for code in codes if code not in NO_COMPRESSION]
    sums = 4 * codes.count(FLETCHER32)
    # of fewer bytes HDF5 reads what lies behind them in its own memory
    least = sums + 1 if squeezing and not info.filter_mask else chunk_bytes
    if not least <= info.size <= (most_stored(chunk_bytes) if squeezing else chunk_bytes + sums):
        raise Untrusted(f"the chunk at row {first:,} says that {info.size:,} bytes are stored of its {chunk_bytes:,}")
    if not squeezing or info.filter_mask:
        return
    code = squeezing[0]
    if code in LARGEST_RATIO and info.size * LARGEST_RATIO[code] <= FREE_BYTES:
        return
    if code == DEFLATE:
        # a check sum may stand behind the end of the stream
        _expand(os.pread(_handle(dset), info.size, info.byte_offset), chunk_bytes, f"the chunk at row {first:,}")
        return
    size = DECLARED[code](os.pread(_handle(dset), 64, info.byte_offset)) if code in DECLARED else info.size
    if size is None or size > chunk_bytes + 64:
        says = "does not say how much it" if size is None else f"says that it holds {size:,} bytes, it"
        raise Untrusted(f"the chunk at row {first:,} {says} should hold {chunk_bytes:,}")


def most_stored(n_bytes: int) -> int:
    """More than this no filter makes of so many bytes."""
    return 2 * n_bytes + 4096


def _handle(dset: h5py.Dataset) -> int:
    return dset.file.id.get_vfd_handle()


def _expand(packed: bytes, most: int, what: str) -> bytes:
    """At most `most` bytes of a deflated stream; raises Untrusted when there are more."""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(packed, most)
        more = stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error as error:
        raise Untrusted(f"{what} cannot be decompressed: {error}") from None
    if more:
        raise Untrusted(f"{what} expands to more than the {most:,} bytes that it should hold")
    return content


def _zstd(head: bytes) -> int | None:
    """Content size in the head of a Zstandard frame (RFC 8878, 3.1.1.1); None when it does not say."""
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        return None
    single, flag = head[4] >> 5 & 1, head[4] >> 6
    if not flag and not single:
        return None
    size = (1, 2, 4, 8)[flag]
    at = 5 + (0 if single else 1) + (0, 1, 2, 4)[head[4] & 3]
    return int.from_bytes(head[at : at + size], "little") + (256 if size == 2 else 0)


def _blosc2(head: bytes) -> int | None:
    """Uncompressed bytes in the head of a Blosc2 frame, or of a bare chunk."""
    if head[2:9] == b"b2frame":
        return int.from_bytes(head[30:38], "big")
    return int.from_bytes(head[4:8], "little")


DECLARED: dict[int, Callable[[bytes], int | None]] = {
    ZSTD: _zstd,
    BLOSC: lambda head: int.from_bytes(head[4:8], "little"),
    BLOSC2: _blosc2,
    LZ4: lambda head: int.from_bytes(head[:8], "big"),
    BITSHUFFLE: lambda head: int.from_bytes(head[:8], "big") if len(head) >= 12 else 0,
}
"""What the first bytes of a chunk say that it expands to, by filter."""


class Messages:
    """Elements of any length of a dataset of bytes, looked up in their heaps by ourselves wherever that is possible.

    HDF5 crashes and hangs over heaps that are damaged; and for each message it does far more than to find its bytes.
    """

    def __init__(self, dset: h5py.Dataset):
        self._dset = dset
        codes = _filters(dset)
        understood = dset.chunks is not None and set(codes) <= {DEFLATE, SHUFFLE}
        self._shuffled = SHUFFLE in codes
        self._deflated = DEFLATE in codes
        self._known = understood and dset.id.get_type().get_size() == REFERENCE.itemsize
        self._chunk: tuple[int, np.ndarray] | None = None
        self._heaps: dict[int, Heap] = {}
        self._kept_bytes = 0

    def read(self, start: int, stop: int) -> list[np.ndarray]:
        """Elements [start, stop) as u1 arrays; raises Untrusted beside what HDF5 raises."""
        if not self._known:
            return list(self._dset[start:stop])
        assert self._dset.chunks is not None
        rows, found = self._dset.chunks[0], []
        for first in range(start - start % rows, stop, rows):
            references = self._references(first)
            begin, end = max(start - first, 0), min(stop - first, rows)
            if references is None:  # not stored: each is empty
                found += [EMPTY] * (end - begin)
                continue
            some = references[begin:end]
            if len(some) and int(some["size"].max()) > MOST_MESSAGE_BYTES:
                at, longest = first + begin + int(some["size"].argmax()), int(some["size"].max())
                raise Untrusted(
                    f"message {at:,} says that it has {longest:,} bytes, at most {MOST_MESSAGE_BYTES:,} can be"
                )
            found += [self._bytes(*reference) for reference in some.tolist()]
        return found

    def _bytes(self, size: int, heap: int, index: int) -> np.ndarray:
        if not size:
            return EMPTY
        at, have = self._heap(heap).objects.get(index, (0, -1))
        if have != size:
            raise Untrusted("the heap of a message does not hold it")
        return self._heaps[heap].content[at : at + size]

    def _references(self, first: int) -> np.ndarray | None:
        following = self._dset.file.swmr_mode
        if self._chunk is not None and self._chunk[0] == first and not following:
            return self._chunk[1]
        if following:  # what was there may be longer now
            self._heaps, self._kept_bytes = {}, 0
        assert self._dset.chunks is not None
        size = self._dset.chunks[0] * REFERENCE.itemsize
        info = self._dset.id.get_chunk_info_by_coord((first,))
        if info.byte_offset is None or not info.size:
            return None
        if info.size > most_stored(size) or info.filter_mask:
            raise Untrusted(f"the chunk at message {first:,} is not stored as it should be")
        packed = os.pread(_handle(self._dset), info.size, info.byte_offset)
        content = _expand(packed, size, f"the chunk at message {first:,}") if self._deflated else packed[:size]
        if len(content) != size:
            raise Untrusted(f"the chunk at message {first:,} holds {len(content):,} bytes, expected {size:,}")
        if self._shuffled:
            content = np.frombuffer(content, np.uint8).reshape(REFERENCE.itemsize, -1).T.tobytes()
        references = np.frombuffer(content, REFERENCE)
        self._chunk = (first, references)
        return references

    def _heap(self, address: int) -> Heap:
        if address in self._heaps:
            return self._heaps[address]
        if address >= 1 << 62:
            raise Untrusted("a message points outside the file")
        handle = _handle(self._dset)
        head = os.pread(handle, HEAP_HEADER.size, address)
        if len(head) < HEAP_HEADER.size or head[:4] != b"GCOL":
            raise Untrusted("the heap of a message is damaged, or not written yet")
        size = HEAP_HEADER.unpack(head)[2]
        if size > MOST_HEAP_BYTES:
            raise Untrusted(f"the heap of a message says that it has {size:,} bytes")
        if self._kept_bytes > KEPT_HEAP_BYTES:
            self._heaps, self._kept_bytes = {}, 0
        heap = self._heaps[address] = Heap.of(os.pread(handle, size, address), size)
        self._kept_bytes += size
        return heap


EMPTY = np.zeros(0, np.uint8)
KEPT_HEAP_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Heap:
    """A collection of a global heap: (first byte, size) of each object by its index."""

    content: np.ndarray
    objects: dict[int, tuple[int, int]]

    @classmethod
    def of(cls, content: bytes, size: int) -> Heap:
        """Goes through the objects of a collection; raises Untrusted where that leads nowhere."""
        at, objects = HEAP_HEADER.size, {}
        while at + HEAP_OBJECT.size <= size:
            if at + HEAP_OBJECT.size > len(content):
                raise Untrusted("the heap of a message reaches beyond the end of the file")
            index, _, _, n = HEAP_OBJECT.unpack_from(content, at)
            step = HEAP_OBJECT.size + -(-n // 8) * 8 if index else n
            if step <= 0 or step > size - at:
                raise Untrusted("the heap of a message is damaged")
            if index and at + HEAP_OBJECT.size + n <= len(content):
                objects[index] = (at + HEAP_OBJECT.size, n)
            at += step
        return cls(np.frombuffer(content, np.uint8), objects)
