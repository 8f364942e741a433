"""Raw PACMAN messages to a packet file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.reader import Reader
from dqm.formats.writers import PacketWriter


def convert_raw(
    reader: Reader,
    path: Path,
    compression: Literal["gzip"] | None = None,
    progress: Callable[[float], None] | None = None,
) -> int:
    """Writes all packets of `reader` to a packet file, whole or not at all; number of packets written."""
    part = path.with_name(f".{path.name}.part")
    written = 0
    try:
        with PacketWriter(part, compression=compression) as writer:
            for packets in reader.blocks():
                rows = np.empty(len(packets), PACKET_DTYPE)
                for name in PACKET_DTYPE.names or ():
                    rows[name] = packets[name]
                writer.write(rows)
                written += len(rows)
                if progress:
                    progress(reader.fraction_done)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return written
