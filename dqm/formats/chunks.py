"""Gzip-compressed chunks, decompressed ahead of the reader by threads.

HDF5 decompresses inside one lock and with the interpreter locked, so nothing else runs meanwhile. Here the chunks are
fetched with ``pread`` and opened with zlib, both of which let other threads run: on two cores decompressing and plotting
overlap. Intel's library does the same in less time where it is installed (isal, of the extra `fast`). Only for what is
surely understood (deflate, with or without shuffle); anything else, and any chunk that does not come out right, is left
to HDF5, which then also says what is wrong.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import h5py
import numpy as np

from dqm.formats.trust import most_stored

zlib: Any
try:
    from isal import isal_zlib as zlib
except ImportError:
    import zlib

AHEAD_BYTES = 8 * 2**20
"""How much is decompressed ahead of the reader: about three blocks."""
UNDERSTOOD = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE)


class DamagedChunk(Exception):
    """A chunk is not there or does not come out right; HDF5 may know more."""


class ChunksAhead:
    """Rows of a chunked, deflated dataset by number, any range, fastest in order."""

    def __init__(self, dset: h5py.Dataset, threads: int):
        self._dtype = dset.dtype
        self._rows_per_chunk = dset.chunks[0]
        self._chunk_bytes = self._rows_per_chunk * self._dtype.itemsize
        self._shuffled = bool(dset.shuffle)
        self._place: dict[int, tuple[int, int]] = {}
        dset.id.chunk_iter(self._note)
        self._ahead = max(AHEAD_BYTES // self._chunk_bytes, 1)
        self._waiting: dict[int, Future[np.ndarray]] = {}
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="chunks")
        # the very file that HDF5 has open, whatever has become of its name
        self._file = os.dup(dset.file.id.get_vfd_handle())
        self._open_still = True

    def _note(self, chunk: h5py.h5d.StoreInfo) -> None:
        # of others a filter was left out, or the size is nonsense: HDF5 knows, or says so
        if chunk.filter_mask == 0 and chunk.size <= most_stored(self._chunk_bytes):
            self._place[chunk.chunk_offset[0] // self._rows_per_chunk] = (chunk.byte_offset, chunk.size)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop), shape (stop - start,); raises DamagedChunk."""
        first, last = start // self._rows_per_chunk, (stop - 1) // self._rows_per_chunk
        for number in [number for number in self._waiting if number < first]:
            self._waiting.pop(number).cancel()
        for number in range(first, last + 1 + self._ahead):
            if number in self._place and number not in self._waiting:
                self._waiting[number] = self._threads.submit(self._open, *self._place[number])
        try:
            parts = [self._waiting[number].result() for number in range(first, last + 1)]
        except (KeyError, OSError, ValueError, zlib.error) as error:
            raise DamagedChunk(f"chunks {first} to {last}: {error!r}") from None
        begin = first * self._rows_per_chunk
        return np.concatenate(parts)[start - begin : stop - begin]

    def _open(self, offset: int, size: int) -> np.ndarray:
        packed = os.pread(self._file, size, offset)
        # never more than a chunk holds, whatever the bytes claim
        stream = zlib.decompressobj()
        content = stream.decompress(packed, self._chunk_bytes)
        more = stream.decompress(stream.unconsumed_tail, 1)  # reads the end mark and its check sum
        if len(content) != self._chunk_bytes or more or not stream.eof:
            raise zlib.error(f"it does not hold {self._chunk_bytes} bytes")
        if self._shuffled:
            content = np.frombuffer(content, np.uint8).reshape(self._dtype.itemsize, -1).T.tobytes()
        return np.frombuffer(content, self._dtype)

    def close(self) -> None:
        if not self._open_still:
            return
        self._open_still = False
        self._threads.shutdown(wait=True, cancel_futures=True)
        os.close(self._file)


def chunks_ahead(dset: h5py.Dataset) -> ChunksAhead | None:
    """A reader ahead for `dset`, or None where HDF5 itself is the better choice."""
    threads = len(os.sched_getaffinity(0))
    if threads < 2 or not dset.chunks or dset.dtype.hasobject or dset.file.swmr_mode or dset.file.driver != "sec2":
        return None
    filters = dset.id.get_create_plist()
    codes = {filters.get_filter(number)[0] for number in range(filters.get_nfilters())}
    if h5py.h5z.FILTER_DEFLATE not in codes or not codes.issubset(UNDERSTOOD):
        return None
    try:
        return ChunksAhead(dset, threads)
    except (OSError, RuntimeError):
        return None
