"""The hits of one second: cosmics, beam tracks, Ar-39, hot pixels. Each second has its own random numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dqm.demo.channels import Channels
from dqm.demo.run import DemoRun
from dqm.demo.tracks import Lines, Volume, beam_tracks, cosmics, cross
from dqm.formats.columns import TICKS_PER_SECOND

PHYSICS_STREAM = 1
DRIFT_CM_PER_US = 0.1648
TICKS_PER_US = 10
SPILL_US = 10.0
BEFORE_PPS_US = (20.0, 180.0)

# A minimum-ionising muon: 2.1 MeV/cm with 0.65 recombination gives about 58 ke-/cm, and a count is about 1.1 ke-.
COUNTS_PER_CM = 50.0
LANDAU_WIDTH = 0.12
NOISE_COUNTS = 1.0
THRESHOLD_COUNTS = 4.0
# Ar-39 ends at 565 keV, about 14 ke-
AR39_COUNTS = 14.0
HOT_COUNTS = 5.0

BURST_HITS = 16
BURST_SPACING_US = 40.0
HALF_FULL, FULL = 1, 3
"""FIFO flags: bit 0 is more than half full, bit 1 is full."""
BURST_HALF_FULL_FROM, BURST_FULL_FROM = 8, 14

HIT = np.dtype([("pixel", "<i4"), ("time", "<f8"), ("adc", "u1"), ("local_fifo", "u1")])
"""A hit: pixel index, time [ticks of a perfect clock since the start of its second], ADC, FIFO flags of its channel."""


@dataclass(frozen=True)
class Second:
    """What happens in one second of a run."""

    hits: np.ndarray
    """HIT; times may lie past the end of the second by a drift time."""
    cosmic_ticks: np.ndarray
    """When each cosmic came [ticks since the start of the second]."""
    spill_ticks: np.ndarray


def hits_of_second(run: DemoRun, channels: Channels, volumes: tuple[Volume, ...], second: int) -> Second:
    """The hits of one second, the same whatever was computed before."""
    rng = np.random.default_rng([run.seed, second, PHYSICS_STREAM])
    cosmic_ticks = rng.uniform(0, TICKS_PER_SECOND, rng.poisson(run.cosmic_hz))
    before_pps = TICKS_PER_SECOND - TICKS_PER_US * rng.uniform(*BEFORE_PPS_US, run.pps_cosmics)
    cosmic_ticks = np.sort(np.concatenate([cosmic_ticks, before_pps]))
    spill_ticks = spills_of_second(run, second)
    beam_ticks = np.repeat(spill_ticks, rng.poisson(run.tracks_per_spill, len(spill_ticks)))
    beam_ticks = beam_ticks + rng.uniform(0, SPILL_US * TICKS_PER_US, len(beam_ticks))
    hits = [
        _track_hits(rng, run, channels, volumes, cosmics(rng, volumes, cosmic_ticks)),
        _track_hits(rng, run, channels, volumes, beam_tracks(rng, volumes, beam_ticks)),
        _ar39_hits(rng, run, channels),
        *(_hot_hits(rng, run, channels, *pair) for pair in zip(channels.hot, run.hot_pixel_hz, strict=True)),
    ]
    return Second(np.concatenate(hits), cosmic_ticks, spill_ticks)


def spills_of_second(run: DemoRun, second: int) -> np.ndarray:
    """When the spills of a second come [ticks since its start], shape (n_spill,)."""
    first, period = round(run.first_spill_s * TICKS_PER_SECOND), round(run.spill_period_s * TICKS_PER_SECOND)
    start = second * TICKS_PER_SECOND
    number = max(-((first - start) // period), 0)  # the first spill at or after the start; whole ticks, so none is lost
    return np.arange(first + number * period, start + TICKS_PER_SECOND, period, dtype=np.float64) - start


def _hits(pixel: np.ndarray, time: np.ndarray, counts: np.ndarray, pedestal: np.ndarray) -> np.ndarray:
    hits = np.zeros(len(pixel), HIT)
    hits["pixel"], hits["time"] = pixel, time
    hits["adc"] = np.clip(np.rint(counts + pedestal[pixel]), 0, 255)
    return hits


def _track_hits(
    rng: np.random.Generator, run: DemoRun, channels: Channels, volumes: tuple[Volume, ...], lines: Lines
) -> np.ndarray:
    hits = [np.zeros(0, HIT)]
    for volume in volumes:
        crossings = cross(volume, lines)
        n = len(crossings.pixel)
        drift_us = crossings.drift_cm / DRIFT_CM_PER_US
        landau = np.maximum(rng.gumbel(1 - LANDAU_WIDTH / 2, LANDAU_WIDTH, n), 0.3)
        counts = crossings.length_cm * COUNTS_PER_CM * landau * np.exp(-drift_us / run.lifetime_us)
        counts += rng.normal(0, NOISE_COUNTS, n)
        seen = channels.alive[crossings.pixel] & (counts > THRESHOLD_COUNTS)
        time = lines.time[crossings.line] + drift_us * TICKS_PER_US
        hits.append(_hits(crossings.pixel[seen], time[seen], counts[seen], channels.pedestal))
    return np.concatenate(hits)


def _ar39_hits(rng: np.random.Generator, run: DemoRun, channels: Channels) -> np.ndarray:
    n = rng.poisson(run.ar39_hz)
    pixel = rng.integers(0, len(channels.alive), n)
    time = rng.uniform(0, TICKS_PER_SECOND, n)
    counts = THRESHOLD_COUNTS + AR39_COUNTS * rng.beta(1.5, 2.5, n)
    alive = channels.alive[pixel]
    return _hits(pixel[alive], time[alive], counts[alive], channels.pedestal)


def _hot_hits(rng: np.random.Generator, run: DemoRun, channels: Channels, pixel: int, hertz: float) -> np.ndarray:
    n = rng.poisson(hertz)
    time = rng.uniform(0, TICKS_PER_SECOND, n)
    in_bursts = int(n * run.hot_burst_fraction) // BURST_HITS * BURST_HITS
    number, place = np.divmod(np.arange(in_bursts), BURST_HITS)
    spacing = BURST_SPACING_US * TICKS_PER_US
    time[:in_bursts] = time[number * BURST_HITS] + place * spacing + rng.uniform(0, spacing / 4, in_bursts)
    counts = np.maximum(rng.normal(HOT_COUNTS, 2.0, n), 1.0)
    hits = _hits(np.full(n, pixel, np.int32), time, counts, channels.pedestal)
    fifo = hits["local_fifo"][:in_bursts]
    fifo[place >= BURST_HALF_FULL_FROM] = HALF_FULL
    fifo[place >= BURST_FULL_FROM] = FULL
    return hits
