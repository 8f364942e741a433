"""The tests that every plot gets for free, as plain functions: ``larboard plots test`` and pytest run the same.

Each checks one sentence of the contract over real packets; what it finds is an Outcome, never an exception.
"""

from __future__ import annotations

import inspect
import json
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dqm.formats.about import About
from dqm.formats.configuration import Configuration
from dqm.formats.packets import Packets, cut
from dqm.formats.registers import CHANNELS, bytes_of, rows_of_values
from dqm.masks import Mask
from plots.base import (
    MEMORY,
    PLUGIN_ERRORS,
    LeftOut,
    MergeablePlot,
    Plot,
    PluginError,
    State,
    Stopped,
    decode_arrays,
    load_figure,
    no_packets,
)
from plots.discovery import fault_of

UNIT_IN_BRACKETS = re.compile(r"\[.+\]")
# Words that are units themselves: an axis of counts, of a rate or of a share, a time, a list of names.
UNIT_WORDS = (
    "packets", "events", "hits", "syncs", "triggers", "channels", "/s", "fraction", "/ all", "UTC", "io_group", "count",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    sentence: str
    passed: bool
    why: str = ""


class Unmet(AssertionError):
    """A sentence of the contract does not hold; the message says where."""


def check_plot(plot: type[Plot], rows: np.ndarray, detector: Any = None) -> list[Outcome]:
    """All sentences of the contract for one plot class, over `rows` (packet rows of a detector)."""
    if fault := fault_of(plot):
        return [Outcome("is a plot", False, fault)]
    return [_outcome(sentence, check, plot, rows, detector) for sentence, check in sentences(plot)]


Sentence = tuple[str, Callable[[Any, np.ndarray, Any], None]]


def sentences(plot: type[Plot]) -> list[Sentence]:
    """The sentences that `plot` must keep, each with the function that checks it."""
    if plot.private_memory:
        return [
            ("takes new packets with its figure of the last time, again and again", takes_new_packets),
            ("stopping and resuming between two looks changes nothing", resumes_between_looks),
            ("its figure goes through JSON unchanged, without NaN", figure_survives_json),
        ]
    every: list[Sentence] = [
        ("any cut into blocks gives the same result", same_for_any_cut),
        ("empty input is legal and changes nothing", empty_changes_nothing),
        ("stopping and resuming changes nothing", resumes),
        ("its figure goes through JSON unchanged, without NaN", figure_survives_json),
        ("its axes have titles with units", axes_have_units),
    ]
    if issubclass(plot, MergeablePlot):
        every += [
            ("its state goes through JSON unchanged", state_survives_json),
            ("states of two halves merge to the state of the whole", halves_merge),
            ("every trend has a unit, and a reason when it is null", trends_are_complete),
            ("it works without a geometry", works_without_geometry),
        ]
        if plot.without is not MergeablePlot.without:
            every.append(("channels that are left out of its state might never have been counted", leaves_channels_out))
    return every


def _outcome(sentence: str, check: Callable, plot: type[Plot], rows: np.ndarray, detector: Any) -> Outcome:
    try:
        check(plot, rows, detector)
    except Unmet as error:
        return Outcome(sentence, False, str(error))
    except PLUGIN_ERRORS as error:
        return Outcome(sentence, False, f"{type(error).__name__}: {error}{_where(plot, error)}")
    return Outcome(sentence, True)


def _where(plot: type[Plot], error: BaseException) -> str:
    """The author's own line, if the error passed through it."""
    if isinstance(error, Stopped):
        return ""
    if isinstance(error, PluginError) and error.frames:
        lines = list(error.frames)
    else:
        lines = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    own = getattr(plot, "file", "") or inspect.getfile(plot)
    file, line = next((place for place in reversed(lines) if place[0] == own), lines[-1])
    return f" ({file}, line {line})"


def some_cuts(n_rows: int) -> Iterator[list[int]]:
    """Block sizes to try: whole, single rows at the start, halves, and random ones."""
    yield []
    yield [1, 1, 0, 2, 1]
    yield [n_rows // 2]
    random = np.random.default_rng(7)
    for blocks in (3, 17):
        yield random.multinomial(n_rows, np.full(blocks, 1 / blocks)).tolist()


def blocks_of(rows: np.ndarray, sizes: Iterable[int], detector: Any) -> Iterator[Packets]:
    """The rows cut in blocks, as of a file that says about itself what a file can say."""
    return cut(rows, sizes, detector, file=some_file(rows))


def some_file(rows: np.ndarray) -> About:
    """A file in which every chip that sent one of these rows is configured, one in seven with all its channels masked."""
    ids = (rows[name].astype(np.int64) for name in ("io_group", "io_channel", "chip_id"))
    group, channel, chip_id = ids
    chip = np.unique(group << 16 | channel << 8 | chip_id)
    trims = [16] * CHANNELS
    values = [{"pixel_trim_dac": trims, "channel_mask": [n % 7 == 0] * CHANNELS} for n in range(len(chip))]
    columns = {
        name: (list(range(len(chip))), [bytes_of(name, of_chip[name]) for of_chip in values])
        for name in ("pixel_trim_dac", "channel_mask")
    }
    configured = Configuration(
        chip, rows_of_values(columns, len(chip)), np.full(len(chip), -1), ("a chip is left out",)
    )
    name = "packet-0000001-2023_11_14_22_13_20_UTC.hdf5"
    return About(name, "packets", "2.4", 1, None, 1_700_000_000, lambda: configured)


def result(plot: Plot, blocks: Iterable[Packets]) -> go.Figure:
    """The figure after `blocks`, by the call that works for every plot."""
    fig = plot.new_figure()
    for packets in blocks:
        returned = plot(packets, fig)
        fig = fig if returned is None else returned
    return fig


def content(figure: go.Figure) -> dict:
    """A figure as its JSON object with arrays decoded to lists: equal content compares equal, whatever its encoding."""
    plain = json.loads(figure.to_json(engine="orjson"))
    (plain.get("layout", {}).get("meta") or {}).pop(MEMORY, None)
    return _lists(decode_arrays(plain))


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return [_lists(inner) for inner in value]
    return None if isinstance(value, float) and value != value else value


def same_for_any_cut(plot: type[Plot], rows: np.ndarray, detector: Any) -> None:
    """Raises Unmet for the first cut whose figure differs from that of the whole."""
    whole = content(result(plot(), blocks_of(rows, [], detector)))
    for sizes in some_cuts(len(rows)):
        if content(result(plot(), blocks_of(rows, sizes, detector))) != whole:
            raise Unmet(f"blocks of {sizes[:6]} rows give another figure than all {len(rows):,} rows at once")


def empty_changes_nothing(plot: type[Plot], rows: np.ndarray, detector: Any) -> None:
    result(plot(), [no_packets(detector)])
    blocks = list(blocks_of(rows, [len(rows) // 2], detector))
    with_empty = [no_packets(detector), blocks[0], no_packets(detector), *blocks[1:], no_packets(detector)]
    if content(result(plot(), with_empty)) != content(result(plot(), blocks)):
        raise Unmet("empty blocks in between give another figure")


def resumes(plot: type[Plot], rows: np.ndarray, detector: Any) -> None:
    """A new object with the figure read back from JSON goes on as if it had never stopped."""
    first, *rest = blocks_of(rows, [len(rows) // 3], detector)
    stopped = result(plot(), [first])
    fig = load_figure(json.loads(stopped.to_json(engine="orjson")))
    again = plot()
    for packets in rest:
        returned = again(packets, fig)
        fig = fig if returned is None else returned
    if content(fig) != content(result(plot(), [first, *rest])):
        raise Unmet("after a restart the figure differs from that of a plot that never stopped")


def takes_new_packets(plot: type[Plot], rows: np.ndarray, detector: Any) -> None:
    made, fig = plot(), None
    for packets in cut(rows, [len(rows) // 3] * 2, detector):
        fig = _looked_at(made, packets, fig)


def resumes_between_looks(plot: type[Plot], rows: np.ndarray, detector: Any) -> None:
    """As `resumes`, of a plot that gets all packets of a look at once."""
    first, second = cut(rows, [len(rows) // 3], detector)
    made = plot()
    fig = _looked_at(made, first)
    stopped = json.loads(fig.to_json(engine="orjson"))
    on, resumed = _looked_at(made, second, fig), _looked_at(plot(), second, load_figure(stopped))
    if content(on) != content(resumed):
        raise Unmet("after a restart the figure differs from that of a plot that never stopped")


def _looked_at(plot: Plot, packets: Packets, fig: go.Figure | None = None) -> go.Figure:
    """The figure with these packets in it, as somebody sees it."""
    fig = plot(packets, plot.new_figure() if fig is None else fig)
    content(fig)
    return fig


def figure_survives_json(plot: type[Plot], rows: np.ndarray, detector: Any) -> None:
    fig = result(plot(), blocks_of(rows, [], detector))
    text = fig.to_json(engine="orjson")
    json.loads(text, parse_constant=_no_constant)
    if content(load_figure(json.loads(text))) != content(fig):
        raise Unmet("the figure read back from JSON differs")


def _no_constant(name: str) -> None:
    raise Unmet(f"the figure's JSON holds {name}, expected null")


def axes_have_units(plot: type[Plot], rows: np.ndarray, detector: Any) -> None:
    for blocks in (blocks_of(rows, [], detector), [no_packets(detector)]):
        fig = result(plot(), blocks)
        layout = fig.to_plotly_json()["layout"]
        names = [name for name in layout if re.fullmatch(r"[xy]axis\d*", name)] or ["xaxis", "yaxis"]
        for name in names:
            if layout.get(name, {}).get("matches"):
                continue  # a panel that follows another one's axis, which is titled
            text = (layout.get(name, {}).get("title") or {}).get("text") or ""
            if not (UNIT_IN_BRACKETS.search(text) or any(word in text for word in UNIT_WORDS)):
                raise Unmet(f'{name} is titled {text!r}, expected a title with its unit such as "drift time [us]"')


def state_survives_json(plot: type[MergeablePlot], rows: np.ndarray, detector: Any) -> None:
    made = plot()
    state = _state(made, blocks_of(rows, [], detector), detector)
    back = State.from_json(json.loads(json.dumps(state.to_json())), detector)
    if not same_state(back, state):
        raise Unmet("the state read back from JSON differs")


def halves_merge(plot: type[MergeablePlot], rows: np.ndarray, detector: Any) -> None:
    """In either order, bit for bit: integers do not care."""
    made = plot()
    first, second = blocks_of(rows, [len(rows) // 2 + 1], detector)
    whole = _state(made, [first, second], detector)
    for order in ([first, second], [second, first]):
        merged = _state(made, [order[0]], detector).merge(_state(made, [order[1]], detector))
        if not same_state(merged, whole):
            raise Unmet("merging the states of two halves differs from counting the whole")


def trends_are_complete(plot: type[MergeablePlot], rows: np.ndarray, detector: Any) -> None:
    made = plot()
    empty = made.read_trends(made.start(detector))
    full = made.read_trends(_state(made, blocks_of(rows, [], detector), detector))
    if empty.keys() != full.keys():
        raise Unmet(f"an empty state has trends {sorted(empty)}, a full one {sorted(full)}: expected the same")
    for name, trend in [*empty.items(), *full.items()]:
        if not trend.unit:
            raise Unmet(f"trend {name} has no unit")
        if trend.value is None and not trend.reason:
            raise Unmet(f"trend {name} is null without a reason")


def works_without_geometry(plot: type[MergeablePlot], rows: np.ndarray, detector: Any) -> None:
    made = plot()
    state = _state(made, blocks_of(rows, [], None), None)
    made.figure(state)
    made.read_trends(state)


def leaves_channels_out(plot: type[MergeablePlot], rows: np.ndarray, detector: Any) -> None:
    """For channels of every kind, with and without a geometry."""
    random = np.random.default_rng(11)
    for where in (detector, None):
        every = _channels(rows)
        for number in (0, 1, len(every) // 3, len(every)):
            channels = np.sort(random.choice(every, number, replace=False))
            check_left_out(plot, rows, where, np.union1d(channels, [0, 1 << 24 | 1 << 16 | 255 << 8 | 63]))


def check_left_out(plot: type[MergeablePlot], rows: np.ndarray, detector: Any, channels: np.ndarray) -> None:
    """Raises Unmet unless the state without these channels is that of the packets without them."""
    made, mask = plot(), Mask(channels)
    blocks = list(blocks_of(rows, [len(rows) // 2], detector))
    whole = _state(made, blocks, detector)
    before = whole.to_json()
    wanted = LeftOut.of(mask, detector)
    derived = made.without(whole, replace(wanted, sent=_sent(wanted, blocks, detector)))
    if derived is None:
        raise Unmet(f"its state cannot do without {len(mask)} channels of these {len(rows):,} rows")
    if whole.to_json() != before:
        raise Unmet("leaving channels out changes the state that they are left out of")
    if not same_state(derived, _state(made, [mask.without(packets) for packets in blocks], detector)):
        raise Unmet(f"its state without {len(mask)} channels is not that of the packets without them")


def _channels(rows: np.ndarray) -> np.ndarray:
    """The channels that sent one of these rows."""
    wide = rows["io_group"].astype(np.int64)
    return np.unique(((wide << 8 | rows["io_channel"]) << 8 | rows["chip_id"]) << 8 | rows["channel_id"])


def _sent(wanted: LeftOut, blocks: Iterable[Packets], detector: Any) -> np.ndarray:
    """Data packets of valid parity of each channel, as LeftOut has them; counted one by one."""
    pixels, keys = dict.fromkeys(wanted.pixels.tolist(), 0), dict.fromkeys(wanted.keys.tolist(), 0)
    for packets in blocks:
        data = packets.data
        own = data["pixel"].tolist() if detector is not None else [-1] * len(data)
        ids = (data[name].tolist() for name in ("io_group", "io_channel", "chip_id", "channel_id"))
        for pixel, group, channel, chip, place in zip(own, *ids, strict=True):
            key = ((group << 8 | channel) << 8 | chip) << 8 | place
            if pixel in pixels:
                pixels[pixel] += 1
            elif pixel < 0 and key in keys:
                keys[key] += 1
    return np.array([*pixels.values(), *keys.values()], np.int64)


def _state(plot: MergeablePlot, blocks: Iterable[Packets], detector: Any) -> State:
    state = plot.start(detector)
    for packets in blocks:
        state.add(plot.count(packets))
    return state


def same_state(one: State, other: State) -> bool:
    """Whether two states are equal bit for bit."""
    if (one.plot, one.version, one.geometry) != (other.plot, other.version, other.geometry):
        return False
    mine, theirs = one.to_arrays(), other.to_arrays()
    return mine.keys() == theirs.keys() and all(
        mine[key].dtype == theirs[key].dtype and np.array_equal(mine[key], theirs[key]) for key in mine
    )
