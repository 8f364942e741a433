"""Rows as an open file in memory: what h5py does with the packets of a real file, it does with them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import larpix.format.hdf5format as theirs
import numpy as np
import pytest

from dqm.demo import DemoRun, demo_rows, take_run
from dqm.formats import open_file
from dqm.formats.as_file import CONFIGS, MESSAGES, PacketFile, plain_rows
from dqm.formats.beside import MOST_BYTES, Beside
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.writers import PacketWriter


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return demo_rows()[:5000]


@pytest.fixture(scope="module")
def both(rows: np.ndarray) -> Iterator[tuple[h5py.Dataset, h5py.Dataset]]:
    """The packets in memory, and the same in a real file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packets.h5"
        with h5py.File(path, "w") as file:
            file["packets"] = rows
        with h5py.File(path, "r") as real, PacketFile(rows, Beside()) as made:
            yield made["packets"], real["packets"]


EXPRESSIONS = [
    "d[:]", "d[()]", "d[...]", "d['timestamp']", "d[3:90:7]", "d[-5:]", "d[5]", "d[np.int64(5)]", "d[[1, 4, 7]]", "d[mask]",
    "d[mask]['dataword']", "d['dataword'][mask]", "d['dataword', mask]", "d['io_group', 'chip_id']", "d[['io_group']]",
    "d[2:9, 'io_group', 'chip_id']", "d[mask][['io_group', 'io_channel', 'chip_id', 'channel_id']]", "d[list(mask)]",
    "d.fields('timestamp')[:]", "d.fields(['io_group', 'dataword'])[mask]", "d.fields('dataword')[2:4]", "d.fields('x')[:]",
    "np.unique(d[mask][['io_group', 'chip_id']], return_counts=True)[1]", "np.asarray(d)", "len(d)", "d.shape", "d.dtype",
    "d['packet_type'] == 4", "np.split(d['timestamp'], [3, 9])[1]", "d['nope']", "d[mask[:7]]", "d[10**7]", "d[::-1]",
    "d[None]", "d[1.5]", "d[np.arange(3, 30)]", "d[0:0]", "d[10**7:]", "d.ndim", "d.size", "d.name", "d.maxshape",
    "d[mask, 'io_group']",
    "d.read_direct(out) or out", "list(d.iter_chunks(np.s_[0:5])) if d.chunks else None", "d.astype('u1')['io_group']",
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_packets_answer_as_those_of_a_real_file(both: tuple, rows: np.ndarray, expression: str) -> None:
    answers: list[Any] = []
    for dset in both:
        around = {"d": dset, "np": np, "mask": rows["packet_type"] == 0, "out": np.zeros(len(rows), rows.dtype)}
        try:
            answers.append(eval(expression, around))
        except Exception as error:
            answers.append(type(error))
    one, other = answers
    assert type(one) is type(other)
    assert getattr(one, "dtype", None) == getattr(other, "dtype", None)
    assert np.array_equal(one, other)
    if isinstance(one, np.ndarray):
        assert one.flags.writeable
        assert not np.shares_memory(one, rows)


def test_the_columns_are_those_of_larpix_control() -> None:
    for name, dtype in (("packets", PACKET_DTYPE), ("messages", MESSAGES), ("configs", CONFIGS)):
        assert np.dtype(theirs.dtypes["2.4"][name]) == dtype


def test_it_is_a_read_only_h5py_file_under_the_name_of_its_own(rows: np.ndarray) -> None:
    with PacketFile(rows, Beside("/data/packet_1.h5", {"created": 7.5})) as fh:
        assert isinstance(fh, h5py.File)
        assert isinstance(fh["packets"], h5py.Dataset)
        assert isinstance(fh.get("packets"), h5py.Dataset)
        assert fh.filename == "/data/packet_1.h5"
        assert set(fh.keys()) == {"_header", "meta", "packets", "messages", "configs"}
        assert "packets" in fh
        assert "nothing" not in fh
        assert fh["meta"].attrs["created"] == fh["_header"].attrs["created"] == 7.5
        assert fh["_header"].attrs["version"] == "2.4"
        assert "7: 'trigger'" in fh["packets"].attrs["packet_types"]
        assert len(fh["messages"]) == len(fh["configs"]) == 0
        with pytest.raises(OSError, match="no write intent"):
            fh["packets"][0] = rows[1]
        with pytest.raises(ValueError, match="no write intent"):
            fh.create_group("mine")


def test_rows_that_are_stored_otherwise_come_in_the_order_of_larpix_control(rows: np.ndarray) -> None:
    order = [*reversed(PACKET_DTYPE.names or ()), "more"]
    odd = np.zeros(len(rows), [(name, "u1" if name == "more" else PACKET_DTYPE[name]) for name in order])
    for name in PACKET_DTYPE.names or ():
        odd[name] = rows[name]
    plain = plain_rows(odd)
    assert plain.dtype.names == (*(PACKET_DTYPE.names or ()), "more")
    assert np.array_equal(plain["timestamp"], rows["timestamp"])


def beside(path: Path) -> Beside:
    with open_file(path) as reader:
        block = next(reader.blocks())
        assert block.beside is not None
        assert block.beside() is block.beside(), "looked up once"
        return block.beside()


def test_a_file_of_packets_brings_what_it_holds_beside_them(tmp_path: Path, rows: np.ndarray) -> None:
    path = tmp_path / "packets.h5"
    with PacketWriter(path, created=5.0) as writer:
        writer.write(rows)
    with h5py.File(path, "r+") as file:
        for name in ("messages", "configs"):
            file.pop(name, None)
        file["messages"] = np.array([(b"hello", 3, 0)], MESSAGES)
        file["configs"] = np.zeros(2, CONFIGS)
        file["configs"].attrs["asic_version"] = "2b"
        file["daq_configs"] = h5py.ExternalLink("other.h5", "/secret")
        file["large"] = np.zeros(3)
    found = beside(path)
    with PacketFile(rows, found) as fh:
        assert fh.filename == str(path)
        assert fh["_header"].attrs["created"] == 5.0
        assert fh["messages"]["message"][0] == b"hello"
        assert len(fh["configs"]) == 2
        assert fh["configs"].attrs["asic_version"] == "2b"
        assert "daq_configs" not in fh, "no link that leads out of a file is followed"
        assert "large" not in fh


def test_a_dataset_beside_the_packets_that_is_large_is_left_out(tmp_path: Path, rows: np.ndarray) -> None:
    path = tmp_path / "packets.h5"
    with PacketWriter(path) as writer:
        writer.write(rows)
    with h5py.File(path, "r+") as file:
        file.pop("configs", None)
        file.create_dataset("configs", shape=(MOST_BYTES,), dtype=CONFIGS, chunks=(10,), compression="gzip")
    assert "configs" not in beside(path).datasets


def test_a_raw_file_is_given_as_the_packet_file_that_would_be_made_of_it(tmp_path: Path) -> None:
    taken = take_run(DemoRun(duration_s=2).busier(0.1), tmp_path)
    (subrun,) = taken.subruns
    assert subrun.raw
    assert subrun.packets
    with open_file(subrun.raw) as raw:
        rows = np.concatenate([block.source[0] for block in raw.blocks() if block.source])
    with PacketFile(plain_rows(rows), beside(subrun.raw)) as fh, h5py.File(subrun.packets) as real:
        assert fh["packets"].dtype == real["packets"].dtype
        assert np.array_equal(fh["packets"][:], real["packets"][:])
        assert fh["_header"].attrs["version"] == real["_header"].attrs["version"]
        assert "created" in fh["meta"].attrs
