"""The window of a run: what its last minutes added to every plot, whatever way the files came."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dqm.formats import open_file
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.writers import PacketWriter
from dqm.masks import Mask
from dqm.store import parts, runs, slices
from dqm.views import elements
from dqm.views.channel_page import ChannelPage, channel_page, wanted, window_now
from dqm.views.elements import NoFigure, Window, window_of
from dqm.views.pixels import LevelPage, level_page, maps, pixel_values
from dqm.views.rows_behind import adc_spectrum, conditions_of
from dqm.views.rows_behind import wanted as rows_wanted
from dqm.views.run_page import run_page
from dqm.views.site import Site as Pages
from dqm.views.site import open_site
from dqm.views.words import number
from layouts.pages.channel.callbacks import register as channel_page_registered
from layouts.pages.channel.layout import layout as channel_layout
from plots import hot_pixels
from plots.base import MergeablePlot, State
from tests.ingest.test_live_plugins import FLOATS
from tests.ingest.watching import SHORT, Site, age, take

LONGER = replace(SHORT, duration_s=8)
END = LONGER.start_unix + LONGER.duration_s


class Shown:
    """The store of a site as pages see it: states of the whole run and of its window."""

    def __init__(self, site: Site, window_s: float):
        settings = site.settings.model_copy(deep=True)
        settings.ingest.window_s = window_s
        self.pages: Pages = open_site(settings, site.store)
        with site.store.read() as tx:
            run = runs.get(tx, "5")
            assert run is not None
            self.run = run
            self.window: Window | None = window_of(self.pages, tx, run)
            self.live = {name: parts.of_plot(tx, run.id, name, finished=False) for name in site.elements("5")}
        self.elements = site.elements("5")

    def plot(self, name: str) -> MergeablePlot:
        made = self.pages.registry.plots[name].plot()
        assert isinstance(made, MergeablePlot)
        return made

    def whole(self, name: str) -> State:
        return elements.run_state(self.pages, self.plot(name), self.elements[name], self.live[name])

    def last(self, name: str) -> State:
        assert self.window is not None
        return elements.window_state(self.pages, self.plot(name), self.elements[name], self.window)


class Callbacks:
    """Takes the callbacks of a page, as the site would."""

    def __init__(self) -> None:
        self.found: dict[str, Callable[..., Any]] = {}

    def callback(self, *_: Any, **__: Any) -> Callable[..., Any]:
        return lambda function: self.found.setdefault(function.__name__, function)

    def clientside_callback(self, *_: Any) -> None:
        pass


@pytest.fixture
def shown() -> Iterator[Callable[..., Shown]]:
    made: list[Shown] = []

    def show(site: Site, window_s: float = 80_000) -> Shown:
        made.append(Shown(site, window_s))
        return made[-1]

    yield show
    for one in made:
        one.pages.close()


def same(one: State, other: State) -> bool:
    mine, its = one.to_arrays(), other.to_arrays()
    return mine.keys() == its.keys() and all(np.array_equal(mine[name], its[name]) for name in mine)


def rows_of(path: Path) -> np.ndarray:
    with open_file(path) as source:
        rows: np.ndarray = source._file["packets"][:].astype(PACKET_DTYPE)
    return rows


def whole_files(site: Site, made: list[Path]) -> None:
    for path in made:
        shutil.copy2(path, site.root)
        site.settle()


def all_at_once(site: Site, made: list[Path]) -> None:
    for path in made:
        shutil.copy2(path, site.root)
    site.settle()


def growing(site: Site, made: list[Path], swmr: bool = True) -> None:
    for path in made:
        rows = rows_of(path)
        with PacketWriter(site.root / path.name, swmr=swmr) as writer:
            for piece in np.array_split(rows, 3):
                writer.write(piece)
                site.settle(seconds=30, times=1)
        age(site.root / path.name, END)
    site.settle()


def growing_without_swmr(site: Site, made: list[Path]) -> None:
    growing(site, made, swmr=False)


def restarted(site: Site, made: list[Path]) -> None:
    for path in made:
        with PacketWriter(site.root / path.name, swmr=True) as writer:
            for piece in np.array_split(rows_of(path), 3):
                writer.write(piece)
                site.settle(seconds=30, times=1)
                site.watch = site.new_watch()
    site.settle(seconds=400)


def rewritten(site: Site, made: list[Path]) -> None:
    other = site.root / made[1].name
    shutil.copy2(made[0], other)
    age(other, END - 1)
    site.settle()
    whole_files(site, made)


def both_forms(site: Site, made: list[Path]) -> None:
    raw = take(site.folder / "raw", LONGER, subrun_s=2, packets=False)
    for path in raw:
        age(path, END)
    whole_files(site, [*raw, *made])


@pytest.mark.parametrize(
    "come", [whole_files, all_at_once, growing, growing_without_swmr, restarted, rewritten, both_forms]
)
def test_a_window_that_is_longer_than_the_run_is_the_run(
    tmp_path: Path, shown: Callable[..., Shown], come: Callable[[Site, list[Path]], None]
) -> None:
    site = Site(tmp_path, plots=None, window_s=80_000)
    made = take(tmp_path / "made", LONGER, subrun_s=2, raw=False)
    for path in made:
        age(path, END)
    come(site, made)
    seen = shown(site)
    assert site.run("5").packets == sum(len(rows_of(path)) for path in made)
    for name in seen.elements:
        assert same(seen.last(name), seen.whole(name)), name


@pytest.mark.parametrize("come", [whole_files, all_at_once, growing])
def test_a_window_holds_the_last_files_and_what_has_left_it_is_not_kept(
    tmp_path: Path, shown: Callable[..., Shown], come: Callable[[Site, list[Path]], None]
) -> None:
    site = Site(tmp_path, window_s=4)
    made = take(tmp_path / "made", LONGER, subrun_s=2, raw=False)
    for path in made:
        age(path, END)
    come(site, made)
    seen = shown(site, 4)
    assert seen.window is not None
    assert END - 5 <= seen.window.since <= END - 3
    assert END - 2 <= seen.window.until <= END
    count = int(seen.last("PacketRate")["by_type"].sum())
    assert 0 < count < site.run("5").packets * 0.65
    times = np.concatenate([unix_of(path) for path in made])
    inside = (times >= seen.window.since) & (times <= seen.window.until)
    assert abs(count - inside.sum()) <= (times == seen.window.since).sum()
    with site.store.read() as tx:
        run = runs.get(tx, "5")
        assert run is not None
        assert len(slices.addresses(tx)) == len(slices.of_run(tx, run.id, 1e9)) <= 14


def unix_of(path: Path) -> np.ndarray:
    with open_file(path) as source:
        return np.concatenate([packets["unix_time"] for packets in source.blocks()])


def test_a_long_file_is_cut_and_its_beginning_leaves_the_window(
    tmp_path: Path, shown: Callable[..., Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dqm.formats.reader.BLOCK_ROWS", 32_768)
    site = Site(tmp_path, window_s=2)
    (made,) = take(tmp_path / "made", LONGER.busier(20), subrun_s=100, raw=False)
    age(made, END)
    whole_files(site, [made])
    seen = shown(site, 2)
    assert seen.window is not None
    assert END - 4 < seen.window.since < END - 1
    assert len(seen.window.slices) > 1


def test_sums_of_floats_have_a_window_too(tmp_path: Path, shown: Callable[..., Shown]) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "mine.py").write_text(FLOATS)
    site = Site(tmp_path, plugins=[plugins], window_s=80_000)
    made = take(tmp_path / "made", LONGER, subrun_s=4, raw=False)
    growing(site, made)
    seen = shown(site)
    np.testing.assert_allclose(seen.last("Mine")["n"], seen.whole("Mine")["n"], rtol=1e-12)


def test_a_closed_run_keeps_no_window_and_says_so(tmp_path: Path, shown: Callable[..., Shown]) -> None:
    site = Site(tmp_path, plots=None, window_s=80_000)
    for path in take(site.root, LONGER, subrun_s=2, raw=False):
        age(path, END)
    site.settle()
    take(site.root, replace(SHORT, seed=4, start_unix=END + 1000), number=6, raw=False)
    site.settle()
    assert shown(site).window is not None
    site.settle(seconds=site.settings.ingest.close_run_s + 200)
    seen = shown(site)
    assert seen.run.closed
    assert seen.window is None
    with pytest.raises(NoFigure, match="the run is closed: its last minutes by themselves were kept while it was open"):
        elements.figure(seen.pages, "5", "PacketRate", window=True)
    assert elements.figure(seen.pages, "5", "PacketRate").content
    closed = str(channel_layout(seen.pages, {"run": "5", "window": "1"}, "2-5-60-12"))
    assert "the run is closed" in closed
    assert "Show the whole run" in closed
    assert "/channels/2-5-60-12?run=5'" in closed
    assert window_now(seen.pages, wanted("2-5-60-12", {"run": "5", "window": "1"})) == ""


def test_what_the_run_hides_is_seen_in_its_window(tmp_path: Path, shown: Callable[..., Shown]) -> None:
    """A quiet hour, and then the rate trips: the run as a whole is good, its last minutes are not."""
    site = Site(tmp_path, window_s=2)
    take(site.root, LONGER, subrun_s=4, raw=False)
    tripped = replace(SHORT, seed=9, duration_s=2, start_unix=END).busier(40)
    (wild,) = take(tmp_path / "made", tripped, subrun_s=4, raw=False)
    shutil.copy2(wild, site.root)
    for path in site.root.iterdir():
        age(path, END + 2)
    site.settle()
    seen = shown(site, 2)

    def rate(**asked: Any) -> float:
        page = run_page(seen.pages, "5", **asked)
        assert page is not None
        (number,) = [n for n in page.numbers if (n.plot, n.name) == ("PacketRate", "data_rate_hz")]
        return float(number.exact.split()[0])

    assert rate(in_window=True) > 3 * rate()
    whole = elements.figure(seen.pages, "5", "PacketRate")
    last = elements.figure(seen.pages, "5", "PacketRate", window=True)
    assert whole.content != last.content

    own, every = maps(seen.pages, "5", in_window=True).packets, maps(seen.pages, "5").packets
    assert np.array_equal(own, seen.last("PixelMap")["packets"])
    assert np.array_equal(every, seen.whole("PixelMap")["packets"])
    assert own.sum() < every.sum()
    names = [pixel_values(seen.pages, "5", "rate", in_window=window).tag for window in (False, True)]
    assert len({*names}) == 2
    tile = level_page(seen.pages, "5", "tile", "3", "rate", in_window=True)
    assert isinstance(tile, LevelPage)
    assert ("packets", number(int(own[tile.place.pixels].sum()))) in tile.numbers
    assert tile.children[0].href.endswith("?value=rate&window=1")
    assert seen.window
    asked = conditions_of(tile.where)
    assert [one.column for one in asked] == ["tile", "unix_time"]
    assert (asked[1].low, asked[1].high) == (seen.window.since, seen.window.until)

    pixels = maps(seen.pages, "5").detector.pixels
    busiest = int(np.argmax(own))
    ids = (pixels.io_group, pixels.io_channel, pixels.chip_id, pixels.channel_id)
    name = "-".join(str(int(column[busiest])) for column in ids)
    now, whole_run = (channel_page(seen.pages, wanted(name, {"run": "5", "window": on})) for on in ("1", "0"))
    assert isinstance(now, ChannelPage)
    assert isinstance(whole_run, ChannelPage)
    assert (now.now.packets, whole_run.now.packets) == (own[busiest], every[busiest])
    assert now.now.rate
    assert whole_run.now.rate
    assert now.now.rate > 2 * whole_run.now.rate
    assert (now.where, whole_run.where) == (f"unix_time:{int(seen.window.since)}..{int(seen.window.until)}", "")
    assert window_now(seen.pages, wanted(name, {"window": "1"})) == now.where

    shown_page = str(channel_layout(seen.pages, {"run": "5", "window": "1"}, name))
    assert "In the last minutes of run " in shown_page
    for href in (
        f"/channels/{name}?run=5&window=1", f"/channels/{name}?run=5", "/runs/5?window=1",
        f"/runs/5/tile/{pixels.tile[busiest]}?value=rate&window=1", f"where=unix_time%3A{int(seen.window.since)}..",
    ):  # fmt: skip
        assert href in shown_page, href
    assert "/runs/5?window=1" not in str(channel_layout(seen.pages, {"run": "5"}, name))
    spectra = [
        adc_spectrum(seen.pages, "5", rows_wanted(seen.pages, {"pixel": name, "where": one.where}), 60)
        for one in (now, whole_run)
    ]
    (_, last), (_, of_all) = (one for one in spectra if one)
    assert 0 < sum(last) < sum(of_all) == every[busiest]
    page = Callbacks()
    channel_page_registered(page, seen.pages)
    so_far, after = None, "first"
    while after:
        *_, so_far, button, _ = page.found["show_spectrum"](1, [name, "5", 50, True], so_far)
        after = so_far["after"]
    assert (so_far["counts"], so_far["where"], button) == (last, now.where, "All is read")


def test_a_window_without_some_channels_is_what_its_slices_say_and_never_a_guess(
    tmp_path: Path, shown: Callable[..., Shown]
) -> None:
    site = Site(tmp_path, plots=None, window_s=80_000)
    made = take(tmp_path / "made", LONGER, subrun_s=4, raw=False)
    for path in made:
        age(path, END)
    whole_files(site, made)
    seen = shown(site)
    assert seen.window
    assert len(seen.window.slices) > 1
    chips = seen.last("ChipRate")["chips"]
    hot = Mask.of(hot_pixels.hot(seen.whole("HotPixels")))
    assert hot

    def without(window: Window) -> State | None:
        found = seen.pages.registry.plots["ChipRate"]
        return elements.state_without(seen.pages, seen.run, seen.elements["ChipRate"], found, window, hot)

    masked = without(seen.window)
    assert masked
    assert masked["chips"].total < chips.total
    first, *more = seen.window.slices
    lacks = replace(first, plots={name: of for name, of in first.plots.items() if name != "HotPixels"})
    assert without(Window((lacks, *more), 80_000)) is None  # what they sent in the first slice is not known


def test_no_window_is_kept_when_the_settings_say_so(tmp_path: Path) -> None:
    site = Site(tmp_path, window_s=0)
    for path in take(site.root, LONGER, subrun_s=2, raw=False):
        os.utime(path, (END, END))
    site.settle()
    with site.store.read() as tx:
        assert slices.addresses(tx) == set()
