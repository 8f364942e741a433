"""Rows of packets as an open LArPix+HDF5 file in memory: for code that was written to read one with h5py."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from dqm.formats.beside import Beside
from dqm.formats.columns import PACKET_DTYPE, PacketType

VERSION = "2.4"
# larpix-control (format/hdf5format.py, version 2.4) makes these in every file
MESSAGES = np.dtype([("message", "S64"), ("timestamp", "<u8"), ("index", "<u4")])
CONFIGS = np.dtype(
    [("timestamp", "<u8"), ("io_group", "u1"), ("io_channel", "u1"), ("chip_id", "u1"), ("registers", "u1", (239,))]
)
TYPES = "".join(f"\n{kind.value}: '{kind.name.lower().replace('_', ' ')}'," for kind in PacketType)


class PacketFile(h5py.File):
    """A read-only h5py file of some rows, with what their file holds beside them. Its name is that of their file."""

    def __init__(self, rows: np.ndarray, beside: Beside):
        super().__init__(h5py.h5f.open_file_image(_image(rows, beside), 0))
        self._rows, self._path = rows, beside.path

    @property
    def filename(self) -> str:
        return self._path or "packets.h5"

    def __getitem__(self, name: Any) -> Any:
        found = super().__getitem__(name)
        if isinstance(found, h5py.Dataset) and found.name == "/packets":
            return PacketRows(found.id, self._rows)
        return found


class PacketRows(h5py.Dataset):
    """The packets, whose rows are at hand: plots ask for columns and masks again and again, and HDF5 copies each anew."""

    def __init__(self, bind: h5py.h5d.DatasetID, rows: np.ndarray):
        super().__init__(bind)
        self._rows = rows

    def __getitem__(self, args: Any, new_dtype: np.dtype | None = None) -> Any:
        names, places = _sorted(args)
        wanted = names if new_dtype is None else ("",) if names else new_dtype.names or ("",)
        if not set(wanted) <= set(self._rows.dtype.names or ()) or not self._is_plain(places):
            return super().__getitem__(args, new_dtype)
        rows = self._rows[names[0] if len(names) == 1 else list(names)] if names else self._rows
        found = rows[places[0]] if places else rows
        if new_dtype is not None:
            return _in_columns(found, new_dtype)
        if len(names) > 1:
            return _in_columns(found, _packed(found.dtype))
        # a mask has made new values already; others are a view of rows that the next reader wants whole
        return found if places and isinstance(places[0], np.ndarray) else found.copy()

    def _is_plain(self, places: tuple[Any, ...]) -> bool:
        """Whether numpy takes this as h5py does."""
        if len(places) > 1:
            return False
        place = places[0] if places else slice(None)
        if isinstance(place, slice):
            return all(part is None or isinstance(part, (int, np.integer)) for part in (place.start, place.stop)) and (
                place.step is None or (isinstance(place.step, int) and place.step > 0)
            )
        if isinstance(place, np.ndarray):
            return place.dtype == bool and place.shape == self._rows.shape
        return place is Ellipsis


def _sorted(args: Any) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Names of columns among the arguments of an index, and the rest."""
    args = args if isinstance(args, tuple) else (args,)
    return tuple(a for a in args if isinstance(a, str)), tuple(a for a in args if not isinstance(a, str))


def _in_columns(found: Any, dtype: np.dtype) -> np.ndarray:
    """The columns of `dtype`, of rows."""
    out = np.empty(np.shape(found), dtype)
    for name in dtype.names or ():
        out[name] = found[name]
    return out


def _packed(dtype: np.dtype) -> np.dtype:
    """Without the holes of columns that were left out."""
    return np.dtype([(name, dtype[name]) for name in dtype.names]) if dtype.names else dtype


def _image(rows: np.ndarray, beside: Beside) -> bytes:
    head = {"version": VERSION, "created": 0.0, "modified": 0.0} | dict(beside.head)
    with h5py.File.in_memory() as file:
        for group in ("_header", "meta"):
            file.create_group(group).attrs.update(head)
        datasets = {"messages": np.zeros(0, MESSAGES), "configs": np.zeros(0, CONFIGS), **beside.datasets}
        for name, values in {**datasets, "packets": rows}.items():
            dset = file.create_dataset(name, data=values)
            dset.attrs.update({"packet_types": TYPES} if name == "packets" else {})
            dset.attrs.update(beside.attributes.get(name, {}))
        file.flush()
        return file.id.get_file_image()


def plain_rows(rows: np.ndarray) -> np.ndarray:
    """Rows with the columns of LArPix+HDF5 in their order and types, then any others; always a copy."""
    if rows.dtype == PACKET_DTYPE:
        return rows.copy()
    names = rows.dtype.names or ()
    known = [name for name in PACKET_DTYPE.names or () if name in names]
    order = [*known, *(name for name in names if name not in known)]
    out = np.empty(len(rows), [(name, rows.dtype[name]) for name in order])
    for name in order:
        out[name] = rows[name]
    return out
