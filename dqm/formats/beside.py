"""What a file of packets holds beside them: a few attributes and small datasets, for who wants to see it as a file."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import h5py
import numpy as np

from dqm.formats.hdf5 import READ_ERRORS, UnreadableFile, find, find_dataset, stored_bytes
from dqm.formats.trust import rows_of

GROUPS = ("_header", "meta")
DATASETS = ("messages", "configs", "daq_configs")
MOST_BYTES = 4 * 2**20
"""A larger dataset is left out."""
MOST_ATTRIBUTES = 64
MOST_ATTRIBUTE_BYTES = 1 << 16
_numbers = itertools.count(1)

Attributes = Mapping[str, object]


@dataclass(frozen=True)
class Beside:
    """The path of a file, the attributes of its head, its small datasets, and the attributes of those and of packets."""

    path: str = ""
    head: Attributes = field(default_factory=dict)
    datasets: Mapping[str, np.ndarray] = field(default_factory=dict)
    attributes: Mapping[str, Attributes] = field(default_factory=dict)
    number: int = field(default_factory=lambda: next(_numbers), compare=False)
    """Another one for each that is made, so that it need not be sent twice."""


def beside_packets(file: h5py.File, path: str, packets: str | None) -> Beside:
    """What the open file holds beside its dataset `packets` (None: a raw file); what cannot be read is left out."""
    head: dict[str, object] = {}
    for group in GROUPS:
        head |= _attributes(file, group)
    if packets is None:  # the version of raw files is none of packets
        head.pop("version", None)
    datasets = {name: rows for name in DATASETS if (rows := _dataset(file, name)) is not None}
    attributes = {name: _attributes(file, name) for name in datasets} | {
        "packets": _attributes(file, packets or "packets")
    }
    return Beside(path, head, datasets, attributes)


def _dataset(file: h5py.File, name: str) -> np.ndarray | None:
    try:
        dset = find_dataset(file, name)
        if dset is None or dset.dtype.hasobject or stored_bytes(dset.shape, dset.dtype.itemsize) > MOST_BYTES:
            return None
        return rows_of(dset, 0, len(dset))
    except (UnreadableFile, *READ_ERRORS):
        return None


def _attributes(file: h5py.File, name: str) -> dict[str, object]:
    """Numbers and texts among the attributes of an object."""
    found: dict[str, object] = {}
    try:
        holder = find(file, name)
        if holder is None:
            return {}
        for key in list(itertools.islice(holder.attrs, MOST_ATTRIBUTES)):
            attribute = holder.attrs.get_id(key)
            if stored_bytes(attribute.shape or (), attribute.dtype.itemsize) > MOST_ATTRIBUTE_BYTES:
                continue
            value = holder.attrs[key]
            if isinstance(value, (str, bytes, np.number, np.bool_)) and len(str(value)) <= MOST_ATTRIBUTE_BYTES:
                found[key] = value
    except (UnreadableFile, *READ_ERRORS):
        pass
    return found
