"""Plots written for larpix-monitor, as they are: ``__call__(self, filename, fh, fig=None)`` gives a figure.

Only children do this. An object is made for each file; it and its figure are the memory, and go from one process to the
next as a pickle in the figure that is shown (`Memory`). No process but a child ever reads it.
"""

from __future__ import annotations

import base64
import copyreg
import inspect
import io
import pickle
import re
import sys
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import plotly.graph_objects as go
from plotly.basedatatypes import BaseFigure

from dqm.formats.as_file import PacketFile, plain_rows
from dqm.formats.beside import Beside
from dqm.formats.columns import PACKET_DTYPE, PacketType
from plots.base import MEMORY, MergeablePlot, Packets, Plot, decode_arrays
from plots.drawing import say

ROWS_AT_ONCE = 1 << 20
"""Packets are given in pieces as large as this, at the bounds of messages: rates are over the seconds of one piece."""
MOST_OPEN = 20
"""Figures that pyplot may hold after a call; matplotlib warns from here on."""
SVG_BYTES = 1 << 20
PNG_BYTES = 4 << 20
PNG_PIXELS = 3_000_000
COPIED = "predecessor.rows"
TILE_WIDTH, LEAST_HEIGHT, TILE_HEIGHT, MOST_HEIGHT = 560, 240, 400, 1200
"""Pixels: of a usual tile (higher ones are as wide as the page); the height of a picture follows from its own shape."""
COLUMN = 2.5


class NoFigure(TypeError):
    """What a plot gave cannot be shown; the message says why."""


class CannotGoOn(RuntimeError):
    """The memory of a plot cannot be had again; the message says why."""


# -- which classes these are -----------------------------------------------------------------------------------------


def takes_a_file(plot: Any) -> bool:
    """Whether objects of a class are called with (filename, fh, fig=None)."""
    if not inspect.isclass(plot) or issubclass(plot, MergeablePlot):
        return False
    call = next((vars(kind)["__call__"] for kind in plot.__mro__ if "__call__" in vars(kind)), None)
    try:
        after = list(inspect.signature(call).parameters.values())[1:] if callable(call) else []
    except (TypeError, ValueError):  # no function, or none whose parameters Python knows
        return False
    given = [p for p in after if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    more = [p for p in after if p not in given[:3] and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(given) < 3 or any(p.default is p.empty for p in more):
        return False
    name, file, figure = given[:3]
    optional = figure.default is None and not issubclass(plot, Plot)
    return name.default is file.default is file.empty and (figure.name == "fig" or optional)


def predecessors_in(module: ModuleType) -> dict[str, type]:
    """The classes of a module that are such plots, by the names that the module gives them.

    Neither those that it only imports, nor those that others of it derive from, nor helpers with a leading _.
    """
    found: dict[str, type] = {}
    for name, value in vars(module).items():
        if not name.startswith("_") and takes_a_file(value) and _made_in(module, value) and value not in found.values():
            found[name] = value
    return {
        name: plot
        for name, plot in found.items()
        if not inspect.isabstract(plot)
        and not any(other is not plot and issubclass(other, plot) for other in found.values())
    }


def _made_in(module: ModuleType, plot: type) -> bool:
    """Whether a class is of this module: defined there, or made there by a function that it imports."""
    if plot.__module__ == module.__name__:
        return True
    theirs = sys.modules.get(plot.__module__)
    return "<locals>" in plot.__qualname__ and all(value is not plot for value in vars(theirs or object).values())


def adapted(name: str, plot: type) -> type[Predecessor]:
    """A plot class of today's kind for one of larpix-monitor."""
    values: dict[str, Any] = {
        "old": plot,
        "title": _title(name, plot),
        "version": _version(plot),
        "__doc__": plot.__doc__,
    }
    group = getattr(plot, "group", None)
    if isinstance(group, str) and group:
        values["group"] = group
    return type(name, (Predecessor,), values)


def fault_of_old(plot: type) -> str:
    """Why no object of such a class can be made; empty when one can."""
    try:
        asked = list(inspect.signature(plot).parameters.values())
    except (TypeError, ValueError):
        return ""
    lacking = [p.name for p in asked if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return (
        f"asks its constructor for {', '.join(lacking)}, expected a class that is made without arguments"
        if lacking
        else ""
    )


def _title(name: str, plot: type) -> str:
    """Its title, or the first line of its own docstring, or its name in words."""
    title = getattr(plot, "title", None)
    if isinstance(title, str) and title.strip():
        return title.strip()
    lines = [line.strip() for line in str(vars(plot).get("__doc__") or "").splitlines() if line.strip()]
    if not lines:
        return _words(name)
    # a function that makes several classes gives all of them one docstring
    return lines[0].rstrip(".") + ("" if name == plot.__name__ else f" ({_words(name)})")


def _words(name: str) -> str:
    """PixelMap_1_8 -> Pixel map 1 8; FIFOFlags -> FIFO flags."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    first, *rest = parts or [name]
    return " ".join([first, *(part if part.isupper() and len(part) > 1 else part.lower() for part in rest)])


def _version(plot: type) -> int:
    """Its version, or a number that changes with its file: its author knew of none."""
    version = getattr(plot, "version", None)
    if isinstance(version, int) and 0 <= version < 1 << 31:
        return version
    try:
        return zlib.crc32(Path(inspect.getfile(plot)).read_bytes()) >> 1
    except (OSError, TypeError):
        return 1


# -- one of them over one file ---------------------------------------------------------------------------------------


@dataclass
class Memory:
    """What a plot remembers of a file: its object, its figure, and those that pyplot holds for it; packets to come."""

    made: Any
    figure: Any = None
    open: OrderedDict[int, Any] = field(default_factory=OrderedDict)
    rows: list[np.ndarray] = field(default_factory=list)
    beside: Beside = field(default_factory=Beside)

    @property
    def waiting(self) -> int:
        return sum(map(len, self.rows))

    @contextmanager
    def desk(self) -> Iterator[None]:
        """pyplot with the figures of this file and plot alone: others in this process have figures of the same names."""
        before = _pyplot_figures(self.open)
        try:
            yield
        finally:
            self.open = _pyplot_figures(before)


def _pyplot_figures(figures: OrderedDict[int, Any]) -> OrderedDict[int, Any]:
    """Puts these figures in the place of those that pyplot holds, which are returned; nothing without pyplot."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None:
        return OrderedDict()
    held, helpers.Gcf.figs = helpers.Gcf.figs, figures
    return held


class _Files:
    """The file that was made last: plots of one module get the same packets, one plot after the other."""

    def __init__(self) -> None:
        self._key: tuple = ()
        self._rows: list[np.ndarray] = []
        """Kept, as the key has nothing but their places in memory."""
        self._made: tuple[PacketFile, list[np.ndarray]] | None = None

    def of(self, rows: list[np.ndarray], beside: Beside, whole: bool) -> tuple[PacketFile, list[np.ndarray]]:
        """A file of these pieces of rows and what is left of them: nothing, or the message that is not `whole` yet."""
        key = (*map(id, rows), beside.number, whole)
        if self._made is None or self._key != key or not self._made[0]:
            if self._made is not None:
                self._made[0].close()
            together = rows[0] if len(rows) == 1 else np.concatenate(rows)
            end = len(together) if whole else _last_message(together)
            rest = [together[end:].copy()] if end < len(together) else []
            self._key, self._rows, self._made = key, rows, (PacketFile(together[:end], beside), rest)
        return self._made[0], list(self._made[1])


def _last_message(rows: np.ndarray) -> int:
    """Where the last message begins; all rows where that is the first one."""
    starts = np.flatnonzero(rows["packet_type"] == PacketType.TIMESTAMP)
    return int(starts[-1]) if len(starts) and starts[-1] else len(rows)


class Predecessor(Plot):
    """A plot of larpix-monitor, given packets as today's plots are."""

    old: ClassVar[type]
    files: ClassVar[_Files] = _Files()

    def begin(self) -> Memory:
        memory = Memory(None)
        with memory.desk():
            memory.made = self.old()
        return memory

    def __call__(self, packets: Packets, fig: Memory) -> None:
        """Keeps new packets; when there are enough, the plot gets them."""
        if not len(packets):
            return
        memory = fig
        memory.beside = packets.beside() if packets.beside is not None else Beside()
        memory.rows.append(packets.once(COPIED, lambda: copied(packets)))
        if memory.waiting >= ROWS_AT_ONCE:
            self._give(memory, whole=False)

    def _give(self, memory: Memory, whole: bool) -> None:
        """Calls the plot with packets that it has not seen, and with its figure of the last time."""
        fh, memory.rows = self.files.of(memory.rows, memory.beside, whole)
        with memory.desk():
            memory.figure = _checked(memory.made(fh.filename, fh, memory.figure))
            _close_others(memory.figure)

    def show(self, memory: Memory) -> go.Figure:
        """The figure now, with the memory in it."""
        if memory.rows:
            self._give(memory, whole=True)
        with memory.desk():
            shown = _shown(memory.figure)
            meta = shown.layout.meta if isinstance(shown.layout.meta, Mapping) else {}
            shown.layout.meta = {**meta, MEMORY: _packed(memory)}
        return shown

    def resume(self, figure: Mapping[str, Any]) -> Memory:
        """The memory in a figure that was shown. Raises CannotGoOn."""
        kept = ((figure.get("layout") or {}).get("meta") or {}).get(MEMORY) or {}
        if "lost" in kept:
            raise CannotGoOn(
                f"{self.name} keeps what cannot be saved, so it cannot go on with this file ({kept['lost']})"
            )
        memory = Memory(object.__new__(self.old))
        with memory.desk():
            try:
                content = zlib.decompress(base64.b64decode(kept["pickle"]))
                state, memory.figure = pickle.loads(content)  # noqa: S301  (made by `_packed`, handed back by our ingest only)
                vars(memory.made).update(state)
            except Exception as error:
                raise CannotGoOn(f"{self.name} cannot go on with this file: {type(error).__name__}: {error}") from None
        return memory


def copied(packets: Packets) -> np.ndarray:
    """The rows of a block, which lie in memory that is used again."""
    if packets.source is not None:
        return plain_rows(packets.source[0])
    names = [name for name in PACKET_DTYPE.names or () if name in packets]
    rows = np.empty(len(packets), [(name, PACKET_DTYPE[name]) for name in names])
    for name in names:
        rows[name] = packets[name]
    return rows


def _packed(memory: Memory) -> dict[str, str]:
    """The object and its figure as text; or why they cannot be saved."""
    try:
        import cloudpickle as pickler  # takes functions without a name, too
    except ImportError:
        import pickle as pickler
    copyreg.pickle(go.Figure, _reduced)
    try:
        content = pickler.dumps((vars(memory.made), memory.figure))
    except Exception as error:
        return {"lost": f"{type(error).__name__}: {error}"}
    return {"pickle": base64.b64encode(zlib.compress(content, 1)).decode()}


def _reduced(figure: go.Figure) -> tuple:
    """A figure of Plotly for pickle, which by itself forgets that its arrays are arrays."""
    kind, (parts,) = figure.__reduce__()
    return _figure_of, (kind, parts)


def _figure_of(kind: type, parts: dict[str, Any]) -> Any:
    return kind({key: value if key.startswith("_grid") else decode_arrays(value) for key, value in parts.items()})


# -- figures ---------------------------------------------------------------------------------------------------------


def _is_matplotlib(figure: Any) -> bool:
    library = sys.modules.get("matplotlib.figure")
    return library is not None and isinstance(figure, library.Figure)


def _checked(figure: Any) -> Any:
    if isinstance(figure, BaseFigure) or _is_matplotlib(figure):
        return figure
    raise NoFigure(f"returned {_named(figure)}, expected a matplotlib or Plotly figure")


def _named(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _close_others(figure: Any) -> None:
    """Lets pyplot forget every figure but the one that is returned. Raises NoFigure where there are too many."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None:
        return
    others = [number for number, manager in helpers.Gcf.figs.items() if manager.canvas.figure is not figure]
    for number in others:
        helpers.Gcf.destroy(number)
    if len(others) > MOST_OPEN:
        raise NoFigure(
            f"left {len(others)} figures open beside the one that it returned, at most {MOST_OPEN} are allowed: "
            "close them with plt.close"
        )


def _shown(figure: Any) -> go.Figure:
    """A figure for a page: that of Plotly without its size, that of matplotlib as a picture."""
    if figure is None:
        fig = go.Figure()
        say(fig, "no packets yet")
        return fig
    if _is_matplotlib(figure):
        return _with_picture(figure)
    shown = go.Figure(figure)
    shown.layout.width = None
    return shown


def _with_picture(figure: Any) -> go.Figure:
    """A figure that holds a picture of one of matplotlib and nothing else, on a sheet of its own colour in any theme."""
    width, height = (max(float(side), 0.01) for side in figure.get_size_inches())
    sheet = _colour(figure)
    bare = {"visible": False, "fixedrange": True, "range": [0, 1], "domain": [0, 1]}
    return go.Figure(
        layout={
            "xaxis": bare, "yaxis": bare, "margin": {"l": 0, "r": 0, "t": 0, "b": 0}, "dragmode": False,
            "paper_bgcolor": sheet, "plot_bgcolor": sheet,
            "height": _height(width, height),
            "images": [
                {
                    "source": _picture(figure), "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "sizex": 1, "sizey": 1,
                    "xanchor": "center", "yanchor": "middle", "sizing": "contain", "layer": "above",
                }
            ],
        }
    )  # fmt: skip


def _height(width: float, height: float) -> int:
    """Of a picture on its tile [pixels]: that of a tile at most, but for columns, which would be too narrow to be read."""
    wanted = TILE_WIDTH * height / width
    return round(min(max(wanted, LEAST_HEIGHT), TILE_HEIGHT if wanted < COLUMN * TILE_HEIGHT else MOST_HEIGHT))


def _colour(figure: Any) -> str:
    """The background of a figure of matplotlib; where it has none, white: its letters are black unless somebody said so."""
    red, green, blue, opaque = sys.modules["matplotlib.colors"].to_rgba(figure.get_facecolor())
    return "#" + "".join(f"{round(255 * (part * opaque + 1 - opaque)):02x}" for part in (red, green, blue))


class _Full(Exception):
    pass


class _Bounded(io.BytesIO):
    """Bytes up to a limit."""

    def __init__(self, limit: int):
        super().__init__()
        self._limit = limit

    def write(self, content: Any) -> int:
        if self.tell() + len(content) > self._limit:
            raise _Full
        return super().write(content)


def _picture(figure: Any) -> str:
    """The figure as SVG; as PNG where that would be larger than a page should draw. Raises NoFigure."""
    matplotlib = sys.modules["matplotlib"]
    with matplotlib.rc_context({"svg.hashsalt": "larboard", "svg.fonttype": "path"}):
        try:
            target = _Bounded(SVG_BYTES)
            figure.savefig(target, format="svg", metadata={"Date": None})
            return f"data:image/svg+xml;base64,{base64.b64encode(target.getvalue()).decode()}"
        except _Full:
            pass
        width, height = figure.get_size_inches()
        try:
            target = _Bounded(PNG_BYTES)
            figure.savefig(target, format="png", dpi=max((PNG_PIXELS / (width * height)) ** 0.5, 1e-3))
        except _Full:
            raise NoFigure(f"its figure is a picture of more than {PNG_BYTES >> 20} MB: draw less in it") from None
    return f"data:image/png;base64,{base64.b64encode(target.getvalue()).decode()}"
