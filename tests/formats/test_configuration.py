"""What a file says of its chips: both places, and everything that can be wrong with them."""

from __future__ import annotations

import os
import resource
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqm.formats import configuration, open_file
from dqm.formats.configuration import Configuration, chip_name, configuration_of, has_configuration
from dqm.formats.registers import LAYOUTS, NARROWER, REGISTERS, values_in
from dqm.formats.writers import CONFIGS_DTYPE, PacketWriter, RawWriter
from tests.conftest import packets_of
from tests.formats.archives import FOLDER, archive, chips, config, member, packet_file, put

GOOD = (f"{FOLDER}/config_1-5-42.json", config(threshold_global=31))


def read(path: Path) -> Configuration:
    with h5py.File(path) as file:
        return configuration_of(file)


def names(found: Configuration) -> list[str]:
    return [chip_name(chip) for chip in found.chip.tolist()]


# good ones ------------------------------------------------------------------------------------------------------------


def test_the_registers_of_each_chip_are_read_from_the_archive(tmp_path: Path) -> None:
    mask = [int(channel in (6, 63)) for channel in range(64)]
    content = chips(c2_1_11=config(), c1_5_42=config(channel_mask=mask, threshold_global=255, adc_hold_delay=65_535))
    found = read(packet_file(tmp_path, content))
    assert names(found) == ["1-5-42", "2-1-11"]
    assert found.problems == ()
    assert found.time.tolist() == [-1, -1]
    masks, given = values_in(found.rows, "channel_mask")
    assert given.all()
    assert masks[0].tolist() == mask
    assert values_in(found.rows, "threshold_global")[0].ravel().tolist() == [255, 30]
    delay, given = values_in(found.rows, "adc_hold_delay")
    assert (delay[0, 0], given.tolist()) == (65_535, [True, False])


@settings(max_examples=40)
@given(st.data())
def test_any_values_come_back_from_a_row(data: st.DataObject) -> None:
    from dqm.formats.registers import bytes_of, names_in, rows_of_values

    chosen = data.draw(st.lists(st.sampled_from(list(REGISTERS)), unique=True, min_size=1))
    values = {
        name: data.draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=count, max_size=count))
        for name, (count, bits) in ((name, REGISTERS[name]) for name in chosen)
    }
    rows = rows_of_values({name: ([1], [bytes_of(name, of)]) for name, of in values.items()}, 3)
    assert set(names_in(rows)) == set(chosen)
    for name, of in values.items():
        back, there = values_in(rows, name)
        assert there.tolist() == [False, True, False]
        assert back[1].tolist() == of


@pytest.mark.parametrize("version", ["2", "2b", "lightpix-v1.0"])
def test_the_table_of_larpix_control_is_read_register_by_register(version: str, tmp_path: Path) -> None:
    from larpix import Chip, Key
    from larpix.format.hdf5format import to_file

    random = np.random.default_rng(3)
    chip = Chip(Key(3, 17, 99), version=2 if version == "2" else version)
    wanted = {}
    for name in chip.config.register_names:
        if name == "chip_id" or LAYOUTS[version].get(name, 8 * 237) >= 8 * 237:
            continue  # of LightPix larpix-control writes no more registers than of LArPix
        count, bits = REGISTERS[name]
        values = random.integers(0, 1 << min(NARROWER.get((version, name), bits), 31), count).tolist()
        if name in ("pixel_trim_dac", "digital_monitor_select", "clk_ctrl", "reset_length"):
            values = [value % 3 for value in values]
        setattr(chip.config, name, values if count > 1 else values[0])
        wanted[name] = values
    path = tmp_path / "configs.h5"
    if version == "2b":  # it has more registers than a row of the table: larpix-control cannot write it
        registers = np.array([int(bits.to01()[::-1], 2) for bits in chip.config.all_data()[:239]], np.uint8)
        rows = np.zeros(1, CONFIGS_DTYPE)
        rows["timestamp"], rows["io_group"], rows["io_channel"], rows["chip_id"] = 1_700_000_000, 3, 17, 99
        rows["registers"] = registers
        with PacketWriter(path) as writer:
            writer.write(packets_of(1))
        put(path, "configs", rows)
        with h5py.File(path, "r+") as file:
            file["configs"].attrs["asic_version"] = "2b"
    else:
        to_file(str(path), chip_list=[chip])
    found = read(path)
    assert (names(found), found.problems) == (["3-17-99"], ())
    assert found.time[0] > 1_600_000_000
    assert len(wanted) >= 70
    for name, values in wanted.items():
        assert values_in(found.rows, name)[0][0].tolist() == values, name


def test_archives_with_long_names_are_read(tmp_path: Path) -> None:
    deep = "x" * 150 + "/asic_configs/config_1-5-42.json"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT):
        found = read(packet_file(tmp_path, archive((deep, config()), form=form)))
        assert (names(found), found.problems) == (["1-5-42"], ()), form


def test_the_registers_may_stand_under_register_values_as_larpix_control_keeps_them(tmp_path: Path) -> None:
    found = read(packet_file(tmp_path, chips(c1_5_42={"_config_type": "chip", "register_values": config()})))
    assert names(found) == ["1-5-42"]


def test_a_chip_that_is_there_twice_counts_as_its_last(tmp_path: Path) -> None:
    twice = archive(GOOD, ("asic_configs/config_1-5-42.json", config(threshold_global=77)))
    found = read(packet_file(tmp_path, twice))
    assert values_in(found.rows, "threshold_global")[0].tolist() == [[77]]
    assert found.problems == ("daq_configs: asic_configs/config_1-5-42.json is there more than once, the last counts",)


def test_the_same_archive_is_read_once_and_one_with_another_byte_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_now: list[int] = []
    real = configuration._Archive.read

    def counted(archive: Any) -> Configuration:
        read_now.append(1)
        return real(archive)

    monkeypatch.setattr(configuration._Archive, "read", counted)
    found = [read(packet_file(tmp_path, chips(c1_5_43=config(threshold_global=n)))) for n in (31, 31, 32)]
    assert [values_in(one.rows, "threshold_global")[0].item() for one in found] == [31, 31, 32]
    assert len(read_now) == 2


def test_a_file_without_either_has_none(tmp_path: Path) -> None:
    path = packet_file(tmp_path)
    assert (len(read(path)), read(path).problems) == (0, ())
    with h5py.File(path) as file:
        assert not has_configuration(file)


# bad ones: the good chip beside them is read, and one sentence says what is wrong -------------------------------------


def link(kind: bytes) -> tarfile.TarInfo:
    return member(f"{FOLDER}/config_9-9-9.json", kind=kind, link="/etc/passwd")


MEMBERS: dict[str, tuple[Any, Any, str]] = {
    "a parent": ("../../config_9-9-9.json", config(), "leads out of the archive and is left out"),
    "a parent inside": ("run/../../config_9-9-9.json", config(), "leads out of the archive"),
    "an absolute name": ("/etc/config_9-9-9.json", config(), "leads out of the archive"),
    "a symbolic link": (link(tarfile.SYMTYPE), b"", "is a symbolic link and is left out"),
    "a hard link": (link(tarfile.LNKTYPE), b"", "is a hard link and is left out"),
    "a device": (link(tarfile.CHRTYPE), b"", "is a device and is left out"),
    "a pipe": (link(tarfile.FIFOTYPE), b"", "is a pipe and is left out"),
    "no JSON": (f"{FOLDER}/config_9-9-9.json", b'{"channel_mask": [0,', "is not JSON and is left out"),
    "no text": (f"{FOLDER}/config_9-9-9.json", bytes(range(256)), "is not JSON"),
    "deep JSON": (f"{FOLDER}/config_9-9-9.json", b"[" * 100_000, "is not JSON"),
    "a list": (f"{FOLDER}/config_9-9-9.json", [1, 2], "is a list, expected an object of registers by name"),
    "null": (f"{FOLDER}/config_9-9-9.json", None, "is null, expected an object"),
    "no registers": (f"{FOLDER}/config_9-9-9.json", {"a": 1}, "has no register of a LArPix chip"),
    "too few": (f"{FOLDER}/config_9-9-9.json", config(channel_mask=[0]), "gives 1 values of channel_mask, expected 64"),
    "too large": (f"{FOLDER}/config_9-9-9.json", config(vref_dac=256), "gives 256 for vref_dac"),
    "too large by a bit": (f"{FOLDER}/config_9-9-9.json", config(csa_gain=2), "whole numbers from 0 to 1"),
    "negative": (f"{FOLDER}/config_9-9-9.json", config(periodic_reset_cycles=-1), "gives -1 for periodic_reset_cycles"),
    "far too large": (f"{FOLDER}/config_9-9-9.json", config(periodic_reset_cycles=1 << 24), "from 0 to 16777215"),
    "text": (f"{FOLDER}/config_9-9-9.json", config(vref_dac="<img onerror=x>"), "gives '<img onerror=x>' for vref_dac"),
    "a nested list": (f"{FOLDER}/config_9-9-9.json", config(vref_dac=[[1]]), "gives a list for vref_dac"),
    "a fraction": (f"{FOLDER}/config_9-9-9.json", config(channel_mask=[0.5] * 64), "gives 0.5 for channel_mask"),
    "ids above 255": (f"{FOLDER}/config_1-999-9.json", config(), "names ids above 255"),
    "a large one": (f"{FOLDER}/config_9-9-9.json", b" " * (1 << 18) + b"{}", "at most 262,144 are read: left out"),
}  # fmt: skip


@pytest.mark.parametrize("what", MEMBERS)
def test_a_bad_member_costs_itself_alone_and_is_said(what: str, tmp_path: Path) -> None:
    head, content, sentence = MEMBERS[what]
    found = read(packet_file(tmp_path, archive((head, content), GOOD)))
    assert names(found) == ["1-5-42"]
    (problem,) = found.problems
    assert sentence in problem
    assert len(problem) < 240
    assert not list(tmp_path.glob("**/*.json"))


def test_many_bad_members_are_one_sentence(tmp_path: Path) -> None:
    bad = [(f"{FOLDER}/config_1-1-{chip}.json", b"{") for chip in range(11, 61)]
    found = read(packet_file(tmp_path, archive(*bad, GOOD)))
    assert found.problems == (
        f"daq_configs: member {FOLDER}/config_1-1-11.json is not JSON and is left out; so are 49 more",
    )


def _declared(size: str) -> bytes:
    """An archive whose first member says that it has so many bytes, with a check sum that is right."""
    head = bytearray(member(f"{FOLDER}/config_9-9-9.json").tobuf(tarfile.USTAR_FORMAT))
    head[124:136] = size.encode().ljust(12, b"\0")
    head[148:156] = b" " * 8
    head[148:156] = f"{sum(head):06o}\0 ".encode()
    return bytes(head) + archive(GOOD)


WHOLE = archive(GOOD, (f"{FOLDER}/config_2-1-11.json", config()))
ARCHIVES: dict[str, tuple[bytes, list[str], str]] = {
    "no tar": (b"this is no archive" * 100, [], "is not a tar archive"),
    "too short": (b"short", [], "is not a tar archive: it is too short"),
    "gzip": (b"\x1f\x8b\x08" + bytes(600), [], "it is gzip, expected plain tar"),
    "cut within a member": (WHOLE[:1800], ["1-5-42"], "is truncated: of the"),
    "cut within a header": (WHOLE[:1100], ["1-5-42"], "is truncated: 76 bytes follow the last member"),
    "cut behind a member": (WHOLE[:1024], ["1-5-42"], "is truncated: its end mark is missing"),
    "a damaged header": (WHOLE[:1030] + b"\xff" + WHOLE[1031:], ["1-5-42"], "is damaged at byte 1,024"),
    "nothing in it": (bytes(10240), [], "has no config_<io_group>-<io_channel>-<chip>.json among its 0 members"),
    "other things": (archive(("daq/readme.txt", b"hello")), [], "among its 1 members"),
    "a bomb": (_declared("77777777777"), [], "is truncated: of the 8,589,934,591 bytes of"),
    "a bomb within": (_declared("00000000000") , ["1-5-42"], "is not JSON"),
    "a size that is no number": (_declared("hello"), [], "the size of a member is no number"),
}  # fmt: skip


@pytest.mark.parametrize("what", ARCHIVES)
def test_of_a_damaged_archive_what_comes_before_the_damage_is_read(what: str, tmp_path: Path) -> None:
    content, there, sentence = ARCHIVES[what]
    found = read(packet_file(tmp_path, content))
    assert names(found) == there
    (problem,) = found.problems
    assert problem.startswith("daq_configs")
    assert sentence in problem


def table(**columns: Any) -> np.ndarray:
    rows = np.zeros(2, CONFIGS_DTYPE)
    for name, values in columns.items():
        rows[name] = values
    return rows


PLACES: dict[str, tuple[str, Callable[[h5py.File], Any], str]] = {
    "words": ("daq_configs", lambda f: f.create_dataset("daq_configs", data=np.zeros(9, "<u4")), "expected the bytes (u1)"),
    "a table of bytes": ("daq_configs", lambda f: f.create_dataset("daq_configs", data=np.zeros((2, 9), "u1")), "2 dimen"),
    "a group": ("daq_configs", lambda f: f.create_group("daq_configs"), "is a group, expected a dataset"),
    "a link out of the file": (
        "daq_configs", lambda f: f.__setitem__("daq_configs", h5py.ExternalLink("other.h5", "/x")), "is not followed"
    ),
    "strings": ("daq_configs", lambda f: f.create_dataset("daq_configs", data=[b"tar"]), "expected the bytes (u1)"),
    "an array": ("configs", lambda f: f.create_dataset("configs", data=np.zeros(9)), "no column 'timestamp'"),
    "no registers": ("configs", lambda f: f.create_dataset("configs", data=table()[["timestamp", "io_group"]]), "no column"),
    "wide registers": (
        "configs",
        lambda f: f.create_dataset("configs", data=table().astype([
            (name, "<u4", (239,)) if name == "registers" else (name, CONFIGS_DTYPE[name]) for name in CONFIGS_DTYPE.names
        ])),
        "columns of other types",
    ),
    "an unknown ASIC": ("configs", lambda f: f.create_dataset("configs", data=table()), "of ASIC version unknown"),
}  # fmt: skip


@pytest.mark.parametrize("what", PLACES)
def test_a_dataset_of_another_kind_is_refused_in_a_sentence_and_the_packets_are_read(what: str, tmp_path: Path) -> None:
    name, make, sentence = PLACES[what]
    path = packet_file(tmp_path)
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        make(file)
    with open_file(path) as reader:
        blocks = list(reader.blocks())
        about = blocks[0].file
        assert about is not None
        (problem,) = about.configuration.problems
    assert sentence in problem
    assert sum(map(len, blocks)) == 300


def test_an_archive_in_a_damaged_chunk_is_said(tmp_path: Path) -> None:
    path = packet_file(tmp_path, WHOLE)
    with h5py.File(path) as file:
        place = file["daq_configs"].id.get_chunk_info(0)
    with open(path, "r+b") as raw:
        raw.seek(place.byte_offset)
        raw.write(os.urandom(place.size))
    (problem,) = read(path).problems
    assert problem.startswith("daq_configs cannot be read from byte 0 on")


def test_an_archive_larger_than_any_real_one_is_read_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration, "MOST_READ_BYTES", 1 << 20)
    monkeypatch.setattr(configuration, "READ_BYTES", 1 << 16)
    filler = [(f"a/filler{n}", bytes(1 << 18)) for n in range(2)]
    many = [(f"{FOLDER}/config_{n >> 8}-{n & 255}-11.json", config(pixel_trim_dac=[n % 32] * 64)) for n in range(3000)]
    found = read(packet_file(tmp_path, archive(*filler, *many)))
    assert 0 < len(found) < 3000
    assert "holds more than 1 MiB" in found.problems[0]


def test_a_configuration_of_the_2x2_takes_little_memory(tmp_path: Path) -> None:
    every = {name: [1] * count if count > 1 else 1 for name, (count, _) in REGISTERS.items()}
    of_chip = {f"c{n >> 10}_{n >> 8 & 3}_{n & 255}": every for n in range(6400)}
    path = packet_file(tmp_path, chips(**of_chip))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = read(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (len(found), found.problems) == (6400, ())
    assert found.rows.nbytes < 2 << 20
    assert grown < 60 << 10, "MB, most of it what a batch of chips takes while it is read"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255), end=st.integers(0, len(WHOLE)))
def test_whatever_byte_is_changed_and_wherever_it_ends_reading_ends_with_chips_or_a_sentence(
    place: int, byte: int, end: int, tmp_path: Path
) -> None:
    content = bytearray(WHOLE)
    content[place] = byte
    path = packet_file(tmp_path, bytes(content[: max(end, 1)]))
    found = read(path)
    assert len(found) == 2 or found.problems
    assert all(len(problem) < 300 for problem in found.problems)


# with the packets -----------------------------------------------------------------------------------------------------


def test_the_first_block_says_what_the_file_says_about_itself_and_no_other_does(tmp_path: Path) -> None:
    path = packet_file(tmp_path, WHOLE, rows=packets_of(300_000))
    with open_file(path) as reader:
        first, *rest = reader.blocks()
        assert first.file is not None
        assert (first.file.run, first.file.time) == (7, 1_720_000_800)
        assert len(first.file.configuration) == 2
        assert len(rest) > 1
        assert all(block.file is None for block in rest)


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_whoever_resumes_is_told_once(stop_after: int, tmp_path: Path) -> None:
    from dqm.formats.reader import Cursor

    path = packet_file(tmp_path, WHOLE, rows=packets_of(200_000))
    told = []
    with open_file(path) as reader:
        for number, block in enumerate(reader.blocks()):
            if number == stop_after:
                break
            told.append(block.file is not None)
        saved = reader.cursor.to_json() if stop_after else Cursor().to_json()
    with open_file(path) as again:
        told += [block.file is not None for block in again.blocks(Cursor.from_json(saved))]
    assert told == [True] + [False] * (len(told) - 1)


@pytest.mark.parametrize("raw", [False, True])
def test_a_file_without_a_packet_gives_one_empty_block_with_its_configuration(raw: bool, tmp_path: Path) -> None:
    path = packet_file(tmp_path, WHOLE, rows=packets_of(0))
    if raw:
        path = tmp_path / "binary-0000007-2024_07_03_10_00_00_UTC.h5"
        RawWriter(path, daq_configs=WHOLE).close()
    with open_file(path) as reader:
        (block,) = reader.blocks()
        assert len(block) == 0
        assert block.file is not None
        assert len(block.file.configuration) == 2
        assert list(reader.blocks(reader.cursor)) == []
