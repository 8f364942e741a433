"""A run without some channels: what its sums say at once, what is counted anew from files, and what is said of the rest."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from cachetools import LRUCache

from dqm.auth.roles import LOCAL_ADMIN, Actor, NotAllowed
from dqm.formats import open_file
from dqm.ingest.engine import feed, prepare
from dqm.ingest.oneshot import Sources
from dqm.masks import Mask, NoMask
from dqm.records import Run
from dqm.results import FileReport
from dqm.store import audit, elements, files, open_store, retention, runs
from dqm.store.tables import masks as mask_table
from dqm.views import elements as figures
from dqm.views import masks, recounts
from dqm.views.elements import NoFigure
from dqm.views.mask_changes import Area, Edit, change
from dqm.views.run_page import RunPage, Without, run_page
from dqm.views.site import Site
from layouts.pages.plot.layout import layout
from plots.adc_spectrum import AdcSpectrum
from plots.base import State
from plots.contract import same_state
from tests.filling import fill, put

SHIFTER = Actor("ada", "shifter")
AT_ONCE = {"PixelMap", "HotPixels", "AdcMeans", "SilentChannels", "ChipRate"}


@pytest.fixture(scope="module")
def went_through(tmp_path_factory: pytest.TempPathFactory) -> FileReport:
    """A run that all plots went through."""
    folder = tmp_path_factory.mktemp("counted")
    store = open_store(f"sqlite:///{folder}/larboard.sqlite", folder / "states")
    made = fill(store, folder, run=7, seconds=3)
    store.close()
    return made


@pytest.fixture
def data(site: Site, tmp_path: Path, went_through: FileReport) -> Path:
    """The run in the store of the site, its file in a folder of its own."""
    site.settings.ingest.roots = [tmp_path]
    path = tmp_path / went_through.path.name
    shutil.copy2(went_through.path, path)
    put(site.store, replace(went_through, path=path), 7)
    return path


def run_of(site: Site) -> Run:
    with site.store.read() as tx:
        found = runs.get(tx, "7")
    assert found
    return found


def made(site: Site, **edit: object) -> Mask:
    found = change(site, SHIFTER, "7", Edit(**edit))  # type: ignore[arg-type]
    assert found
    return found.mask


def page(site: Site, mask: Mask, **more: object) -> RunPage:
    found = run_page(site, "7", mask=mask.address, **more)  # type: ignore[arg-type]
    assert found
    return found


def eventually(what: Callable[[], Any], at_most_s: float = 60) -> Any:
    """What comes of other threads and processes, asked for as a page does."""
    end = time.monotonic() + at_most_s
    while not (found := what()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)
    return found


# making one -----------------------------------------------------------------------------------------------------------


def test_hot_pixels_become_a_mask_without_which_nothing_is_hot(site: Site, data: Path) -> None:
    mask = made(site, hot=True)
    before, after = run_page(site, "7"), page(site, mask)
    assert before

    def hot(found: RunPage) -> object:
        return next(number.exact for number in found.numbers if number.name == "hot_pixels")

    assert hot(before) == f"{len(mask)} pixels"
    assert hot(after) == "0 pixels"
    assert {tile.plot for tile in after.tiles if tile.without and tile.without.masked} == AT_ONCE
    assert after.mask == mask
    assert all(tile.without is None for tile in before.tiles)


def test_a_mask_is_kept_under_its_address_with_who_made_it_once(site: Site, data: Path) -> None:
    mask = made(site, chips=["1-1-11-7"])
    site.masks.clear()
    assert masks.find(site, mask.address) == mask == made(site, chips=["1-1-11-7"])
    with site.store.read() as tx:
        noted = audit.of(tx, f"mask {mask.address}")
    assert [(row["actor"], row["after"]) for row in noted] == [("ada", {"channels": 1, "run": "7"})]


def test_masks_at_hand_are_bounded_and_one_thread_at_a_time_looks_for_them(site: Site, data: Path) -> None:
    class Guarded(LRUCache):
        def __getitem__(self, key: str) -> Any:
            assert site.states_lock.locked()
            return super().__getitem__(key)

        def __setitem__(self, key: str, value: Any) -> None:
            assert site.states_lock.locked()
            super().__setitem__(key, value)

    site.masks = Guarded(150, getsizeof=len)
    chips = [made(site, chips=[f"1-1-{chip}"]) for chip in (11, 12, 13)]
    assert site.masks.currsize == 128
    assert [masks.find(site, mask.address) for mask in chips] == chips


def test_edits_build_on_each_other(site: Site, data: Path) -> None:
    chip = made(site, chips=["1-1-11"])
    assert chip.by_chip["1-1-11"] == list(range(64))
    less = made(site, base=chip.address, count_again={"1-1-11": [0, 1]}, leave_out={"1-1-12": [5]})
    assert less.by_chip == {"1-1-11": list(range(2, 64)), "1-1-12": [5]}
    assert not made(site, base=less.address, count_again=less.by_chip)


def test_an_area_of_a_map_is_the_pixels_inside_it(site: Site, data: Path) -> None:
    table = figures.geometry(site, elements_of(site)["PixelMap"].geometry).pixels  # type: ignore[union-attr]
    z, y = (-10.0, 5.0), (0.0, 20.0)
    mask = made(site, area=Area(2, [z[0], z[1], z[1], z[0]], [y[0], y[0], y[1], y[1]]))
    inside = (table.io_group == 2) & (table.z > z[0]) & (table.z < z[1]) & (table.y > y[0]) & (table.y < y[1])
    assert len(mask) == inside.sum() > 100
    assert {*mask.pixels(figures.geometry(site, elements_of(site)["PixelMap"].geometry)).tolist()} == {
        *np.flatnonzero(inside).tolist()
    }
    triangle = made(site, area=Area(2, [z[0], z[1], z[0]], [y[0], y[0], y[1]]))
    assert 0.45 < len(triangle) / len(mask) < 0.55


def test_channels_that_nobody_knows_are_named_the_first_five_and_the_rest_is_used(site: Site, data: Path) -> None:
    pasted = json.dumps({"1-1-11": [7], **{f"99-1-{chip}": [1] for chip in range(11, 18)}})
    found = change(site, SHIFTER, "7", Edit(pasted=pasted))
    assert found
    assert found.mask.names == ["1-1-11-7"]
    assert "7 channels are not known here: 99-1-11-1, 99-1-12-1" in found.said[0]
    assert "99-1-15-1 and 2 more" in found.said[0]
    assert "99-1-16-1" not in found.said[0]


def test_a_link_with_channels_that_another_run_had_says_so_on_its_panel(site: Site, data: Path) -> None:
    from dqm.store import masks as kept

    stranger = Mask.of([99 << 24 | 1 << 16 | 11 << 8 | 1])
    with site.store.begin() as tx:
        kept.save(tx, stranger.address, stranger.to_json(), 1, "ada")
    assert "1 channel is not known here: 99-1-11-1" in page(site, stranger).mask_said


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (Edit(base="0" * 24), "There is no mask 0000"),
        (Edit(pasted="{"), "Expected JSON"),
        (Edit(chips=["tile 4"]), "“tile 4” is no io_group"),
        (Edit(chips=["1-1-11-64"]), "got 64"),
        (Edit(area=Area(1, [0, 1], [0, 1])), "3 to 2,000 corners"),
        (Edit(area=Area(1, [0, 1, float("nan")], [0, 1, 2])), "no number"),
    ],
)
def test_what_makes_no_mask_is_told_in_words(site: Site, data: Path, edit: Edit, words: str) -> None:
    with pytest.raises(NoMask, match=words):
        change(site, SHIFTER, "7", edit)


def test_a_viewer_makes_no_mask_and_there_is_none_of_a_run_that_is_not_there(site: Site, data: Path) -> None:
    with pytest.raises(NotAllowed):
        change(site, Actor("eve", "viewer"), "7", Edit(hot=True))
    assert change(site, LOCAL_ADMIN, "8", Edit(hot=True)) is None


def test_a_link_that_was_cut_shows_the_whole_run_and_says_why(site: Site, data: Path) -> None:
    found = run_page(site, "7", mask="abc")
    assert found
    assert found.mask_said == f"{masks.unknown_words('abc')} Nothing is left out."
    assert "There is no mask abc: its link was cut" in found.mask_said
    assert all(tile.without is None for tile in found.tiles)
    with pytest.raises(NoFigure, match="There is no mask abc"):
        figures.figure(site, "7", "PixelMap", mask="abc")


# what it shows --------------------------------------------------------------------------------------------------------


def elements_of(site: Site) -> dict:
    with site.store.read() as tx:
        return elements.of_run(tx, run_of(site).id)


def counted(site: Site, data: list[Path], mask: Mask) -> dict[str, State]:
    """The states of the packets of files without the channels of a mask, counted here and now."""
    sums: dict[str, State] = {}
    for path in data:
        with open_file(path) as reader:
            reader.detector = Sources().match(reader).detector
            made = prepare([found.plot for found in site.registry.plots.values()], reader)
            for packets in reader.blocks():
                feed(made, mask.without(packets))
        for element in made:
            assert not element.broken, element.broken
            assert element.state is not None
            sums[element.name] = sums[element.name].merge(element.state) if element.name in sums else element.state
    return sums


def test_maps_rates_and_numbers_without_a_mask_are_those_of_the_packets_without_it(site: Site, data: Path) -> None:
    mask = made(site, hot=True, chips=["1-1-11", "2-9-24"])
    wanted, run = counted(site, [data], mask), run_of(site)
    for name in AT_ONCE:
        element, found = elements_of(site)[name], site.registry.plots[name]
        state = figures.state_without(site, run, element, found, None, mask)
        assert state is not None
        assert same_state(state, wanted[name]), name
        drawn = json.loads(figures.figure(site, "7", name, mask=mask.address).content)
        whole = json.loads(figures.figure(site, "7", name).content)
        assert drawn != whole, name


def test_a_plot_that_counted_other_packets_does_not_tell_what_chips_sent(site: Site, data: Path) -> None:
    mask = made(site, chips=["1-1-11"])
    with site.store.begin() as tx:
        element = elements.get(tx, run_of(site).id, "HotPixels")
        assert element
        elements.save(tx, replace(element, rows=element.rows - 1))
    tile = next(tile for tile in page(site, mask).tiles if tile.plot == "ChipRate")
    assert tile.without == Without(False, figures.NOT_THE_SAME)
    with pytest.raises(NoFigure, match=f"unmasked: {figures.NOT_THE_SAME}"):
        figures.figure(site, "7", "ChipRate", mask=mask.address)


def test_a_run_that_was_counted_further_since_the_page_asked_is_masked_as_it_is_by_now(
    site: Site, data: Path, tmp_path: Path
) -> None:
    mask = made(site, hot=True, chips=["1-1-11"])
    before = elements_of(site)["ChipRate"]
    (tmp_path / "more").mkdir()
    second = fill(site.store, tmp_path / "more", run=7, seconds=2, seed=5).path
    state = figures.state_without(site, run_of(site), before, site.registry.plots["ChipRate"], None, mask)
    assert state
    assert same_state(state, counted(site, [second], mask)["ChipRate"])  # `fill` keeps the newest file


def test_packets_behind_a_bin_are_those_of_all_channels_and_a_masked_page_says_so(site: Site, data: Path) -> None:
    mask = made(site, chips=["1-1-11"])
    words = "a click on a bin shows its packets"
    assert f"{words}, of all channels" in str(layout(site, {"mask": mask.address}, "7", "AdcSpectrum"))
    whole = str(layout(site, {}, "7", "AdcSpectrum"))
    assert words in whole
    assert f"{words}, of" not in whole


# counted anew ---------------------------------------------------------------------------------------------------------


def test_all_other_plots_are_counted_anew_from_the_files_and_agree_bit_for_bit(site: Site, data: Path) -> None:
    mask = made(site, hot=True, chips=["1-1-11", "2-9-24"])
    first = page(site, mask)
    others = {tile.plot for tile in first.tiles} - AT_ONCE
    assert {tile.without.words for tile in first.tiles if tile.plot in others and tile.without} <= {
        "counting without them: 0 of 1 file", "waiting for another count to end",
    }  # fmt: skip
    with pytest.raises(NoFigure, match="unmasked"):
        figures.figure(site, "7", "AdcSpectrum", mask=mask.address)
    done = eventually(
        lambda: (now := page(site, mask)) and all(t.without and t.without.masked for t in now.tiles) and now
    )
    assert {tile.without.words for tile in done.tiles if tile.plot in others} == {"counted anew from 1 file"}
    again, wanted = figures.recounted(site, run_of(site), mask), counted(site, [data], mask)
    assert {*again.plots} == others
    for name in others:
        element = elements_of(site)[name]
        state = figures._recounted_state(site, element, again.plots[name]["content"])
        assert same_state(state, wanted[name]), name
    shown = json.loads(figures.figure(site, "7", "AdcSpectrum", mask=mask.address).content)
    assert shown["data"] != json.loads(figures.figure(site, "7", "AdcSpectrum").content)["data"]


def test_a_file_that_is_done_later_is_added_and_the_others_are_not_read_again(
    site: Site, data: Path, tmp_path: Path
) -> None:
    mask = made(site, chips=["1-1-11", "2-9-24"])

    def ready(number: int) -> object:
        return figures.recounted(site, run_of(site), mask, ask=True).files == number

    eventually(lambda: ready(1))
    data.rename(data.with_suffix(".away"))  # what is counted is not asked for again
    (tmp_path / "more").mkdir()
    second = fill(site.store, tmp_path / "more", run=7, seconds=2, seed=5).path
    eventually(lambda: ready(2))
    again, wanted = (
        figures.recounted(site, run_of(site), mask),
        counted(site, [data.with_suffix(".away"), second], mask),
    )
    for name in ("AdcSpectrum", "FifoFlags", "TileRate"):
        state = figures._recounted_state(site, elements_of(site)[name], again.plots[name]["content"])
        assert same_state(state, wanted[name]), name


def test_what_a_count_that_was_killed_left_behind_is_not_counted_and_goes(site: Site, data: Path) -> None:
    mask = made(site, chips=["1-1-11"])
    left = Path(site.settings.data.directory) / "recount"
    left.mkdir()
    made_before = AdcSpectrum().start(None)
    made_before["adc"][1, 40] = 77_000
    (left / "AdcSpectrum.npz").write_bytes(made_before.to_bytes())
    (left / "other.npz").write_bytes(bytes(1000))
    site.cache.set("of yesterday", bytes(100_000), expire=-1)
    eventually(lambda: figures.recounted(site, run_of(site), mask, ask=True).files)
    eventually(lambda: not site.counting.locked())
    again = figures.recounted(site, run_of(site), mask)
    state = figures._recounted_state(site, elements_of(site)["AdcSpectrum"], again.plots["AdcSpectrum"]["content"])
    assert same_state(state, counted(site, [data], mask)["AdcSpectrum"])
    assert not left.exists()
    assert "of yesterday" not in list(site.cache)


def test_a_mask_that_is_looked_at_stays_and_one_that_was_dropped_is_known_nowhere(site: Site, data: Path) -> None:
    mask = made(site, chips=["1-1-11"])
    a_year_later = time.time() + 366 * 86400
    with site.store.begin() as tx:
        tx.execute(mask_table.update().values(used=1.0))
    site.cache.clear()
    assert page(site, mask).mask == mask
    assert used(site, mask) > 1.0
    with site.store.begin() as tx:
        tx.execute(mask_table.update().values(used=1.0))
    assert page(site, mask).mask == mask
    assert used(site, mask) == 1.0  # it is noted once a day
    with site.store.begin() as tx:
        assert retention.drop_masks(tx, 365, a_year_later) == 1
    site.cache.clear()  # the day is over
    assert masks.find(site, mask.address) is None
    assert page(site, mask).mask_said.startswith(f"There is no mask {mask.address}")
    assert made(site, chips=["1-1-11"]) == mask
    assert page(site, mask).mask == mask


def used(site: Site, mask: Mask) -> float:
    with site.store.read() as tx:
        return float(tx.scalar(sa.select(mask_table.c.used).where(mask_table.c.address == mask.address)))


def test_while_others_write_a_mask_is_shown_all_the_same(site: Site, data: Path) -> None:
    mask = made(site, chips=["1-1-11"])
    site.cache.clear()
    with site.store.begin() as tx:
        tx.execute(mask_table.update().values(comment="writing"))
        assert masks.find(site, mask.address) == mask


def test_where_the_files_are_not_the_tiles_say_so(site: Site, data: Path) -> None:
    mask = made(site, chips=["1-1-11"])
    data.unlink()

    def words() -> str:
        tile = next(tile for tile in page(site, mask).tiles if tile.plot == "AdcSpectrum")
        assert tile.without
        assert not tile.without.masked
        return tile.without.words

    said = eventually(lambda: (text := words()) and "counting" not in text and "waiting" not in text and text)
    assert said == f"the files of the run cannot be read from here ({data.name}: No such file or directory)"


def test_a_file_outside_the_data_roots_is_not_counted_wherever_its_name_lies(site: Site, data: Path) -> None:
    mask = made(site, chips=["1-1-11"])
    site.settings.ingest.roots = [data.parent / "elsewhere"]
    failed = eventually(lambda: figures.recounted(site, run_of(site), mask, ask=True).cannot)
    assert "lies outside the data roots of this host" in failed


def test_in_a_window_that_is_not_kept_nothing_is_said_of_a_mask(site: Site, data: Path) -> None:
    found = page(site, made(site, chips=["1-1-11"]), in_window=True)
    assert found.tiles
    assert not [tile.plot for tile in found.tiles if tile.without]


def test_a_file_that_was_written_again_is_not_counted_as_what_it_was(site: Site, data: Path) -> None:
    mask = made(site, chips=["1-1-11"])
    os.utime(data, (1, 1))
    failed = eventually(lambda: figures.recounted(site, run_of(site), mask, ask=True).cannot)
    assert failed == f"{data.name} is not any more what was counted"


def test_a_count_that_nobody_asks_for_any_more_ends(site: Site, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = made(site, chips=["1-1-11"]), made(site, chips=["1-1-12"])
    monkeypatch.setattr(recounts, "ASKED_S", -1.0)  # nobody ever asks
    assert figures.recounted(site, run_of(site), first, ask=True).coming
    eventually(lambda: not site.counting.locked())
    assert not figures.recounted(site, run_of(site), first).files
    monkeypatch.setattr(recounts, "ASKED_S", 60.0)
    eventually(lambda: figures.recounted(site, run_of(site), second, ask=True).files)


def test_a_count_that_takes_longer_than_it_may_is_ended_and_says_so(site: Site, data: Path) -> None:
    site.settings.web.recount_s = 0.01
    mask = made(site, chips=["1-1-11"])
    failed = eventually(lambda: figures.recounted(site, run_of(site), mask, ask=True).cannot)
    assert failed == "counting took longer than 0.01 s ([web] recount_s)"
    site.settings.web.recount_s = 0
    assert "switched off" in {t.plot: t.without.words for t in page(site, mask).tiles if t.without}["AdcSpectrum"]


def test_one_count_at_a_time(site: Site, data: Path) -> None:
    mask = made(site, chips=["1-1-11"])
    with site.counting:
        assert figures.recounted(site, run_of(site), mask, ask=True).coming == "waiting for another count to end"
    assert not [thread for thread in threading.enumerate() if thread.name == "recount"]


def test_a_count_in_another_process_of_this_host_keeps_its_progress(site: Site) -> None:
    job = recounts._Job(("a run",), (), {})
    site.cache.set(("recount at", "a run"), 3)
    lock = Path(site.settings.data.directory) / "recount.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        recounts._begin(site, job, [], {})
    assert site.cache.get(("recount at", "a run")) == 3
    assert not site.counting.locked()


def test_files_that_grow_come_when_they_are_done(site: Site, data: Path, tmp_path: Path) -> None:
    mask = made(site, chips=["1-1-11"])
    (tmp_path / "more").mkdir()
    second = fill(site.store, tmp_path / "more", run=7, seconds=2, seed=5).path
    with site.store.begin() as tx:
        file = files.at(tx, str(second))
        assert file
        files.update(tx, file.id, state="growing")
    done = eventually(lambda: (t := tile_of(page(site, mask), "AdcSpectrum")).masked and t)
    assert done.words == "counted anew from 1 file; 1 more when done"


def tile_of(found: RunPage, plot: str) -> Any:
    return next(tile.without for tile in found.tiles if tile.plot == plot)
