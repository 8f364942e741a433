"""PACMAN messages and LArPix-v2 words, to packet rows and back, whole arrays at a time.

Layout (larpix-control, ``format/pacman_msg_format.py`` and ``packet/packet_v2.py``): a message is a header of 8 bytes
(type, unix second u4, pad, number of words u2) and words of 16 bytes; a data word carries the io_channel, the receipt
timestamp and the 64 bits of the LArPix packet, bit 0 first.
"""

from __future__ import annotations

import numpy as np

from dqm.formats.columns import PACKET_DTYPE, PacketType
from dqm.kernels import loops_for

HEADER_BYTES = 8
WORD_BYTES = 16

HEADER = np.dtype([("kind", "S1"), ("unix", "<u4"), ("pad", "u1"), ("words", "<u2")])
WORD = np.dtype([("kind", "u1"), ("one", "u1"), ("counter", "<u4"), ("pad", "<u2"), ("bits", "<u8")])
# trigger and sync words put their counter two bytes later
SIGNAL = np.dtype([("kind", "u1"), ("one", "u1"), ("two", "u1"), ("pad", "u1"), ("counter", "<u4"), ("rest", "<u8")])

DATA_WORD, TRIGGER_WORD, SYNC_WORD = ord("D"), ord("T"), ord("S")
HEADER_WORD = 256
"""No word has this kind, which is a byte: it stands for the header of a message among its words."""
BLANK = np.zeros(WORD_BYTES - HEADER_BYTES, np.uint8)
BEHIND_BLANK = np.dtype([("blank", "V8"), ("header", HEADER)])

# field of a LArPix-v2 packet -> (first bit, number of bits)
BITS = {
    "packet_type": (0, 2),
    "chip_id": (2, 8),
    "channel_id": (10, 6),
    "timestamp": (16, 31),
    "first_packet": (47, 1),
    "dataword": (48, 8),
    "trigger_type": (56, 2),
    "local_fifo": (58, 2),
    "shared_fifo": (60, 2),
    "downstream_marker": (62, 1),
    "parity": (63, 1),
    "register_address": (10, 8),
    "register_data": (18, 8),
}


def field_of(bits: np.ndarray, name: str) -> np.ndarray:
    """Field `name` of LArPix-v2 packets given as u8, shape (n,)."""
    first, width = BITS[name]
    return (bits >> np.uint64(first)) & np.uint64((1 << width) - 1)


def has_odd_parity(bits: np.ndarray) -> np.ndarray:
    """Whether each u8 has an odd number of ones: a valid LArPix packet has."""
    return (np.bitwise_count(bits) & 1).astype(bool)


def are_cut_short(payloads: list[np.ndarray]) -> np.ndarray:
    """Whether each PACMAN message is cut short, or holds bytes beyond its last whole word."""
    sizes = np.fromiter((len(payload) for payload in payloads), np.int64, len(payloads))
    return (sizes < HEADER_BYTES) | ((sizes - HEADER_BYTES) % WORD_BYTES != 0)


def decode(payloads: list[np.ndarray], io_groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Packet rows of PACMAN messages (u1 arrays): one timestamp row for each, then its words in order.

    Returns the rows (PACKET_DTYPE), the row at which each message starts, and the number of messages that were cut short
    or hold bytes beyond their last whole word. Words of other kinds (register access, ping, errors) give no row.
    """
    sizes = np.fromiter((len(payload) for payload in payloads), np.int64, len(payloads))
    n_words = np.maximum(sizes - HEADER_BYTES, 0) // WORD_BYTES
    whole = sizes >= HEADER_BYTES
    damaged = int(np.count_nonzero(are_cut_short(payloads)))
    payloads = [payload for payload, good in zip(payloads, whole, strict=True) if good]
    io_groups, n_words = np.asarray(io_groups)[whole], n_words[whole]
    if not payloads:
        return np.zeros(0, PACKET_DTYPE), np.zeros(len(sizes), np.int64), damaged

    # a header fills half a word: behind as many blank bytes each message is whole words, one for each of its rows
    stop = HEADER_BYTES + n_words * WORD_BYTES
    pieces: list[np.ndarray] = [BLANK] * (2 * len(payloads))
    pieces[1::2] = [payload[:end] for payload, end in zip(payloads, stop.tolist(), strict=True)]
    words = np.concatenate(pieces).view(WORD)
    if loops := loops_for(len(words)):
        rows, starts = np.empty(len(words), PACKET_DTYPE), np.empty(len(payloads), np.int64)
        lines, quads = rows.view("<u4").reshape(-1, 9), words.view("<u4").reshape(-1, 4)
        rows = rows[: loops.decode(quads, n_words, io_groups.astype(np.uint32), lines, starts)]
        return rows, _every_start(whole, starts, len(rows)), damaged
    starts = np.concatenate([[0], np.cumsum(n_words[:-1] + 1)]).astype(np.int64)
    header = words.view(BEHIND_BLANK)["header"][starts]
    kind = words["kind"].astype(np.int16)
    kind[starts] = HEADER_WORD
    known = (kind == DATA_WORD) | (kind == HEADER_WORD) | (kind == TRIGGER_WORD) | (kind == SYNC_WORD)
    if not known.all():
        starts -= np.cumsum(~known)[starts]
        words, kind = words[known], kind[known]

    rows = np.zeros(len(words), PACKET_DTYPE)
    rows["io_group"] = np.repeat(io_groups, np.diff(starts, append=len(words)))
    _fill_data(rows, words, kind)
    _fill_signals(rows, words.view(SIGNAL), kind)
    rows["packet_type"][starts] = PacketType.TIMESTAMP
    rows["timestamp"][starts] = header["unix"]
    return rows, _every_start(whole, starts, len(rows)), damaged


def _every_start(whole: np.ndarray, starts: np.ndarray, n_rows: int) -> np.ndarray:
    """The row at which each message starts; `starts` are those of the whole ones, others have no rows."""
    every = np.zeros(len(whole), np.int64)
    every[whole] = starts
    every[~whole] = np.append(starts, n_rows)[np.cumsum(whole)[~whole]]
    return every


def _fill_data(rows: np.ndarray, words: np.ndarray, kind: np.ndarray) -> None:
    """The fields of data words, worked out for all words: most are data."""
    others = np.flatnonzero(kind != DATA_WORD)
    bits = np.ascontiguousarray(words["bits"])
    for name in BITS:
        rows[name] = field_of(bits, name)
    rows["valid_parity"] = has_odd_parity(bits)
    rows["io_channel"], rows["receipt_timestamp"] = words["one"], words["counter"]
    io_groups = rows["io_group"][others]
    rows[others] = np.zeros(1, PACKET_DTYPE)
    rows["io_group"][others] = io_groups


def _fill_signals(rows: np.ndarray, signals: np.ndarray, kind: np.ndarray) -> None:
    for word, packet_type in ((TRIGGER_WORD, PacketType.TRIGGER), (SYNC_WORD, PacketType.SYNC)):
        chosen = np.flatnonzero(kind == word)
        rows["packet_type"][chosen] = packet_type
        rows["trigger_type"][chosen] = signals["one"][chosen]
        rows["timestamp"][chosen] = signals["counter"][chosen]
        if packet_type is PacketType.SYNC:
            rows["dataword"][chosen] = signals["two"][chosen] & 1  # bit 0: clock source


def with_fifo_diagnostics(rows: np.ndarray) -> np.ndarray:
    """Rows of chips that were set to count their FIFOs: the counts stand in the upper bits of the timestamp.

    Of the packet bits 16 to 31 are then the timestamp, 32 to 43 what is in the shared FIFO, 44 and 45 in the local one.
    """
    rows = rows.copy()
    chips = rows["packet_type"] <= PacketType.CONFIG_READ
    stamp = rows["timestamp"]
    rows["shared_fifo_events"] = np.where(chips, stamp >> np.uint64(16) & np.uint64(0xFFF), 0)
    rows["local_fifo_events"] = np.where(chips, stamp >> np.uint64(28) & np.uint64(3), 0)
    rows["fifo_diagnostics_enabled"] = chips
    rows["timestamp"] = np.where(chips, stamp & np.uint64(0xFFFF), stamp)
    return rows


def encode_bits(fields: dict[str, np.ndarray]) -> np.ndarray:
    """LArPix-v2 packets as u8, shape (n,), from their fields, with the parity bit set so that they are valid."""
    bits = np.zeros(len(next(iter(fields.values()))), np.uint64)
    for name, values in fields.items():
        first, width = BITS[name]
        bits |= (values.astype(np.uint64) & np.uint64((1 << width) - 1)) << np.uint64(first)
    even = ~has_odd_parity(bits)
    return bits | (even.astype(np.uint64) << np.uint64(BITS["parity"][0]))


def data_words(io_channel: np.ndarray, receipt: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """PACMAN data words (WORD) around LArPix packets."""
    words = np.zeros(len(bits), WORD)
    words["kind"], words["one"], words["counter"], words["bits"] = DATA_WORD, io_channel, receipt, bits
    return words


def signal_words(kind: int, one: np.ndarray, two: np.ndarray, counter: np.ndarray) -> np.ndarray:
    """PACMAN sync words (one: kind, two: clock source) or trigger words (one: trigger bits), as WORD."""
    signals = np.zeros(len(counter), SIGNAL)
    signals["kind"], signals["one"], signals["two"], signals["counter"] = kind, one, two, counter
    return signals.view(WORD)


def message(unix: int, words: np.ndarray) -> np.ndarray:
    """One PACMAN data message as bytes (u1) from its words (WORD)."""
    header = np.zeros(1, HEADER)
    header["kind"], header["unix"], header["words"] = b"D", unix, min(len(words), 0xFFFF)
    return np.concatenate([header.view("u1"), words.view("u1")])
