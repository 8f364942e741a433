"""Raw PACMAN messages to a packet file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from dqm.formats import words
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.configuration import copy_archive
from dqm.formats.packets import Packets
from dqm.formats.reader import Reader
from dqm.formats.writers import PacketWriter


def convert_raw(
    reader: Reader,
    path: Path,
    compression: Literal["gzip"] | None = None,
    progress: Callable[[float], None] | None = None,
    fifo_diagnostics: bool = False,
) -> int:
    """Writes all packets of `reader` to a packet file, whole or not at all; number of packets written.

    The archive of chip configurations goes with them. `fifo_diagnostics`: the chips counted what is in their FIFOs, in the
    upper bits of the timestamp; nothing in a raw file says so.
    """
    part = path.with_name(f".{path.name}.part")
    written = 0
    try:
        with PacketWriter(part, compression=compression) as writer:
            reader.faults += copy_archive(reader._file, writer._file)
            for packets in reader.blocks():
                rows = rows_of_today(packets)
                writer.write(words.with_fifo_diagnostics(rows) if fifo_diagnostics else rows)
                written += len(rows)
                if progress:
                    progress(reader.fraction_done)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return written


def rows_of_today(packets: Packets) -> np.ndarray:
    """The packets as rows of all 22 columns; no copy when that is what they were read as."""
    if packets.source is not None and packets.source[0].dtype == PACKET_DTYPE:
        return packets.source[0]
    rows = np.empty(len(packets), PACKET_DTYPE)
    for name in PACKET_DTYPE.names or ():
        rows[name] = packets[name]
    return rows
