"""Figures of a run's plots: drawn on demand from states, kept by the version of the element."""

from __future__ import annotations

import gzip
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from dqm.checks.values import as_values
from dqm.detector import Detector, find_geometry
from dqm.masks import NOTHING, Mask
from dqm.records import DROPPED, Element, ElementState, Part, RetentionRule, Run, Slice, TrendValue
from dqm.store import elements, geometries, parts, retention, runs, slices
from dqm.views import masks, recounts
from dqm.views.export import figure_json
from dqm.views.plot_list import resting
from dqm.views.recounts import Recount
from dqm.views.site import Site
from dqm.views.zones import in_zone
from plots.base import MEMORY, PLUGIN_ERRORS, HostTrouble, LeftOut, MergeablePlot, State, load_figure, traceback_of
from plots.discovery import Found
from plots.packs import add_delta, taken_apart

KEPT_S = 24 * 3600
NO_SUMS = "it keeps no sums of single channels, so that what it would be without some is not known"
NOT_THE_SAME = "what these channels sent was not counted from the same packets"
AGAIN_S = 5
"""A figure that cannot be drawn, or is not to be kept, is all the same not drawn for each viewer."""


class NoFigure(Exception):
    """There is no figure to show; `state` is the word for it (nodata, broken, unknown), the message says why."""

    def __init__(self, reason: str, state: str = "nodata", traceback: str = ""):
        super().__init__(reason)
        self.reason = reason
        self.state = state
        self.traceback = traceback


@dataclass(frozen=True)
class Drawn:
    """A Plotly figure as JSON, and the version of the element that it shows."""

    content: bytes
    version: int
    tried: bool = False
    """Whether it is one of many that somebody tries, so that it is compressed quickly rather than well."""

    @cached_property
    def gzipped(self) -> bytes:
        """The content compressed, once for all who want it."""
        return gzip.compress(self.content, 1 if self.tried else 5, mtime=0)


def version_of(site: Site, run_key: str, plot: str) -> int:
    """The version of an element now; 0 when there is none."""
    with site.store.read() as tx:
        run = runs.get(tx, run_key)
        element = elements.get(tx, run.id, plot) if run else None
    return element.version if element else 0


def figure(
    site: Site, run_key: str, plot: str, zone: str = "UTC", tag: str = "", window: bool = False, mask: str = ""
) -> Drawn:
    """The figure of a plot of a run, or of its `window`, its times in `zone` (IANA name). Raises NoFigure.

    With `mask` (an address) without the channels of that mask, where this can be told.

    One that was asked for by the same `tag` (queries.figure_mark) a moment ago is at hand without any question.
    """
    with site.recent_lock:
        recent = site.recent.get(tag)
    if recent is not None:
        return recent
    drawn = _figure(site, run_key, plot, zone, window, mask)
    if tag:
        with site.recent_lock, suppress(ValueError):  # larger than all that is kept
            site.recent[tag] = drawn
    return drawn


def _figure(site: Site, run_key: str, plot: str, zone: str, window: bool, address: str) -> Drawn:
    asked = counted(site, run_key, plot, window)
    run, element, found = asked.run, asked.element, asked.found
    mask = masks.find(site, address) if address else NOTHING
    if mask is None:
        raise NoFigure(masks.unknown_words(address))
    key: tuple[Any, ...] = (run.id, plot, element.version, element.updated, zone, window, found.source, site.generation)
    key += (mask.address,)
    if mask and not does_without(found):
        key += (recounted(site, run, mask).mark,)
    kept = site.cache.get(key)
    if kept is None:
        with site.drawing(key):  # a commit wakes every open page at once: one draws, the others take what it drew
            kept = site.cache.get(key)
            if kept is None:
                kept = _drawn_or_not(site, asked, zone, mask)
                whole = isinstance(kept, bytes) and not _is_old(site, run)
                # what is tried is shown once, and to write it takes as long as to draw it
                if not (mask and whole):
                    site.cache.set(key, kept, expire=KEPT_S if whole else AGAIN_S, tag=str(run.id))
    if not isinstance(kept, bytes):
        raise NoFigure(*kept)
    return Drawn(kept, element.version, bool(mask))


@dataclass(frozen=True)
class Counted:
    """What was counted of a run by a plot, found and right."""

    run: Run
    element: Element
    found: Found
    live: Any
    """Parts of files that grow, or the window."""
    last: Part | None


def counted(site: Site, run_key: str, plot: str, window: bool = False) -> Counted:
    """What a plot has counted of a run, or of its window; raises NoFigure that says why there is nothing."""
    with site.store.read() as tx:
        run = runs.get(tx, run_key)
        element = elements.get(tx, run.id, plot) if run else None
        live: Any = window_of(site, tx, run) if run and window else None
        live = live or parts.of_plot(tx, run.id, plot, finished=False) if run and element and element.mergeable else []
        last = parts.last_of_run(tx, run.id, plot) if run and element and not element.mergeable else None
    if run is None:
        raise NoFigure(f"no run {run_key}")
    if element is None:
        raise NoFigure(_why_none(site, plot))
    if element.state is not ElementState.OK:
        state = "broken" if element.state is ElementState.BROKEN else "nodata"
        rest = resting(site).get(plot, "") if state == "broken" else ""
        raise NoFigure("; ".join(filter(None, [element.reason, rest])), state, element.traceback)
    if window and (why := no_window(element, run, live)):
        raise NoFigure(why)
    if element.base == DROPPED and not window:
        raise NoFigure("what it was drawn from was dropped by a retention rule, as the run is old; its numbers stay")
    found = site.registry.plots.get(plot)
    if found is None:
        raise NoFigure(_why_not_here(site, plot), "broken")
    if found.plot.version != element.plot_version:
        raise NoFigure(
            f"was counted by version {element.plot_version} of {plot}, this host has version {found.plot.version}: "
            "being counted anew, or two hosts with different plug-ins",
            "unknown",
        )
    return Counted(run, element, found, live, last)


def _drawn_or_not(site: Site, asked: Counted, zone: str, mask: Mask) -> bytes | tuple[str, str, str]:
    """The figure, or the reason, word and traceback of there being none."""
    try:
        return _draw(site, asked, zone, mask)
    except NoFigure as no:
        return no.reason, no.state, no.traceback


@dataclass(frozen=True)
class Window:
    """The last minutes of a run: from when to when its slices are."""

    slices: tuple[Slice, ...]
    seconds: float

    @property
    def since(self) -> float:
        return min(piece.since for piece in self.slices)

    @property
    def until(self) -> float:
        return max(piece.until for piece in self.slices)


def window_of(site: Site, tx: Any, run: Run) -> Window | None:
    """The window of a run; None when none is kept, or not any more."""
    seconds = site.settings.ingest.window_s
    found = slices.of_run(tx, run.id, seconds) if seconds else []
    return Window(tuple(found), seconds) if found else None


def no_window(element: Element, run: Run, window: Any) -> str:
    """Why there is no window of an element; empty when there is."""
    if not element.mergeable:
        return "it keeps one figure, which cannot be made of the last minutes alone"
    if run.closed:
        return "the run is closed: its last minutes by themselves were kept while it was open"
    if not isinstance(window, Window):
        return "none of its last minutes are kept by themselves (yet)"
    if not any(_in_slice(element, piece) for piece in window.slices):
        return "it has not counted the last minutes of this run yet"
    return ""


def _in_slice(element: Element, piece: Slice) -> bool:
    """Whether a slice of a run has what an element has counted."""
    return piece.plots.get(element.plot) == (element.plot_version, element.geometry)


def _is_old(site: Site, run: Run) -> bool:
    """Whether a retention rule says that figures of this run are not kept."""
    rules = [RetentionRule(**rule.model_dump()) for rule in site.settings.retention.rules]
    days = retention.days_for(rules, "figures", run.category, run.certification)
    return bool(days) and time.time() - (run.end or run.start or run.updated) > days * 86400


def _draw(site: Site, asked: Counted, zone: str, mask: Mask) -> bytes:
    element, found, live, last = asked.element, asked.found, asked.live, asked.last
    try:
        made = found.plot()
        if mask:
            drawn = _drawn_without(site, asked.run, element, found, live, mask)
        elif isinstance(made, MergeablePlot):
            if isinstance(live, Window):
                state = window_state(site, made, element, live)
            else:
                state = run_state(site, made, element, live)
            drawn = made.figure(state)
        else:
            if last is None or last.base is None:
                raise NoFigure("no packets yet", "unknown")
            drawn = load_simple(site, last)
        return figure_json(in_zone(drawn, zone)).encode()
    except NoFigure:
        raise
    except HostTrouble as error:
        raise NoFigure(f"it cannot be drawn now: {error}", "unknown") from None
    except PLUGIN_ERRORS as error:
        text = " ".join(str(error).split())
        reason = f"drawing: {type(error).__name__}{': ' + text if text else ''}"
        raise NoFigure(reason, "broken", traceback_of(error)) from None


def does_without(found: Found) -> bool:
    """Whether the states of a plot may be able to tell what they would be without some channels."""
    return issubclass(found.plot, MergeablePlot) and found.plot.without is not MergeablePlot.without


def _drawn_without(site: Site, run: Run, element: Element, found: Found, live: Any, mask: Mask) -> Any:
    """The figure without the channels of a mask; raises NoFigure where nobody can tell."""
    if does_without(found):
        state = state_without(site, run, element, found, live if isinstance(live, Window) else None, mask)
        if state is not None:
            return found.plot().figure(state)  # type: ignore[attr-defined]
        raise NoFigure(f"unmasked: {NOT_THE_SAME}", "unknown")
    again = recounted(site, run, mask)
    content = again.plots.get(element.plot, {})
    if isinstance(live, Window) or content.get("kind") not in ("state", "figure"):
        raise NoFigure(f"unmasked: {content.get('why') or again.cannot or NO_SUMS}", "unknown")
    if content["kind"] == "figure":
        return load_simple_content(content["content"])
    return found.plot().figure(_recounted_state(site, element, content["content"]))  # type: ignore[attr-defined]


def recounted(site: Site, run: Run, mask: Mask, ask: bool = False) -> Recount:
    """What was counted anew without the channels of a mask, of the plots that cannot follow one at once."""
    registry = site.registry
    able = {
        name: element
        for name, element in counted_plots(site, run).items()
        if name in registry.plots and not does_without(registry.plots[name]) and not recounts.can_recount(site, element)
    }
    return recounts.known(site, run, mask, able, ask) if able else Recount()


def _recounted_state(site: Site, element: Element, content: bytes) -> State:
    detector = geometry(site, element.geometry)
    return State.from_bytes(content, element.plot, element.plot_version, element.geometry, detector)


def recounted_trends(site: Site, element: Element, again: Recount) -> dict[str, TrendValue] | None:
    """The numbers of a plot that was counted anew; None where there are none."""
    made, found = again.plots.get(element.plot, {}), site.registry.plots.get(element.plot)
    if made.get("kind") == "figure":
        return {}
    if made.get("kind") != "state" or found is None:
        return None
    try:
        plot = found.plot()
        assert isinstance(plot, MergeablePlot)
        return as_values(plot.read_trends(_recounted_state(site, element, made["content"])))
    except (NoFigure, *PLUGIN_ERRORS):
        return None


def state_without(
    site: Site, run: Run, element: Element, found: Found, window: Window | None, mask: Mask
) -> State | None:
    """The state of a plot of a run (or of its window) without the channels of a mask; None where it does not say that."""
    made = found.plot()
    assert isinstance(made, MergeablePlot)
    for _ in range(2):  # a commit may come between the state and that of the plot that knows what was sent
        known = known_state(site, run, element, found, window)
        wanted = LeftOut.of(mask, known.state.detector)
        state = made.without(known.state, wanted)
        state = state or made.without(known.state, _with_sent(site, run, known, window, wanted))
        if state is not None:
            return state
    return None


@dataclass(frozen=True)
class Known:
    """A whole state; nobody may change it."""

    element: Element
    """As it was when the state was read."""
    state: State
    of: tuple[str, ...]
    """Addresses of the slices that it is made of; none of a whole run."""

    @property
    def size(self) -> int:
        return self.state.size

    def of_the_same_packets(self, other: Known) -> bool:
        own, its = self.element, other.element
        return (own.rows, own.geometry, self.of) == (its.rows, its.geometry, other.of)


def known_state(site: Site, run: Run, element: Element, found: Found, window: Window | None) -> Known:
    """The whole state of a run (as it is by now) or of its window, kept for as long as somebody tries masks on it."""
    with site.store.read() as tx:
        now = elements.get(tx, run.id, element.plot)
        live = parts.of_plot(tx, run.id, element.plot, finished=False) if window is None else []
    if now is None or (now.plot_version, now.geometry) != (element.plot_version, element.geometry):
        raise NoFigure("it is being counted anew", "unknown")
    slices_of = tuple(piece.address for piece in window.slices if _in_slice(now, piece)) if window else ()
    key = (run.id, now.plot, now.version, now.updated, now.plot_version, window is not None, slices_of, site.generation)
    with site.states_lock:
        known: Known | None = site.states.get(key)
    if known is not None:
        return known
    with site.drawing(("state", *key)):
        with site.states_lock:
            known = site.states.get(key)
        if known is None:
            made = found.plot()
            assert isinstance(made, MergeablePlot)
            state = window_state(site, made, now, window) if window else run_state(site, made, now, live)
            known = Known(now, state, slices_of)
            with site.states_lock, suppress(ValueError):  # larger than all that is kept
                site.states[key] = known
    return known


def _with_sent(site: Site, run: Run, known: Known, window: Window | None, wanted: LeftOut) -> LeftOut:
    """What the channels sent, as a plot knows that has counted the same packets."""
    for other in counted_plots(site, run).values():
        found = site.registry.plots.get(other.plot)
        told_by = (
            found is not None and issubclass(found.plot, MergeablePlot) and found.plot.sent is not MergeablePlot.sent
        )
        usable = other.state is ElementState.OK and found is not None and other.plot_version == found.plot.version
        if found is None or not told_by or not usable:
            continue
        made = found.plot()
        assert isinstance(made, MergeablePlot)
        its = known_state(site, run, other, found, window)
        sent = made.sent(its.state, wanted) if its.of_the_same_packets(known) else None
        if sent is not None:
            return replace(wanted, sent=sent)
    return wanted


def trends_without(
    site: Site, run: Run, element: Element, window: Window | None, mask: Mask
) -> dict[str, TrendValue] | None:
    """The numbers of a plot without the channels of a mask; None where its state does not say them."""
    found = site.registry.plots.get(element.plot)
    usable = found is not None and does_without(found) and found.plot.version == element.plot_version
    if found is None or not usable or element.state is not ElementState.OK or element.base == DROPPED:
        return None
    if window is not None and no_window(element, run, window):
        return None
    counted = (run.id, element.plot, element.version, element.updated, found.source, site.generation)
    key = ("trends without", *counted, window is not None, mask.address)
    kept = site.cache.get(key)
    if kept is None:
        try:
            state = state_without(site, run, element, found, window, mask)
            kept = as_values(found.plot().read_trends(state)) if state is not None else 0  # type: ignore[attr-defined]
        except (NoFigure, *PLUGIN_ERRORS):
            kept = 0
        site.cache.set(key, kept, expire=AGAIN_S * 60, tag=str(run.id))
    return kept if isinstance(kept, dict) else None


def run_state(site: Site, plot: MergeablePlot, element: Element, live: list[Part]) -> State:
    """The state of a whole run: what is merged of the files that are done, and the files that still grow."""
    detector = geometry(site, element.geometry)
    state = plot.start(detector)
    try:
        if element.base:
            state.merge(_load(site, element.base, plot, element, detector))
        for part in live:
            if part.geometry == element.geometry and part.plot_version == element.plot_version and part.base:
                own = _load(site, part.base, plot, element, detector)
                for delta in part.deltas:
                    add_delta(own, site.store.states.get(delta))
                state.merge(own)
    except KeyError as error:
        raise NoFigure(f"its state {error.args[0]} is not in the data directory of this host", "broken") from None
    return state


def window_state(site: Site, plot: MergeablePlot, element: Element, window: Window) -> State:
    """The state of the last minutes of a run."""
    state = plot.start(geometry(site, element.geometry))
    for piece in window.slices:
        if _in_slice(element, piece):
            try:
                content = site.store.states.get(piece.address)
            except KeyError as error:
                raise NoFigure(
                    f"its state {error.args[0]} is not in the data directory of this host", "broken"
                ) from None
            state.add(taken_apart(content, element.plot)[element.plot])
    return state


def window_trends(site: Site, run: Run, element: Element, window: Window) -> dict[str, TrendValue]:
    """The numbers of a plot over the window of its run; none where they cannot be told."""
    found = site.registry.plots.get(element.plot)
    if (
        found is None
        or not element.mergeable
        or element.state is not ElementState.OK
        or no_window(element, run, window)
    ):
        return {}
    key = ("window trends", run.id, element.plot, element.version, element.updated, found.source, site.generation)
    kept = site.cache.get(key)
    if kept is None:
        try:
            made = found.plot()
            assert isinstance(made, MergeablePlot)
            kept = as_values(made.read_trends(window_state(site, made, element, window)))
        except (NoFigure, *PLUGIN_ERRORS):
            kept = {}
        site.cache.set(key, kept, expire=AGAIN_S * 60, tag=str(run.id))
    return kept


def _load(site: Site, address: str, plot: MergeablePlot, element: Element, detector: Detector | None) -> State:
    content = site.store.states.get(address)
    return State.from_bytes(content, element.plot, element.plot_version, element.geometry, detector)


def load_simple(site: Site, part: Part) -> Any:
    """The figure that a plot which does not merge keeps as its memory: that of the newest file."""
    assert part.base
    return load_simple_content(site.store.states.get(part.base))


def load_simple_content(content: bytes) -> Any:
    import orjson

    kept = orjson.loads(content)
    if isinstance(meta := kept.get("layout", {}).get("meta"), dict):
        meta.pop(MEMORY, None)  # nobody looks at it here, and it may be long
    return load_figure(kept)


def geometry(site: Site, geometry_id: str | None) -> Detector | None:
    """The detector of a geometry id; raises NoFigure when this host does not have it."""
    if geometry_id is None:
        return None
    with site.store.read() as tx:
        known = geometries.get(tx, geometry_id)
    name, directory = known or ("", "")
    found = find_geometry(
        geometry_id,
        name,
        directory,
        tuple(site.settings.detector.directories),
        tuple(site.settings.detector.modules.items()),
    )
    if found is None:
        raise NoFigure(f"geometry {name or geometry_id} is not on this host: set detector.directories", "broken")
    return found


def _why_none(site: Site, plot: str) -> str:
    broken = next((plugin for plugin in site.registry.broken if plugin.name == plot), None)
    if broken:
        raise NoFigure(broken.reason, "broken", broken.traceback)
    if rest := resting(site).get(plot):
        raise NoFigure(rest, "broken")
    if plot in site.registry.plots:
        raise NoFigure("not counted yet: it comes with the next look at the files of this run", "unknown")
    return f"no plot is called {plot}"


def _why_not_here(site: Site, plot: str) -> str:
    broken = next((plugin for plugin in site.registry.broken if plugin.name == plot), None)
    return f"{broken.source}: {broken.reason}" if broken else f"the plug-in {plot} is not installed on this host"


def counted_plots(site: Site, run: Run) -> dict[str, Element]:
    """The elements of a run by plot."""
    with site.store.read() as tx:
        return elements.of_run(tx, run.id)
