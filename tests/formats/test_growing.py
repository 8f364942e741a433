"""Files that are being written: what is read of them is right, or is read another time; nobody is disturbed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest

from dqm.formats import Cursor, Reader, UnreadableFile, open_file
from dqm.formats.trust import Heap
from tests.conftest import REPOSITORY, some_packets

SCRIPT = """
import json, select, sys
import h5py, numpy as np
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.trust import Heap
from dqm.formats.writers import PacketWriter
from tests.conftest import some_packets
from tests.formats.test_growing import messages
rows = some_packets(20_000)
def asked(): return bool(select.select([sys.stdin], [], [], 0)[0])
known, names = dict(globals()), {}
for line in iter(sys.stdin.readline, ""):
    path, code = json.loads(line)
    if path not in names:
        for file in h5py.h5f.get_obj_ids(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE):
            file.close()
        names = {path: None, "path": path, **known}
    exec(code, names)
    print("done", flush=True)
"""

PLAIN = """
file = h5py.File(path, "w", libver={libver!r}, locking={locking})
file.create_group("_header").attrs["version"] = "2.4"
dset = file.create_dataset("packets", (0,), PACKET_DTYPE, maxshape=(None,), chunks=(100,), compression={compression!r})
def write(start, stop):
    dset.resize((stop,))
    dset[start:stop] = rows[start:stop]
"""
RAW = """
file = h5py.File(path, "w", libver={libver!r})
msgs = file.create_dataset("msgs", (0,), h5py.vlen_dtype(np.uint8), maxshape=(None,), chunks=(16,), compression="gzip")
headers = file.create_dataset("msg_headers", (0,), [("io_groups", "u1")], maxshape=(None,), chunks=(16,))
def write(start, stop):
    for dset in (msgs, headers):
        dset.resize((stop,))
    msgs[start:stop] = messages(start, stop)
    headers[start:stop] = np.ones(stop - start, headers.dtype)
"""
SWMR = "file.swmr_mode = True"


def plain(libver: str | None = None, compression: str | None = None, locking: bool = True) -> str:
    """Code that makes a packet file with chunks of 100 rows, and a function to write some of `rows`."""
    return PLAIN.format(libver=libver, compression=compression, locking=locking)


def raw(libver: str | None = "latest") -> str:
    """Code that makes a raw file with chunks of 16 messages, and a function to write some of them."""
    return RAW.format(libver=libver)


def messages(start: int, stop: int) -> list[np.ndarray]:
    """Messages `start` to `stop` of a run: second 1000 + number, with one data word."""
    from dqm.formats import words

    one = np.ones(1, int)
    word = [words.data_words(one, one, words.encode_bits({"dataword": one * (n % 256)})) for n in range(start, stop)]
    return [words.message(1000 + start + number, content) for number, content in enumerate(word)]


class Writer:
    """Another process, which does what it is told in Python and says when it is done; each `path` has its own variables."""

    def __init__(self) -> None:
        self.path = Path()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begin(self, *code: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([str(self.path), "\n".join(code)]) + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "done\n"

    def do(self, *code: str) -> None:
        self.begin(*code)
        self.end()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def writers() -> Iterator[list[Writer]]:
    """The process that writes for the tests of this file, one after the other: it takes a while to start."""
    kept: list[Writer] = []
    yield kept
    for writer in kept:
        writer.kill()


@pytest.fixture
def writer(tmp_path: Path, writers: list[Writer], request: pytest.FixtureRequest) -> Iterator[Writer]:
    """A process that writes ``data.h5``."""
    writer = writers.pop() if writers else Writer()
    writer.path = tmp_path / "data.h5"
    failed = request.session.testsfailed
    yield writer
    if writer.process.poll() is None and request.session.testsfailed == failed:
        writers.append(writer)
    else:
        writer.kill()


def read(reader: Reader, start: Cursor | int = 0) -> np.ndarray:
    """Timestamps from `start` on."""
    return np.concatenate([np.zeros(0, np.uint64), *(block["timestamp"] for block in reader.blocks(start))])


EXPECTED = some_packets(20_000)["timestamp"]


def test_a_follower_reads_rows_as_they_come_and_sees_the_end(writer: Writer) -> None:
    writer.do(plain("latest", "gzip"), SWMR)
    cursor, parts = Cursor(), []
    for stop in (0, 30, 250, 260, 1000):
        writer.do(f"write(len(dset), {stop}); file.flush()")
        with open_file(writer.path) as reader:
            assert (reader.closed_by_writer, reader.provisional, reader.state) == (False, False, "growing")
            assert reader.rows == stop
            parts.append(read(reader, cursor))
            cursor = reader.cursor
            assert (reader.stopped, reader.faults) == (False, [])
    np.testing.assert_array_equal(np.concatenate(parts), EXPECTED[:1000])
    writer.do("file.close()")
    with open_file(writer.path) as reader:
        assert (reader.closed_by_writer, reader.state) == (True, "ok")
        assert len(read(reader, cursor)) == 0


def place_of(path: Path, number: int) -> tuple[int, int]:
    """Where in the file chunk `number` of the packets begins, and its size."""
    with h5py.File(path, swmr=True, libver="latest") as file:
        chunk = file["packets"].id.get_chunk_info(number)
        return chunk.byte_offset, chunk.size


def put(path: Path, place: tuple[int, int], new: bytes = b"") -> bytes:
    """Overwrites bytes of a file, with zeros unless `new` is given; returns what stood there."""
    with open(path, "r+b") as file:
        file.seek(place[0])
        before = file.read(place[1])
        file.seek(place[0])
        file.write(new or bytes(place[1]))
    return before


@pytest.mark.parametrize("number", [0, 3, 9])
def test_rows_that_a_follower_cannot_read_are_read_another_time(writer: Writer, number: int) -> None:
    writer.do(plain("latest", "gzip"), SWMR, "write(0, 1000); file.flush()")
    place = place_of(writer.path, number)
    before = put(writer.path, place)
    with open_file(writer.path) as reader:
        first = read(reader)
        cursor = Cursor.from_json(reader.cursor.to_json())
        assert cursor.row == len(first) == number * 100
        assert (reader.stopped, reader.partial, reader.state) == (True, False, "growing")
        assert reader.faults == [f"rows from {number * 100} on cannot be read yet"]
    put(writer.path, place, before)
    with open_file(writer.path) as reader:
        np.testing.assert_array_equal(np.concatenate([first, read(reader, cursor)]), EXPECTED[:1000])
        assert not reader.stopped


def test_the_same_damage_in_a_closed_file_costs_its_chunk(writer: Writer) -> None:
    writer.do(plain("latest", "gzip"), "write(0, 1000); file.close()")
    put(writer.path, place_of(writer.path, 3))
    with open_file(writer.path) as reader:
        assert len(read(reader)) == 900
        assert (reader.stopped, reader.partial, reader.state) == (False, True, "partial")


def test_a_file_that_is_written_to_while_it_is_read_is_not_damaged(writer: Writer) -> None:
    writer.do(plain("latest", "gzip"), "write(0, 1000); file.close()")
    place = place_of(writer.path, 3)
    with open_file(writer.path) as reader:
        assert reader.closed_by_writer
        put(writer.path, place)
        assert len(read(reader)) == 300
        assert (reader.stopped, reader.partial, reader.state) == (True, False, "growing")
        assert not reader.closed_by_writer


def test_rows_behind_a_hole_wait_until_it_is_filled(writer: Writer) -> None:
    writer.do(plain("latest"), SWMR, "dset.resize((1000,)); dset[:250] = rows[:250]; dset[600:] = rows[600:1000]")
    writer.do("file.flush()")
    with open_file(writer.path) as reader:
        first = read(reader)
        assert (reader.rows, reader.cursor.row, reader.faults, reader.state) == (250, 250, [], "growing")
        cursor = reader.cursor
    writer.do("dset[250:600] = rows[250:600]; file.flush()")
    with open_file(writer.path) as reader:
        np.testing.assert_array_equal(np.concatenate([first, read(reader, cursor)]), EXPECTED[:1000])


def test_rows_that_are_declared_before_they_are_written_do_not_count(writer: Writer) -> None:
    writer.do(plain("latest"), SWMR, "write(0, 30); dset.resize((80,)); file.flush()")
    with open_file(writer.path) as reader:
        assert (reader.rows, len(read(reader))) == (30, 30)
    writer.do("dset[30:80] = rows[30:80]; file.flush()")
    with open_file(writer.path) as reader:
        np.testing.assert_array_equal(read(reader), EXPECTED[:80])


def test_messages_that_are_declared_before_they_are_written_do_not_count(writer: Writer) -> None:
    writer.do(raw(), SWMR, "write(0, 5); msgs.resize((9,)); headers.resize((9,)); file.flush()")
    with open_file(writer.path) as reader:
        assert len(read(reader)) == 10
        assert (reader.cursor.message, reader.faults) == (5, [])


def test_messages_whose_bytes_are_not_there_yet_are_read_another_time(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.do(raw(), SWMR, "write(0, 10); file.flush()")
    # as larpix-control does: the datasets are flushed, the heap with the bytes of messages need not be
    writer.do("write(10, 500); msgs.flush(); headers.flush()")
    there = Heap.of

    def half(content: bytes, size: int) -> Heap:
        heap = there(content, size)
        return Heap(heap.content, {index: place for index, place in heap.objects.items() if index <= 200})

    monkeypatch.setattr(Heap, "of", half)
    with open_file(writer.path) as reader:
        first = read(reader)
        cursor = Cursor.from_json(reader.cursor.to_json())
        assert 200 <= cursor.message < 500
        assert (reader.stopped, reader.partial, reader.state) == (True, False, "growing")
        assert reader.faults == [f"messages from {cursor.message} on cannot be read yet"]
    monkeypatch.undo()
    writer.do("file.flush()")
    with open_file(writer.path) as reader:
        both = np.concatenate([first, read(reader, cursor)])
        np.testing.assert_array_equal(both[::2], np.arange(1000, 1500))


def test_a_message_that_is_cut_short_does_not_make_a_growing_file_partial(writer: Writer) -> None:
    writer.do(raw(), SWMR, "write(0, 5); msgs[2] = np.ones(3, 'u1'); file.flush()")
    with open_file(writer.path) as reader:
        assert len(read(reader)) == 8
        assert (reader.stopped, reader.partial, reader.state) == (False, False, "growing")
        assert "cut short" in reader.faults[0]


# how a writer that has the file locked makes it, what it did -> the rows that a provisional reading gives, None: none yet
PROVISIONAL = {
    "just made": (plain(), "", None),
    "never flushed": (plain(), "write(0, 250)", None),
    "flushed, no row": (plain(), "file.flush()", 0),
    "flushed": (plain(), "write(0, 250); file.flush()", 250),
    "flushed, and more": (plain(), "write(0, 250); file.flush(); write(250, 400)", 250),
    "compressed": (plain(None, "gzip"), "write(0, 250); file.flush(); write(250, 400)", 250),
    "no packets yet": ("file = h5py.File(path, 'w'); file['other'] = 3; file.flush()", "", None),
    "nothing in it yet": ("file = h5py.File(path, 'w'); file.flush()", "", None),
    "strange": ("file = h5py.File(path, 'w'); file['packets'] = 3; file.flush()", "", None),
    "latest, just made": (plain("latest"), "", None),
    "latest, flushed": (plain("latest"), "write(0, 250); file.flush()", None),  # HDF5 refuses: marked as open
    "raw": (raw(None), "write(0, 125); file.flush(); write(125, 300)", 250),
}


@pytest.mark.parametrize("case", PROVISIONAL)
def test_a_locked_file_is_read_provisionally_or_another_time(writer: Writer, case: str) -> None:
    make, write, rows = PROVISIONAL[case]
    writer.do(make, write)
    with pytest.raises(UnreadableFile, match="is being written") as refused:
        open_file(writer.path)
    assert refused.value.state == "growing"
    if rows is None:
        with pytest.raises(UnreadableFile, match="is being written") as refused:
            open_file(writer.path, provisional=True)
        assert refused.value.state == "growing"
        return
    with open_file(writer.path, provisional=True) as reader:
        assert (reader.provisional, reader.closed_by_writer, reader.state) == (True, False, "growing")
        assert len(read(reader)) == rows
        assert (reader.partial, reader.stopped, reader.faults) == (False, False, [])
    writer.do("file.close()")
    with open_file(writer.path, provisional=True) as reader:
        assert (reader.provisional, reader.closed_by_writer, reader.state) == (False, True, "ok")
        assert len(read(reader)) >= rows


def test_a_followed_file_is_not_provisional(writer: Writer) -> None:
    writer.do(plain("latest"), SWMR, "write(0, 250); file.flush()")
    with open_file(writer.path, provisional=True) as reader:
        assert (reader.provisional, reader.rows) == (False, 250)


def test_a_writer_that_does_not_lock_cannot_be_seen_but_by_its_changes(writer: Writer) -> None:
    writer.do(plain(locking=False), "write(0, 250); file.flush()")
    with open_file(writer.path) as reader:
        assert (reader.closed_by_writer, reader.rows) == (True, 250)
        writer.do("write(250, 500); file.flush()")
        assert (reader.closed_by_writer, reader.state) == (False, "growing")


# how a writer made the file before it was killed -> state and rows, or state and what the reason says
KILLED = {
    "SWMR": ((plain("latest", "gzip"), SWMR, "write(0, 250); file.flush(); write(250, 800)"), "growing", 250),
    "SWMR, nothing written": ((plain("latest"), SWMR, "write(0, 250)"), "growing", 0),
    "SWMR raw": ((raw(), SWMR, "write(0, 20); file.flush(); write(20, 90)"), "growing", 40),
    "latest, flushed": ((plain("latest"), "write(0, 250); file.flush()"), "growing", "did not close it"),
    "latest, not flushed": ((plain("latest"), "write(0, 250)"), "growing", "did not close it"),
    "default, flushed": ((plain(), "write(0, 250); file.flush(); write(250, 800)"), "ok", 250),
    "default, not flushed": ((plain(), "write(0, 250)"), "quarantined", "is truncated"),
}


@pytest.mark.parametrize("provisional", [False, True])
@pytest.mark.parametrize("case", KILLED)
def test_a_file_whose_writer_was_killed(writer: Writer, case: str, provisional: bool) -> None:
    code, state, expected = KILLED[case]
    writer.do(*code)
    writer.kill()
    if isinstance(expected, str):
        with pytest.raises(UnreadableFile, match=expected) as refused:
            open_file(writer.path, provisional=provisional)
        assert refused.value.state == state
        return
    with open_file(writer.path, provisional=provisional) as reader:
        assert len(read(reader)) == expected
        assert (reader.state, reader.partial, reader.provisional) == (state, False, False)
        assert reader.closed_by_writer == (state == "ok")


FOREVER = """
number = 0
while not asked():
    if number == {steps}:
        file.close()
        {make}
        number = 0
    write(number * {step}, (number + 1) * {step})
    file.flush()
    number += 1
"""

# name -> how the file is made, rows (messages) for each flush, how often until it is closed and made again
CASES = {
    "packets": (plain(), 137, 50),
    "packets gzip": (plain(None, "gzip"), 137, 20),
    "packets latest": (plain("latest"), 137, 20),
    "raw": (raw(None), 7, 30),
}


@pytest.mark.parametrize("case", CASES)
def test_reading_while_a_writer_makes_its_file_again_and_again_never_fails(writer: Writer, case: str) -> None:
    make, step, steps = CASES[case]
    writer.do(make)
    again = make.strip().replace("\n", "\n        ")
    writer.begin(FOREVER.format(make=again, step=step, steps=steps))
    states = set()
    for _ in range(200):
        try:
            with open_file(writer.path, provisional=True) as reader:
                rows = read(reader)
                states.add(reader.state)
                assert not reader.partial
                if reader.closed_by_writer:  # then they are right, and all
                    assert len(rows) == step * steps * (2 if case == "raw" else 1)
                    assert case == "raw" or np.array_equal(rows, EXPECTED[: len(rows)])
        except UnreadableFile as error:
            states.add(error.state if error.state == "growing" else error.reason)
    writer.begin("file.close()")
    writer.end()
    writer.end()
    assert states <= {"growing", "ok"}


@pytest.mark.parametrize("is_raw", [False, True])
def test_reading_while_a_writer_appends_misses_nothing(writer: Writer, is_raw: bool) -> None:
    writer.do(raw() if is_raw else plain("latest", "gzip"), SWMR)
    writer.begin(FOREVER.format(make="break", step=7 if is_raw else 20, steps=1000))
    cursor, parts = Cursor(), []
    for _ in range(100):
        try:
            with open_file(writer.path) as reader:
                parts.append(read(reader, cursor))
                assert not reader.partial
                cursor = reader.cursor
                if reader.closed_by_writer:  # all rows are written
                    break
                assert reader.state == "growing"
        except UnreadableFile as error:  # it may change between two looks of one opening
            assert error.state == "growing", error.reason  # noqa: PT017
    writer.begin("file.close()")
    writer.end()
    writer.end()
    rows = np.concatenate(parts)
    assert len(rows) == cursor.row
    np.testing.assert_array_equal(
        rows[::2] if is_raw else rows, 1000 + np.arange(len(rows) // 2) if is_raw else EXPECTED[: len(rows)]
    )


LARPIX_CONTROL = """
from larpix.format.rawhdf5format import to_rawfile
number = 0
while not asked():
    data = [message.tobytes() for message in messages(number, number + 5)]
    to_rawfile(path, msgs=data, msg_headers={"io_groups": [1] * 5})
    number += 5
"""


def test_larpix_control_which_opens_its_file_for_each_write_is_not_disturbed_and_read_whole(writer: Writer) -> None:
    writer.begin(LARPIX_CONTROL)
    cursor, parts = Cursor(), []
    while cursor.message < 300 and writer.process.poll() is None:
        try:
            with open_file(writer.path, provisional=True) as reader:
                parts.append(read(reader, cursor))
                assert not reader.partial
                cursor = reader.cursor
        except UnreadableFile as error:
            assert error.state == "growing" or "No such file" in error.reason  # noqa: PT017
    writer.begin("")
    writer.end()
    writer.end()
    rows = np.concatenate(parts)
    assert len(rows) == cursor.row
    np.testing.assert_array_equal(rows[::2], 1000 + np.arange(len(rows) // 2))


def test_a_lock_of_another_kind_as_over_nfs_is_seen_too(writer: Writer) -> None:
    writer.do(plain(locking=False), "write(0, 250); file.flush(); import fcntl")
    writer.do("other = open(path, 'r+b'); fcntl.lockf(other, fcntl.LOCK_EX)")
    with open_file(writer.path, provisional=True) as reader:
        assert (reader.provisional, reader.rows) == (True, 250)


def test_people_whose_locks_do_not_work_can_do_without(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
    writer.do(plain(), "write(0, 250); file.flush()")
    with open_file(writer.path) as reader:
        assert (reader.provisional, reader.rows) == (False, 250)


@pytest.mark.parametrize("make", [plain(), plain("latest"), raw()])
def test_nobody_who_reads_keeps_the_daq_from_opening_its_file(writer: Writer, make: str) -> None:
    writer.do(make, SWMR if "latest" in make else "", "write(0, 50); file.flush()")
    with suppress(UnreadableFile), open_file(writer.path, provisional=True) as growing:
        read(growing)
        writer.do("file.close(); h5py.File(path, 'a').close()")
    writer.do("file.close()")
    with open_file(writer.path) as closed:
        read(closed)
        writer.do("h5py.File(path, 'a').close()")


def test_what_a_first_reader_in_this_process_has_cached_is_not_taken_for_the_whole_file(writer: Writer) -> None:
    writer.do(plain(), "write(0, 250); file.flush()")
    with open_file(writer.path, provisional=True):
        writer.do("write(250, 500); file.close()")
        with open_file(writer.path) as second:
            assert not second.closed_by_writer
    with open_file(writer.path) as reader:
        assert (reader.rows, reader.closed_by_writer) == (500, True)


@pytest.mark.parametrize(("provisional", "state"), [(False, "quarantined"), (True, "growing")])
def test_an_empty_file_may_be_one_that_a_writer_has_just_made(tmp_path: Path, provisional: bool, state: str) -> None:
    (tmp_path / "data.h5").touch()
    with pytest.raises(UnreadableFile, match="may not have been written yet") as refused:
        open_file(tmp_path / "data.h5", provisional=provisional)
    assert refused.value.state == state


def test_memory_and_time_of_a_read_do_not_depend_on_rows_that_are_only_declared(writer: Writer) -> None:
    writer.do(plain("latest"), SWMR, "write(0, 30); dset.resize((10**12,)); file.flush()")
    with open_file(writer.path) as reader:
        assert (reader.rows, len(read(reader))) == (30, 30)


def test_a_packet_file_of_ours_and_the_sample_of_its_ids_can_be_followed(
    writer: Writer, packet_file: Callable[..., Path]
) -> None:
    writer.do("out = PacketWriter(path, compression='gzip', swmr=True); out.write(rows[:5000])")
    with open_file(writer.path) as reader, open_file(packet_file(some_packets(20_000)[:5000])) as closed:
        assert set(reader.sample()["chip_id"]) == set(closed.sample()["chip_id"])
        assert reader.rows == closed.rows
