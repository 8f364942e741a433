"""Compiled loops and NumPy give the same, bit for bit, whatever is in the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from dqm import kernels
from dqm.demo import demo_rows
from dqm.detector import demo_detector
from dqm.formats import words
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.packets import Packets, cut
from dqm.formats.scan import Scan
from dqm.kernels.memory import keep_freed
from plots import contract
from plots.base import MergeablePlot, Scatter, Series, State, tally
from plots.discovery import discover

PLOTS = {name: found.plot for name, found in discover().plots.items()}
needs_numba = pytest.mark.skipif(kernels._loops() is None, reason="numba is not installed (the extra `fast`)")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    kernels.allow(None)


def by_both(compute) -> tuple:
    found = []
    for allowed in (True, False):
        kernels.allow(allowed)
        found.append(compute())
    return tuple(found)


def garbage(rows: int) -> np.ndarray:
    """Rows of random bytes; half of them claim to be data of valid parity, with a time that could be."""
    random = np.random.default_rng(rows)
    made = random.integers(0, 256, rows * PACKET_DTYPE.itemsize, np.uint8).view(PACKET_DTYPE)
    half = random.random(rows) < 0.5
    made["packet_type"][half], made["valid_parity"][half] = 0, 1
    made["packet_type"][~half] &= 15
    stamps = made["packet_type"] == 4
    made["timestamp"][stamps] = 1_700_000_000 + np.cumsum(random.integers(0, 3, stamps.sum()))
    made["trigger_type"][random.random(rows) < 0.1] = ord("S")
    return made


def hot(rows: int) -> np.ndarray:
    """One pixel that sends all packets with the highest ADC count."""
    real = demo_rows()
    made = np.repeat(real[(real["packet_type"] == 0) & (real["valid_parity"] == 1)][:1], rows)
    made["dataword"] = 255
    return made


ROWS = {
    "of the demo detector": lambda: demo_rows()[:20_000],
    "garbage": lambda: garbage(20_000),
    "hot": lambda: hot(20_000),
}


def states(rows: np.ndarray, detector) -> dict[str, State]:
    made = {name: plot() for name, plot in PLOTS.items() if issubclass(plot, MergeablePlot)}
    counted = {name: plot.start(detector) for name, plot in made.items()}
    for packets in cut(rows, [7000, 30], detector):
        for name, plot in made.items():
            counted[name].add(plot.count(packets))
    return counted


@needs_numba
@pytest.mark.parametrize("known", [True, False], ids=["with a geometry", "without"])
@pytest.mark.parametrize("rows", ROWS)
def test_every_plot_counts_the_same_with_and_without_numba(rows: str, known: bool) -> None:
    compiled, by_numpy = by_both(lambda: states(ROWS[rows](), demo_detector() if known else None))
    for name, state in by_numpy.items():
        assert contract.same_state(compiled[name], state), name


@needs_numba
@pytest.mark.parametrize("rows", ROWS)
def test_columns_times_and_faults_are_the_same(rows: str) -> None:
    def found() -> list:
        scan, columns = Scan(), []
        for packets in cut(ROWS[rows](), [9000], demo_detector()):
            scan.feed(packets)
            columns += [packets[name] for name in packets.columns]
            columns += [times for _, times in packets.timeline]
        return [*columns, *scan.faults]

    for one, other in zip(*by_both(found), strict=True):
        assert np.array_equal(one, other)


@needs_numba
def test_loops_are_used_where_they_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_expected", 0)
    kernels.expect(kernels.WORTH_LOADING - 1)
    assert kernels.loops_for(1 << 16) is None
    kernels.expect(1)
    assert kernels.loops_for(1 << 16) is not None
    assert kernels.loops_for(kernels.WORTH - 1) is None
    kernels.allow(False)
    assert kernels.loops_for(1 << 16) is None


@needs_numba
def test_a_place_that_there_is_not_is_refused_by_both() -> None:
    many = np.arange(10_000)
    for allowed in (True, False):
        kernels.allow(allowed)
        with pytest.raises(IndexError):
            tally((9_999,), many)
        with pytest.raises(IndexError):
            tally((10_000, 2), many, np.full(10_000, 2))
        with pytest.raises(IndexError):
            Scatter(9_999, many).onto(None)


@needs_numba
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64])
def test_columns_of_any_integer_type_are_counted(kind: type) -> None:
    random = np.random.default_rng(3)
    first, second = (random.integers(0, 100, 9_000).astype(kind) for _ in range(2))
    unix = random.integers(-1, 50, 9_000)
    for one, other in (
        by_both(lambda: tally((100, 100), first, second)),
        by_both(lambda: Series.of(unix, first, 100).counts),
        by_both(lambda: Series.of(unix * 1000, first, 100).seconds),
        by_both(lambda: Scatter(100, first, second.astype(np.int64)).onto(np.zeros(100, np.int64))),
    ):
        assert np.array_equal(one, other)


def census_by_hand(packets: Packets) -> dict[tuple, int]:
    names = ("unix_time", "io_group", "io_channel", "packet_type", "valid_parity")
    counted: dict[tuple, int] = {}
    for *ids, parity in zip(*(packets[name].tolist() for name in names), strict=True):
        key = (*ids, parity == 1)
        counted[key] = counted.get(key, 0) + 1
    return counted


@pytest.mark.parametrize("allowed", [True, False], ids=["numba, if there is one", "NumPy"])
@pytest.mark.parametrize("rows", ROWS)
def test_the_census_counts_every_packet_once(rows: str, allowed: bool) -> None:
    kernels.allow(allowed)
    for packets in cut(ROWS[rows](), [10, 8000], demo_detector()):
        census = packets.census
        columns = (census.unix_time, census.io_group, census.io_channel, census.packet_type, census.valid_parity)
        keys = list(zip(*(column.tolist() for column in columns), strict=True))
        assert dict(zip(keys, census.rows.tolist(), strict=True)) == census_by_hand(packets)
        assert len(keys) == len(set(keys))


@pytest.mark.parametrize("allowed", [True, False], ids=["numba, if there is one", "NumPy"])
@pytest.mark.parametrize("rows", ROWS)
def test_sums_of_pixels_and_chips_are_those_of_their_packets(rows: str, allowed: bool) -> None:
    kernels.allow(allowed)
    packets = next(iter(cut(ROWS[rows](), [], demo_detector())))
    data, sums, chips = packets.data, packets.pixel_sums, packets.chips
    inside = data["pixel"] >= 0
    pixel, adc = data["pixel"][inside], data["dataword"][inside].astype(np.int64)
    index = np.unique(pixel)
    assert np.array_equal(sums.index, index)
    for found, values in ((sums.packets, adc**0), (sums.adc, adc), (sums.adc_squared, adc**2)):
        whole = np.zeros(sums.size, np.int64)
        np.add.at(whole, pixel, values)
        assert np.array_equal(found, whole[index])
    table = {
        (group, channel, chip): count
        for group, channel, counts in zip(
            chips.io_group.tolist(), chips.io_channel.tolist(), chips.packets.tolist(), strict=True
        )
        for chip, count in enumerate(counts)
        if count
    }
    ids = (data[name].tolist() for name in ("io_group", "io_channel", "chip_id"))
    assert table == Counter(zip(*ids, strict=True))


def test_glibc_is_asked_to_keep_memory_or_there_is_another_libc() -> None:
    assert keep_freed() in (True, False)


@needs_numba
def test_messages_are_decoded_the_same_whatever_is_in_their_words() -> None:
    random = np.random.default_rng(5)
    kinds = np.frombuffer(b"DDDDTSWPE", np.uint8)
    payloads = []
    for number in range(400):
        made = random.integers(0, 256, 8 + 16 * int(random.integers(0, 40)), np.uint8)
        made[8::16] = random.choice(kinds, len(made[8::16]))
        payloads.append(made[: len(made) - number % 3] if number % 5 else made[: number % 9])
    io_groups = random.integers(0, 256, len(payloads), np.uint8)
    (rows, starts, damaged), (others, their_starts, their_damaged) = by_both(lambda: words.decode(payloads, io_groups))
    assert len(rows) > 4096
    assert rows.dtype == others.dtype == PACKET_DTYPE
    assert rows.tobytes() == others.tobytes()
    assert np.array_equal(starts, their_starts)
    assert damaged == their_damaged > 0
