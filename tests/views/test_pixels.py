"""Levels of the detector: what the map, the numbers and the table say, and what is said where there is no map."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dqm.detector import demo_detector
from dqm.records import DROPPED, Element, ElementState
from dqm.settings import DataSettings, Settings
from dqm.store import elements, open_store, runs
from dqm.views.elements import NoFigure
from dqm.views.pixels import (
    LevelPage,
    NoLevel,
    NoPlace,
    level_page,
    link,
    maps,
    pixel_places,
    pixel_values,
    place,
    trail,
)
from dqm.views.site import Site, open_site
from plots.base import LiveTime, State
from plots.pixel_map import PixelMap

HOT = "2-6-60-12"


def state_of(packets: dict[str, int], seconds: float = 10) -> State:
    """What PixelMap counts when each pixel sent one packet of 40 ADC, but for `packets` by name."""
    detector = demo_detector()
    state = PixelMap().start(detector)
    counts = np.ones(len(detector.pixels), np.int64)
    for name, n in packets.items():
        counts[place(detector, "channel", name).pixels] = n
    ticks = int(seconds * 10_000_000)
    live = LiveTime({group: np.array([[0, ticks]]) for group in detector.io_groups})
    state |= {"packets": counts, "adc": counts * 40, "adc_squared": counts * 1600, "live": live}
    return state


def put(site: Site, run: str, state: State | None, **changes: object) -> None:
    """A map of a run, as ingest has it."""
    detector = demo_detector()
    from dqm.store import files, geometries

    with site.store.begin() as tx:
        run_id = runs.ensure(tx, run, int(run), "physics", [])
        geometries.note(tx, detector.geometry_id, detector.name, "")
        if not runs.by_id(tx, run_id).files:
            file_id = files.add(tx, f"/data/{run}.h5", "/data", 1, 1, "", 1.0)
            done = {"state": "done", "counted": True, "rows": 10, "rows_done": 10, "done": 1.0, "next_look": None}
            files.update(tx, file_id, run_id=run_id, start=1.7e9 + 1000 * int(run), end=1.7e9 + 1000 * int(run), **done)
            runs.recount(tx, run_id)
        if state is None:
            return
        base = site.store.states.put(state.to_bytes())
        row = Element(
            run_id, run, "PixelMap", PixelMap.version, state.geometry, 0, base, True, 10, ElementState.OK, "", "", False,
            {}, 1.0,
        )  # fmt: skip
        before = elements.get(tx, run_id, "PixelMap")
        elements.save(tx, replace(row, version=before.version if before else 0, **changes))  # type: ignore[arg-type]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = open_store(f"sqlite:///{tmp_path}/larboard.sqlite", tmp_path / "states")
    site = open_site(Settings(data=DataSettings(directory=tmp_path)), store)
    put(site, "7", state_of({HOT: 500, "2-6-60-13": 0}))
    yield site
    site.close()


def page(site: Site, level: str, text: str = "", name: str = "rate", run: str = "7") -> LevelPage:
    found = level_page(site, run, level, text, name)
    assert isinstance(found, LevelPage), found
    return found


def test_each_level_has_its_pixels_and_leads_one_level_down(site: Site) -> None:
    sizes = {}
    for level, text in (("detector", ""), ("io_group", "2"), ("tile", "6"), ("chip", "2-6-60")):
        found = page(site, level, text)
        sizes[level] = (len(found.place.pixels), found.below, len(found.children))
    assert sizes == {
        "detector": (78_400, "io_group", 4),
        "io_group": (19_600, "tile", 4),
        "tile": (4_900, "chip", 100),
        "chip": (49, "channel", 49),
    }
    assert page(site, "chip", "2-6-60").children[0].href == "/channels/2-6-60-13?run=7"
    assert page(site, "tile", "6", "mean").children[0].href.startswith("/runs/7/chip/2-")
    assert page(site, "tile", "6", "mean").children[0].href.endswith("?value=mean")


def test_what_is_without_a_packet_or_far_from_the_median_comes_first(site: Site) -> None:
    names = [child.name for child in page(site, "chip", "2-6-60").children]
    assert names[:2] == ["2-6-60-13", HOT]
    assert page(site, "detector").children[0].name == "2"
    assert page(site, "tile", "6").children[0].name == "2-6-60"
    silent = [child.name for child in page(site, "chip", "2-6-60").children if child.silent]
    assert silent == ["2-6-60-13"]


def test_the_numbers_are_those_of_the_level_alone(site: Site) -> None:
    numbers = dict(page(site, "chip", "2-6-60").numbers)
    assert numbers["packets"] == "547"
    assert numbers["without a packet"] == "1 (2.04 %)"
    assert numbers["hottest pixel"] == f"{HOT}, 50 Hz"
    assert numbers["rate"] == "54.7 Hz"
    assert (numbers["mean"], numbers["standard deviation"]) == ("40 ADC", "0 ADC")
    assert dict(page(site, "tile", "1").numbers)["packets"] == "4900"


def test_rates_are_not_told_of_less_than_a_second(site: Site) -> None:
    put(site, "8", state_of({}, seconds=0.5))
    found = page(site, "io_group", "1", run="8")
    assert dict(found.numbers)["rate"] == "not known: live time below 1 s"
    assert {child.shown[0] for child in found.children} == {"–"}
    assert np.isnan(np.frombuffer(pixel_values(site, "8", "rate").content, "<f4")).all()


def test_a_chip_is_found_through_any_io_channel_of_its_tile_and_has_one_name() -> None:
    detector = demo_detector()
    assert {place(detector, "chip", f"2-{channel}-60").text for channel in (5, 6, 7, 8)} == {"2-6-60"}
    assert place(detector, "channel", "2-5-60-12").text == HOT
    above = trail(detector, place(detector, "channel", HOT))
    assert [one.name for one in above] == ["detector demo", "io_group 2", "tile 6", "chip 2-6-60"]


@pytest.mark.parametrize(
    ("level", "text", "sentence"),
    [
        ("io_group", "9", "There is no io_group 9 in demo; its io_groups are 1 to 4."),
        ("io_group", "x", "“x” names no io_group: expected a number, such as 1."),
        ("tile", "0", "There is no tile 0 in demo; its tiles are 1 to 16."),
        ("tile", "99999", "There is no tile 99999 in demo; its tiles are 1 to 16."),
        ("chip", "1-1-300", "There is no chip 300: chips go from 0 to 255."),
        ("chip", "1-1-10", "There is no chip 10 on tile 1 of demo; its chips are 11 to 110."),
        ("chip", "1-99-11", "There is no io_channel 99 in io_group 1 of demo."),
        ("chip", "1-1", "“1-1” names no chip: expected io_group-io_channel-chip, such as 1-5-36."),
        ("channel", "1-1-11-64", "There is no channel 64: channels go from 0 to 63."),
        ("channel", "1-1-11-6", "Channel 6 of chip 1-1-11 has no pixel; those that have one are 0, 1, 2, 3, 4, 5, 10,"),
        ("channel", "1-1-11-٣", "names no channel"),
        ("tile", "-1", "names no tile"),
    ],
)
def test_a_place_that_there_is_not_is_a_sentence(level: str, text: str, sentence: str) -> None:
    with pytest.raises(NoPlace) as error:
        place(demo_detector(), level, text)
    assert sentence in str(error.value)


def reason(site: Site, run: str, level: str = "detector", text: str = "") -> tuple[str, str]:
    found = level_page(site, run, level, text, "rate")
    assert isinstance(found, NoLevel)
    return found.reason, found.state


def test_where_there_is_no_map_it_is_said_why(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reason(site, "99") == ("no run 99", "nodata")
    assert reason(site, "7", "chip", "1-1-300")[0] == "There is no chip 300: chips go from 0 to 255."
    put(site, "8", None)
    assert reason(site, "8") == ("not counted yet: it comes with the next look at the files of this run", "unknown")
    put(site, "9", PixelMap().start(None))
    assert "no known geometry" in reason(site, "9")[0] or "geometry" in reason(site, "9")[0]
    put(site, "10", state_of({}), geometry="elsewhere-0123456789ab")
    assert reason(site, "10") == (
        "geometry elsewhere-0123456789ab is not on this host: set detector.directories",
        "broken",
    )
    put(site, "11", state_of({}), base=DROPPED)
    assert "dropped by a retention rule" in reason(site, "11")[0]
    put(site, "12", state_of({}), base="0" * 40)
    assert "is not in the data directory of this host" in reason(site, "12")[0]
    put(site, "13", state_of({}), plot_version=PixelMap.version + 1)
    assert "being counted anew" in reason(site, "13")[0]


def test_the_values_of_a_map_are_those_of_the_pixels_in_the_order_of_the_geometry(site: Site) -> None:
    detector = demo_detector()
    packed = pixel_values(site, "7", "rate")
    values = np.frombuffer(packed.content, "<f4")
    (hot,) = place(detector, "channel", HOT).pixels
    (silent,) = place(detector, "channel", "2-6-60-13").pixels
    assert values[hot] == 50
    assert np.isnan(values[silent])
    assert packed.geometry == detector.geometry_id
    assert gzip.decompress(packed.gzipped) == packed.content
    places = pixel_places(site, detector.geometry_id)
    assert places
    n = len(detector.pixels)
    assert np.frombuffer(places.content, "<u4", 1)[0] == n
    column, row, tile = np.frombuffer(places.content, "<u2", 3 * n, 4).reshape(3, n)
    ids = np.frombuffer(places.content, "u1", 4 * n, 4 + 6 * n).reshape(4, n)
    assert "-".join(map(str, ids[:, hot])) == HOT
    assert tile[hot] == detector.pixels.tile[hot]
    for plane in detector.planes:
        assert np.array_equal(plane.z[column[plane.index]], detector.pixels.z[plane.index])
        assert np.array_equal(plane.y[row[plane.index]], detector.pixels.y[plane.index])
    assert pixel_places(site, "nothing-000000000000") is None


def test_a_map_follows_its_run_and_is_read_once_for_each_version(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    states = site.store.states
    get = states.get
    monkeypatch.setattr(states, "get", lambda address: (read.append(address), get(address))[1])
    before = pixel_values(site, "7", "mean")
    for level, text in (("detector", ""), ("io_group", "2"), ("tile", "6")):
        page(site, level, text)
    assert pixel_values(site, "7", "mean").tag == before.tag
    assert len(read) == 1
    put(site, "7", state_of({HOT: 1000}))
    after = pixel_values(site, "7", "rate")
    (hot,) = place(demo_detector(), "channel", HOT).pixels
    assert np.frombuffer(after.content, "<f4")[hot] == 100
    assert after.version > before.version
    assert len(read) == 2


def test_maps_that_are_kept_are_bounded_in_bytes(site: Site) -> None:
    for run in range(20, 60):
        put(site, str(run), state_of({}))
        pixel_values(site, str(run), "rate")
    assert sum(kept.size for kept in site.maps.values()) <= site.maps.maxsize


def test_an_unknown_run_has_no_values(site: Site) -> None:
    with pytest.raises(NoFigure, match="no run 99"):
        maps(site, "99")


def test_addresses_hold_whatever_a_run_is_called() -> None:
    assert link("tile", "3", "a/b c", "std") == "/runs/a%2Fb%20c/tile/3?value=std"
    assert link("detector", "", "latest") == "/runs/latest/detector?value=rate"
