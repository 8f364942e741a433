"""Raw words to packet rows and back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dqm.formats import words


def one_message(unix: int, *parts: np.ndarray) -> np.ndarray:
    return words.message(unix, np.concatenate(parts) if parts else np.zeros(0, words.WORD))


def data_word(**fields: int) -> np.ndarray:
    columns = {name: np.array([value]) for name, value in fields.items()}
    return words.data_words(np.array([7]), np.array([1234]), words.encode_bits(columns))


def test_every_field_of_a_data_word_comes_back() -> None:
    fields = {
        "packet_type": 0,
        "chip_id": 104,
        "channel_id": 45,
        "timestamp": 2**31 - 2,
        "first_packet": 1,
        "dataword": 200,
        "trigger_type": 3,
        "local_fifo": 1,
        "shared_fifo": 3,
        "downstream_marker": 1,
    }
    rows, starts, damaged = words.decode([one_message(1_700_000_000, data_word(**fields))], np.array([5]))
    assert damaged == 0
    assert starts.tolist() == [0]
    assert rows["packet_type"].tolist() == [4, 0]
    assert rows["timestamp"][0] == 1_700_000_000
    assert rows["io_group"].tolist() == [5, 5]
    assert {name: int(rows[name][1]) for name in fields} == fields
    assert (rows["io_channel"][1], rows["receipt_timestamp"][1], rows["valid_parity"][1]) == (7, 1234, 1)


@given(st.integers(0, 2**64 - 1), st.integers(0, 63))
def test_any_single_flipped_bit_makes_the_parity_invalid(bits: int, flipped: int) -> None:
    odd = bits if bits.bit_count() % 2 else bits ^ 1
    both = np.array([odd, odd ^ (1 << flipped)], np.uint64)
    assert words.has_odd_parity(both).tolist() == [True, False]


def test_sync_and_trigger_words_keep_kind_and_counter() -> None:
    sync = words.signal_words(words.SYNC_WORD, np.array([ord("S")]), np.array([3]), np.array([10_000_003]))
    trigger = words.signal_words(words.TRIGGER_WORD, np.array([2]), np.array([0]), np.array([2**31 + 99]))
    rows, _, _ = words.decode([one_message(1, sync, trigger)], np.array([1]))
    assert rows["packet_type"].tolist() == [4, 6, 7]
    assert rows["trigger_type"].tolist() == [0, ord("S"), 2]
    assert rows["timestamp"].tolist() == [1, 10_000_003, 2**31 + 99]
    assert rows["dataword"][1] == 1  # only bit 0 is the clock source


def test_words_of_other_kinds_give_no_row() -> None:
    ping = words.signal_words(ord("P"), np.array([0]), np.array([0]), np.array([0]))
    rows, _, damaged = words.decode([one_message(9, ping, data_word(dataword=5), ping)], np.array([1]))
    assert rows["packet_type"].tolist() == [4, 0]
    assert damaged == 0


def test_messages_that_are_cut_short_are_counted_and_their_whole_words_kept() -> None:
    whole = one_message(10, data_word(dataword=1), data_word(dataword=2))
    payloads = [whole, whole[:5], whole[:-3], np.zeros(0, np.uint8), whole]
    rows, starts, damaged = words.decode(payloads, np.arange(1, 6))
    assert damaged == 3
    assert rows["io_group"].tolist() == [1, 1, 1, 3, 3, 5, 5, 5]
    assert starts.tolist() == [0, 3, 3, 5, 5]


def test_no_messages_give_no_rows() -> None:
    rows, starts, damaged = words.decode([], np.zeros(0, np.uint8))
    assert (len(rows), len(starts), damaged) == (0, 0, 0)


def test_a_message_longer_than_its_u2_counter_is_decoded_whole() -> None:
    many = np.repeat(data_word(dataword=3), 70_000)
    rows, _, damaged = words.decode([words.message(5, many)], np.array([2]))
    assert (len(rows), damaged) == (70_001, 0)
