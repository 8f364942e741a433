"""Plot classes that stand for those in a plug-in process: same name and attributes, every call goes there.

To engine, commit, views and the contract they are plots like any other.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import plotly.graph_objects as go

from plots.base import HostTrouble, MergeablePlot, Packets, Plot, State, Stopped, Trend, load_figure
from plots.isolation import host
from plots.isolation.limits import Limits, garbage, too_much_output
from plots.isolation.wire import Garbage, Posted, post, size_of, unpack_leaves
from plots.state import _arrays_of

PING_S = 3.0
_numbers = itertools.count(1)
_plugins: weakref.WeakSet[Plugin] = weakref.WeakSet()


@dataclass(frozen=True)
class Described:
    """What importing a plug-in showed: plots by their classes, or why there are none."""

    plots: tuple[tuple[str, type[Plot] | None, str], ...] = ()
    """(name, class, fault): the class is None where there is a fault."""
    broken: tuple[tuple[str, BaseException], ...] = ()
    """(name, error) of what could not be imported."""
    odd: tuple[tuple[str, str], ...] = ()
    """(name, what it is instead of a plot)."""
    empty: tuple[str, ...] = ()
    """Names of modules without a plot."""
    again_at: float | None = None
    """When it may be tried again (monotonic): it went over a limit when it was imported."""


class Plugin:
    """One plug-in file or package, and its process in this host. Threads may share it: one call at a time."""

    def __init__(self, name: str, load: dict[str, Any], limits: Limits, digest: str, file: str = ""):
        self.name = name
        self.limits = limits
        self.digest = digest
        self.file = file
        self._load = load
        self._child: host.Child | None = None
        self._lock = threading.Lock()
        self._dropped: list[int] = []
        self._rests: dict[str, tuple[float, str]] = {}
        self.lives = 0
        """How many processes were started: what is remembered of an earlier one is lost."""
        self.renamed: dict[str, type[Plot]] = {}
        """Plots by the names that they go by here, where those are not their own."""
        _plugins.add(self)
        host.keeper.looked_after.add(self)
        self._end = weakref.finalize(self, _close, self.__dict__)

    def describe(self) -> Described:
        """Imports it, in its process. Never raises for what the plug-in does."""
        try:
            with self._lock:
                groups = self._start()
        except (Stopped, HostTrouble) as error:
            return Described(broken=((self.name, error),), again_at=time.monotonic() + self.limits.rest_s)
        plots: list[tuple[str, type[Plot] | None, str]] = []
        broken: list[tuple[str, BaseException]] = []
        odd, empty = [], []
        for group in groups:
            name = str(group.get("name", self.name))
            if "error" in group:
                broken.append((name, host._raised(group["error"])))
                continue
            if not group.get("plots"):
                empty.append(name)
            for described in group.get("plots", ()):
                if "odd" in described:
                    odd.append((name, str(described["odd"])))
                elif "fault" in described:
                    plots.append((str(described["name"]), None, str(described["fault"])))
                else:
                    plots.append((str(described["name"]), proxy_class(self, described), ""))
        return Described(tuple(plots), tuple(broken), tuple(odd), tuple(empty))

    # -- calls ----------------------------------------------------------------------------------------------------

    def call(
        self, plot: str, verb: str, doing: str, detector: Any = None, packets: Packets | None = None, **request: Any
    ) -> tuple[dict[str, Any], memoryview]:
        """One call of a plot. Raises what the plug-in raised, or Stopped."""
        self._refuse(plot)
        request |= {"verb": verb, "plot": request.pop("there", plot)}
        if packets is not None:
            detector = packets.detector
        request["geometry"] = detector.geometry_id if detector is not None else None
        with self._lock:
            self._refuse(plot)  # it may have been ended while this waited
            try:
                if self._child is None or not self._child.alive:
                    self._start(plot)
                assert self._child is not None
                fds, posted = self._prepare(self._child, request, detector, packets)
                try:
                    return self._child.call(plot, request, self.limits.block_s, doing, fds)
                finally:
                    del posted
            except Stopped as error:
                self._lose()
                self._rests[plot] = (time.monotonic() + self.limits.rest_s, str(error))
                raise

    def _prepare(
        self, child: host.Child, request: dict[str, Any], detector: Any, packets: Packets | None
    ) -> tuple[list[int], Any]:
        """Adds what the child does not know yet: the geometry, the memory that the block lies in, what is not needed."""
        fds: list[int] = []
        posted: Any = None
        if detector is not None and child.geometry != request["geometry"]:
            request["detector"], child.geometry = detector, request["geometry"]
        if request.pop("with_file", False) and packets is not None:
            beside = packets.beside() if packets.beside is not None else None
            request["in_file"] = beside is not None
            if beside is not None and child.beside != beside.number:
                request["beside"], child.beside = beside, beside.number
        if packets is not None:
            posted = post(packets)
            request["block"] = posted.request if isinstance(posted, Posted) else posted
            sheet = posted.sheet if isinstance(posted, Posted) else None
            if sheet is not None and sheet.number not in child.sheets:
                gone = child.sent_sheets - set(child.sheets)
                request |= {"sheets": [sheet.number], "drop_sheets": sorted(gone)}
                child.sheets[sheet.number] = sheet
                child.sent_sheets = (child.sent_sheets - gone) | {sheet.number}
                fds = [sheet.fd]
        if self._dropped:
            request["drop"], self._dropped = self._dropped, []
        return fds, posted

    def _start(self, plot: str = "") -> list[dict[str, Any]]:
        """A new process with the plug-in in it; what importing it showed. Raises Stopped."""
        self._lose()
        child = host.keeper.start_child(self.limits)
        self._child = child
        self.lives += 1
        try:
            child.ready()
            request = {"verb": "load", **self._load}
            header, _ = child.call(plot or self.name, request, self.limits.start_s, "to be imported", [])
        except Stopped:
            self._lose()
            raise
        groups = header.get("groups")
        return [group for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []

    def _refuse(self, plot: str) -> None:
        """Raises Stopped while a plot rests that was ended: it must not cost its limit again and again."""
        rest = self._rests.get(plot)
        if rest is None:
            return
        until, sentence = rest
        left = until - time.monotonic()
        if left <= 0:
            del self._rests[plot]
            return
        again = datetime.fromtimestamp(time.time() + left, UTC)
        raise Stopped(f"{sentence}; not called again before {again:%H:%M:%S} UTC")

    def stopped(self, plot: str, sentence: str) -> Stopped:
        """Ends the process for what a plot answered; to be raised."""
        with self._lock:
            self._lose()
            self._rests[plot] = (time.monotonic() + self.limits.rest_s, sentence)
        return Stopped(sentence)

    def _lose(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def forget(self, number: int) -> None:
        """An object or figure in the process is not needed any more."""
        self._dropped.append(number)

    # -- while it rests -------------------------------------------------------------------------------------------

    def look_after(self) -> None:
        """Ends a process that computes without being asked, or that nobody needs."""
        child = self._child
        if child is None or time.monotonic() - child.used < PING_S or not self._lock.acquire(blocking=False):
            return
        try:
            if self._child is not child:
                return
            used = child.used
            if not child.alive or (used + self.limits.idle_s < time.monotonic() and not FarFigure.alive(self)):
                self._lose()
                return
            try:
                child.call(
                    ", ".join(self.names) or self.name, {"verb": "ping"}, self.limits.block_s, "while it rested", []
                )
                child.used = used if used + self.limits.idle_s > time.monotonic() else child.used
            except Stopped as error:
                self._lose()
                until = time.monotonic() + self.limits.rest_s
                self._rests |= dict.fromkeys(self.names, (until, str(error)))
        finally:
            self._lock.release()

    names: tuple[str, ...] = ()

    def after_fork(self) -> None:
        """In a fork of the host: the process is that of the other."""
        self._lock = threading.Lock()
        self._child = None
        host.keeper.looked_after.add(self)


def _close(held: dict[str, Any]) -> None:
    child = held.get("_child")
    if child is not None:
        child.close()


def _forked() -> None:
    for plugin in list(_plugins):
        plugin.after_fork()


host.after_fork.append(_forked)


# -- plots -----------------------------------------------------------------------------------------------------------


def proxy_class(plugin: Plugin, described: Mapping[str, Any]) -> type[Plot]:
    """The class that stands for a plot of a plug-in."""
    mergeable = bool(described.get("mergeable"))
    name = str(described["name"])
    fields = described.get("fields")
    values = {
        "title": described.get("title"), "level": described.get("level"), "version": described.get("version"),
        "group": described.get("group"), "log_switch": bool(described.get("log_switch")),
        "fields": tuple(fields) if isinstance(fields, list) else fields,
        "plugin": plugin, "file": plugin.file, "digest": plugin.digest, "__doc__": str(described.get("doc", "")),
        "__module__": __name__,
    }  # fmt: skip
    plugin.names = (*plugin.names, name)
    kind = _FarMergeable if mergeable else _FarPredecessor if described.get("predecessor") else _FarSimple
    return type(name, (kind,), values)


def renamed(plot: type[Plot], name: str) -> type[Plot]:
    """The same plot of a plug-in under another name; the same class each time."""
    assert issubclass(plot, _Far)
    known = plot.plugin.renamed
    if name not in known:
        values = {"there": plot.there or plot.__name__, "__doc__": plot.__doc__, "__module__": __name__}
        known[name] = type(name, (plot,), values)
        plot.plugin.names = (*plot.plugin.names, name)
    return known[name]


class _Far(Plot):
    """What both kinds have: a number by which the process knows the object that counts."""

    plugin: ClassVar[Plugin]
    file: ClassVar[str] = ""
    digest: ClassVar[str] = ""
    there: ClassVar[str] = ""
    """Its name in its process, where it is another one here."""

    def __init__(self) -> None:
        self._number = next(_numbers)
        weakref.finalize(self, self.plugin.forget, self._number).atexit = False

    def _call(self, verb: str, doing: str, **request: Any) -> tuple[dict[str, Any], memoryview]:
        return self.plugin.call(self.name, verb, doing, object=self._number, there=self.there or self.name, **request)


def _block(packets: Packets) -> str:
    return f"for a block of {len(packets):,} packets" if len(packets) else "to begin, without packets"


class _FarMergeable(_Far, MergeablePlot):
    """A mergeable plot whose code runs in its process; states are here."""

    def count(self, packets: Packets) -> Mapping[str, Any]:
        doing = _block(packets)
        header, payload = self._call("count", doing, packets=packets)
        limit = self.plugin.limits.output_bytes
        try:
            leaves = unpack_leaves(header.get("arrays"), payload, limit)
        except Garbage as error:
            raise self.plugin.stopped(self.name, f"{garbage(self.name, doing)}: {error}") from None
        if (size := size_of(leaves)) > limit:
            raise self.plugin.stopped(self.name, too_much_output(self.name, size, self.plugin.limits, doing))
        return leaves

    def figure(self, state: State) -> go.Figure:
        _, payload = self._call("draw", "to draw its figure", **_sent(state))
        return load_figure(_json(self, payload, "to draw its figure"))

    def draw(self, state: State, fig: go.Figure) -> None:
        drawn = self.figure(state)
        fig.add_traces(drawn.data)
        fig.layout = drawn.layout

    def read_trends(self, state: State) -> dict[str, Trend]:
        header, _ = self._call("trends", "to read its trends", **_sent(state))
        found: Any = header.get("trends")
        try:
            return {name: _trend(*values) for name, values in found.items()}
        except (TypeError, ValueError, AttributeError):
            raise self.plugin.stopped(self.name, garbage(self.name, "to read its trends")) from None

    trends = read_trends


def _trend(value: Any, unit: str, range: list, warn: list, alarm: list, reason: str) -> Trend:
    return Trend(value, unit, tuple(range), tuple(warn), tuple(alarm), reason)


def _sent(state: State) -> dict[str, Any]:
    return {"detector": state.detector, "state": _arrays_of(state)}


def _json(plot: _Far, content: memoryview, doing: str) -> Any:
    try:
        found = json.loads(bytes(content).rstrip(b"\0"))
    except (ValueError, RecursionError):
        raise plot.plugin.stopped(plot.name, garbage(plot.name, doing)) from None
    if not isinstance(found, dict):
        raise plot.plugin.stopped(plot.name, garbage(plot.name, doing))
    return found


class _FarSimple(_Far):
    """A simple plot: its figure lives in its process, and comes here when somebody looks at it."""

    also: ClassVar[dict[str, Any]] = {}
    """What a call asks for besides the packets."""
    showing: ClassVar[str] = "to show its figure"

    def new_figure(self) -> go.Figure:
        figure = FarFigure(self)
        self._call("new", "to make its first figure", figure=figure._far_number)
        figure._far_life = self.plugin.lives
        return figure

    def __call__(self, packets: Packets, fig: go.Figure) -> go.Figure:
        request: dict[str, Any] = {}
        if not isinstance(fig, FarFigure) or fig._far_plot.plugin is not self.plugin:
            figure = FarFigure(self)
            request["content"] = fig.to_json(engine="orjson")
        else:
            figure = fig
            figure._here(self.name)
        self._call("step", _block(packets), packets=packets, figure=figure._far_number, **request, **self.also)
        figure._far_life = self.plugin.lives
        figure._stale()
        return figure


class _FarPredecessor(_FarSimple):
    """A plot of larpix-monitor: it gets its packets as a file, many at once, the last of them when its figure is wanted."""

    private_memory = True
    also = {"with_file": True}
    showing = "to take its packets and draw"


class FarFigure(go.Figure):
    """A figure that is the memory of a simple plot, in the process of the plug-in. Looking at it fetches it."""

    _count: ClassVar[weakref.WeakKeyDictionary[Plugin, int]] = weakref.WeakKeyDictionary()

    def __init__(self, plot: _FarSimple) -> None:
        # the parent is set up when somebody looks
        own = self.__dict__
        own["_far_plot"], own["_far_number"], own["_far_life"] = plot, next(_numbers), 0
        own["_far_names"] = {*own, "_far_names"}
        self._count[plot.plugin] = self._count.get(plot.plugin, 0) + 1
        weakref.finalize(self, self._gone, plot.plugin, self._far_number).atexit = False

    @classmethod
    def _gone(cls, plugin: Plugin, number: int) -> None:
        plugin.forget(number)
        cls._count[plugin] = cls._count.get(plugin, 1) - 1

    @classmethod
    def alive(cls, plugin: Plugin) -> bool:
        """Whether a figure of a plug-in is in use: its process must not be ended."""
        return cls._count.get(plugin, 0) > 0

    def _here(self, name: str) -> None:
        """Raises Stopped when the process that had the figure has ended."""
        plugin = self._far_plot.plugin
        if self._far_life != plugin.lives or plugin._child is None:
            plugin._refuse(name)
            raise Stopped(f"{name} lost its figure: its process, shared with other plots of {plugin.name}, was ended")

    def _stale(self) -> None:
        for name in set(self.__dict__) - self._far_names:
            del self.__dict__[name]

    def __getattr__(self, name: str) -> Any:
        # only what was not set up yet comes here
        if "_data_objs" in self.__dict__ or name.startswith("__") or not name.startswith("_"):
            raise AttributeError(name)
        self._here(self._far_plot.name)
        showing = self._far_plot.showing
        _, content = self._far_plot._call("fetch", showing, figure=self._far_number)
        found = load_figure(_json(self._far_plot, content, showing))
        go.Figure.__init__(self, found)
        return getattr(self, name)


# -- what is where ---------------------------------------------------------------------------------------------------


@dataclass
class Plugins:
    """The plug-ins of a host, each described once for each content."""

    limits: Limits = field(default_factory=Limits)
    _known: dict[str, tuple[Plugin, Described]] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """A new discovery: what is not asked for until `finish` has gone."""
        self._seen = set()

    def finish(self) -> None:
        self._known = {key: known for key, known in self._known.items() if key in self._seen}

    def of_file(self, path: Path) -> Described:
        """The plots of a file. Raises OSError when it cannot be read."""
        digest = hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()
        return self._get(
            f"{path}:{digest}", lambda: Plugin(path.stem, {"file": str(path)}, self.limits, digest, str(path))
        )

    def of_package(self, name: str, version: str, entries: Iterable[importlib.metadata.EntryPoint]) -> Described:
        """The plots of an installed package."""
        listed = [[entry.name, entry.value, entry.group] for entry in entries]
        digest = hashlib.sha256(json.dumps([name, version, listed]).encode()).hexdigest()
        return self._get(f"package:{digest}", lambda: Plugin(name, {"entries": listed}, self.limits, digest))

    def _get(self, key: str, make: Callable[[], Plugin]) -> Described:
        self._seen.add(key)
        if key in self._known:
            plugin, described = self._known[key]
            if described.again_at is None or described.again_at > time.monotonic():
                return described
        plugin = make()
        self._known[key] = (plugin, plugin.describe())
        return self._known[key][1]
