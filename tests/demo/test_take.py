"""The files that a run leaves, and what the DAQ's own library makes of them."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from dqm.demo import DemoRun, Taken, take_run
from dqm.demo import take as take_module
from dqm.demo.channels import Channels, daq_configs
from dqm.detector import demo_detector
from dqm.formats import open_file
from dqm.formats.columns import PACKET_DTYPE, TICKS_PER_SECOND
from dqm.formats.names import parse_name
from tests.demo.runs import small_run


def read_all(path: Path) -> dict[str, np.ndarray]:
    """All columns of a file, with the times that the reader adds."""
    with open_file(path, demo_detector()) as reader:
        blocks = list(reader.blocks())
        assert not reader.faults
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0].columns}


def test_the_raw_file_and_the_packet_file_are_one_datum(taken: Taken) -> None:
    assert taken.raw is not None
    assert taken.packets is not None
    raw, packets = read_all(taken.raw), read_all(taken.packets)
    assert set(PACKET_DTYPE.names or ()) < set(raw) == set(packets)
    for name in raw:
        assert np.array_equal(raw[name], packets[name]), name


def test_files_are_named_as_the_daq_names_them(taken: Taken, run: DemoRun) -> None:
    assert taken.raw is not None
    assert taken.packets is not None
    assert taken.raw.name == "binary-0000001-2024_07_03_09_46_40_UTC.h5"
    assert taken.packets.name == "packet-0000001-2024_07_03_09_46_40_UTC.hdf5"
    for path in (taken.raw, taken.packets):
        name = parse_name(path)
        assert name.run == 1
        assert name.start is not None
        assert name.start.timestamp() == run.start_unix
    assert sorted(path.name for path in taken.raw.parent.iterdir()) == [taken.raw.name, taken.packets.name]


def test_taking_a_run_again_gives_the_same_files_byte_for_byte(taken: Taken, run: DemoRun, tmp_path: Path) -> None:
    assert taken.raw is not None
    assert taken.packets is not None
    again = take_run(run, tmp_path)
    assert again.raw is not None
    assert again.packets is not None
    assert again.raw.read_bytes() == taken.raw.read_bytes()
    assert again.packets.read_bytes() == taken.packets.read_bytes()
    assert again.truth == taken.truth


def test_gzip_packs_the_same_rows(taken: Taken, run: DemoRun, tmp_path: Path) -> None:
    assert taken.packets is not None
    packed = take_run(run, tmp_path, raw=False, compression="gzip")
    assert packed.raw is None
    assert packed.packets is not None
    assert packed.packets.stat().st_size < taken.packets.stat().st_size
    with h5py.File(packed.packets) as a, h5py.File(taken.packets) as b:
        assert np.array_equal(a["packets"][:], b["packets"][:])


def test_the_truth_is_json(taken: Taken, tmp_path: Path) -> None:
    assert json.loads(json.dumps(taken.truth, allow_nan=False)) is not None
    endless = take_run(DemoRun.of_packets(2000, small_run()), tmp_path, raw=False)
    assert json.loads(json.dumps(endless.truth, allow_nan=False))["config"]["duration_s"] is None
    assert 0 < endless.truth["duration_s"] < 1


def test_both_files_carry_the_chip_configurations(taken: Taken, run: DemoRun) -> None:
    assert taken.raw is not None
    assert taken.packets is not None
    for path in (taken.raw, taken.packets):
        with h5py.File(path) as file:
            assert file["daq_configs"].dtype == np.uint8
            content = file["daq_configs"][:].tobytes()
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            names = archive.getnames()
            config = json.load(archive.extractfile(names[0]))  # type: ignore[arg-type]
        assert len(names) == len(set(names)) == 16 * 100 - 1
        dead = taken.truth["dead_chips"][0]
        assert f"demo/asic_configs/config_{dead}.json" not in names
        assert names[0].startswith("demo/asic_configs/config_1-1-11")
        assert len(config["channel_mask"]) == len(config["pixel_trim_dac"]) == 64
        assert config["channel_mask"][6] == 1, "a channel that is not routed is masked"
        assert isinstance(config["threshold_global"], int)
    assert content == daq_configs(Channels.of(run, demo_detector()))


def test_disabled_channels_are_masked_in_the_configurations(taken: Taken, run: DemoRun) -> None:
    content = daq_configs(Channels.of(run, demo_detector()))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for label in taken.truth["disabled_channels"][:20]:
            chip, _, channel = label.rpartition("-")
            config = json.load(archive.extractfile(f"demo/asic_configs/config_{chip}.json"))  # type: ignore[arg-type]
            assert config["channel_mask"][int(channel)] == 1


def test_subruns_together_hold_every_word_once_and_each_knows_its_time(run: DemoRun, tmp_path: Path) -> None:
    whole = take_run(run, tmp_path / "whole", raw=False)
    cut = take_run(run, tmp_path / "cut", subrun_seconds=1)
    assert len(cut.subruns) == 2
    assert whole.packets is not None
    expected = read_all(whole.packets)
    parts = [read_all(subrun.packets) for subrun in cut.subruns if subrun.packets]
    assert [len(part["io_group"]) for part in parts] == [subrun.rows for subrun in cut.subruns]
    is_word = expected["packet_type"] != 4
    keys = ("io_group", "io_channel", "chip_id", "channel_id", "time_ticks", "dataword", "receipt_timestamp")
    all_words = np.sort(np.rec.fromarrays([expected[key][is_word] for key in keys]))
    of_parts = [np.concatenate([part[key][part["packet_type"] != 4] for part in parts]) for key in keys]
    assert np.array_equal(all_words, np.sort(np.rec.fromarrays(of_parts)))
    for number, part in enumerate(parts):
        data = (part["packet_type"] == 0) & (part["valid_parity"] == 1)
        since_start = part["time_ticks"][data] / TICKS_PER_SECOND - run.start_unix
        assert number <= since_start.min()
        assert since_start.max() <= number + 1.001
    starts = [parse_name(subrun.packets).start for subrun in cut.subruns if subrun.packets]
    assert [start.timestamp() - run.start_unix for start in starts if start] == [0, 1]


def test_progress_goes_from_nothing_to_all(tmp_path: Path) -> None:
    for run in (small_run(), DemoRun.of_packets(12_000, small_run())):
        seen: list[float] = []
        take_run(run, tmp_path, raw=False, progress=seen.append)
        assert seen == sorted(seen)
        assert 0 < seen[0] < 1
        assert seen[-1] == 1.0


def test_a_run_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(take_module.PacketWriter, "write", full)
    with pytest.raises(OSError, match="No space"):
        take_run(small_run(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seconds", [0, 0.5, 1.5, -1])
def test_subruns_have_whole_seconds(seconds: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="subrun_seconds is"):
        take_run(small_run(), tmp_path, subrun_seconds=seconds)


@pytest.fixture(scope="module")
def larpix() -> SimpleNamespace:
    """larpix-control; it switches off the locking of HDF5 files when imported, which must not leak into other tests."""
    before = os.environ.get("HDF5_USE_FILE_LOCKING")
    from larpix.format import hdf5format, pacman_msg_format, rawhdf5format

    if before is None:
        os.environ.pop("HDF5_USE_FILE_LOCKING", None)
    else:
        os.environ["HDF5_USE_FILE_LOCKING"] = before
    return SimpleNamespace(hdf5=hdf5format, messages=pacman_msg_format, raw=rawhdf5format)


def test_larpix_control_makes_the_same_packets_of_the_raw_file(
    larpix: SimpleNamespace, taken: Taken, rows: np.ndarray, tmp_path: Path
) -> None:
    assert taken.raw is not None
    raw = larpix.raw.from_rawfile(str(taken.raw), version="0.0", io_version="0.0")
    io_groups = raw["msg_headers"]["io_groups"]
    parsed = []
    for message, io_group in zip(raw["msgs"], io_groups, strict=True):
        parsed += larpix.messages.parse(message, io_group=io_group)
    assert len(parsed) == len(rows)
    first = 4000
    larpix.hdf5.to_file(str(tmp_path / "theirs.h5"), packet_list=parsed[:first], workers=1)
    with h5py.File(tmp_path / "theirs.h5") as file:
        theirs = file["packets"][:]
    assert {0, 4, 6} <= set(theirs["packet_type"].tolist())
    for name in PACKET_DTYPE.names or ():
        assert np.array_equal(theirs[name], rows[name][:first]), name


def test_larpix_control_reads_the_packet_file(larpix: SimpleNamespace, taken: Taken, rows: np.ndarray) -> None:
    read = larpix.hdf5.from_file(str(taken.packets), version="2.4", start=0, end=1000, load_configs=True)
    assert len(read["packets"]) == 1000
    assert read["configs"] == []
    for packet, row in zip(read["packets"], rows, strict=False):
        assert packet.packet_type == row["packet_type"]
        assert packet.timestamp == row["timestamp"]
        if packet.packet_type == 0:
            assert packet.has_valid_parity() == bool(row["valid_parity"])
            for name in ("io_group", "io_channel", "chip_id", "channel_id", "dataword", "local_fifo", "shared_fifo"):
                assert getattr(packet, name) == row[name]
