"""Small good files of every format that has packets in it, to be damaged: each unlike the others in how HDF5 lays it out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dqm.formats import words
from dqm.formats.columns import PACKET_DTYPE, V1_NAMES
from tests.conftest import some_packets

ROWS = 300
MESSAGES = 120

V1_DTYPE = np.dtype(
    [
        ("chip_key", "S32"), ("type", "u1"), ("chipid", "u1"), ("parity", "u1"), ("valid_parity", "u1"),
        ("channel", "u1"), ("timestamp", "<u8"), ("adc_counts", "u1"), ("fifo_half", "u1"), ("fifo_full", "u1"),
        ("register", "u1"), ("value", "u1"), ("counter", "<u4"), ("direction", "u1"),
    ]
)  # fmt: skip
V0_DTYPE = np.dtype([(name, V1_DTYPE[name]) for name in V1_DTYPE.names or () if name != "direction"])
# the 2020 files of version 2.3 have a narrower column
V23_DTYPE = np.dtype(
    [(name, "u1" if name == "shared_fifo_events" else PACKET_DTYPE[name]) for name in PACKET_DTYPE.names or ()]
)
FLOW_DTYPE = np.dtype([("id", "<i8"), *[(name, PACKET_DTYPE[name]) for name in PACKET_DTYPE.names or ()]])

# how the dataset of each format lies in the file: contiguous, in chunks, with filters, with the structures of new files
LAYOUTS: dict[str, dict[str, Any]] = {
    "packets 0.0": {"chunks": (64,)},
    "packets 1.0": {},
    "packets 2.0": {"chunks": (64,), "fletcher32": True},
    "packets 2.1": {"chunks": (50,), "maxshape": (None,), "libver": "latest"},
    "packets 2.2": {"chunks": (64,), "compression": "lzf"},
    "packets 2.3": {"chunks": (300,), "compression": "gzip", "libver": "latest"},
    "packets 2.4": {"chunks": (64,), "maxshape": (None,), "compression": "gzip", "shuffle": True},
    "flow": {"chunks": (64,), "maxshape": (None,), "compression": "gzip"},
    "sim": {"chunks": (100,), "maxshape": (ROWS * 2,), "compression": "gzip", "libver": "latest"},
    "raw": {"chunks": (32,), "maxshape": (None,), "compression": "gzip", "libver": "latest"},
    "raw as larpix-control": {"chunks": (32,), "maxshape": (None,), "compression": "gzip"},
}
FORMATS = tuple(LAYOUTS)
DTYPES = {"packets 0.0": V0_DTYPE, "packets 1.0": V1_DTYPE, "packets 2.3": V23_DTYPE, "flow": FLOW_DTYPE}


def is_raw(form: str) -> bool:
    return form.startswith("raw")


def main_dataset(form: str) -> str:
    """Where the packets (or messages) of a format are."""
    if is_raw(form):
        return "msgs"
    return {"packets 0.0": "raw_packet", "flow": "charge/packets/data"}.get(form, "packets")


def version_of(form: str) -> str:
    return form.removeprefix("packets ") if form.startswith("packets ") else "2.4"


def good_rows(form: str, n: int = ROWS, seed: int = 1) -> np.ndarray:
    """Rows as the format stores them."""
    today = some_packets(n, seed)
    dtype = DTYPES.get(form, PACKET_DTYPE)
    rows = np.zeros(n, dtype)
    if "chip_key" in (dtype.names or ()):
        for old, new in V1_NAMES.items():
            if old in (dtype.names or ()):
                rows[old] = today[new]
        rows["chip_key"] = [f"{g}-{c}-{chip}".encode() for g, c, chip in today[["io_group", "io_channel", "chip_id"]]]
        return rows
    for name in PACKET_DTYPE.names or ():
        rows[name] = today[name]
    return rows


def good_messages(n: int = MESSAGES, seed: int = 1) -> tuple[list[np.ndarray], np.ndarray]:
    """PACMAN messages and the io_group of each: data, syncs, triggers, from no words to twenty."""
    random = np.random.default_rng(seed)
    payloads = []
    for number, length in enumerate(random.integers(0, 20, n).tolist()):
        ticks = np.arange(length) * 1000 + number * 20_000
        bits = words.encode_bits({"timestamp": ticks, "dataword": ticks % 256, "chip_id": np.full(length, 12)})
        data = words.data_words(np.full(length, 3), ticks + 200, bits)
        if number % 10 == 0:
            signal = words.signal_words(words.SYNC_WORD, np.array([ord("S")]), np.zeros(1), np.array([10_000_001]))
            data = np.concatenate([data, signal])
        if number % 17 == 0:
            signal = words.signal_words(words.TRIGGER_WORD, np.array([2]), np.zeros(1), np.array([77]))
            data = np.concatenate([data, signal])
        payloads.append(words.message(1_700_000_000 + seed + number // 10, data))
    return payloads, np.arange(n) % 2 + 1


def write(form: str, path: Path, seed: int = 1, rows: np.ndarray | None = None, **layout: Any) -> Path:
    """A file of a format; `rows` and `layout` (options of h5py's create_dataset, and libver) in place of the good ones."""
    options = LAYOUTS[form] | layout
    libver = options.pop("libver", None)
    with h5py.File(path, "w", libver=libver) as file:
        if is_raw(form):
            _write_raw(file, seed, options)
        else:
            _write_table(file, form, good_rows(form, seed=seed) if rows is None else rows, options)
    return path


def _write_raw(file: h5py.File, seed: int, options: dict[str, Any]) -> None:
    payloads, io_groups = good_messages(seed=seed)
    meta = file.create_group("meta").attrs
    meta["version"], meta["io_version"] = "0.0", "0.0"
    meta["created"], meta["modified"] = 1.7e9 + seed, 1.7e9 + seed
    messages = file.create_dataset("msgs", (len(payloads),), h5py.vlen_dtype(np.dtype("u1")), **options)
    messages[:] = payloads
    headers = np.zeros(len(payloads), [("io_groups", "u1")])
    headers["io_groups"] = io_groups
    file.create_dataset("msg_headers", data=headers, **options)


def _write_table(file: h5py.File, form: str, rows: np.ndarray, options: dict[str, Any]) -> None:
    if form == "flow":
        file.create_group("run_info").attrs["run"] = 5
        file.create_dataset("charge/events/data", data=np.zeros(3, [("id", "<i8"), ("nhit", "<u4")]))
    else:
        header = file.create_group("_header").attrs
        header["version"] = version_of(form)
        header["created"], header["modified"] = 1.7e9, 1.7e9
    if form == "sim":
        file["mc_packets_assn"] = np.zeros(len(rows), [("event_ids", "<i8", (2,)), ("fraction", "<f8", (2,))])
        file["segments"] = np.zeros(2, [("event_id", "<u4"), ("dE", "<f4")])
        file["trajectories"] = np.zeros(2, [("event_id", "<u4")])
    file.create_dataset(main_dataset(form), data=rows, **options)
    if form.startswith("packets 2") or form == "sim":
        file[main_dataset(form)].attrs["packet_types"] = "0: 'data'"
        file.create_dataset("messages", data=np.zeros(0, [("message", "S64")]), maxshape=(None,), chunks=(8,))
    if form == "packets 2.4":
        configs = file.create_dataset("configs", data=np.zeros(2, [("registers", "u1", (239,))]))
        configs.attrs["asic_version"] = "2"


def change(form: str, path: Path, change_it: Callable[[h5py.File], Any], seed: int = 1) -> None:
    """A good file, then changed while it is open for writing."""
    write(form, path, seed)
    with h5py.File(path, "r+") as file:
        change_it(file)
