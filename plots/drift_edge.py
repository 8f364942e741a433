"""Where the packets after a trigger end: the time of the longest drift.

What a beam spill or a muon leaves reaches the anode over one full drift, and then nothing of it comes any more. In time
since the trigger that is a plateau, of as many humps as there are tracks, with a sharp end. Two steps find it:

1. the box (two levels, two ends) of least squares on the square roots of the bins, where a burst weighs no more than its
   length: it says where the plateau is;
2. the end of the plateau such that its area stays: half-way down where a spill makes a ramp of the edge.

How well the end is known follows from how much the plateau goes up and down: the fewer the tracks, the further the last
one may be from the end of the drift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dqm.formats.triggers import AFTER_TICKS, BEFORE_TICKS

BIN_TICKS = 20
BINS = (BEFORE_TICKS + AFTER_TICKS) // BIN_TICKS
TRIGGER = BEFORE_TICKS // BIN_TICKS
"""The bin that begins at the trigger."""
BIN_US = BIN_TICKS / 10

EARLIEST_START_US, LATEST_START_US = -100.0, 400.0
SHORTEST_US, LAST_US = 60.0, 20.0
"""A plateau is at least so long, and ends at least so long before the last bin."""
CELL = 5
"""Bins of 2 us that are taken together to see how much the plateau goes up and down."""
NEAR_CELLS = 4
FEWEST = 200
CONTRAST = 2.0
MAX_ERROR_US = 7.0


@dataclass(frozen=True)
class Edge:
    """End of the plateau [us since the trigger] and how well it is known [us]; None with the reason when there is none."""

    us: float | None
    error_us: float = 0.0
    reason: str = ""


def drift_edge(values: np.ndarray, what: str = "packets", fewest: float = FEWEST) -> Edge:
    """The end of the plateau in `values`, shape (BINS,): counts or charge in each bin of time since the trigger.

    With less than `fewest` in the plateau above what comes at any time nothing is fitted.
    """
    values = np.maximum(values.astype(float), 0)
    begin, end = _box(np.sqrt(values))
    inside = np.zeros(BINS, bool)
    inside[begin:end] = True
    plateau, outside = values[inside].mean(), values[~inside].mean()
    excess = (plateau - outside) * (end - begin)
    if excess < fewest:
        return Edge(None, reason=f"{max(excess, 0):,.0f} {what} more than at other times, it takes {fewest:,.0f}")
    if plateau < CONTRAST * outside:
        return Edge(None, reason=f"{what} do not stand out after the triggers")
    if end > BINS - LAST_US / BIN_US:
        return Edge(None, reason=f"{what} go on to the end of the window of {AFTER_TICKS / 10:,.0f} us")
    if _cells(values[end + CELL :]).max(initial=0) - outside * CELL > (plateau - outside) * CELL / 2:
        return Edge(None, reason=f"{what} come in bursts behind the edge, too; it takes more triggers")
    first, last = end - CELL, end + CELL
    level = values[first - NEAR_CELLS * CELL : first].mean() - outside
    cells = _cells(values[begin:first])
    if level <= 0 or not cells.any():
        return Edge(None, reason=f"{what} come in bursts, not over a whole drift; it takes more triggers")
    scatter = float(cells.std(ddof=1) / cells.mean())
    # the last cell and the level before it scatter as cells do; and the fewer tracks, the wider the gap behind the last one
    error = BIN_US * CELL * float(np.hypot(scatter * np.sqrt(1 + 1 / NEAR_CELLS), scatter**2))
    if error > MAX_ERROR_US:
        return Edge(None, reason=f"the edge is known to {error:.0f} us only; it takes more triggers")
    area = (values[first:last] - outside).sum() / level
    return Edge((first - TRIGGER + area) * BIN_US, error)


def _cells(values: np.ndarray) -> np.ndarray:
    """Sums of CELL bins each, the last one at the end."""
    return values[len(values) % CELL :].reshape(-1, CELL).sum(axis=1)


def _box(values: np.ndarray) -> tuple[int, int]:
    """Bins [begin, end) whose mean differs so from that of the others that least is left of the squares.

    First in whole cells, then bin by bin around what that gave.
    """
    cells = np.arange(0, BINS + 1, CELL)
    first, last = (TRIGGER + round(us / BIN_US) for us in (EARLIEST_START_US, LATEST_START_US))
    begin, end = _best(values, cells[(cells >= first) & (cells < last)], cells[(cells > TRIGGER) & (cells < BINS)])
    near = np.arange(-CELL, CELL + 1)
    return _best(values, np.clip(begin + near, 0, BINS - 1), np.clip(end + near, 1, BINS - 1))


def _best(values: np.ndarray, begin: np.ndarray, end: np.ndarray) -> tuple[int, int]:
    """The best of all boxes that begin at one of `begin` and end before one of `end`."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    length = end[None, :] - begin[:, None]
    inside = total[end][None, :] - total[begin][:, None]
    rise = inside / np.maximum(length, 1) - (total[-1] - inside) / (BINS - length)
    gain = np.where((length >= SHORTEST_US / BIN_US) & (rise > 0), length * (BINS - length) * rise**2, -1.0)
    row, column = np.unravel_index(int(np.argmax(gain)), gain.shape)
    return int(begin[row]), int(end[column])
