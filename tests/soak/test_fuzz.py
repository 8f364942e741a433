"""Files damaged at random: a short run of what `make soak` does for long."""

from __future__ import annotations

import struct

import pytest

from tests.soak import fuzz


@pytest.mark.parametrize("reader", fuzz.READERS)
def test_damaged_files_have_a_state_and_a_reason_whatever_the_damage(reader: str) -> None:
    tally = fuzz.main(cases=300, seed=7, readers=[reader])[reader]
    assert tally["cases"] == 300
    assert tally["finds"] == {}
    assert sum(tally["states"].values()) == 300


def test_a_case_is_always_the_same_bytes_and_no_two_are_alike() -> None:
    made = [fuzz.mutated("packets 2.4", number, seed=1) for number in range(50)]
    assert made == [fuzz.mutated("packets 2.4", number, seed=1) for number in range(50)]
    assert len(set(made)) > 45
    assert fuzz.mutated("packets 2.4", 0, seed=2) != made[0]


def test_check_sums_are_put_right_so_that_hdf5_looks_further() -> None:
    good = fuzz.good("raw")
    assert len(good.sums) >= 5
    for start, end in good.sums:
        assert struct.unpack_from("<I", good.content, end)[0] == fuzz.lookup3(good.content[start:end])
