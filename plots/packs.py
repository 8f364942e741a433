"""What several plots counted in one file: a commit writes one such pack, however many plots there are.

A pack is a zip: a table of its arrays (``index.json``), for each plot its small ones one after another, and the large ones,
each once though several plots have it. Numbers are in the smallest integers that hold them. A large array of which few
places changed is kept as those places.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from plots.state import Increment, Scatter, State, _arrays_of, _unpack

INDEX = "index.json"
LAST = 200
"""The end of a zip names its last member within so many bytes."""
SMALL = 4096
"""Bytes of an array that is not worth a member of its own."""
SPARSE_FROM = 4096
SPARSE_SHARE = 4
"""Places are kept one by one where at most one in so many changed."""
PLACES = ".Scatter.index"
INTEGERS = [np.dtype(f"<{sign}{size}") for size in (1, 2, 4) for sign in "ui"]


def together(increments: Mapping[str, Mapping[str, Any]]) -> bytes:
    """What several plots counted, as one file; the same bytes for the same increments."""
    table: dict[str, list[list[Any]]] = {}
    members: dict[bytes, str] = {}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for plot, own in sorted(increments.items()):
            small = []
            table[plot] = []
            for name, array in sorted(_arrays_of(sparse(own)).items()):
                kept = _narrow(_steps(array) if name.endswith(PLACES) else array)
                content, member = kept.tobytes(), ""
                if len(content) < SMALL:
                    small.append(content)
                elif (member := members.get(content, "")) == "":
                    member = members[content] = f"{len(members)}"
                    _write(archive, member, content)
                table[plot].append([name, array.dtype.str, list(array.shape), kept.dtype.str, member])
            _write(archive, f"{plot}/small", b"".join(small))
        _write(archive, INDEX, json.dumps(table).encode())
    return buffer.getvalue()


def taken_apart(content: bytes, only: str | None = None) -> dict[str, Increment]:
    """What `together` has put into one file, by plot; only one of them if asked."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if INDEX not in archive.NameToInfo:
            return _of_arrays(_unpack(content), only)
        table = json.loads(archive.read(INDEX))
        wanted = {plot: rows for plot, rows in table.items() if only in (None, plot)}
        return {plot: Increment.from_arrays(_arrays(archive, plot, rows)) for plot, rows in wanted.items()}


def add_delta(state: State, content: bytes) -> State:
    """Adds what a pack, or a file of this plot alone, says of the plot of a state."""
    if not is_pack(content):
        return state.add_bytes(content)
    own = taken_apart(content, state.plot).get(state.plot)
    return state if own is None else state.add(own)


def is_pack(content: bytes) -> bool:
    """Whether `together` made it: its last member is the table."""
    return content.rfind(INDEX.encode(), -LAST) >= 0


def sparse(leaves: Mapping[str, Any]) -> Increment:
    """The same increment, large arrays of which few places changed as those places alone."""
    return Increment({name: _sparse(leaf) for name, leaf in leaves.items()})


def _sparse(leaf: Any) -> Any:
    if not isinstance(leaf, np.ndarray) or leaf.ndim != 1 or leaf.dtype != np.int64 or len(leaf) < SPARSE_FROM:
        return leaf
    index = np.flatnonzero(leaf)
    return leaf if len(index) * SPARSE_SHARE > len(leaf) else Scatter(len(leaf), index, leaf[index])


def _arrays(archive: zipfile.ZipFile, plot: str, rows: list[list[Any]]) -> dict[str, np.ndarray]:
    arrays, at, small = {}, 0, archive.read(f"{plot}/small")
    for name, dtype, shape, kept, member in rows:
        if member:
            array = np.frombuffer(archive.read(member), kept)
        else:
            array = np.frombuffer(small, kept, int(np.prod(shape, dtype=np.int64)), at)
            at += array.nbytes
        array = array.astype(dtype).reshape(shape)
        arrays[name] = array.cumsum(dtype=dtype) if name.endswith(PLACES) else array
    return arrays


def _steps(places: np.ndarray) -> np.ndarray:
    """Places by their distance from the one before: small numbers."""
    return np.diff(places, prepend=places.dtype.type(0))


def _narrow(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "i" or array.dtype.itemsize < 4 or not array.size:
        return array
    low, high = int(array.min()), int(array.max())
    for kind in INTEGERS:
        bounds = np.iinfo(kind)
        if bounds.min <= low and high <= bounds.max:
            return array.astype(kind)
    return array


def _write(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    archive.writestr(info, content, zipfile.ZIP_DEFLATED, compresslevel=1)


def _of_arrays(arrays: Mapping[str, np.ndarray], only: str | None) -> dict[str, Increment]:
    """Of a file that an earlier Larboard wrote: ``plot/name``."""
    of_plots: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        plot, _, name = key.partition("/")
        if only in (None, plot):
            of_plots.setdefault(plot, {})[name] = array
    return {plot: Increment.from_arrays(own) for plot, own in of_plots.items()}
