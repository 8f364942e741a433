"""The plot contract: a class in one file, found by itself, that takes packets and updates a figure.

Two kinds. `Plot`: you write ``__call__(packets, fig)`` and the figure is the memory. `MergeablePlot`: you write
``count(packets)``, which returns numbers that add, and ``draw(state, fig)``, which shows them; only these merge files
into runs and run in parallel. Copy ``plots/adc_spectrum.py``, or run ``larboard plots new NAME``.
"""

from __future__ import annotations

import asyncio
import base64
import math
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import plotly.graph_objects as go

from dqm.formats.about import About
from dqm.formats.packets import Packets, no_packets
from dqm.masks import Mask
from plots.options import Options
from plots.packs import add_delta, sparse, taken_apart, together
from plots.state import (
    Extent,
    Increment,
    KeyedCounts,
    LiveTime,
    Scatter,
    Series,
    State,
    Versions,
    WrongState,
    tally,
)

__all__ = [
    "DATA",
    "LEVELS",
    "PLUGIN_ERRORS",
    "About",
    "Bin",
    "Extent",
    "HostTrouble",
    "Increment",
    "KeyedCounts",
    "LeftOut",
    "LiveTime",
    "MergeablePlot",
    "Packets",
    "Plot",
    "PluginError",
    "Ranges",
    "Scatter",
    "Series",
    "State",
    "Stopped",
    "Trend",
    "Versions",
    "WrongState",
    "add_delta",
    "check_figure",
    "decode_arrays",
    "load_figure",
    "plugin_error",
    "sparse",
    "taken_apart",
    "tally",
    "together",
    "traceback_of",
]

LEVELS = ("raw", "packets", "flow", "light", "reco")
MEMORY = "larboard_state"
PLUGIN_ERRORS = (Exception, SystemExit, GeneratorExit, asyncio.CancelledError)
"""What the code of a plug-in may raise without taking anything else with it; an interruption by the user is not in it."""


class HostTrouble(BaseException):
    """The machine lacks what a call of a plug-in needs: memory, processes, open files. The plug-in is not to blame.

    No Exception, so that it is never taken for one of the plug-in's (PLUGIN_ERRORS).
    """


class Stopped(Exception):
    """A plug-in went over a limit and was ended; the message is the sentence that says which."""

    def __init__(self, sentence: str, traceback: str = ""):
        super().__init__(sentence)
        self.traceback = traceback


class PluginError(Exception):
    """What the code of a plug-in raised in its own process; subclasses are made with the name of what it raised."""

    traceback = ""
    frames: Sequence[tuple[str, int]] = ()
    """(file, line) of the plug-in's own code, the innermost last."""


def plugin_error(name: str, text: str, traceback: str, frames: Sequence[tuple[str, int]] = ()) -> PluginError:
    """An exception that prints as ``name: text``, though its class is not known here."""
    kind = type(name if name.isidentifier() and len(name) <= 100 else "PluginError", (PluginError,), {})
    error = kind(text)
    error.traceback, error.frames = traceback, frames
    return error


def traceback_of(error: BaseException) -> str:
    """The traceback for experts: of an error in another process that of the plug-in's own code."""
    own = error.traceback if isinstance(error, (Stopped, PluginError)) else ""
    return own or "".join(traceback.format_exception(error))


Limits = tuple[float | None, float | None]
"""(low, high); None where there is no limit on that side."""


@dataclass(frozen=True)
class Trend:
    """A number to follow over time, with all that an axis, a board and an alarm need.

    A `value` of None means that it is not known, and `reason` says why. Outside `warn` it is suspect, outside `alarm` bad.
    """

    value: float | int | None
    unit: str
    range: Limits = (0, None)
    warn: Limits = (None, None)
    alarm: Limits = (None, None)
    reason: str = ""

    def __post_init__(self) -> None:
        value = self.value.item() if isinstance(self.value, np.generic) else self.value
        if value is not None and not isinstance(value, (int, float)):
            raise TypeError(f"a trend's value is {type(value).__name__}, expected a number or None")
        if isinstance(value, int) and value.bit_length() > 63:
            value = float(value)
        if isinstance(value, float) and not math.isfinite(value):
            value = None
            object.__setattr__(self, "reason", self.reason or "not a finite number")
        object.__setattr__(self, "value", value)
        for name in ("unit", "reason"):
            text = getattr(self, name)
            if not isinstance(text, str):
                raise TypeError(f"a trend's {name} is {type(text).__name__}, expected text")
            object.__setattr__(self, name, text.replace("\0", "").encode("utf-8", "replace").decode())
        for name in ("range", "warn", "alarm"):
            limits = getattr(self, name)
            whole = isinstance(limits, tuple) and len(limits) == 2
            if not whole or not all(limit is None or isinstance(limit, (int, float, np.generic)) for limit in limits):
                raise TypeError(f"a trend's {name} is {limits!r}, expected (low, high) with numbers or None")


@dataclass(frozen=True)
class Bin:
    """What somebody clicked in a figure: the name of the line or bar, the x of the point, and that of the next one.

    Of a time axis `low` and `high` are unix seconds. `label` is what the point is called, where it has a name.
    """

    name: str
    low: float
    high: float
    label: str = ""


Ranges = Mapping[str, tuple[float, float]]
"""Columns of packets and the lowest and highest value that they have, both inside."""
DATA: Ranges = {"packet_type": (0, 0), "valid_parity": (1, 1)}
"""Data packets of valid parity, as ``packets.data``."""


@dataclass(frozen=True)
class LeftOut:
    """Channels that a state is wanted without: pixels of the detector, and the keys of channels that are no pixels."""

    pixels: np.ndarray
    """Ascending, shape (n_pixel,)."""
    keys: np.ndarray
    """``io_group << 24 | io_channel << 16 | chip << 8 | channel``, ascending, shape (n_key,)."""
    sent: np.ndarray | None = None
    """Data packets of valid parity that each of them sent, pixels first, int64; None where nobody knows."""

    @classmethod
    def of(cls, mask: Mask, detector: Any) -> LeftOut:
        pixels = mask.pixels(detector)
        return cls(np.unique(pixels[pixels >= 0]), mask.keys[pixels < 0])

    def cleared(self, state: State, *names: str) -> State:
        """A state in which these leaves (one place for each pixel) are 0 at the pixels; it shares what does not change."""
        made = State(state.plot, state.version, state.geometry, state.detector)
        made.update(state)
        for name in names:
            if name in state:
                made[name] = state[name].copy()
                made[name][self.pixels] = 0
        return made


class Plot:
    """A plot whose figure is its memory. Give it a title and write ``__call__``."""

    title: ClassVar[str] = ""
    level: ClassVar[str] = "packets"
    fields: ClassVar[tuple[str, ...]] = ()
    """Columns that the plot asks of packets; files without one of them are not given to it."""
    version: ClassVar[int] = 1
    """Raise it when the numbers change: states of another version are counted anew."""
    group: ClassVar[str] = "Other"
    """Heading under which a run page shows it: Rates, Data quality, Charge, Timing, or one of your own."""
    private_memory: ClassVar[bool] = False
    """Whether its figure carries objects that only who wrote them may hand back to it."""
    log_switch: ClassVar[bool] = False
    """Whether the page offers a logarithmic vertical axis."""
    options: ClassVar[Options] = Options()
    """What the settings say to built-in plots."""
    uses: ClassVar[tuple[str, ...]] = ()
    """Options that its numbers depend on."""
    unable: ClassVar[str] = ""
    """Why no file can feed it, such as an option that cannot be used."""

    @property
    def name(self) -> str:
        return type(self).__name__

    def rows_behind(self, clicked: Bin) -> Ranges | None:
        """Which packets a bin of the figure counts, by ranges of their columns; None when that cannot be told.

        It is asked of built-in plots only, where the page runs.
        """
        return None

    def new_figure(self) -> go.Figure:
        """The figure that the first packets are given with."""
        return go.Figure()

    def __call__(self, packets: Packets, fig: go.Figure) -> Any:
        """Takes new packets and updates `fig` (or returns the new figure)."""
        raise NotImplementedError(f"{self.name} has no __call__(packets, fig)")

    def missing(self, columns: Iterable[str]) -> tuple[str, ...]:
        """The columns of `fields` that are not among `columns`."""
        have = set(columns)
        return tuple(field for field in self.fields if field not in have)


class MergeablePlot(Plot):
    """A plot made of numbers that add: write `count`, `draw`, and `trends` if there are numbers to follow."""

    def count(self, packets: Packets) -> Mapping[str, Any]:
        """What these packets add, by name: integer arrays, hist.Hist, Scatter, Series, LiveTime, Extent, KeyedCounts,
        Versions.

        Empty packets are legal and give the same names: that is how a state starts.
        """
        raise NotImplementedError(f"{self.name} has no count(packets)")

    def draw(self, state: State, fig: go.Figure) -> None:
        """Shows `state` in `fig`, which is empty. `state.detector` is the geometry, or None when none is known."""
        raise NotImplementedError(f"{self.name} has no draw(state, fig)")

    def trends(self, state: State) -> dict[str, Trend]:
        """Numbers to follow; also of an empty state, with value None or 0."""
        return {}

    def without(self, state: State, left_out: LeftOut) -> State | None:
        """`state` as it would be if the data packets of these channels had never come; None where it does not say that.

        Live time stays what it was: an io_group is alive whichever of its channels are counted.
        """
        return None

    def sent(self, state: State, left_out: LeftOut) -> np.ndarray | None:
        """`LeftOut.sent` of these channels, for the plots whose states do not tell channels apart; None: not known here."""
        return None

    def read_trends(self, state: State) -> dict[str, Trend]:
        """What `trends` gives, checked: TypeError for anything that is not a dict of names and Trends."""
        found = self.trends(state)
        if not isinstance(found, dict):
            raise TypeError(f"trends returned {type(found).__name__}, expected a dict of names and Trends")
        for name, trend in found.items():
            if not isinstance(name, str) or not isinstance(trend, Trend):
                raise TypeError(f"trends returned {name!r}: {type(trend).__name__}, expected a name and a Trend")
        return found

    def start(self, detector: Any = None) -> State:
        """The state before the first packet."""
        return self.nothing(detector).add(self.count(no_packets(detector)))

    def nothing(self, detector: Any = None) -> State:
        """A state without leaves: whatever is added to it is all that it has."""
        return State(self.name, self.version, detector.geometry_id if detector is not None else None, detector)

    def figure(self, state: State) -> go.Figure:
        """A new figure of `state`."""
        fig = self.new_figure()
        self.draw(state, fig)
        return fig

    def __call__(self, packets: Packets, fig: go.Figure) -> go.Figure:
        """Counts `packets` on top of what `fig` remembers, and draws it anew; made of `count` and `draw`."""
        memory = (fig.layout.meta or {}).get(MEMORY)
        detector = packets.detector
        state = State.from_json(memory, detector) if memory else self.start(detector)
        if (detector.geometry_id if detector is not None else None) != state.geometry:
            raise WrongState(f"the figure was made with geometry {state.geometry}, not with that of these packets")
        if state.version != self.version:
            raise WrongState(f"the figure was made by version {state.version} of {self.name}, this is {self.version}")
        state.add(self.count(packets))
        fig.data = ()
        fig.layout = {}
        self.draw(state, fig)
        fig.layout.meta = {**(fig.layout.meta or {}), MEMORY: state.to_json()}
        return fig


def check_figure(figure: Any) -> None:
    """Raises TypeError for what a plot must not make: anything that is not a Plotly figure."""
    if not isinstance(figure, go.Figure):
        raise TypeError(f"expected a Plotly figure, the plot made {type(figure).__name__}")
    len(figure.data)  # one that is kept in another process comes now, or says why not


def load_figure(data: Mapping[str, Any]) -> go.Figure:
    """A figure from its JSON object; arrays come back as arrays (in the JSON they are dicts of type and bytes)."""
    return go.Figure(decode_arrays(data))


def decode_arrays(value: Any) -> Any:
    """JSON values with each ``{"dtype", "bdata", "shape"}`` that Plotly wrote turned back into an array."""
    if isinstance(value, Mapping):
        if value.keys() >= {"dtype", "bdata"}:
            array = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
            shape = [int(n) for n in str(value.get("shape", "")).split(",") if n.strip()]
            return (array.reshape(shape) if shape else array).copy()
        return {key: decode_arrays(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [decode_arrays(inner) for inner in value]
    return value
