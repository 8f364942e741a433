"""How the chips were configured: registers of each io_group, chips without a configuration, disabled channels, changes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dqm.formats.configuration import chip_name
from dqm.formats.registers import CHANNELS, REGISTERS, ROW_BYTES, names_in, names_that_differ, values_in
from plots.base import About, Extent, MergeablePlot, Packets, State, Trend, Versions
from plots.drawing import axes, colour, say, utc
from plots.tile_rate import NO_GEOMETRY

SENTENCE_BYTES = 240
PARTIAL = "there is no daq_configs, and the table configs need not have all chips"
NOTHING = "no file has a chip configuration (daq_configs or configs)"
FIRST_SHOWN = "pixel_trim_dac"
NAMED, SAID = 8, 4
MOST_GROUPS = 32
WHOLE_AXIS = 256
"""A register with no more values than this is drawn with those between them that no chip has."""
LINE, HEIGHT = 84, 310


class ChipConfiguration(MergeablePlot):
    title = "Chip configuration"
    group = "Configuration"
    log_switch = True

    def count(self, packets: Packets) -> Mapping[str, Any]:
        return _counted(packets.file)

    def draw(self, state: State, fig: go.Figure) -> None:
        axes(fig, x="register value [counts]", y="channels", type="linear")
        problems = problems_of(state)
        if not len(state["chips"]):
            say(fig, "<br>".join(_wrapped([f"{NOTHING[0].upper()}{NOTHING[1:]}", *problems[:SAID]], 60)))
            return
        now = newest(state)
        _registers(fig, now, with_pixel(state, now))
        _write_above(fig, _wrapped([*_summary(state, now), *problems[:SAID]], LINE))

    def trends(self, state: State) -> dict[str, Trend]:
        there, now = bool(len(state["chips"])), newest(state)
        why = "" if there else NOTHING
        without = why or ("" if state.detector is not None else NO_GEOMETRY)
        channels = None if without else channels_of(state, now)
        partial = _is_partial(state)
        missing = len(channels.missing) if channels and not partial else None
        return {
            "configured_chips": Trend(len(now.chip) if there else None, "chips", reason=why),
            "unconfigured_chips": Trend(missing, "chips", reason=without or (PARTIAL if partial else "")),
            "disabled_channels": Trend(channels.disabled if channels else None, "channels", reason=without),
            "changed_chips": Trend(len(changed_chips(state)) if there else None, "chips", warn=(None, 0), reason=why),
            "config_problems": Trend(len(state["problems"]), "problems", warn=(None, 0)),
        }


def _counted(file: About | None) -> dict[str, Any]:
    """The configuration of one file; of none where there is no file."""
    chips = Versions.of(np.zeros(0, np.int64), np.zeros((0, ROW_BYTES), np.uint8), np.zeros(0, np.int64))
    problems = Versions.of(np.zeros(0, np.int64), np.zeros((0, SENTENCE_BYTES), np.uint8), np.zeros(0, np.int64))
    none: dict[str, Any] = {
        "chips": chips, "problems": problems, "files": np.zeros(3, np.int64),
        "snapshots": Extent.of(1, np.zeros(0, np.int64), np.zeros(0, np.int64)),
    }  # fmt: skip
    if file is None:
        return none
    found = file.configuration
    of_archive = found.time < 0
    # all chips of the detector at one time, if nothing of it was left out
    snapshot = np.full(int(of_archive.any() and not found.problems), file.time)
    texts = [text.encode()[:SENTENCE_BYTES].ljust(SENTENCE_BYTES, b"\0") for text in found.problems]
    sentences = np.frombuffer(b"".join(texts), np.uint8).reshape(-1, SENTENCE_BYTES)
    return none | {
        "chips": Versions.of(found.chip, found.rows, np.where(of_archive, file.time, found.time)),
        "problems": Versions.of(np.zeros(len(texts), np.int64), sentences, np.full(len(texts), file.time)),
        "files": np.array([1, bool(of_archive.any()), not of_archive.all()]),
        "snapshots": Extent.of(1, np.zeros(len(snapshot), np.int64), snapshot),
    }


def problems_of(state: State) -> list[str]:
    """What of the configurations could not be used, in sentences, as the files came."""
    problems = state["problems"]
    order = np.lexsort((np.arange(len(problems)), problems.first))
    return [problems.rows[place].tobytes().rstrip(b"\0").decode("utf-8", "replace") for place in order.tolist()]


@dataclass(frozen=True)
class Chips:
    """Chips with their newest configuration, by io_group << 16 | io_channel << 8 | chip_id."""

    chip: np.ndarray
    rows: np.ndarray

    @property
    def io_group(self) -> np.ndarray:
        return self.chip >> 16


def newest(state: State) -> Chips:
    """The configuration of now: of each chip what was seen last, without chips that the newest file does not have."""
    versions = state["chips"]
    place = versions.newest()
    if _only_snapshots(state):
        place = place[versions.last[place] >= state["snapshots"].high[0]]
    return Chips(versions.keys[place], versions.rows[place])


def _only_snapshots(state: State) -> bool:
    """Whether all that is known comes from archives of the whole detector, so that a chip that is not in one is gone."""
    return bool(state["snapshots"].seen[0] and not state["files"][2] and state["snapshots"].low[0] >= 0)


def _is_partial(state: State) -> bool:
    """Whether no archive says which chips there are: the table holds those that somebody wrote to it."""
    return not state["files"][1]


def changed_chips(state: State) -> np.ndarray:
    """Chips whose registers changed between two configurations of the run, or that came or went."""
    versions = state["chips"]
    chips, first, times = np.unique(versions.keys, return_index=True, return_counts=True)
    changed = times > 1
    if _only_snapshots(state) and len(chips):
        # of chips with one version; others are in already
        span = state["snapshots"]
        changed |= (versions.first[first] > span.low[0]) | (versions.last[first] < span.high[0])
    return chips[changed]


@dataclass(frozen=True)
class Channels:
    """The channels of the geometry, as the configuration has them."""

    disabled: int
    """Masked, or on a missing chip."""
    missing: np.ndarray
    """Chips of the geometry without a configuration, where it is known that it would be there."""
    outside: int
    """Configured chips that the geometry does not have."""


def channels_of(state: State, now: Chips) -> Channels:
    """Only channels with a pixel count. A chip is found by its tile: which io_channel reads it out may differ."""
    table, pixel = state.detector.pixels, pixels_of(state, now)
    inside = pixel >= 0
    configured = np.zeros(len(table), bool)
    configured[pixel[inside]] = True
    masks, given = values_in(now.rows, "channel_mask")
    disabled = np.unique(pixel[inside & (masks == 1) & given[:, None]])
    outside = int((~inside.any(axis=1)).sum())
    if _is_partial(state):
        return Channels(len(disabled), np.zeros(0, np.int64), outside)
    absent = np.flatnonzero(~configured)
    key = table.tile[absent].astype(np.int64) << 8 | table.chip_id[absent]
    first = absent[np.unique(key, return_index=True)[1]]
    missing = table.io_group[first].astype(np.int64) << 16 | table.io_channel[first].astype(np.int64) << 8
    return Channels(len(disabled) + len(absent), missing | table.chip_id[first], outside)


def pixels_of(state: State, now: Chips) -> np.ndarray:
    """The pixel of each channel of each chip, shape (n, CHANNELS); -1 where there is none."""
    chip = np.repeat(now.chip, CHANNELS)
    channel = np.tile(np.arange(CHANNELS), len(now.chip))
    return state.detector.pixel_of(chip >> 16, chip >> 8 & 255, chip & 255, channel).reshape(-1, CHANNELS)


def with_pixel(state: State, now: Chips) -> np.ndarray:
    """Which channels are drawn, shape (n, CHANNELS): those with a pixel; all of a chip that the geometry does not have."""
    if state.detector is None:
        return np.ones((len(now.chip), CHANNELS), bool)
    inside = pixels_of(state, now) >= 0
    return inside | ~inside.any(axis=1, keepdims=True)


# -- in words ----------------------------------------------------------------------------------------------------------


def _summary(state: State, now: Chips) -> list[str]:
    lines = [f"{_many(len(now.chip), 'chip')} configured"]
    if state.detector is not None:
        channels = channels_of(state, now)
        lines[0] += f", {channels.disabled:,} of {len(state.detector.pixels):,} channels disabled"
        if len(channels.missing):
            lines.append(f"no configuration of {_many(len(channels.missing), 'chip')}: {_names(channels.missing)}")
        if channels.outside:
            lines.append(f"{_many(channels.outside, 'configured chip')} the geometry does not have")
    files = int(state["files"][0])
    changed = changed_chips(state)
    if not len(changed):
        return [f"{lines[0]}{f'; the same in {files:,} files' if files > 1 else ''}", *lines[1:]]
    when, registers = _change(state, changed)
    what = f" ({', '.join(registers[:NAMED])}{' ...' if len(registers) > NAMED else ''})" if registers else ""
    return [*lines, f"<b>changed during the run</b>{when}: {_many(len(changed), 'chip')}{what}: {_names(changed)}"]


def _change(state: State, changed: np.ndarray) -> tuple[str, list[str]]:
    """When chips got other registers, in words, and which."""
    versions = state["chips"]
    of_changed = np.flatnonzero(np.isin(versions.keys, changed))
    chip = versions.keys[of_changed]
    start = np.append(True, chip[1:] != chip[:-1])
    begin = np.maximum.accumulate(np.where(start, np.arange(len(chip)), 0))
    registers = names_that_differ(versions.rows[of_changed], versions.rows[of_changed[begin]])
    # each version but the earliest of its chip begins with a change, and a chip that goes ends with one
    order = np.lexsort((versions.first[of_changed], chip))
    times = versions.first[of_changed][order][~start]
    if _only_snapshots(state):
        span = state["snapshots"]
        times = np.concatenate([times, versions.first[of_changed][versions.first[of_changed] > span.low[0]]])
    times = np.unique(times[times >= 0])
    if not len(times):
        return "", registers
    first, last = utc(times[[0, -1]])
    return (f" at {first} UTC" if first == last else f" from {first} to {last} UTC"), registers


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _names(chips: np.ndarray) -> str:
    more = f" and {len(chips) - NAMED:,} more" if len(chips) > NAMED else ""
    return ", ".join(map(chip_name, chips[:NAMED].tolist())) + more


def _wrapped(sentences: list[str], width: int) -> list[str]:
    return [line for sentence in sentences for line in textwrap.wrap(sentence, width)]


def _write_above(fig: go.Figure, lines: list[str]) -> None:
    fig.add_annotation(
        text="<br>".join(lines), showarrow=False, xref="paper", yref="paper", x=0, y=1, yanchor="bottom",
        xanchor="left", align="left", font={"size": 11}, yshift=38, xshift=-50,
    )  # fmt: skip
    fig.layout.margin.t = 48 + 15 * len(lines)
    if len(lines) > 2:  # the axes stay as high as with fewer, as far as a tile goes
        fig.layout.height = min(HEIGHT + 15 * len(lines), 400)


# -- in figures --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shown:
    """One register: its line in the menu, and for each io_group the values and how often they are there."""

    name: str
    label: str
    lines: list[tuple[list[int], list[int]]]

    @property
    def unit(self) -> str:
        count = REGISTERS[self.name][0]
        return "channels" if count == CHANNELS else "chips [count]" if count == 1 else "values [count]"


def _registers(fig: go.Figure, now: Chips, drawn: np.ndarray) -> None:
    """Histograms of one register, and a menu of all of them: it tells the value of those that are everywhere the same."""
    groups = np.unique(now.io_group)[:MOST_GROUPS].tolist()
    shown = [_shown(now, drawn, name, groups) for name in names_in(now.rows)]
    if not shown:
        return
    first = next((n for n, one in enumerate(shown) if one.name == FIRST_SHOWN), 0)
    for group, (x, y) in zip(groups, shown[first].lines, strict=True):
        line = {"shape": "hvh", "width": 1.5, "color": colour(group)}
        fig.add_trace(
            go.Scatter(
                x=x, y=y, name=f"io_group {group}", mode="lines+markers", line=line, marker={"size": 4},
                hovertemplate="%{x}: %{y:,}<extra>%{fullData.name}</extra>",
            )
        )  # fmt: skip
    buttons = [
        {
            "label": one.label,
            "method": "update",
            "args": [
                {"x": [x for x, _ in one.lines], "y": [y for _, y in one.lines]},
                {"xaxis.title.text": f"{one.name} [register value]", "yaxis.title.text": one.unit},
            ],
        }
        for one in shown
    ]
    menu = {"type": "dropdown", "buttons": buttons, "active": first, "x": 0, "y": 1, "xanchor": "left"}
    # as on the buttons of PixelMap: dark words on light ground in any theme
    ink = {"bgcolor": "#e9ecef", "font": {"color": "#212529", "size": 11}, "bordercolor": "#adb5bd"}
    fig.layout.updatemenus = [{**menu, **ink, "yanchor": "bottom", "pad": {"t": 0, "b": 4}}]
    fig.layout.xaxis.title.text = f"{shown[first].name} [register value]"
    fig.layout.yaxis.title.text = shown[first].unit
    fig.layout.legend = {"orientation": "v", "x": 1.01, "y": 1, "xanchor": "left", "yanchor": "top"}
    fig.layout.showlegend = True


def _shown(now: Chips, drawn: np.ndarray, name: str, groups: list[int]) -> _Shown:
    values, given = values_in(now.rows, name)
    chosen = (
        drawn & given[:, None] if values.shape[1] == CHANNELS else np.repeat(given[:, None], values.shape[1], axis=1)
    )
    values, io_group = values[chosen], np.broadcast_to(now.io_group[:, None], chosen.shape)[chosen]
    low, high = int(values.min()), int(values.max())
    label = f"{name} = {low}" if low == high else f"{name}: {low} to {high}"
    if not given.all():
        label += f" ({int(given.sum()):,} chips)"
    return _Shown(name, label, [_line(values[io_group == group], low, high) for group in groups])


def _line(values: np.ndarray, low: int, high: int) -> tuple[list[int], list[int]]:
    if high - low < WHOLE_AXIS:
        return list(range(low, high + 1)), np.bincount(values - low, minlength=high - low + 1).tolist()
    x, y = np.unique(values, return_counts=True)
    return x.tolist(), y.tolist()
