"""Archives of chip configurations, good and bad, and files that hold them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dqm.formats.writers import PacketWriter
from tests.conftest import some_packets

FOLDER = "run/asic_configs_2024"


def config(**registers: Any) -> dict[str, Any]:
    """The registers of a chip, as a DAQ writes them."""
    return {"meta": {"ASIC_VERSION": "2b"}, "channel_mask": [0] * 64, "threshold_global": 30} | registers


def member(name: str, size: int | None = None, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    if size is not None:
        info.size = size
    return info


def archive(*members: tuple[tarfile.TarInfo | str, Any], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """A tar archive of (name or header, content): bytes, or anything that becomes JSON."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for head, content in members:
            content = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = member(head) if isinstance(head, str) else head
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def chips(**of_chip: dict[str, Any]) -> bytes:
    """A good archive: ``chips(c1_5_42=config(...))``."""
    names = {name: "-".join(name.removeprefix("c").split("_")) for name in of_chip}
    return archive(*((f"{FOLDER}/config_{names[name]}.json", content) for name, content in of_chip.items()))


def packet_file(
    folder: Path, daq_configs: bytes | None = None, stamp: str = "2024_07_03_10_00_00", rows: np.ndarray | None = None
) -> Path:
    """A packet file of run 7 with an archive in it."""
    path = folder / f"packet-0000007-{stamp}_UTC.hdf5"
    with PacketWriter(path, created=1.72e9, daq_configs=daq_configs) as writer:
        writer.write(some_packets(300) if rows is None else rows)
    return path


def put(path: Path, name: str, values: Any, **options: Any) -> Path:
    """Puts a dataset into a file, in the place of what is there."""
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        file.create_dataset(name, data=values, **options)
    return path


def archive_of(path: Path) -> bytes | None:
    """The archive that a file holds, for another one of the same content."""
    with h5py.File(path, locking=False) as file:  # it may be open here as the reader opens it
        return file["daq_configs"][:].tobytes() if "daq_configs" in file else None
