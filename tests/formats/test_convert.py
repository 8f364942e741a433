"""Raw to packets, row by row as larpix-control converts."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqm.demo import DemoRun, take_run
from dqm.formats import open_file, words
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.convert import convert_raw
from dqm.formats.writers import RawWriter
from tests.conftest import SAMPLES
from tests.formats.archives import chips, config

PAIRS = {
    "raw_2022_02_09_17_23_09_CET.h5": "packet_2022_02_09_17_23_09_CET.h5",
    "raw_2022_02_09_18_00_00_CET.h5": "packet_2022_02_09_18_00_00_CET.h5",
    "binary-0050017-2024_07_08_13_37_42_CDT.h5": "packet-0050017-2024_07_08_13_37_42_CDT.hdf5",
}


def converted(raw: Path, to: Path, **options: object) -> Path:
    with open_file(raw) as reader:
        assert reader.faults == []
        convert_raw(reader, to, **options)  # type: ignore[arg-type]
        assert reader.faults == []
    return to


def raw_file(path: Path, *messages: tuple[np.ndarray, int], archive: bytes | None = None) -> Path:
    with RawWriter(path, daq_configs=archive) as writer:
        writer.write([payload for payload, _ in messages], np.array([group for _, group in messages], "u1"))
    return path


def compare(mine: Path, theirs: Path) -> None:
    """All 22 columns of all rows, the header but for its times, and the datasets that there are."""
    with h5py.File(mine) as one, h5py.File(theirs) as other:
        assert one["packets"].dtype == other["packets"].dtype == PACKET_DTYPE
        rows, expected = one["packets"][:], other["packets"][:]
        assert len(rows) == len(expected)
        for name in PACKET_DTYPE.names or ():
            np.testing.assert_array_equal(rows[name], expected[name], err_msg=name)
        headers = [dict(file["_header"].attrs) for file in (one, other)]
        assert [sorted(header) for header in headers] == [["created", "modified", "version"]] * 2
        assert headers[0]["version"] == headers[1]["version"]
        for name in ("messages", "configs"):
            assert (one[name].dtype, one[name].shape) == (other[name].dtype, other[name].shape)


@pytest.mark.samples
@pytest.mark.parametrize("raw", PAIRS)
def test_the_shared_pairs_are_equal(raw: str, tmp_path: Path) -> None:
    compare(converted(SAMPLES / "charge" / raw, tmp_path / "mine.h5"), SAMPLES / "charge" / PAIRS[raw])


def by_larpix_control(raw: Path, to: Path, fifo_diagnostics: bool) -> Path:
    """What convert_rawhdf5_to_hdf5.py does, with its own parser and writer (its reader would switch locks off for good)."""
    from larpix import Packet_v2
    from larpix.format.hdf5format import to_file
    from larpix.format.pacman_msg_format import parse

    with h5py.File(raw) as file:
        messages, groups = file["msgs"][:], file["msg_headers"]["io_groups"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Packet_v2, "fifo_diagnostics_enabled", fifo_diagnostics)
        packets = [
            packet
            for group, message in zip(groups, messages, strict=True)
            for packet in parse(message.tobytes(), io_group=group)
        ]
        to_file(str(to), packet_list=packets, workers=1)
    return to


WORDS = st.one_of(
    st.tuples(st.just("data"), st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("sync"), st.sampled_from(b"SHC"), st.integers(0, 255), st.integers(0, 2**32 - 1)),
    st.tuples(st.just("trigger"), st.integers(0, 255), st.just(0), st.integers(0, 2**32 - 1)),
)


def word(kind: str, one: int, two: int, last: int) -> np.ndarray:
    if kind == "data":
        return words.data_words(np.array([one]), np.array([two]), np.array([last], np.uint64))
    code = words.SYNC_WORD if kind == "sync" else words.TRIGGER_WORD
    return words.signal_words(code, np.array([one]), np.array([two]), np.array([last]))


@pytest.mark.parametrize("fifo_diagnostics", [False, True])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    drawn=st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 255), st.lists(WORDS, max_size=8)), min_size=1, max_size=5
    )
)
def test_any_words_of_any_type_are_converted_as_larpix_control_does(
    fifo_diagnostics: bool, drawn: list, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Data, test, write and read packets of any content, syncs and triggers; in both readings of the FIFO bits."""
    folder = tmp_path_factory.mktemp("convert")
    messages = [
        (words.message(unix, np.concatenate([np.zeros(0, words.WORD), *(word(*one) for one in some)])), group)
        for unix, group, some in drawn
    ]
    raw = raw_file(folder / "raw.h5", *messages)
    mine = converted(raw, folder / "mine.h5", fifo_diagnostics=fifo_diagnostics)
    compare(mine, by_larpix_control(raw, folder / "theirs.h5", fifo_diagnostics))


def test_every_type_of_packet_is_among_those_that_were_compared(tmp_path: Path) -> None:
    every = np.concatenate([word("data", 1, 2, bits) for bits in range(4)])
    raw = raw_file(tmp_path / "raw.h5", (words.message(5, every), 1))
    mine = converted(raw, tmp_path / "mine.h5")
    compare(mine, by_larpix_control(raw, tmp_path / "theirs.h5", False))
    with h5py.File(mine) as file:
        assert file["packets"]["packet_type"].tolist() == [4, 0, 1, 2, 3]


def test_words_of_other_kinds_between_the_others_change_nothing(tmp_path: Path) -> None:
    ping = words.signal_words(ord("P"), np.zeros(1), np.zeros(1), np.zeros(1))
    blank = np.zeros(2, words.WORD)
    data = word("data", 3, 4, 2**60)
    odd = [words.message(9, np.concatenate(parts)) for parts in ([ping, data, blank], [blank], [data, ping, data])]
    plain = [
        words.message(9, np.concatenate([np.zeros(0, words.WORD), *parts])) for parts in ([data], [], [data, data])
    ]
    rows = [words.decode(messages, np.array([1, 2, 3])) for messages in (odd, plain)]
    np.testing.assert_array_equal(rows[0][0], rows[1][0])
    assert rows[0][1].tolist() == rows[1][1].tolist() == [0, 2, 3]


def test_progress_goes_on_to_the_end(tmp_path: Path) -> None:
    raw = take_run(DemoRun(duration_s=5), tmp_path, packets=False).raw
    assert raw is not None
    told: list[float] = []
    converted(raw, tmp_path / "mine.h5", progress=told.append)
    assert told == sorted(told)
    assert len(told) > 1
    assert told[-1] == 1


def test_what_is_interrupted_leaves_nothing_behind(tmp_path: Path) -> None:
    raw = take_run(DemoRun(duration_s=2), tmp_path / "data", packets=False).raw
    assert raw is not None

    def interrupt(_: float) -> None:
        assert [path.name for path in tmp_path.glob(".*")] == [".mine.h5.part"]
        raise KeyboardInterrupt

    with open_file(raw) as reader, pytest.raises(KeyboardInterrupt):
        convert_raw(reader, tmp_path / "mine.h5", progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_the_chip_configurations_go_with_the_packets(tmp_path: Path) -> None:
    content = chips(c1_5_42=config())
    raw = raw_file(tmp_path / "raw.h5", (words.message(5, word("data", 1, 2, 3)), 1), archive=content)
    with h5py.File(converted(raw, tmp_path / "mine.h5")) as file:
        assert file["daq_configs"][:].tobytes() == content


def test_chip_configurations_that_cannot_be_read_are_said_and_the_packets_converted(tmp_path: Path) -> None:
    raw = raw_file(tmp_path / "raw.h5", (words.message(5, word("data", 1, 2, 3)), 1), archive=bytes(range(256)) * 99)
    with h5py.File(raw) as file:
        place = file["daq_configs"].id.get_chunk_info(0)
    with open(raw, "r+b") as damaged:
        damaged.seek(place.byte_offset)
        damaged.write(b"\xff" * place.size)
    with open_file(raw) as reader:
        assert convert_raw(reader, tmp_path / "mine.h5") == 2
        (fault,) = reader.faults
    assert fault.startswith("daq_configs cannot be copied")
    with h5py.File(tmp_path / "mine.h5") as file:
        assert "daq_configs" not in file
