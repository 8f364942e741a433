"""From hits to PACMAN messages: clocks, FIFOs and latency of the readout, PPS, triggers, bit flips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dqm.demo.channels import Channels
from dqm.demo.physics import FULL, HALF_FULL, Second, hits_of_second
from dqm.demo.run import DemoRun
from dqm.demo.tracks import volumes_of
from dqm.detector import Detector, demo_detector
from dqm.formats import words
from dqm.formats.columns import TICKS_PER_SECOND, SyncKind

READOUT_STREAM = 2
TRIGGER_BITS = 2
"""Bit 1 of a trigger word: the external (beam, light) trigger."""

LATENCY_TICKS = (100, 3000)
LATENCY_SHAPE, LATENCY_SCALE = 4.0, 200.0
# Hits of one chip less than 20 us apart queue up in its FIFO; each has to wait for those before it.
QUEUE_TICKS = 200
WAIT_TICKS = 40
CHIP_HALF_FULL_FROM, CHIP_FULL_FROM = 10, 12
FIRST_IN_SECOND = -1
"""Readout time of what the PACMAN itself puts at the head of a second."""

FLIGHT = np.dtype(
    [("word", words.WORD), ("io_group", "u1"), ("readout", "<i8"), ("local", "u1"), ("shared", "u1"), ("flipped", "?")]
)
"""A word on its way: `readout` [ticks since the last PPS of its io_group], FIFO flags as made, was a bit flipped."""

TALLY = np.dtype(
    [(name, "<i8") for name in ("data", "sync", "trigger", "flipped", "local_1", "local_3", "shared_1", "shared_3")]
)
"""What is in a message, before bits were flipped."""


@dataclass(frozen=True)
class Slice:
    """The messages of one second, or what was still in the readout when a (sub)run ended (then `second` is its end)."""

    subrun: int
    second: int
    payloads: list[np.ndarray]
    """Messages as bytes (u1), in the order of the DAQ."""
    io_groups: np.ndarray
    tally: np.ndarray
    """TALLY of each message."""
    end_s: np.ndarray
    """When the window of each message ends [s since the start of the run]."""
    cosmic_s: np.ndarray
    spill_s: np.ndarray

    @property
    def rows(self) -> int:
        """Rows of a packet file: one for each word, and one for each message."""
        return int(self._rows_of_messages().sum())

    def _rows_of_messages(self) -> np.ndarray:
        return 1 + self.tally["data"] + self.tally["sync"] + self.tally["trigger"]

    def first_rows(self, most: int) -> Slice:
        """The first whole messages that give at most `most` rows."""
        n = int(np.searchsorted(np.cumsum(self._rows_of_messages()), most, side="right"))
        if n == len(self.payloads):
            return self
        end = self.end_s[n - 1] if n else self.second
        return Slice(
            self.subrun,
            self.second,
            self.payloads[:n],
            self.io_groups[:n],
            self.tally[:n],
            self.end_s[:n],
            self.cosmic_s[self.cosmic_s < end],
            self.spill_s[self.spill_s < end],
        )


def slices(
    run: DemoRun, detector: Detector | None = None, subrun_s: int | None = None, start_s: int = 0
) -> Iterator[Slice]:
    """The messages of a run, second by second (memory does not grow with the run), from second `start_s` on.

    With `subrun_s` the run is cut in subruns of so many seconds: what the readout still holds at a cut is in the last
    slice of the old subrun, after its PPS.
    """
    if subrun_s is not None and subrun_s < 1:
        raise ValueError(f"subrun_s is {subrun_s}, expected at least one second")
    left = run.packets
    for piece in _whole_slices(_Readout(run, detector or demo_detector()), subrun_s, start_s):
        kept = piece if left is None else piece.first_rows(left)
        left = None if left is None else left - kept.rows
        if kept.payloads:
            yield kept
        if kept is not piece:
            return


def _whole_slices(readout: _Readout, subrun_s: int | None, start_s: int) -> Iterator[Slice]:
    run = readout.run
    subrun, second = 0, start_s
    waiting = np.zeros(0, FLIGHT)
    while second < run.duration_s:
        begins = second == start_s
        if subrun_s is not None and not begins and (second - start_s) % subrun_s == 0:
            yield readout.pack(subrun, second, np.concatenate([readout.pps(), waiting]))
            waiting, begins, subrun = waiting[:0], True, subrun + 1
        events = readout.events(second)
        parts = [waiting, readout.signals(second, events), readout.data(second, events)]
        if second == 0:
            parts.insert(0, readout.clock_switch())
        elif not begins:
            parts.insert(0, readout.pps())
        flight = np.concatenate(parts)
        late = flight["readout"] >= readout.period[flight["io_group"]]
        waiting = flight[late]
        waiting["readout"] -= readout.period[waiting["io_group"]]
        yield readout.pack(subrun, second, flight[~late], events)
        second += 1
    if second == run.duration_s or len(waiting):
        yield readout.pack(subrun, second, np.concatenate([readout.pps(), waiting]))


class _Readout:
    """The readout of one run; `period` is what the counter of each io_group shows at a PPS, shape (256,)."""

    def __init__(self, run: DemoRun, detector: Detector):
        self.run = run
        self.channels = Channels.of(run, detector)
        self.volumes = volumes_of(detector)
        self.io_groups = np.array(detector.io_groups, np.uint8)
        self.period = np.full(256, TICKS_PER_SECOND, np.int64)
        for place, io_group in enumerate(detector.io_groups):
            self.period[io_group] += round(run.clock_ppm[place % len(run.clock_ppm)] * 1e-6 * TICKS_PER_SECOND)

    def events(self, second: int) -> Second:
        """What happens in a second, up to the end of the run."""
        events = hits_of_second(self.run, self.channels, self.volumes, second)
        end = (self.run.duration_s - second) * TICKS_PER_SECOND
        if end >= TICKS_PER_SECOND:
            return events
        # the hits are cut in `data`: their readout must not depend on where the run ends
        return Second(
            events.hits, events.cosmic_ticks[events.cosmic_ticks < end], events.spill_ticks[events.spill_ticks < end]
        )

    def pps(self) -> np.ndarray:
        """The PPS sync words (FLIGHT) at the head of a second, one for each io_group."""
        counters = self.period[self.io_groups]
        return self._sync(SyncKind.PPS, self.io_groups, counters, np.full(len(counters), FIRST_IN_SECOND))

    def clock_switch(self) -> np.ndarray:
        """The sync words at the start of a run, when the PACMANs change to the external clock."""
        zero = np.zeros(len(self.io_groups), np.int64)
        return self._sync(SyncKind.CLOCK_SWITCH, self.io_groups, zero, zero + FIRST_IN_SECOND)

    def _sync(self, kind: SyncKind, io_groups: np.ndarray, counters: np.ndarray, readout: np.ndarray) -> np.ndarray:
        source = int(kind is SyncKind.CLOCK_SWITCH)
        flight = np.zeros(len(counters), FLIGHT)
        ones = np.ones(len(counters), np.uint8)
        flight["word"] = words.signal_words(words.SYNC_WORD, ones * kind, ones * source, counters)
        flight["io_group"], flight["readout"] = io_groups, readout
        return flight

    def signals(self, second: int, events: Second) -> np.ndarray:
        """Heartbeats and trigger words (FLIGHT) of a second."""
        run = self.run
        beats = np.arange(run.heartbeat_s / 2, 1, run.heartbeat_s) if run.heartbeat_s else np.zeros(0)
        beats = beats[second + beats < run.duration_s]
        groups = np.repeat(self.io_groups, len(beats))
        counters = (np.tile(beats, len(self.io_groups)) * self.period[groups]).astype(np.int64)
        heartbeats = self._sync(SyncKind.HEARTBEAT, groups, counters, counters)
        triggers = np.zeros(len(events.spill_ticks), FLIGHT)
        period = self.period[run.trigger_io_group]
        counters = (events.spill_ticks / TICKS_PER_SECOND * period).astype(np.int64)
        bits = np.full(len(triggers), TRIGGER_BITS, np.uint8)
        triggers["word"] = words.signal_words(words.TRIGGER_WORD, bits, np.zeros_like(bits), counters)
        triggers["io_group"], triggers["readout"] = run.trigger_io_group, counters
        return np.concatenate([heartbeats, triggers])

    def data(self, second: int, events: Second) -> np.ndarray:
        """The data words (FLIGHT) of a second's hits; some have a flipped bit."""
        hits, table = events.hits, self.channels.detector.pixels
        rng = np.random.default_rng([self.run.seed, second, READOUT_STREAM])
        pixel = hits["pixel"]
        place = _places_in_queue(self.channels.chip[pixel], hits["time"])
        shared = np.zeros(len(hits), np.uint8)
        shared[place >= CHIP_HALF_FULL_FROM] = HALF_FULL
        shared[place >= CHIP_FULL_FROM] = FULL
        latency = LATENCY_TICKS[0] + rng.gamma(LATENCY_SHAPE, LATENCY_SCALE, len(hits)) + WAIT_TICKS * place

        flight = np.zeros(len(hits), FLIGHT)
        flight["io_group"] = table.io_group[pixel]
        period = self.period[flight["io_group"]]
        stamp = (hits["time"] * (period / TICKS_PER_SECOND)).astype(np.int64)
        readout = stamp + np.minimum(latency, LATENCY_TICKS[1]).astype(np.int64)
        # 0 stands for "no receipt timestamp" in files before 2.3, so the first tick after a PPS is called 1
        receipt = np.where(readout >= period, np.maximum(readout - period, 1), readout)
        bits = words.encode_bits(
            {
                "chip_id": table.chip_id[pixel],
                "channel_id": table.channel_id[pixel],
                "timestamp": np.where(stamp >= period, stamp - period, stamp),
                "first_packet": np.ones(len(hits), np.uint8),
                "dataword": hits["adc"],
                "local_fifo": hits["local_fifo"],
                "shared_fifo": shared,
                "downstream_marker": np.ones(len(hits), np.uint8),
            }
        )
        flipped = rng.random(len(hits)) < self.run.parity_error_fraction
        bits[flipped] ^= np.uint64(1) << rng.integers(0, 64, int(flipped.sum()), dtype=np.uint64)
        flight["word"] = words.data_words(table.io_channel[pixel], receipt, bits)
        flight["readout"], flight["flipped"] = readout, flipped
        flight["local"], flight["shared"] = hits["local_fifo"], shared
        return flight[hits["time"] < (self.run.duration_s - second) * TICKS_PER_SECOND]

    def pack(self, subrun: int, second: int, flight: np.ndarray, events: Second | None = None) -> Slice:
        """Messages of words in readout order, one for each io_group and window that has any."""
        n_windows = self.run.messages_per_second
        ticks = TICKS_PER_SECOND / n_windows
        window = np.clip(flight["readout"] / ticks, 0, n_windows - 1).astype(np.int64)
        box = window << 8 | flight["io_group"]
        order = np.argsort((box << 26) + flight["readout"] - FIRST_IN_SECOND, kind="stable")
        flight, box = flight[order], box[order]
        starts = np.flatnonzero(np.diff(box, prepend=-1))
        stops = np.append(starts[1:], len(flight))
        all_words = np.ascontiguousarray(flight["word"])
        unix = self.run.start_unix + second
        pairs = zip(starts.tolist(), stops.tolist(), strict=True)
        payloads = [words.message(unix, all_words[a:b]) for a, b in pairs]
        nothing = np.zeros(0)
        return Slice(
            subrun,
            second,
            payloads,
            flight["io_group"][starts],
            _tally(flight, starts),
            second + ((box[starts] >> 8) + 1) / n_windows,
            second + (events.cosmic_ticks / TICKS_PER_SECOND if events else nothing),
            second + (events.spill_ticks / TICKS_PER_SECOND if events else nothing),
        )


def _places_in_queue(chip: np.ndarray, time: np.ndarray) -> np.ndarray:
    """How many hits of the same chip wait in front of each hit, shape (n,)."""
    ticks = time.astype(np.int64)
    order = np.argsort((chip << 26) + ticks, kind="stable")
    chip, ticks = chip[order], ticks[order]
    is_first = (np.diff(chip, prepend=-1) != 0) | (np.diff(ticks, prepend=0) > QUEUE_TICKS)
    number = np.arange(len(chip))
    place = np.empty(len(chip), np.int64)
    place[order] = number - np.maximum.accumulate(np.where(is_first, number, 0))
    return place


def _tally(flight: np.ndarray, starts: np.ndarray) -> np.ndarray:
    kind = flight["word"]["kind"]
    is_what = {
        "data": kind == words.DATA_WORD,
        "sync": kind == words.SYNC_WORD,
        "trigger": kind == words.TRIGGER_WORD,
        "flipped": flight["flipped"],
        "local_1": flight["local"] == HALF_FULL,
        "local_3": flight["local"] == FULL,
        "shared_1": flight["shared"] == HALF_FULL,
        "shared_3": flight["shared"] == FULL,
    }
    tally = np.zeros(len(starts), TALLY)
    for name, chosen in is_what.items():
        tally[name] = np.add.reduceat(chosen, starts, dtype=np.int64) if len(starts) else 0
    return tally
