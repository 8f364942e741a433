"""The head of light files; their events come with the light plots."""

from __future__ import annotations

from pathlib import Path

from dqm.formats.hdf5 import UnreadableFile, read_head

RUN_BLOCK = b"Run#"


def light_run(path: Path) -> int | None:
    """The run number in the head of an MPD file (``Run#``, u4 length 4, u4 number); None where there is none."""
    try:
        head = read_head(path)
    except UnreadableFile:
        return None
    at = head.find(RUN_BLOCK)
    if at < 0 or len(head) < at + 12:
        return None
    return int.from_bytes(head[at + 8 : at + 12], "little") or None
