"""Bad input is normal input: each case is a state and one sentence, and never a crash, a hang or a followed link."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from dqm import kernels
from dqm.formats import UnreadableFile, identify, open_file
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.reader import RawReader
from dqm.formats.trust import REFERENCE
from dqm.ingest.oneshot import Sources, inspect
from tests.conftest import packets_of, some_packets
from tests.formats import good_files

Make = Callable[[Path], None]


def with_packets(**options: object) -> Make:
    def make(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file.create_group("_header").attrs["version"] = "2.4"
            file.create_dataset("packets", **options)

    return make


def truncated(keep: float) -> Make:
    def make(path: Path) -> None:
        with_packets(data=some_packets(5000), chunks=(100,))(path)
        os.truncate(path, int(path.stat().st_size * keep))

    return make


def a_group(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("packets")


def external_link(path: Path) -> None:
    with_packets(data=some_packets(100))(path.with_name("other.h5"))
    with h5py.File(path, "w") as file:
        file["packets"] = h5py.ExternalLink("other.h5", "/packets")


def soft_link_to_external(path: Path) -> None:
    external_link(path.with_name("between.h5"))
    with h5py.File(path, "w") as file:
        file["away"] = h5py.ExternalLink("other.h5", "/")
        file["packets"] = h5py.SoftLink("/away/packets")


def soft_link_circle(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["packets"] = h5py.SoftLink("/there")
        file["there"] = h5py.SoftLink("/packets")


def virtual_dataset(path: Path) -> None:
    with_packets(data=some_packets(100))(path.with_name("other.h5"))
    layout = h5py.VirtualLayout((100,), PACKET_DTYPE)
    layout[:] = h5py.VirtualSource("other.h5", "packets", (100,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("packets", layout)


def external_storage(path: Path) -> None:
    path.with_name("values.bin").write_bytes(bytes(3600))
    with h5py.File(path, "w") as file:
        file.create_dataset("packets", (100,), PACKET_DTYPE, external=[(path.with_name("values.bin"), 0, 3600)])


def foreign_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["measurements"] = np.arange(5)


def floats(path: Path) -> None:
    rows = np.zeros(10, [(name, "f8") for name in PACKET_DTYPE.names or ()])
    rows["timestamp"] = np.nan
    with_packets(data=rows)(path)


def raw_without_headers_column(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("meta")
        file.create_dataset("msgs", (3,), h5py.vlen_dtype(np.uint8))
        file.create_dataset("msg_headers", data=np.zeros(3))


def raw_of_floats(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("msgs", (3,), h5py.vlen_dtype(np.float64))
        file.create_dataset("msg_headers", data=np.zeros(3, [("io_groups", "u1")]))


def fifo(path: Path) -> None:
    os.mkfifo(path)


def soft_link_maze(path: Path) -> None:
    """Ten links, each through the next one twenty times over: 20 to the power of 10 steps for who follows them all."""
    with h5py.File(path, "w") as file:
        for number in range(10):
            file[f"l{number}"] = h5py.SoftLink("/" + "/".join([f"l{number + 1}"] * 20))
        file["l10"] = file["/"]
        file["packets"] = h5py.SoftLink("/l0/nothing")


def name_that_is_not_utf8(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group(b"caf\xe9")


NO_COLUMN = np.dtype([(name, PACKET_DTYPE[name]) for name in PACKET_DTYPE.names or () if name != "io_group"])

# name -> how it is made, what the reason must say
UNREADABLE: dict[str, tuple[Make, str]] = {
    "empty": (lambda path: path.touch(), "is empty"),
    "a text file": (lambda path: path.write_text("hello"), "not an HDF5 file"),
    "a missing file": (lambda path: None, "No such file"),
    "a directory": (lambda path: path.mkdir(), "not a regular file"),
    "a named pipe": (fifo, "not a regular file"),
    "only the signature": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "cannot be read|not an HDF5"),
    "cut in half": (truncated(0.5), "truncated: .* bytes, expected"),
    "cut after its head": (truncated(0.02), "truncated|cannot be read"),
    "a group called packets": (a_group, "is a group, expected a dataset"),
    "an external link": (external_link, "external link .* not followed"),
    "a soft link to an external link": (soft_link_to_external, "external link .* not followed"),
    "soft links in a circle": (soft_link_circle, "circle|has no dataset"),
    "soft links without end": (soft_link_maze, "circle, or through too many others"),
    "a name that is not UTF-8": (name_that_is_not_utf8, "no known format"),
    "a virtual dataset": (virtual_dataset, "in other files, which are not followed"),
    "external storage": (external_storage, "in other files, which are not followed"),
    "foreign HDF5": (foreign_hdf5, "no known format; it holds measurements"),
    "HDF5 with nothing in it": (lambda path: h5py.File(path, "w").close(), "it holds nothing"),
    "a plain array": (with_packets(data=np.arange(10)), "plain array"),
    "a table of floats": (floats, "is float64, expected an integer"),
    "a column missing": (with_packets(data=np.zeros(5, NO_COLUMN)), "no column 'io_group'"),
    "two dimensions": (with_packets(data=np.zeros((3, 3), PACKET_DTYPE)), "2 dimensions, expected 1"),
    "a scalar": (with_packets(data=np.zeros((), PACKET_DTYPE)), "0 dimensions, expected 1"),
    "a giant chunk": (with_packets(shape=(10**8,), dtype=PACKET_DTYPE, chunks=(10**8,)), "has chunks of 3433 MiB"),
    "a column of arrays": (
        with_packets(data=np.zeros(5, [*NO_COLUMN.descr, ("io_group", "u1", (4,))])),
        "expected an integer",
    ),
    "raw without io_groups": (raw_without_headers_column, "no column 'io_groups'"),
    "raw messages of floats": (raw_of_floats, "expected byte strings"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_cannot_be_read_gets_a_state_and_a_sentence(case: str, tmp_path: Path) -> None:
    make, reason = UNREADABLE[case]
    path = tmp_path / "bad.h5"
    make(path)
    report = inspect(path, Sources())
    assert report.state == "quarantined"
    assert report.rows is None
    assert report.reason
    assert "\n" not in report.reason
    with pytest.raises(UnreadableFile, match=reason):
        open_file(path).close()


def test_a_file_locked_by_its_writer_is_growing_not_quarantined(tmp_path: Path) -> None:
    path = tmp_path / "packets.h5"
    code = (
        "import h5py, numpy, sys; f = h5py.File(sys.argv[1], 'w'); f['packets'] = numpy.zeros(5); f.flush();"
        "print('ready', flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        report = inspect(path, Sources())
        assert report.state == "growing"
        assert report.rows is None
        assert "is being written" in (report.reason or "")
    finally:
        writer.communicate()
    with pytest.raises(UnreadableFile, match="plain array"):  # closed: now it is judged by what it holds
        open_file(path).close()


def test_a_damaged_chunk_costs_its_block_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "packets.h5"
    with h5py.File(path, "w") as file:
        file.create_group("_header").attrs["version"] = "2.4"
        dset = file.create_dataset("packets", data=some_packets(200_000), chunks=(65_536,), compression="gzip")
        broken = dset.id.get_chunk_info(1).byte_offset
    with open(path, "r+b") as file:
        file.seek(broken + 100)
        file.write(bytes(range(200)))
    report = inspect(path, Sources())
    assert report.state == "partial"
    assert report.rows == 200_000 - 65_536
    assert "rows 65,536 to 131,071 cannot be read" in (report.reason or "")


@pytest.mark.parametrize(("broken", "lost"), [(0, 864), (100, 864), (231, 416)])
def test_a_damaged_small_chunk_costs_that_chunk_and_not_the_geometry(tmp_path: Path, broken: int, lost: int) -> None:
    path = tmp_path / "packets.h5"
    with h5py.File(path, "w") as file:
        file.create_group("_header").attrs["version"] = "2.4"
        rows = some_packets(200_000)
        dset = file.create_dataset("packets", data=rows, chunks=(864,), compression="gzip")
        info = dset.id.get_chunk_info(broken)
    with open(path, "r+b") as file:
        file.seek(info.byte_offset + 100)
        file.write(bytes(range(200)))
    report = inspect(path, Sources())
    assert report.state == "partial"
    assert report.rows == 200_000 - lost
    assert report.geometry == "demo"
    with open_file(path) as reader:
        whole = [block["dataword"] for block in reader.blocks()]
        expected = np.delete(rows["dataword"], np.s_[broken * 864 : broken * 864 + lost])
        np.testing.assert_array_equal(np.concatenate(whole), expected)


def test_a_hole_in_a_file_is_not_counted_and_what_follows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "packets.h5"
    with h5py.File(path, "w") as file:
        file.create_group("_header").attrs["version"] = "2.4"
        dset = file.create_dataset("packets", (3000,), PACKET_DTYPE, chunks=(1000,))
        dset[:1000], dset[2000:] = some_packets(1000), some_packets(1000, seed=2)
    report = inspect(path, Sources())
    assert (report.state, report.rows) == ("partial", 2000)
    assert "declares 3,000 rows but stores only 2,000" in (report.reason or "")
    with open_file(path) as reader:
        assert [(block.first_row, len(block)) for block in reader.blocks()] == [(0, 1000), (2000, 1000)]
        assert [(block.first_row, len(block)) for block in reader.blocks(2500)] == [(2500, 500)]


@pytest.mark.parametrize("loops", [False, True], ids=["NumPy", "numba, if there is one"])
def test_a_column_of_references_beside_the_packets_is_left_alone(
    tmp_path: Path, loops: bool, request: pytest.FixtureRequest
) -> None:
    kernels.allow(loops)
    request.addfinalizer(lambda: kernels.allow(None))
    path = tmp_path / "packets.h5"
    rows = some_packets(150_000)
    wide = np.zeros(len(rows), [*PACKET_DTYPE.descr, ("link", h5py.ref_dtype)])
    for name in PACKET_DTYPE.names or ():
        wide[name] = rows[name]
    wide["link"] = h5py.Reference()
    with h5py.File(path, "w") as file:
        file.create_dataset("packets", data=wide, chunks=(8192,), compression="gzip")
    assert inspect(path, Sources()).rows == 150_000


def test_a_reader_can_be_closed_twice_and_its_file_removed_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "packets.h5"
    with_packets(data=some_packets(150_000), chunks=(8192,), compression="gzip")(path)
    reader = open_file(path)
    path.unlink()
    assert sum(len(block) for block in reader.blocks()) == 150_000
    reader.close()
    reader.close()


def test_many_short_messages_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "raw.h5"
    with h5py.File(path, "w") as file:
        msgs = file.create_dataset("msgs", (5000,), h5py.vlen_dtype(np.uint8), chunks=(1024,))
        msgs[:] = [np.frombuffer(b"D" + bytes(8), np.uint8)] * 5000
        file["msg_headers"] = np.ones(5000, [("io_groups", "u1")])
    report = inspect(path, Sources())
    assert report.rows == 5000
    assert "5,000 messages are cut short, or have bytes beyond their last whole word" in (report.reason or "")


def test_rows_that_are_declared_but_not_stored_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "packets.h5"
    with_packets(shape=(10**15,), dtype=PACKET_DTYPE, chunks=(1000,), maxshape=(None,))(path)
    with h5py.File(path, "a") as file:
        file["packets"][:1500] = some_packets(1500)
    report = inspect(path, Sources())
    assert report.state == "partial"
    assert report.rows == 2000  # two chunks are stored
    assert "declares 1,000,000,000,000,000 rows but stores only 2,000" in (report.reason or "")


def test_values_that_a_field_cannot_have_are_refused(packet_file: Callable) -> None:
    rows = some_packets(100).astype([(name, "<i8") for name in PACKET_DTYPE.names or ()])
    rows["io_group"][7] = 300
    report = inspect(packet_file(rows), Sources())
    assert report.state == "partial"
    assert "column 'io_group' of packets holds values outside uint8" in (report.reason or "")


def test_packets_without_timestamps_have_no_absolute_time(packet_file: Callable) -> None:
    report = inspect(packet_file(packets_of(100, valid_parity=1, io_group=1)), Sources())
    assert report.state == "ok"
    assert report.start is None
    assert "no timestamp packets" in (report.reason or "")


def test_a_file_without_rows_says_so(packet_file: Callable) -> None:
    report = inspect(packet_file(packets_of(0)), Sources())
    assert (report.state, report.rows) == ("ok", 0)
    assert report.reason == "no packets in it"


def test_time_going_backwards_is_said(packet_file: Callable) -> None:
    rows = some_packets(1000)
    rows["timestamp"][500] = 1_600_000_000
    report = inspect(packet_file(rows), Sources())
    assert "unix time goes backwards 1 times" in (report.reason or "")
    assert "jumps by more than 2 s 1 times" in (report.reason or "")


def test_a_clock_that_falls_back_without_a_pps_is_said(packet_file: Callable) -> None:
    rows = packets_of(100, io_group=1, valid_parity=1, timestamp=np.tile(np.arange(50) * 200_000, 2))
    report = inspect(packet_file(rows), Sources())
    assert "no PPS syncs: its counters start again each second" in (report.reason or "")
    rows[0] = packets_of(1, io_group=1, packet_type=6, trigger_type=ord("H"))[0]
    assert "clock of an io_group goes backwards 1 times" in (inspect(packet_file(rows), Sources()).reason or "")


def test_ids_outside_every_geometry_are_said(packet_file: Callable) -> None:
    rows = packets_of(100, io_group=77, chip_id=3, valid_parity=1)
    report = inspect(packet_file(rows), Sources())
    assert report.geometry is None
    assert "fit none of the known geometries" in (report.reason or "")


def test_some_ids_outside_a_configured_geometry_are_counted(packet_file: Callable) -> None:
    rows = packets_of(100, io_group=1, io_channel=1, chip_id=11, valid_parity=1)
    rows["chip_id"][:3] = 200
    report = inspect(packet_file(rows), Sources(name="demo"))
    assert "3 of 100 data packets have ids outside geometry demo" in (report.reason or "")


def test_raw_messages_that_are_cut_short_make_the_file_partial(tmp_path: Path) -> None:
    path = tmp_path / "raw.h5"
    with h5py.File(path, "w") as file:
        msgs = file.create_dataset("msgs", (3,), h5py.vlen_dtype(np.uint8))
        for number, size in enumerate((24, 13, 8)):
            msgs[number] = np.frombuffer(b"D" + bytes(size - 1), np.uint8)
        file["msg_headers"] = np.ones(3, [("io_groups", "u1")])
    report = inspect(path, Sources())
    assert report.state == "partial"
    assert "1 messages are cut short" in (report.reason or "")


def test_a_raw_file_whose_datasets_differ_in_length_reads_the_shorter(tmp_path: Path) -> None:
    path = tmp_path / "raw.h5"
    with h5py.File(path, "w") as file:
        msgs = file.create_dataset("msgs", (3,), h5py.vlen_dtype(np.uint8))
        for number in range(3):
            msgs[number] = np.frombuffer(b"D" + bytes(7), np.uint8)
        file["msg_headers"] = np.ones(2, [("io_groups", "u1")])
    report = inspect(path, Sources())
    assert (report.state, report.rows) == ("partial", 2)
    assert "3 messages but 2 headers" in (report.reason or "")


def test_identify_asks_content_not_name(tmp_path: Path) -> None:
    path = tmp_path / "binary-0000001-2024_07_08_13_37_42_CDT.h5"
    with_packets(data=some_packets(10))(path)
    assert identify(path).format == "packets"


@pytest.mark.parametrize(
    ("head", "version"),
    [
        (b"Star" + bytes(60), "MPD"),
        (b"FTar" + bytes(60), None),
        (bytes.fromhex("46426567") + bytes(60), "MPD"),
        (bytes(16) + b"P*P*" + bytes(9), "ADC64"),
    ],
)
def test_light_files_are_known_by_their_first_bytes(tmp_path: Path, head: bytes, version: str | None) -> None:
    path = tmp_path / "run.data"
    path.write_bytes(head)
    if version is None:
        with pytest.raises(UnreadableFile, match="no known light format"):
            identify(path)
    else:
        assert (identify(path).format, identify(path).version) == ("light", version)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_anywhere_never_crash_the_reader(tmp_path: Path, seed: int) -> None:
    """A small corpus of its kind; the long one comes with the service."""
    path = tmp_path / "flipped.h5"
    with_packets(data=some_packets(2000), chunks=(100,), compression="gzip" if seed % 2 else None)(path)
    random = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    limit = 3000 if seed % 3 else len(content)  # mostly in the metadata, where it hurts
    for place in random.integers(0, limit, 12).tolist():
        content[place] = int(random.integers(256))
    path.write_bytes(content)
    report = inspect(path, Sources())
    assert report.state in ("ok", "partial", "quarantined", "growing")
    if report.state != "ok":
        assert report.reason


@pytest.mark.parametrize("command", ["process", "inspect"])
@pytest.mark.parametrize("case", UNREADABLE)
def test_the_commands_say_one_line_of_reason_and_go_on_with_the_next_file(
    case: str, command: str, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    from dqm.cli import app

    bad, good = tmp_path / "bad.h5", tmp_path / "good.h5"
    UNREADABLE[case][0](bad)
    with_packets(data=some_packets(500))(good)
    options = ["--plots", "PacketRate"] if command == "process" else []

    alone = CliRunner().invoke(app, [command, str(bad), *options])
    assert alone.exit_code == 2
    assert alone.exception is None or isinstance(alone.exception, SystemExit)
    lines = alone.stdout.splitlines()
    assert lines[0].startswith(f"{bad}: quarantined")
    assert len(lines) == 2
    assert lines[1].startswith("  ")

    both = CliRunner().invoke(app, [command, str(bad), str(good), *options])
    assert both.exit_code == 1
    assert f"{good}: ok, packets 2.4, 500 rows" in both.stdout


def test_a_heap_that_says_it_has_gigabytes_is_refused_before_this_process_opens_the_file(tmp_path: Path) -> None:
    path = tmp_path / "packets.h5"
    with_packets(data=some_packets(100))(path)
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 8 : heap + 16] = struct.pack("<Q", 1 << 30)
    path.write_bytes(content + bytes(1000))
    with path.open("r+b") as file:
        file.truncate(2 << 30)  # a hole: nothing is stored of it
        file.seek(content.index(struct.pack("<Q", len(content))))
        file.write(struct.pack("<Q", 2 << 30))  # where the superblock says that the file ends
    report = inspect(path, Sources())
    assert (report.state, report.reason) == (
        "quarantined",
        "opening it takes more than 256 MiB: its structure is damaged",
    )


def test_a_file_over_which_hdf5_hangs_is_refused_in_time_and_the_next_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dqm.formats.doorkeeper.SECONDS", 2.0)
    path = tmp_path / "packets.h5"
    with_packets(data=some_packets(100))(path)
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL") + 16
    content[heap : heap + 4000] = bytes(4000)  # free space of no size: HDF5 goes round for ever
    (tmp_path / "bad.h5").write_bytes(content)
    report = inspect(tmp_path / "bad.h5", Sources())
    assert report.state == "quarantined"
    assert "HDF5 did not come to an end with it within 2 s" in (report.reason or "")
    assert inspect(path, Sources()).state == "ok"


def test_messages_are_read_as_hdf5_reads_them(tmp_path: Path) -> None:
    for form in ("raw", "raw as larpix-control"):
        path = good_files.write(form, tmp_path / "raw.h5", seed=4)
        with open_file(path) as reader:
            assert isinstance(reader, RawReader)
            mine = reader._read_messages(0, reader.messages)
            for one, other in zip(mine, list(reader._messages), strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("field", "value"), [("index", 60_000), ("size", 9), ("heap", 48), ("heap", 1 << 40)])
def test_a_message_that_points_elsewhere_costs_its_block_and_not_the_process(
    tmp_path: Path, field: str, value: int
) -> None:
    """HDF5 itself crashes over some of these."""
    path = good_files.write("raw", tmp_path / "raw.h5", compression=None)
    with h5py.File(path, "r") as file:
        at = file["msgs"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    references = np.frombuffer(content, REFERENCE, 32, at)
    references[3][field] = value
    path.write_bytes(content)
    report = inspect(path, Sources(name="demo"))
    assert report.state == "partial"
    assert "messages 0 to 119 cannot be read" in (report.reason or "")


@pytest.mark.parametrize("size", [1, 3, 100, 1 << 30])
def test_a_chunk_of_another_size_than_it_can_have_costs_its_rows_and_not_the_process(tmp_path: Path, size: int) -> None:
    """Over a chunk that is shorter than its check sum HDF5 crashes."""
    path = good_files.write("packets 2.0", tmp_path / "packets.h5")
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<II", 64 * 36 + 4, 0))  # stored bytes and filter mask, in the B-tree
    content[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(content)
    report = inspect(path, Sources(name="demo"))
    assert (report.state, report.rows) == ("partial", 300 - 64)
    assert "rows 0 to 63 cannot be read" in (report.reason or "")


def test_a_column_whose_name_steers_a_terminal_is_shown_as_escapes(tmp_path: Path) -> None:
    path = tmp_path / "packets.h5"
    with_packets(data=np.zeros(5, [("io\x1b[31m\u202egroup", "u1")]))(path)
    reason = inspect(path, Sources()).reason or ""
    assert reason.isprintable()
    assert "io\\x1b[31m\\u202egroup" in reason


KEY = struct.Struct("<IIQQQ")
"""Of an index of chunks: size and filters of a chunk, first row, 0, and where it lies (HDF5 file format, III.A.1)."""
CHUNK = 64 * 36


@pytest.mark.parametrize(
    ("changed", "words"),
    [({2: 0}, "has chunks twice"), ({2: 192}, "out of order"), ({0: 0}, "other sizes"), ({0: 1 << 20}, "other sizes")],
    ids=str,
)
def test_hdf5_is_not_asked_for_rows_by_an_index_that_contradicts_itself(
    tmp_path: Path, changed: dict[int, int], words: str
) -> None:
    """It would crash, or give rows that are not there."""
    path = tmp_path / "packets.h5"
    with_packets(data=some_packets(300), chunks=(64,))(path)
    content = bytearray(path.read_bytes())
    second = content.index(struct.pack("<IIQ", CHUNK, 0, 64))
    key = list(KEY.unpack_from(content, second))
    for number, value in changed.items():
        key[number] = value
    KEY.pack_into(content, second, *key)
    path.write_bytes(content)
    report = inspect(path, Sources(name="demo"))
    assert (report.state, report.rows) == ("quarantined", None)
    assert "the index of /packets" in (report.reason or "")
    assert words in (report.reason or "")


@pytest.mark.parametrize("column", ["chip_key", "fifo_half"])
def test_a_file_of_old_whose_chip_keys_or_fifo_flags_are_something_else_is_refused(tmp_path: Path, column: str) -> None:
    def retyped(file: h5py.File) -> None:
        rows = file["packets"][:]
        del file["packets"]
        kinds = [(name, "V7" if name == column else rows.dtype[name]) for name in rows.dtype.names]
        file.create_dataset("packets", data=np.zeros(len(rows), kinds))

    path = tmp_path / "packets.h5"
    good_files.change("packets 1.0", path, retyped)
    report = inspect(path, Sources(name="demo"))
    assert report.state == "quarantined"
    assert f"column '{column}' of packets is |V7, expected" in (report.reason or "")
