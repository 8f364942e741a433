"""Loops for numba. Bounds are checked here: a compiled loop would write anywhere."""

from __future__ import annotations

import numpy as np
from numba import njit

compiled = njit(cache=True, nogil=True)


@compiled
def tally1(counts, a):  # type: ignore[no-untyped-def]
    size = len(counts)
    for i in range(len(a)):
        at = np.int64(a[i])
        if at < 0 or at >= size:
            return False
        counts[at] += 1
    return True


@compiled
def tally2(counts, a, b):  # type: ignore[no-untyped-def]
    rows, columns = counts.shape
    for i in range(len(a)):
        row, column = np.int64(a[i]), np.int64(b[i])
        if row < 0 or row >= rows or column < 0 or column >= columns:
            return False
        counts[row, column] += 1
    return True


@compiled
def tally3(counts, a, b, c):  # type: ignore[no-untyped-def]
    planes, rows, columns = counts.shape
    for i in range(len(a)):
        plane, row, column = np.int64(a[i]), np.int64(b[i]), np.int64(c[i])
        if plane < 0 or plane >= planes or row < 0 or row >= rows or column < 0 or column >= columns:
            return False
        counts[plane, row, column] += 1
    return True


@compiled
def add_ones(array, index):  # type: ignore[no-untyped-def]
    size = len(array)
    for i in range(len(index)):
        if index[i] < 0 or index[i] >= size:
            return False
    for i in range(len(index)):
        array[index[i]] += 1
    return True


@compiled
def add_values(array, index, values):  # type: ignore[no-untyped-def]
    size = len(array)
    if len(values) != len(index):
        return False
    for i in range(len(index)):
        if index[i] < 0 or index[i] >= size:
            return False
    for i in range(len(index)):
        array[index[i]] += values[i]
    return True


@compiled
def span(times):  # type: ignore[no-untyped-def]
    """First and last of those that are not negative; first > last when there are none."""
    first, last = np.int64(np.iinfo(np.int64).max), np.int64(-1)
    for i in range(len(times)):
        time = times[i]
        if time >= 0:
            first = min(first, time)
            last = max(last, time)
    return first, last


@compiled
def per_second(counts, present, unix_time, first, column):  # type: ignore[no-untyped-def]
    seconds, columns = counts.shape
    for i in range(len(unix_time)):
        if unix_time[i] < 0:
            continue
        second, place = unix_time[i] - first, np.int64(column[i])
        if second < 0 or second >= seconds or place < 0 or place >= columns:
            return False
        counts[second, place] += 1
        present[second] = True
    return True


@compiled
def pixels(io_group, io_channel, chip_id, channel_id, slot_of, pixel_of, found):  # type: ignore[no-untyped-def]
    for i in range(len(found)):
        channel = channel_id[i]
        if channel < 64:
            slot = np.int64(slot_of[np.int64(io_group[i]) << 8 | np.int64(io_channel[i])])
            found[i] = pixel_of[slot << 14 | np.int64(chip_id[i]) << 6 | np.int64(channel)]
        else:
            found[i] = -1


@compiled
def times(types, groups, stamps, receipts, offset, pps, periods, second, mask, found):  # type: ignore[no-untyped-def]
    """Ticks of all rows, before new anchors are added, -1 without a counter; `offset`, by io_group, is changed."""
    following = 0
    late = len(receipts) > 0
    for i in range(len(types)):
        group, kind = groups[i], types[i]
        stamp = np.int64(stamps[i] & mask)
        time = stamp + offset[group]
        if kind == 0 and late and receipts[i] < stamp and receipts[i] > 0:
            time -= second
        found[i] = time if kind == 0 or kind == 6 or kind == 7 else -1
        if following < len(pps) and pps[following] == i:
            offset[group] += periods[following]
            following += 1


@compiled
def spans(times, bits, found):  # type: ignore[no-untyped-def]
    """Lowest and highest of the times that follow each other in one cell of 2**bits; how many such pairs."""
    n = 0
    cell = times[0] >> bits
    low = high = times[0]
    for i in range(1, len(times)):
        time = times[i]
        if time >> bits != cell:
            found[n, 0], found[n, 1] = low, high
            n += 1
            cell, low, high = time >> bits, time, time
        low, high = min(low, time), max(high, time)
    found[n, 0], found[n, 1] = low, high
    return n + 1


@compiled
def by_group(types, parity, groups, times, size, found):  # type: ignore[no-untyped-def]
    """Times of rows whose counter can be trusted, by io_group, in file order; `size` counts them."""
    for i in range(len(types)):
        if (types[i] == 0 and parity[i] == 1) or types[i] == 6 or types[i] == 7:
            size[groups[i]] += 1
    place = np.zeros(256, np.int64)
    for group in range(1, 256):
        place[group] = place[group - 1] + size[group - 1]
    for i in range(len(types)):
        if (types[i] == 0 and parity[i] == 1) or types[i] == 6 or types[i] == 7:
            found[place[groups[i]]] = times[i]
            place[groups[i]] += 1


@compiled
def near(cells, bits, times, types, parity, found):  # type: ignore[no-untyped-def]
    """Data packets of valid parity whose time lies in one of the marked cells; how many."""
    mask, n = len(cells) - 1, 0
    for i in range(len(times)):
        if cells[times[i] >> bits & mask] and types[i] == 0 and parity[i] == 1:
            found[n] = i
            n += 1
    return n


@compiled
def census(counts, place, unix_time, first, groups, channels, types, parity):  # type: ignore[no-untyped-def]
    for i in range(len(types)):
        second = max(unix_time[i] - first, 0)
        link = place[np.int64(groups[i]) << 8 | np.int64(channels[i])]
        counts[second, link, np.int64(types[i]) * 2 + (parity[i] == 1)] += 1


ONCE, VALUE, MOST = 48, 28, 4095
"""In one word of a pixel: how often it was hit, from bit 28 on the sum of values below 256, then that of their squares.
So many hits fit."""


@compiled
def sum_pixels(words, pixel, adc, full):  # type: ignore[no-untyped-def]
    """Adds to the words of the pixels; those that are full go to `full`. How many are not 0 now, and how many were full."""
    size, hit, n_full = np.uint64(len(words)), 0, 0
    for i in range(len(pixel)):
        at, value = np.uint64(pixel[i]), np.int64(adc[i])
        if at < size:  # -1 is not, as a number without a sign
            word = words[at]
            hit += word == 0
            word += (1 << ONCE) + (value << VALUE) + value * value
            if word >> ONCE == MOST:
                full[0, n_full], full[1, n_full] = at, word
                n_full += 1
                hit -= 1
                word = 0
            words[at] = word
    return hit, n_full


@compiled
def empty_words(words, full, found):  # type: ignore[no-untyped-def]
    """Places and the three parts of all words that are not 0, ascending, then of `full`; `words` are 0 afterwards."""
    n = 0
    for at in range(len(words)):
        word = words[at]
        if word != 0:
            found[0, n], found[1, n] = at, word >> ONCE
            found[2, n], found[3, n] = word >> VALUE & (1 << (ONCE - VALUE)) - 1, word & (1 << VALUE) - 1
            words[at] = 0
            n += 1
    for i in range(full.shape[1]):
        word = full[1, i]
        found[0, n], found[1, n] = full[0, i], word >> ONCE
        found[2, n], found[3, n] = word >> VALUE & (1 << (ONCE - VALUE)) - 1, word & (1 << VALUE) - 1
        n += 1


@compiled
def kinds(unix_time, groups, channels, types, place):  # type: ignore[no-untyped-def]
    """The io_channels that there are and, in `place`, their number plus 1; first and last second; the highest type."""
    links, n = np.empty(1 << 16, np.int64), 0
    first, last, untimed, highest = np.int64(np.iinfo(np.int64).max), np.int64(-1), False, 0
    for i in range(len(types)):
        link = np.int64(groups[i]) << 8 | np.int64(channels[i])
        if place[link] == 0:
            links[n] = link
            n += 1
            place[link] = n
        time = unix_time[i]
        if time >= 0:
            first, last = min(first, time), max(last, time)
        else:
            untimed = True
        highest = max(highest, types[i])
    return links[:n], first if last >= 0 else np.int64(-1), last, untimed, highest


@compiled
def take_bytes(rows, offsets, columns):  # type: ignore[no-untyped-def]
    """Columns of single bytes out of rows of bytes, some rows at a time that stay in the cache of a core."""
    for start in range(0, len(rows), 2048):
        part = rows[start : start + 2048]
        for k in range(len(offsets)):
            at, column = offsets[k], columns[k, start : start + 2048]
            for i in range(len(part)):
                column[i] = part[i, at]


@compiled
def chips(counts, place, groups, channels, chip_id):  # type: ignore[no-untyped-def]
    for i in range(len(chip_id)):
        counts[place[np.int64(groups[i]) << 8 | np.int64(channels[i])], chip_id[i]] += 1


@compiled
def decode(words, n_words, io_groups, rows, starts):  # type: ignore[no-untyped-def]
    """Rows (9 u4 each, formats.columns.PACKET_DTYPE) of words (4 u4 each, formats.words.WORD); how many rows there are.

    Each message begins with its header, in the upper half of a word.
    """
    byte, n, at = np.uint32(255), 0, 0
    for message in range(len(n_words)):
        starts[message] = n
        group = io_groups[message] & byte
        row = rows[n]
        low, high = words[at, 2], words[at, 3]
        row[:] = 0
        row[0] = group | np.uint32(4) << np.uint32(24)
        row[2] = low >> np.uint32(8) | (high & byte) << np.uint32(24)
        n += 1
        for place in range(at + 1, at + 1 + n_words[message]):
            first, second, low, high = words[place, 0], words[place, 1], words[place, 2], words[place, 3]
            kind, one = first & byte, first >> np.uint32(8) & byte
            row = rows[n]
            if kind == 68:  # D, data
                odd = low ^ high
                for bits in (16, 8, 4, 2, 1):
                    odd ^= odd >> np.uint32(bits)
                # the bits of each field: formats.words.BITS
                row[0] = (
                    group
                    | one << np.uint32(8)
                    | (low >> np.uint32(2) & byte) << np.uint32(16)
                    | (low & np.uint32(3)) << np.uint32(24)
                )
                row[1] = (
                    high >> np.uint32(30) & np.uint32(1)
                    | high >> np.uint32(31) << np.uint32(8)
                    | (odd & np.uint32(1)) << np.uint32(16)
                    | (low >> np.uint32(10) & np.uint32(63)) << np.uint32(24)
                )
                row[2] = low >> np.uint32(16) | (high & np.uint32(0x7FFF)) << np.uint32(16)
                row[3] = 0
                row[4] = (
                    high >> np.uint32(16) & byte
                    | (high >> np.uint32(24) & np.uint32(3)) << np.uint32(8)
                    | (high >> np.uint32(26) & np.uint32(3)) << np.uint32(16)
                    | (high >> np.uint32(28) & np.uint32(3)) << np.uint32(24)
                )
                row[5] = low >> np.uint32(10) & byte | (low >> np.uint32(18) & byte) << np.uint32(8)
                row[6] = 0
                row[7] = (high >> np.uint32(15) & np.uint32(1)) << np.uint32(24)
                row[8] = first >> np.uint32(16) | (second & np.uint32(0xFFFF)) << np.uint32(16)
                n += 1
            elif kind == 84 or kind == 83:  # T, trigger; S, sync
                row[:] = 0
                row[0] = group | np.uint32(7 if kind == 84 else 6) << np.uint32(24)
                row[2] = second
                row[4] = one << np.uint32(8)
                if kind == 83:
                    row[4] |= first >> np.uint32(16) & np.uint32(1)
                n += 1
        at += 1 + n_words[message]
    return n
