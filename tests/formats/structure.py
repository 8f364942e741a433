"""Where the structures of an HDF5 file begin and end: the places to cut it at, and to damage it in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import h5py

SIGNATURES = {
    b"TREE": "B-tree", b"SNOD": "symbol table", b"HEAP": "local heap", b"GCOL": "global heap", b"OHDR": "object header",
    b"OCHK": "object header continued", b"FRHP": "fractal heap", b"FHDB": "heap block", b"FHIB": "heap block",
    b"BTHD": "B-tree 2", b"BTLF": "B-tree 2 leaf", b"BTIN": "B-tree 2 node", b"FAHD": "fixed array",
    b"FADB": "fixed array block", b"EAHD": "extensible array", b"EAIB": "array index block", b"EADB": "array block",
    b"EASB": "array superblock", b"FSSE": "free space", b"FSHD": "free space",
}  # fmt: skip
"""First bytes of each kind of structure (HDF5 file format, III and IV)."""


@dataclass(frozen=True)
class Structure:
    """Bytes [start, stop) of a file."""

    kind: str
    start: int
    stop: int


def structures(path: Path) -> list[Structure]:
    """The superblock, object headers, indices, heaps, chunks and contiguous data of a file, in the order of their places."""
    content = path.read_bytes()
    found = {0: "superblock"}
    for match in re.finditer(b"|".join(SIGNATURES), content):
        found.setdefault(match.start(), SIGNATURES[match.group()])
    data: dict[int, tuple[str, int]] = {}

    def note(name: str, thing: h5py.Group | h5py.Dataset) -> None:
        found.setdefault(h5py.h5o.get_info(thing.id).addr, f"object header of {name}")
        if not isinstance(thing, h5py.Dataset):
            return
        if thing.chunks is None:
            offset, size = thing.id.get_offset(), thing.id.get_storage_size()
            if offset is not None and size:
                data[offset] = (f"values of {name}", offset + size)
            return

        def chunk(info: h5py.h5d.StoreInfo) -> None:
            data[info.byte_offset] = (f"chunk of {name}", info.byte_offset + info.size)

        thing.id.chunk_iter(chunk)

    with h5py.File(path, "r") as file:
        file.visititems(note)
    # what looks like a signature inside of data is none
    inside = {start for start in found for first, (_, last) in data.items() if first < start < last}
    places = sorted({start for start in found if start not in inside} | set(data) | {len(content)})
    made = []
    for start, following in pairwise(places):
        kind, stop = data.get(start, (found.get(start, ""), following))
        made.append(Structure(kind, start, min(stop, len(content))))
    return made
