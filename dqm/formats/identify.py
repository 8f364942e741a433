"""What a file is, from its content; name and extension are never asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import h5py

from dqm.formats.doorkeeper import DOORKEEPER
from dqm.formats.hdf5 import (
    READ_ERRORS,
    SIGNATURE,
    UnreadableFile,
    find,
    one_line,
    open_hdf5,
    read_head,
    shown,
    stored_bytes,
)

Format = Literal["raw", "packets", "flow", "light", "sim", "reco", "unknown"]

# First four bytes of the light readout's binary formats, and bytes 16-19 of the older one.
MPD_HEADS = (0x72617453, 0x67654246)
ADC64_EVENT = 0x2A502A50

MOST_NAMES = 10_000
MOST_ATTRIBUTE_BYTES = 1 << 16


@dataclass(frozen=True)
class FileKind:
    """A format, its version, and where in the file its packets are (None: no packets in it)."""

    format: Format
    version: str | None = None
    packets: str | None = None


def identify(path: str | Path) -> FileKind:
    """The kind of a file; raises UnreadableFile with state and reason when it cannot be opened."""
    path = Path(path)
    if kind := kind_by_head(path):
        return kind
    if objection := DOORKEEPER.objection(path):
        raise UnreadableFile(objection)
    with open_hdf5(path) as file:
        return kind_of(file)


def kind_by_head(path: Path) -> FileKind | None:
    """The kind of a file that is not HDF5, None for HDF5; raises UnreadableFile for all that is neither."""
    head = read_head(path)
    if int.from_bytes(head[:4], "little") in MPD_HEADS:
        return FileKind("light", "MPD")
    if len(head) >= 20 and int.from_bytes(head[16:20], "little") == ADC64_EVENT:
        return FileKind("light", "ADC64")
    if not head.startswith(SIGNATURE):
        raise UnreadableFile("is not an HDF5 file and no known light format (wrong first bytes)")
    return None


def kind_of(file: h5py.File) -> FileKind:
    """The kind of an open HDF5 file; the first rule that fits decides."""
    try:
        # one that is not UTF-8 comes as bytes
        names = {name for name in islice(file, MOST_NAMES) if isinstance(name, str)}
        for fits, kind in RULES:
            if fits(file, names):
                return kind(file)
    except READ_ERRORS as error:
        raise UnreadableFile(f"cannot be read as HDF5: {one_line(error)}") from None
    held = ", ".join(shown(name, 60) for name in sorted(names)[:6])
    raise UnreadableFile(f"is HDF5 but no known format; it holds {held or 'nothing'}")


def attribute_of(file: h5py.File, group: str, name: str) -> str | None:
    """Attribute `name` of a group as text of at most 40 characters that can be printed, None without it."""
    holder = find(file, group)
    try:
        if holder is None or name not in holder.attrs:
            return None
        attribute = holder.attrs.get_id(name)
        if stored_bytes(attribute.shape or (), attribute.dtype.itemsize) > MOST_ATTRIBUTE_BYTES:
            return None
        value = holder.attrs.get(name)
    except READ_ERRORS:  # of a type that numpy does not have
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return None if value is None else shown(str(value), 40)


def _is_flow(file: h5py.File, names: set[str]) -> bool:
    if names & {"run_info", "geometry_info"}:
        return True
    groups = [find(file, name) for name in names & {"charge", "light", "combined"}]
    return any(
        isinstance(group, h5py.Group) and any(find(file, f"{group.name}/{name}/data") for name in group)
        for group in groups
    )


def _packet_kind(file: h5py.File) -> FileKind:
    simulated = "mc_packets_assn" in file
    return FileKind("sim" if simulated else "packets", attribute_of(file, "_header", "version"), "packets")


def _flow_kind(file: h5py.File) -> FileKind:
    has_packets = isinstance(find(file, "charge/packets/data"), h5py.Dataset)
    is_light = find(file, "charge") is None and find(file, "light") is not None
    return FileKind("light" if is_light else "flow", None, "charge/packets/data" if has_packets else None)


Rule = tuple[Callable[[h5py.File, set[str]], bool], Callable[[h5py.File], FileKind]]

RULES: list[Rule] = [
    (
        lambda f, names: {"msgs", "msg_headers"} <= names,
        lambda f: FileKind("raw", attribute_of(f, "meta", "version"), "msgs"),
    ),
    (lambda f, names: "packets" in names, _packet_kind),
    (lambda f, names: "raw_packet" in names, lambda f: FileKind("packets", "0.0", "raw_packet")),
    (_is_flow, _flow_kind),
    (
        lambda f, names: {"header", "event", "device", "time", "data", "ref"} <= names,
        lambda f: FileKind("light", "ADC64 as HDF5"),
    ),
    (
        lambda f, names: bool(names & {"light_wvfm", "light_trig", "light_dat"}),
        lambda f: FileKind("light", "larnd-sim"),
    ),
    (
        lambda f, names: bool(names & {"segments", "tracks"}) and bool(names & {"trajectories", "vertices"}),
        lambda f: FileKind("sim", "edep-sim"),
    ),
    (lambda f, names: {"events", "hits", "tracks", "ext_trigs", "info"} <= names, lambda f: FileKind("reco", "evd")),
    (lambda f, names: "events" in names and "products" in names, lambda f: FileKind("reco", "SPINE")),
    (lambda f, names: "events" in names and _has_references(f), lambda f: FileKind("reco", "SPINE")),
]


def _has_references(file: h5py.File) -> bool:
    events = find(file, "events")
    if not isinstance(events, h5py.Dataset) or not events.dtype.names:
        return False
    return any(h5py.check_ref_dtype(events.dtype[name]) is not None for name in events.dtype.names)
