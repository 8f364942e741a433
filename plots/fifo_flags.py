"""How full the buffers on the chips are, as each data packet reports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from plots.base import DATA, Bin, MergeablePlot, Packets, Ranges, State, Trend, tally
from plots.drawing import OKABE_ITO, axes, limit, say

# Bit 0: more than half full, bit 1: full. 3 is "full", and 2 (full without half) is possible.
HALF, FULL = 1, 2
WARN, ALARM = 0.1, 0.2  # pacmon


class FifoFlags(MergeablePlot):
    title = "FIFO more than half full, and full"
    group = "Data quality"
    fields = ("packet_type", "valid_parity", "io_group", "local_fifo", "shared_fifo")
    log_switch = True

    def count(self, packets: Packets) -> Mapping[str, Any]:
        data = packets.data
        flags = (data["io_group"], data["local_fifo"] & 3, data["shared_fifo"] & 3)
        return {"flags": tally((256, 4, 4), *flags)}  # [io_group, local, shared]

    def draw(self, state: State, fig: go.Figure) -> None:
        flags = state["flags"]
        groups = np.flatnonzero(flags.any(axis=(1, 2)))
        for number, (label, counts) in enumerate(_counts(flags).items()):
            share = counts[groups] / flags[groups].sum(axis=(1, 2))
            names = [str(group) for group in groups]
            fig.add_trace(go.Bar(x=names, y=share, name=label.replace("_", " "), marker={"color": OKABE_ITO[number]}))
        if len(groups):
            limit(fig, WARN, f"suspect above {WARN:g}")
            limit(fig, ALARM, f"bad above {ALARM:g}")
        else:
            say(fig, "No data packets yet")
        axes(fig, x="io_group", y="fraction of data packets")
        fig.update_layout(xaxis_type="category")

    def rows_behind(self, clicked: Bin) -> Ranges | None:
        """Behind more than half full also those that say full without half, as long as a range is one."""
        which, _, flag = clicked.name.partition(" ")
        lowest = {"half": HALF, "full": FULL}.get(flag)
        if lowest is None or which not in ("local", "shared"):
            return None
        return {**DATA, "io_group": (clicked.low, clicked.low), f"{which}_fifo": (lowest, HALF | FULL)}

    def trends(self, state: State) -> dict[str, Trend]:
        total = state["flags"].sum()
        return {
            name: Trend(
                counts.sum() / total if total else None,
                "fraction",
                range=(0, 1),
                warn=(None, WARN),
                alarm=(None, ALARM),
                reason="no data packets",
            )
            for name, counts in _counts(state["flags"]).items()
        }


def _counts(flags: np.ndarray) -> dict[str, np.ndarray]:
    """Packets of each io_group with a flag set, shape (256,), by name of the flag."""
    half, full = (np.arange(4) & HALF) > 0, (np.arange(4) & FULL) > 0
    return {
        "local_half": flags[:, half, :].sum(axis=(1, 2)),
        "local_full": flags[:, full, :].sum(axis=(1, 2)),
        "shared_half": flags[:, :, half].sum(axis=(1, 2)),
        "shared_full": flags[:, :, full].sum(axis=(1, 2)),
    }
