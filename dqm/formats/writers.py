"""Raw PACMAN files and LArPix+HDF5 packet files, laid out as larpix-control does (raw 0.0, packets 2.4)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import h5py
import numpy as np

from dqm.formats.columns import PACKET_DTYPE

RAW_VERSION = "0.0"
RAW_CHUNK = 1024
HEADERS_DTYPE = np.dtype([("io_groups", "u1")])

PACKET_VERSION = "2.4"
# larpix-control takes 864; whole chunks of 8,192 rows (288 KiB) read about as fast as the disk gives them
PACKET_CHUNK = 8192
MESSAGES_DTYPE = np.dtype([("message", "S64"), ("timestamp", "<u8"), ("index", "<u4")])
REGISTERS = 239
CONFIGS_DTYPE = np.dtype(
    [
        ("timestamp", "<u8"),
        ("io_group", "u1"),
        ("io_channel", "u1"),
        ("chip_id", "u1"),
        ("registers", "u1", (REGISTERS,)),
    ]
)
PACKET_TYPES = """
0: 'data',
1: 'test',
2: 'config write',
3: 'config read',
4: 'timestamp',
5: 'message',
6: 'sync',
7: 'trigger',
"""

DAQ_CONFIGS = "daq_configs"
DAQ_CONFIGS_CHUNK = 1 << 18

Compression = Literal["gzip"] | None


class _Writer:
    """An open file; closes itself as a context manager. With `swmr`, readers may follow it and see each `write`."""

    def __init__(self, file: h5py.File, swmr: bool):
        self._file = file
        if swmr:
            file.swmr_mode = True

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class RawWriter(_Writer):
    """A raw PACMAN file: `write` takes messages (u1 arrays) and their io_groups.

    `created` [unix s] stands in the file and defaults to now. `append` goes on with an existing file of this layout.
    `daq_configs` is a tar archive of chip configurations, as bytes.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        created: float | None = None,
        daq_configs: bytes | None = None,
        append: bool = False,
        swmr: bool = False,
    ):
        file = h5py.File(path, "r+" if append else "w", libver="latest")
        try:
            if append:
                _check_raw(file, path)
            else:
                _create_raw(file, time.time() if created is None else created, daq_configs)
            self._messages, self._headers = file["msgs"], file["msg_headers"]
            self.messages = len(self._headers)
            super().__init__(file, swmr)
        except BaseException:
            file.close()
            raise

    def write(self, payloads: Sequence[np.ndarray], io_groups: np.ndarray) -> None:
        """Appends messages (u1 arrays of any length) with the io_group that each came from."""
        if len(payloads) != len(io_groups):
            raise ValueError(f"{len(payloads)} messages but {len(io_groups)} io_groups, expected as many")
        if not len(payloads):
            return
        first, self.messages = self.messages, self.messages + len(payloads)
        headers = np.zeros(len(payloads), HEADERS_DTYPE)
        headers["io_groups"] = io_groups
        # a list: from an object array of messages of equal length h5py would make one array of two dimensions;
        # headers last: a reader that follows takes the shorter of the two, so it never sees a message half written
        for dset, new in ((self._messages, list(payloads)), (self._headers, headers)):
            dset.resize((self.messages,))
            dset[first:] = new
        if self._file.swmr_mode:
            self._file.flush()  # of the whole file: the bytes of messages lie in a heap beside the datasets


def _create_raw(file: h5py.File, created: float, daq_configs: bytes | None) -> None:
    meta = file.create_group("meta").attrs
    meta["version"], meta["io_version"] = RAW_VERSION, RAW_VERSION
    meta["created"], meta["modified"] = float(created), float(created)
    for name, dtype in (("msgs", h5py.vlen_dtype(np.dtype("u1"))), ("msg_headers", HEADERS_DTYPE)):
        file.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(RAW_CHUNK,), compression="gzip")
    _put_daq_configs(file, daq_configs)


def _check_raw(file: h5py.File, path: str | Path) -> None:
    if not {"meta", "msgs", "msg_headers"} <= set(file):
        raise ValueError(f"{path}: expected meta, msgs and msg_headers, got {', '.join(sorted(file)) or 'nothing'}")
    version = file["meta"].attrs.get("version")
    if version != RAW_VERSION:
        raise ValueError(f"{path}: raw version {version}, expected {RAW_VERSION}")


class PacketWriter(_Writer):
    """A packet file: `write` takes rows (formats.columns.PACKET_DTYPE).

    `created` [unix s] stands in the file and defaults to now. `daq_configs` is a tar archive of chip configurations.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        compression: Compression = None,
        created: float | None = None,
        daq_configs: bytes | None = None,
        chunk_rows: int = PACKET_CHUNK,
        swmr: bool = False,
    ):
        file = h5py.File(path, "w", libver="latest" if swmr else None)
        try:
            _create_packets(file, time.time() if created is None else created, compression, chunk_rows)
            _put_daq_configs(file, daq_configs)
            self._packets = file["packets"]
            self.rows = 0
            super().__init__(file, swmr)
        except BaseException:
            file.close()
            raise

    def write(self, rows: np.ndarray) -> None:
        """Appends rows of PACKET_DTYPE."""
        if rows.dtype != PACKET_DTYPE:
            raise TypeError(f"rows have dtype {rows.dtype}, expected the 22 columns of PACKET_DTYPE")
        if not len(rows):
            return
        first, self.rows = self.rows, self.rows + len(rows)
        self._packets.resize((self.rows,))
        self._packets[first:] = rows
        if self._file.swmr_mode:
            self._packets.flush()


def _create_packets(file: h5py.File, created: float, compression: Compression, chunk_rows: int) -> None:
    header = file.create_group("_header").attrs
    header["version"] = PACKET_VERSION
    header["created"], header["modified"] = float(created), float(created)
    packets = file.create_dataset(
        "packets", (0,), PACKET_DTYPE, maxshape=(None,), chunks=(chunk_rows,), compression=compression
    )
    packets.attrs["packet_types"] = PACKET_TYPES
    file.create_dataset("messages", (0,), MESSAGES_DTYPE, maxshape=(None,))
    configs = file.create_dataset("configs", (0,), CONFIGS_DTYPE, maxshape=(None,))
    configs.attrs["asic_version"] = "2"


def _put_daq_configs(file: h5py.File, archive: bytes | None) -> None:
    if archive is not None:
        content = np.frombuffer(archive, np.uint8)
        file.create_dataset(
            DAQ_CONFIGS, data=content, chunks=(min(DAQ_CONFIGS_CHUNK, len(content)),), compression="gzip"
        )
