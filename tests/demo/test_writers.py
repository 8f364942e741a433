"""Raw and packet files as larpix-control lays them out."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from dqm.demo import Slice, slices
from dqm.formats import open_file
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.writers import CONFIGS_DTYPE, PACKET_CHUNK, PacketWriter, RawWriter
from tests.conftest import some_packets
from tests.demo.runs import rows_of, small_run


@pytest.fixture(scope="module")
def pieces() -> list[Slice]:
    return list(slices(small_run()))


def count(path: Path) -> int:
    with open_file(path) as reader:
        return sum(map(len, reader.blocks()))


def test_a_raw_file_has_the_layout_of_larpix_control(tmp_path: Path, pieces: list[Slice]) -> None:
    with RawWriter(tmp_path / "raw.h5", created=1.5e9) as writer:
        writer.write(pieces[0].payloads, pieces[0].io_groups)
    with h5py.File(tmp_path / "raw.h5") as file:
        assert dict(file["meta"].attrs) == {"version": "0.0", "io_version": "0.0", "created": 1.5e9, "modified": 1.5e9}
        messages, headers = file["msgs"], file["msg_headers"]
        assert h5py.check_vlen_dtype(messages.dtype) == np.uint8
        assert headers.dtype == np.dtype([("io_groups", "u1")])
        for dset in (messages, headers):
            assert dset.shape == (len(pieces[0].payloads),)
            assert (dset.chunks, dset.maxshape, dset.compression) == ((1024,), (None,), "gzip")
        assert all(map(np.array_equal, messages[:], pieces[0].payloads))


def test_messages_of_equal_length_stay_messages(tmp_path: Path) -> None:
    payloads = [np.full(24, number, np.uint8) for number in range(3)]
    with RawWriter(tmp_path / "raw.h5") as writer:
        writer.write(payloads, np.array([1, 2, 3]))
        writer.write([], np.zeros(0))
    with h5py.File(tmp_path / "raw.h5") as file:
        assert all(map(np.array_equal, file["msgs"][:], payloads))
        assert file["msg_headers"]["io_groups"].tolist() == [1, 2, 3]


def test_as_many_io_groups_as_messages_are_wanted(tmp_path: Path) -> None:
    with RawWriter(tmp_path / "raw.h5") as writer, pytest.raises(ValueError, match="1 messages but 2 io_groups"):
        writer.write([np.zeros(8, np.uint8)], np.array([1, 2]))


def test_a_raw_file_can_be_gone_on_with(tmp_path: Path, pieces: list[Slice]) -> None:
    path = tmp_path / "raw.h5"
    for number, piece in enumerate(pieces):
        with RawWriter(path, append=number > 0) as writer:
            writer.write(piece.payloads, piece.io_groups)
    assert count(path) == sum(piece.rows for piece in pieces)


def test_only_a_raw_file_can_be_gone_on_with(tmp_path: Path) -> None:
    with PacketWriter(tmp_path / "packets.h5"):
        pass
    with pytest.raises(ValueError, match="expected meta, msgs and msg_headers, got _header"):
        RawWriter(tmp_path / "packets.h5", append=True)
    with RawWriter(tmp_path / "new.h5"):
        pass
    with h5py.File(tmp_path / "new.h5", "r+") as file:
        file["meta"].attrs["version"] = "9.0"
    with pytest.raises(ValueError, match=r"raw version 9\.0, expected 0\.0"):
        RawWriter(tmp_path / "new.h5", append=True)


def test_a_packet_file_has_the_layout_of_larpix_control(tmp_path: Path) -> None:
    rows = some_packets(20_000)
    with PacketWriter(tmp_path / "packets.h5", created=1.5e9, daq_configs=b"tar") as writer:
        writer.write(rows[:3])
        writer.write(rows[3:3])
        writer.write(rows[3:])
        assert writer.rows == len(rows)
    with h5py.File(tmp_path / "packets.h5") as file:
        assert dict(file["_header"].attrs) == {"version": "2.4", "created": 1.5e9, "modified": 1.5e9}
        assert file["packets"].dtype == PACKET_DTYPE
        assert (file["packets"].chunks, file["packets"].compression) == ((PACKET_CHUNK,), None)
        assert "0: 'data'" in file["packets"].attrs["packet_types"]
        assert np.array_equal(file["packets"][:], rows)
        assert file["messages"].shape == file["configs"].shape == (0,)
        assert file["configs"].dtype == CONFIGS_DTYPE
        assert CONFIGS_DTYPE.itemsize == 250
        assert file["configs"].attrs["asic_version"] == "2"
        assert file["daq_configs"][:].tobytes() == b"tar"


def test_rows_of_other_columns_are_refused(tmp_path: Path) -> None:
    with PacketWriter(tmp_path / "packets.h5") as writer, pytest.raises(TypeError, match="expected the 22 columns"):
        writer.write(np.zeros(3, [("io_group", "u1")]))


def test_a_raw_file_can_be_followed_while_it_is_written(tmp_path: Path, pieces: list[Slice]) -> None:
    path = tmp_path / "raw.h5"
    with RawWriter(path, swmr=True) as writer:
        total = 0
        for piece in pieces:
            writer.write(piece.payloads, piece.io_groups)
            total += piece.rows
            with open_file(path) as reader:
                assert reader.state == "growing"
                assert sum(map(len, reader.blocks())) == total
    with open_file(path) as reader:
        assert reader.state == "ok"


def test_a_packet_file_can_be_followed_while_it_is_written(tmp_path: Path, pieces: list[Slice]) -> None:
    path = tmp_path / "packets.h5"
    with PacketWriter(path, swmr=True) as writer:
        for piece in pieces:
            writer.write(rows_of([piece]))
            with open_file(path) as reader:
                assert reader.state == "growing"
                assert sum(map(len, reader.blocks())) == writer.rows
