"""Packets and charge against the time since the trigger: is the drift field right, and the trigger where it should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dqm.formats.triggers import AFTER_TICKS, BEFORE_TICKS
from plots.base import DATA, Bin, MergeablePlot, Packets, Ranges, Scatter, State, Trend
from plots.drawing import axes, colour, limit, number_in, say, steps
from plots.drift_edge import BIN_TICKS, BIN_US, BINS, TRIGGER, Edge, drift_edge
from plots.options import Options

GROUPS = 256
NOMINAL_MM_PER_US, HALF_FIELD_MM_PER_US = 1.65, 1.07
"""Drift velocities at the nominal field and at half of it (arcube_nearline)."""
SLOWEST_MM_PER_US = 1.596
"""At the nominal field by the mobility formula of ndlar_flow, 87.17 K."""
SPILL_US = 10.0
"""Half of a spill after the full drift its last packets have half ended."""
FEWEST_KE = 2_000
FEWEST_TRIGGERS = 5
"""An edge between the tracks of fewer spills is that of a track."""
US = (np.arange(BINS) - TRIGGER + 0.5) * BIN_US
TRIGGER_FIELDS = ("packet_type", "valid_parity", "io_group", "timestamp", "trigger_type")


class TriggerPackets(MergeablePlot):
    title = "Packets against the time since the trigger"
    group = "Timing"
    fields = TRIGGER_FIELDS
    log_switch = True
    uses = ("trigger_io_group", "trigger_bit")

    def count(self, packets: Packets) -> Mapping[str, Any]:
        return {"packets": _spread(beside_triggers(self.options, packets), 1), "triggers": _triggers(self, packets)}

    def draw(self, state: State, fig: go.Figure) -> None:
        _draw(self, state, fig, state["packets"].reshape(GROUPS, BINS), f"packets per {BIN_US:g} us and trigger")

    def rows_behind(self, clicked: Bin) -> Ranges | None:
        return _behind(clicked)

    def trends(self, state: State) -> dict[str, Trend]:
        packets, triggers = state["packets"].reshape(GROUPS, BINS), int(state["triggers"][0])
        after = int(packets[:, TRIGGER:].sum())
        edge, edges = _edge(self, state, packets.sum(axis=0)), _edges(self, state, packets)
        warn, alarm = _limits(state)
        spread = max(edges.values()) - min(edges.values()) if len(edges) > 1 else None
        return {
            "packets_per_trigger": Trend(after / triggers if triggers else None, "packets", reason=_none(self.options)),
            "drift_edge_us": Trend(edge.us, "us", warn=warn, alarm=alarm, reason=edge.reason),
            "drift_edge_spread_us": Trend(
                spread, "us", reason=edge.reason or "fewer than two io_groups have an edge of their own"
            ),
        }


class TriggerCharge(MergeablePlot):
    title = "Charge against the time since the trigger"
    group = "Charge"
    fields = (*TRIGGER_FIELDS, "dataword", "io_channel", "chip_id", "channel_id")
    log_switch = True
    uses = ("trigger_io_group", "trigger_bit", "calibration", "pedestals", "problem")

    def count(self, packets: Packets) -> Mapping[str, Any]:
        beside = beside_triggers(self.options, packets)
        electrons, measured = self.options.calibration.electrons(beside)
        return {
            "electrons": _spread(beside, electrons),
            "measured": np.array([np.count_nonzero(measured), len(beside)], np.int64),
            "triggers": _triggers(self, packets),
        }

    def draw(self, state: State, fig: go.Figure) -> None:
        charge = state["electrons"].reshape(GROUPS, BINS) / 1000
        _draw(self, state, fig, charge, f"charge per {BIN_US:g} us and trigger [ke-]", "ke-", FEWEST_KE)
        if state["triggers"][0]:
            _note(fig, self._pedestals(state), 0.9)

    def rows_behind(self, clicked: Bin) -> Ranges | None:
        return _behind(clicked)

    def _pedestals(self, state: State) -> str:
        """Which pedestals the charge is above, in words."""
        calibration, (measured, every) = self.options.calibration, state["measured"].tolist()
        default = f"{calibration.pedestal_mv:g} mV"
        if not self.options.pedestals:
            return f"no pedestal file: {default} for all channels"
        return f"{measured / every:.1%} with a pedestal of the file, others {default}" if every else ""

    def trends(self, state: State) -> dict[str, Trend]:
        charge, triggers = state["electrons"].reshape(GROUPS, BINS) / 1000, int(state["triggers"][0])
        edge = _edge(self, state, charge.sum(axis=0), "ke-", FEWEST_KE)
        warn, alarm = _limits(state)
        measured, every = state["measured"].tolist()
        reason = "no packets beside triggers" if triggers else _none(self.options)
        return {
            "charge_per_trigger": Trend(
                float(charge[:, TRIGGER:].sum()) / triggers if triggers else None, "ke-", range=(None, None),
                reason=_none(self.options),
            ),
            "charge_edge_us": Trend(edge.us, "us", warn=warn, alarm=alarm, reason=edge.reason),
            "default_pedestal_fraction": Trend(
                1 - measured / every if every else None, "fraction", range=(0, 1), reason=reason
            ),
        }  # fmt: skip


def beside_triggers(options: Options, packets: Packets) -> Packets:
    """The data packets of a block near its triggers, as the options say which."""
    return packets.beside_triggers(options.trigger_io_group, options.trigger_bit)


def _triggers(plot: MergeablePlot, packets: Packets) -> np.ndarray:
    return np.array([packets.first_told(plot.options.trigger_io_group, plot.options.trigger_bit)], np.int64)


def _spread(beside: Packets, values: np.ndarray | int) -> Scatter:
    """`values` by io_group and bin of time since the trigger."""
    place = (beside["trigger_ticks"] + BEFORE_TICKS) // BIN_TICKS
    return Scatter(GROUPS * BINS, beside["io_group"].astype(np.int64) * BINS + place, values)


def _behind(clicked: Bin) -> Ranges | None:
    """The packets of an io_group in a bin, from whichever trigger."""
    group, place = number_in(clicked.name.partition(":")[0]), clicked.low / BIN_US + TRIGGER
    if group is None or not 0 <= place < BINS:
        return None
    first = int(place) * BIN_TICKS - BEFORE_TICKS
    return {**DATA, "io_group": (group, group), "trigger_ticks": (first, first + BIN_TICKS - 1)}


def _draw(
    plot: MergeablePlot,
    state: State,
    fig: go.Figure,
    values: np.ndarray,
    y: str,
    what: str = "packets",
    fewest: float = 0,
) -> None:
    """One line for each io_group, with its edge; `values` by io_group and bin."""
    axes(fig, x="time since the trigger [us]", y=y)
    triggers = int(state["triggers"][0])
    if not triggers or not values.any():
        say(fig, "No packets beside triggers yet" if triggers else _none(plot.options).capitalize())
        return
    edges = _edges(plot, state, values, what, fewest)
    for io_group in np.flatnonzero(values.any(axis=1)).tolist():
        own = f": edge {edges[io_group]:.0f} us" if io_group in edges else ""
        steps(fig, US, values[io_group] / triggers, f"io_group {io_group}{own}", colour(io_group))
    limit(fig, 0, "trigger", "x")
    whole = _edge(plot, state, values.sum(axis=0), what, fewest)
    known = (
        f"edge of all io_groups: {whole.us:.1f} us, known to {whole.error_us:.1f} us" if whole.us is not None else ""
    )
    _note(fig, known or f"no edge: {whole.reason}", 0.98)
    shown_us = AFTER_TICKS / 10
    if state.detector is not None:
        shown_us = 1.8 * _drift_us(state, HALF_FIELD_MM_PER_US)
        for velocity, field in ((NOMINAL_MM_PER_US, "nominal field"), (HALF_FIELD_MM_PER_US, "half the field")):
            limit(fig, _drift_us(state, velocity), f"full drift at {field}", "x")
    fig.update_layout(xaxis_range=[-shown_us / 8, shown_us])


def _note(fig: go.Figure, text: str, y: float) -> None:
    place = {"xref": "paper", "yref": "paper", "x": 0.99, "y": y, "xanchor": "right", "yanchor": "top"}
    fig.add_annotation(text=text, showarrow=False, font={"size": 11}, **place)


def _edge(plot: MergeablePlot, state: State, values: np.ndarray, what: str = "packets", fewest: float = 0) -> Edge:
    """The edge in `values`, by bin."""
    triggers = int(state["triggers"][0])
    if not triggers:
        return Edge(None, reason=_none(plot.options))
    if triggers < FEWEST_TRIGGERS:
        return Edge(None, reason=f"only {triggers} trigger{'s' * (triggers > 1)}, it takes {FEWEST_TRIGGERS}")
    return drift_edge(values, what, **({"fewest": fewest} if fewest else {}))


def _edges(
    plot: MergeablePlot, state: State, values: np.ndarray, what: str = "packets", fewest: float = 0
) -> dict[int, float]:
    """The edge of each io_group that has one [us]."""
    found = {
        group: _edge(plot, state, values[group], what, fewest) for group in np.flatnonzero(values.any(axis=1)).tolist()
    }
    return {group: edge.us for group, edge in found.items() if edge.us is not None}


def _limits(state: State) -> tuple[tuple[float | None, float | None], tuple[float | None, float | None]]:
    """Where the edge may be [us]: 2 % and 5 % beside the full drifts at the nominal field, and half a spill later."""
    if state.detector is None:
        return (None, None), (None, None)
    first, last = _drift_us(state, NOMINAL_MM_PER_US), _drift_us(state, SLOWEST_MM_PER_US)
    late = SPILL_US / 2
    return (first * 0.98, last * 1.02 + late), (first * 0.95, last * 1.05 + late)


def _drift_us(state: State, mm_per_us: float) -> float:
    return 10 * state.detector.drift_length_cm / mm_per_us


def _none(options: Options) -> str:
    """That there are no triggers, in words."""
    whose = f" of io_group {options.trigger_io_group}" if options.trigger_io_group else ""
    return f"no external triggers (bit {options.trigger_bit}){whose}"
