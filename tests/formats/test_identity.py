"""One datum, one file: told by content, whatever it is called and wherever it lies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from dqm.formats import UnreadableFile, open_file
from dqm.formats.convert import convert_raw
from dqm.formats.identity import HEAD_ROWS, head_of, identity_of
from dqm.formats.writers import PacketWriter, RawWriter
from tests.conftest import REPOSITORY, SAMPLES, packets_of, some_packets
from tests.formats.test_growing import messages
from tests.test_agreement import PAIRS


def head(path: Path) -> str | None:
    with open_file(path) as reader:
        return head_of(reader)


def identity(path: Path) -> str:
    with open_file(path) as reader:
        return identity_of(reader)


def write_packets(path: Path, rows: np.ndarray, created: float = 1.5e9, chunk: int = 8192) -> Path:
    with PacketWriter(path, created=created, chunk_rows=chunk, compression="gzip") as writer:
        writer.write(rows)
    return path


def write_raw(path: Path, number: int) -> Path:
    with RawWriter(path, created=1.5e9) as writer:
        writer.write(messages(0, number), np.arange(number) % 3 + 1)
    return path


@pytest.mark.parametrize("number", [1, 20, 31, 32, 33, 500])
def test_a_raw_file_and_the_packet_file_made_from_it_are_one_datum_in_two_files(tmp_path: Path, number: int) -> None:
    raw, packets = write_raw(tmp_path / "raw.h5", number), tmp_path / "packets.h5"
    with open_file(raw) as reader:
        convert_raw(reader, packets)
    assert head(raw) == head(packets) is not None
    assert identity(raw) != identity(packets)


@pytest.mark.samples
@pytest.mark.parametrize(("packets", "raw"), PAIRS.items(), ids=PAIRS.values())
def test_files_of_larpix_control_are_one_datum_too(packets: str, raw: str) -> None:
    assert head(SAMPLES / packets) == head(SAMPLES / raw) is not None


@pytest.mark.parametrize("name", ["packet_type", "io_group", "chip_id", "timestamp", "dataword", "receipt_timestamp"])
def test_one_other_value_in_the_first_rows_is_another_datum(tmp_path: Path, name: str) -> None:
    rows = some_packets(1000)
    before = head(write_packets(tmp_path / "one.h5", rows))
    rows[name][HEAD_ROWS - 1] += 1
    assert head(write_packets(tmp_path / "other.h5", rows)) != before
    rows[name][HEAD_ROWS - 1] -= 1
    rows[name][HEAD_ROWS] += 1
    assert head(write_packets(tmp_path / "third.h5", rows)) == before


def test_a_file_has_a_head_from_its_64th_row_on_and_keeps_it(tmp_path: Path) -> None:
    script = """
import json, sys
from dqm.formats.writers import PacketWriter
from tests.conftest import some_packets
writer, rows = PacketWriter(sys.argv[1], swmr=True), some_packets(30_000)
for line in iter(sys.stdin.readline, ""):
    writer.write(rows[writer.rows : json.loads(line)])
    print("done", flush=True)
writer.close()
"""
    path = tmp_path / "packets.h5"
    pipe = subprocess.PIPE
    writer = subprocess.Popen(
        [sys.executable, "-c", script, path], cwd=REPOSITORY, stdin=pipe, stdout=pipe, text=True, bufsize=1
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    heads = []
    for rows in (1, 63, 64, 65, 10_000, 30_000):
        writer.stdin.write(json.dumps(rows) + "\n")
        assert writer.stdout.readline() == "done\n"
        heads.append(head(path))
        with pytest.raises(UnreadableFile, match="is being written") as refused:
            identity(path)
        assert refused.value.state == "growing"
    writer.communicate()
    assert heads == [None, None, *[head(path)] * 4]
    assert heads[-1] == head(write_packets(tmp_path / "whole.h5", some_packets(30_000)))


def test_a_short_closed_file_is_told_by_the_rows_it_has(tmp_path: Path) -> None:
    short = [head(write_packets(tmp_path / f"{rows}.h5", some_packets(100)[:rows])) for rows in (0, 1, 2, 63, 64)]
    assert short[0] is None
    assert None not in short[1:]
    assert len(set(short)) == 5
    assert head(write_raw(tmp_path / "raw.h5", 0)) is None


def test_asking_who_it_is_does_not_move_the_cursor(tmp_path: Path) -> None:
    for path in (write_packets(tmp_path / "p.h5", some_packets(150_000)), write_raw(tmp_path / "raw.h5", 3000)):
        with open_file(path) as reader:
            blocks = reader.blocks()
            first = next(blocks)
            before = reader.cursor
            head_of(reader), identity_of(reader)
            assert reader.cursor == before
            after = [block.first_row for block in blocks]
        with open_file(path) as again:
            assert [block.first_row for block in again.blocks()] == [first.first_row, *after]


def test_a_copy_a_link_and_a_moved_file_are_the_same_file(tmp_path: Path) -> None:
    for path in (write_packets(tmp_path / "p.h5", some_packets(5000)), write_raw(tmp_path / "raw.h5", 300)):
        before = identity(path)
        shutil.copyfile(path, tmp_path / "copy.h5")
        os.link(path, tmp_path / f"link_of_{path.name}")
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        moved = path.rename(tmp_path / "elsewhere" / "packet-0000001-2024_01_01_00_00_00_UTC.h5")
        assert {identity(each) for each in (tmp_path / "copy.h5", tmp_path / f"link_of_{path.name}", moved)} == {before}


@pytest.mark.parametrize("at", [0, 10_000, 19_999])
def test_a_file_that_is_made_again_with_other_rows_is_another(tmp_path: Path, at: int) -> None:
    rows = some_packets(20_000)
    one = identity(write_packets(tmp_path / "one.h5", rows))
    rows["dataword"][at] += 1
    assert identity(write_packets(tmp_path / "other.h5", rows)) != one


def test_the_same_rows_made_at_another_time_are_another_file_of_the_same_datum(tmp_path: Path) -> None:
    rows = some_packets(2000)
    one, other = (write_packets(tmp_path / f"{created}.h5", rows, created) for created in (1.5e9, 1.6e9))
    assert identity(one) != identity(other)
    assert head(one) == head(other)


def test_a_prefix_is_another_file_of_the_same_datum(tmp_path: Path) -> None:
    rows = some_packets(2000)
    one, other = write_packets(tmp_path / "one.h5", rows), write_packets(tmp_path / "other.h5", rows[:1500])
    assert identity(one) != identity(other)
    assert head(one) == head(other)
    whole, part = write_raw(tmp_path / "whole.h5", 200), write_raw(tmp_path / "part.h5", 150)
    assert identity(whole) != identity(part)
    assert head(whole) == head(part)


def test_messages_cut_elsewhere_are_another_raw_file(tmp_path: Path) -> None:
    """The same bytes in all, with another edge between two messages."""
    paths = [tmp_path / "one.h5", tmp_path / "other.h5"]
    for path, edge in zip(paths, (24, 40), strict=True):
        content = np.arange(64, dtype=np.uint8)
        with RawWriter(path, created=1.5e9) as writer:
            writer.write([content[:edge], content[edge:]], np.ones(2))
    assert identity(paths[0]) != identity(paths[1])


@pytest.mark.parametrize("broken", [0, 2, 4])
def test_a_damaged_file_is_known_all_the_same(tmp_path: Path, broken: int) -> None:
    path = write_packets(tmp_path / "packets.h5", some_packets(5000), chunk=1000)
    whole = head(path), identity(path)
    with h5py.File(path) as file:
        place = file["packets"].id.get_chunk_info(broken).byte_offset
    with open(path, "r+b") as file:
        file.seek(place + 20)
        file.write(bytes(200))
    assert head(path) == (whole[0] if broken else None)
    assert identity(path) == identity(path) != whole[1]


def test_a_damaged_raw_file_is_known_all_the_same(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "raw.h5", 200)
    whole = identity(path)
    content = path.read_bytes()
    heap = content.index(b"GCOL")
    path.write_bytes(content[:heap] + b"XXXX" + content[heap + 4 :])
    assert head(path) is None
    assert identity(path) != whole


def test_messages_that_hold_nothing_have_no_head(tmp_path: Path) -> None:
    with RawWriter(tmp_path / "raw.h5") as writer:
        writer.write([np.zeros(3, np.uint8)] * 10_000, np.ones(10_000))
    assert head(tmp_path / "raw.h5") is None
    assert identity(tmp_path / "raw.h5")


def test_a_file_with_a_hole_is_told_by_the_rows_that_are_stored(tmp_path: Path) -> None:
    rows = some_packets(1000)
    with h5py.File(tmp_path / "hole.h5", "w") as file:
        dset = file.create_dataset("packets", (3000,), rows.dtype, chunks=(1000,))
        dset[2000:] = rows
    assert head(tmp_path / "hole.h5") == head(write_packets(tmp_path / "rows.h5", rows))
    assert identity(tmp_path / "hole.h5") != identity(tmp_path / "rows.h5")


def test_a_column_of_references_does_not_make_it_another_file_each_time(packet_file: Callable[..., Path]) -> None:
    rows = some_packets(500)
    wide = np.zeros(len(rows), [*rows.dtype.descr, ("link", h5py.ref_dtype)])
    for name in rows.dtype.names or ():
        wide[name] = rows[name]
    wide["link"] = h5py.Reference()
    path = packet_file(wide)
    assert identity(path) == identity(path)
    assert head(path) == head(packet_file(rows, "narrow.h5"))


def test_little_of_a_large_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = (
        write_packets(tmp_path / "packets.h5", packets_of(500_000, timestamp=np.arange(500_000))),
        write_raw(tmp_path / "raw.h5", 5000),
    )
    taken = []
    read = h5py.Dataset.__getitem__

    def counting(dset: h5py.Dataset, key: object, *more: object) -> object:
        found = read(dset, key, *more)
        taken.append(len(found))
        return found

    for path in paths:
        with open_file(path) as reader:
            monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
            head_of(reader), identity_of(reader)
            monkeypatch.undo()
    assert 0 < sum(taken) < 10_000
