"""Runs small enough for tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from dqm.demo import DemoRun, Slice
from dqm.formats import words


def small_run(**changes: Any) -> DemoRun:
    """Two seconds, about 15,000 packets, with more parity errors and late hits than by default."""
    parameters = {
        "duration_s": 2.0,
        "cosmic_hz": 15.0,
        "pps_cosmics": 2,
        "tracks_per_spill": 15.0,
        "ar39_hz": 2000.0,
        "parity_error_fraction": 5e-3,
    }
    return DemoRun(**parameters | changes)


def rows_of(pieces: Iterable[Slice]) -> np.ndarray:
    """The rows (PACKET_DTYPE) of slices."""
    return np.concatenate([words.decode(piece.payloads, piece.io_groups)[0] for piece in pieces])
