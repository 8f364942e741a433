"""A mask is a set of channels, whatever order and form it came in; what is none is told in words."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqm.demo import demo_rows
from dqm.detector import demo_detector
from dqm.formats.packets import cut
from dqm.masks import MOST, NOTHING, Mask, NoMask, read_mask
from dqm.masks.mask import check_size
from plots.base import LiveTime

BYTE = st.integers(0, 255)
CHANNELS = st.dictionaries(
    st.builds("{}-{}-{}".format, BYTE, BYTE, BYTE), st.lists(st.integers(0, 63), max_size=8), max_size=20
)


@given(CHANNELS)
def test_a_mask_comes_back_from_its_json_and_its_csv(channels: dict[str, list[int]]) -> None:
    mask, said = read_mask(json.dumps(channels))
    assert not said
    assert mask.by_chip == {
        chip: sorted({*own})
        for chip, own in sorted(channels.items(), key=lambda it: [*map(int, it[0].split("-"))])
        if own
    }
    assert list(mask.by_chip) == list(json.loads(mask.to_json()))
    assert read_mask(mask.to_json()) == (mask, [])
    rows = list(csv.DictReader(io.StringIO(mask.to_csv())))
    assert ["-".join(row.values()) for row in rows] == mask.names


def test_the_same_channels_have_one_address_in_whatever_order_they_come() -> None:
    one, other = read_mask({"1-5-42": [7, 8], "1-1-11": [0]})[0], read_mask({"1-1-11": [0], "1-5-42": [8, 7, 7]})[0]
    assert one == other
    assert one.address == other.address != read_mask({"1-5-42": [7]})[0].address
    assert len(one.address) == 24
    assert NOTHING.address == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "got “nothing”"),
        ("{1-5-42: [7]}", "Expected JSON such as"),
        ("[1, 2]", "Expected an object"),
        ("7", "Expected an object"),
        ('{"1-5-42": [' + "1" * 5000 + "]}", "a number of thousands of digits"),
        ('{"chip 3": [7]}', "“chip 3” is no io_group-io_channel-chip"),
        ('{"1-5-256": [7]}', "“1-5-256” is no io_group"),
        ('{"1-5-42": 7}', "expected a list of channels, got 7"),
        ('{"1-5-42": [64]}', "expected channels from 0 to 63, got 64"),
        ('{"1-5-42": [true]}', "got true"),
        ('{"1-5-42": [NaN]}', "got NaN"),
        ("[" * 100_000, "without end"),
    ],
)
def test_what_is_no_mask_is_told_with_what_was_expected(text: str, words: str) -> None:
    with pytest.raises(NoMask) as told:
        read_mask(text)
    assert words in str(told.value)
    assert len(str(told.value)) < 400


def test_what_can_be_used_is_used_and_the_rest_is_named_the_first_five() -> None:
    given = {"1-5-42": [7, 99], **{f"chip{n}": [1] for n in range(7)}}
    mask, said = read_mask(given)
    assert mask.names == ["1-5-42-7"]
    assert "99" in said[0]
    assert "“chip3”" in said[0]
    assert "“chip4”" not in said[0]
    assert "and 3 more" in said[0]


def test_a_mask_without_end_is_refused() -> None:
    with pytest.raises(NoMask, match="at most 100,000 channels"):
        check_size(Mask(np.arange(MOST + 1)))


def test_only_data_of_its_channels_are_left_out_by_whichever_io_channel_of_the_tile_they_came() -> None:
    rows, detector = demo_rows()[:3000].copy(), demo_detector()
    data = rows["packet_type"] == 0
    rows["io_channel"][np.flatnonzero(data)[0]] = 200  # outside the detector
    (packets,) = [block for block in cut(rows, [], detector) if len(block)]
    pixel = int(packets["pixel"][data & (packets["pixel"] >= 0)][0])
    table = detector.pixels
    tile = int(table.tile[pixel])
    reads = [n for n in range(256) if detector.tile_of(np.array([table.io_group[pixel]]), np.array([n]))[0] == tile]
    one = {f"{table.io_group[pixel]}-{reads[-1]}-{table.chip_id[pixel]}": [int(table.channel_id[pixel])]}
    by_other_channel = read_mask(one)[0]
    chosen = by_other_channel.selects(packets)
    assert np.array_equal(chosen, data & (packets["pixel"] == pixel))
    assert chosen.any()
    left = by_other_channel.without(packets)
    assert len(left) == len(packets) - chosen.sum()
    assert {*left.columns} == {*packets.columns}
    live = LiveTime.of(left).to_arrays()
    assert all(np.array_equal(part, live[name]) for name, part in LiveTime.of(packets).to_arrays().items())


def test_packets_without_channels_that_sent_nothing_are_themselves() -> None:
    (packets,) = [block for block in cut(demo_rows()[:500], [], None) if len(block)]
    assert Mask.of([1 << 24]).without(packets) is packets
