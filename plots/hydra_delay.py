"""How long a packet travels through the Hydra network, and its phase to the UART clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dqm.formats.columns import TICKS_PER_SECOND, TIMESTAMP_MASK
from plots.base import MergeablePlot, Packets, State, Trend, tally
from plots.drawing import axes, colour, limit, say, steps

WORD_TICKS = 264
"""What a word takes on the UART: 66 bits of 4 ticks of 0.1 us (larpix-monitor takes the phase modulo this)."""
TAIL_TICKS = 200 * WORD_TICKS
"""100 hops there and back; a packet that took longer waited somewhere."""
BINS = 256
GROUPS = 256


class HydraDelay(MergeablePlot):
    title = "Hydra network delay"
    group = "Timing"
    fields = ("packet_type", "valid_parity", "io_group", "timestamp", "receipt_timestamp")
    log_switch = True

    def count(self, packets: Packets) -> Mapping[str, Any]:
        groups, delay = delays(packets)
        words = np.minimum(delay // np.uint32(WORD_TICKS), BINS)  # the last bin: all beyond
        return {
            "words": tally((GROUPS, BINS + 1), groups, words),
            "tail": tally((GROUPS,), groups[delay > TAIL_TICKS]),
            "ticks": np.array([delay.sum(), len(delay)], np.int64),
        }

    def draw(self, state: State, fig: go.Figure) -> None:
        words = state["words"]
        for io_group in np.flatnonzero(words.any(axis=1)).tolist():
            last = int(np.flatnonzero(words.any(axis=0))[-1]) + 1
            x = np.arange(last) * WORD_TICKS + WORD_TICKS / 2
            steps(fig, x, words[io_group, :last], f"io_group {io_group}", colour(io_group))
        axes(
            fig, x=f"receipt - timestamp [ticks of 0.1 us], bins of one word ({WORD_TICKS} ticks)", y="packets per word"
        )
        if not words.any():
            say(fig, "No data packets with a receipt time yet")
        elif words[:, TAIL_TICKS // WORD_TICKS :].any():
            limit(fig, TAIL_TICKS, "100 hops there and back", "x")

    def trends(self, state: State) -> dict[str, Trend]:
        total, n = state["ticks"].tolist()
        late = int(state["tail"].sum())
        reason = "no data packets with a receipt time"
        return {
            "mean_hydra_delay": Trend(total / n if n else None, "ticks", reason=reason),
            "hydra_tail_fraction": Trend(
                late / n if n else None, "fraction", range=(0, 1), warn=(None, 0.0), reason=reason
            ),
        }


class UartPhase(MergeablePlot):
    title = "UART phase"
    group = "Timing"
    fields = HydraDelay.fields

    def count(self, packets: Packets) -> Mapping[str, Any]:
        groups, delay = delays(packets)
        return {"phase": tally((GROUPS, WORD_TICKS), groups, delay % np.uint32(WORD_TICKS))}

    def draw(self, state: State, fig: go.Figure) -> None:
        phase = state["phase"]
        for io_group in np.flatnonzero(phase.any(axis=1)).tolist():
            steps(fig, np.arange(WORD_TICKS), phase[io_group], f"io_group {io_group}", colour(io_group))
        axes(fig, x=f"(receipt - timestamp) modulo {WORD_TICKS} [ticks of 0.1 us]", y="packets per tick")
        if not phase.any():
            say(fig, "No data packets with a receipt time yet")


def delays(packets: Packets) -> tuple[np.ndarray, np.ndarray]:
    """io_group and delay [ticks of 0.1 us] of data packets of valid parity, each shape (n,); once a block.

    The counter is reset by each PPS: a packet that was read out after the reset has a receipt time below its own. Files that
    hold no receipt times write 0.
    """

    def compute() -> tuple[np.ndarray, np.ndarray]:
        data = packets.data
        receipt, groups = data["receipt_timestamp"], data["io_group"]
        delay = receipt.astype(np.int64)
        delay -= (data["timestamp"] & np.uint64(TIMESTAMP_MASK)).view(np.int64)
        delay[delay < 0] += TICKS_PER_SECOND
        good = (receipt > 0) & (delay >= 0)
        # below 2**32: a receipt time has so many bits
        return (groups, delay.astype(np.uint32)) if good.all() else (groups[good], delay[good].astype(np.uint32))

    return packets.once("hydra_delay", compute)
