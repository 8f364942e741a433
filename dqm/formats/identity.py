"""Which file is it: the same datum as another, the same file as another. Told by content, never by name or inode."""

from __future__ import annotations

import hashlib

import numpy as np

from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.hdf5 import READ_ERRORS, UnreadableFile, one_line
from dqm.formats.reader import Reader

HEAD_ROWS = 64
HEAD_COLUMNS = (
    "packet_type",
    "io_group",
    "io_channel",
    "chip_id",
    "channel_id",
    "timestamp",
    "dataword",
    "receipt_timestamp",
)
DIGITS = 32


def head_of(reader: Reader) -> str | None:
    """Hash of the first HEAD_ROWS rows: equal for a raw file and the packet file made from it, and while a file grows.

    None as long as it has fewer rows, for a file without rows, and when its first rows cannot be read. A file that its
    writer has closed is told by the rows it has.
    """
    try:
        rows = reader.first_rows(HEAD_ROWS)
    except READ_ERRORS:
        return None
    if not len(rows) or (len(rows) < HEAD_ROWS and not reader.closed_by_writer):
        return None
    head = np.zeros(len(rows), [(name, PACKET_DTYPE[name]) for name in HEAD_COLUMNS])
    for name in HEAD_COLUMNS:
        if name in (rows.dtype.names or ()):
            head[name] = rows[name]
    return hashlib.sha256(head.tobytes()).hexdigest()[:DIGITS]


def identity_of(reader: Reader) -> str:
    """Fingerprint of a closed file: equal for a copy, a link, a moved file; it reads little of a large one.

    From the format, when it was created, how much there is, and some of it from the start, the middle and the end.
    Raises UnreadableFile while the file is being written.
    """
    if not reader.closed_by_writer:
        raise UnreadableFile("is being written: it is known by a fingerprint when it is closed", "growing")
    digest = hashlib.sha256()
    try:
        for part in (reader.kind.format.encode(), (reader.created or "").encode(), *reader.extracts()):
            digest.update(len(part).to_bytes(8, "little") + part)
    except READ_ERRORS as error:
        raise UnreadableFile(f"cannot be read: {one_line(error)}") from None
    return digest.hexdigest()[:DIGITS]
