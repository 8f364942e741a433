"""The biography of a channel: its numbers and registers over runs, and since when it is silent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dqm.formats.registers import REGISTERS, bytes_of, rows_of_values
from dqm.records import DROPPED, Element, ElementState
from dqm.settings import DataSettings, Settings
from dqm.store import elements, open_store, runs
from dqm.views.channel_page import ChannelPage, NoChannel, Wanted, channel_page, life, wanted
from dqm.views.site import Site, open_site
from plots.base import State, Versions
from plots.chip_configuration import ChipConfiguration
from plots.state import leaf_of, place_of
from tests.views.test_pixels import HOT, put, state_of


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = open_store(f"sqlite:///{tmp_path}/larboard.sqlite", tmp_path / "states")
    site = open_site(Settings(data=DataSettings(directory=tmp_path)), store)
    for run, packets in (("1", 10), ("2", 20), ("3", 0), ("4", 0)):
        put(site, run, state_of({HOT: packets}))
    yield site
    site.close()


def configure(site: Site, run: str, trim: int, mask: int = 0, times: tuple[int, ...] = (100,)) -> None:
    """The registers of the chip of HOT in a run, read out through another io_channel of its tile."""
    chip = 2 << 16 | 8 << 8 | 60
    columns = {
        "pixel_trim_dac": ([0], [bytes_of("pixel_trim_dac", [trim] * 64)]),
        "channel_mask": ([0], [bytes_of("channel_mask", [mask] * 64)]),
        "threshold_global": ([0], [bytes_of("threshold_global", 33)]),
    }
    row = rows_of_values(columns, 1)
    state = ChipConfiguration().start(None)
    state["chips"] += Versions.of(np.array([chip]), row, np.array(times))
    with site.store.begin() as tx:
        found = runs.get(tx, run)
        assert found
        base = site.store.states.put(state.to_bytes())
        elements.save(
            tx,
            Element(
                found.id, run, "ChipConfiguration", 1, None, 0, base, True, 10, ElementState.OK, "", "", False, {}, 1.0
            ),
        )


def over(site: Site, n: int = 50) -> dict[str, tuple[int | None, float | None]]:
    return {point.run: (point.packets, point.rate) for point in life(site, Wanted(HOT, "latest", n)).points}


def test_a_channel_has_a_point_for_each_of_the_newest_runs(site: Site) -> None:
    assert over(site) == {"4": (0, 0.0), "3": (0, 0.0), "2": (20, 2.0), "1": (10, 1.0)}
    assert list(over(site, 2)) == ["4", "3"]
    found = life(site, Wanted(HOT, "latest", 50))
    assert [(point.mean, point.std) for point in found.points[2:]] == [(40.0, 0.0), (40.0, 0.0)]


def test_it_is_said_since_when_it_is_silent(site: Site) -> None:
    found = life(site, Wanted(HOT, "latest", 50))
    assert found.silent
    assert found.said == "It has been silent since run 3 (2 runs); it last sent 20 packets in run 2."
    assert life(site, Wanted(HOT, "latest", 2)).said == "It has been silent in all 2 runs that are known."
    put(site, "5", state_of({HOT: 3}))
    now = life(site, Wanted(HOT, "latest", 50))
    assert (now.silent, now.said) == (False, "It sent 3 packets in run 5, the newest that is known.")


def test_a_run_of_which_nothing_is_known_is_no_silence(site: Site) -> None:
    put(site, "5", None)
    put(site, "6", state_of({}), geometry="elsewhere-0123456789ab")
    put(site, "7", state_of({}), base=DROPPED)
    put(site, "8", state_of({}), base="0" * 40)
    put(site, "9", None)
    with site.store.begin() as tx:
        found = runs.get(tx, "9")
        assert found
        broken = Element(
            found.id, "9", "PixelMap", 1, None, 0, None, True, 0, ElementState.BROKEN, "why", "", False, {}, 1.0
        )
        elements.save(tx, broken)
    told = life(site, Wanted(HOT, "latest", 5))
    assert [(point.run, point.packets) for point in told.points] == [(run, None) for run in "98765"]
    assert [point.why.split(":")[0] for point in told.points] == [
        "why",
        "its state cannot be read",
        "dropped by a retention rule",
        "geometry elsewhere-0123456789ab is not on this host",
        "not counted",
    ]
    assert (told.silent, told.said) == (False, "Nothing is known of it in these runs.")
    assert "since run 3 (2 runs)" in life(site, Wanted(HOT, "latest", 50)).said


def test_each_state_is_read_once_for_a_channel(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = over(site)
    monkeypatch.setattr(site.store.states, "get", lambda address: pytest.fail(f"{address} was read again"))
    assert over(site) == first


def test_registers_stand_beside_the_runs_and_what_changed_is_named(site: Site) -> None:
    configure(site, "1", trim=10)
    configure(site, "2", trim=10)
    configure(site, "4", trim=17, mask=1)
    found = life(site, Wanted(HOT, "latest", 50))
    assert found.changed == ("channel_mask", "pixel_trim_dac")
    assert found.names == ("channel_mask", "pixel_trim_dac", "threshold_global")
    assert [registers.get("pixel_trim_dac") for registers in found.registers] == [17, None, 10, 10]
    assert found.every == {"channel_mask": 1, "pixel_trim_dac": 17, "threshold_global": 33}
    assert life(site, Wanted("1-1-11-0", "latest", 50)).every == {}


def test_without_a_configuration_there_are_no_registers(site: Site) -> None:
    found = life(site, Wanted(HOT, "latest", 50))
    assert (found.names, found.every, found.changed) == ((), {}, ())


def test_the_page_shows_the_run_from_which_one_comes(site: Site) -> None:
    found = channel_page(site, Wanted("2-5-60-12", "2", 50))
    assert isinstance(found, ChannelPage)
    assert (found.place.text, found.now.packets, found.now.rate, found.tile) == (HOT, 20, 2.0, 6)
    assert [one.name for one in found.trail] == ["detector demo", "io_group 2", "tile 6", "chip 2-6-60"]


@pytest.mark.parametrize("how", ["cut", "turned", "emptied"])
def test_a_state_that_its_disk_has_damaged_costs_its_own_run(site: Site, tmp_path: Path, how: str) -> None:
    with site.store.read() as tx:
        found = runs.get(tx, "3")
        assert found
        element = elements.get(tx, found.id, "PixelMap")
    assert element
    assert element.base
    (path,) = (tmp_path / "states").glob(f"{element.base[:2]}/{element.base[2:]}*")
    content = path.read_bytes()
    middle = len(content) // 3
    damaged = {
        "cut": content[:middle],
        "turned": content[:middle] + bytes(2000) + content[middle + 2000 :],
        "emptied": b"",
    }
    path.write_bytes(damaged[how])
    points = {point.run: point for point in life(site, Wanted("4-16-110-63", "latest", 50)).points}
    if how == "turned":  # what is damaged may lie behind what is read
        assert points["3"].packets in (None, 1)
    else:
        assert points["3"].why.startswith("its state cannot be read")
    assert points["2"].packets == 1
    shown = channel_page(site, Wanted(HOT, "3", 50))
    assert isinstance(shown, NoChannel)
    assert shown.reason.startswith("what was counted cannot be read")


@pytest.mark.parametrize(
    ("channel", "run", "sentence"),
    [
        (HOT, "99", "There is no run 99."),
        ("2-6-60-64", "2", "There is no channel 64: channels go from 0 to 63."),
        ("2-6-300-1", "2", "There is no chip 300: chips go from 0 to 255."),
        ("<b>", "2", "“<b>” names no channel"),
    ],
)
def test_what_there_is_not_is_a_sentence(site: Site, channel: str, run: str, sentence: str) -> None:
    found = channel_page(site, Wanted(channel, run, 50))
    assert isinstance(found, NoChannel)
    assert found.reason.startswith(sentence)


@pytest.mark.parametrize("text", ["", "1-2-3", "1-2-3-x", "1-2-3-4; DROP", "1000-1-1-1", "١-1-1-1"])
def test_nothing_is_read_for_what_names_no_channel(site: Site, text: str) -> None:
    with pytest.raises(ValueError, match="names no channel"):
        life(site, Wanted(text, "latest", 50))


def test_the_number_of_runs_is_in_the_url_and_bounded() -> None:
    assert (wanted(HOT, {}).runs, wanted(HOT, {"runs": "200"}).runs) == (50, 200)
    for text in ("0", "501", "x", "-1", "9" * 30):
        found = wanted(HOT, {"runs": text})
        assert (found.runs, len(found.problems)) == (50, 1)


def test_one_place_is_read_out_of_a_state_as_the_whole_state_has_it() -> None:
    state = State("X", 1, None)
    random = np.random.default_rng(1)
    state |= {"packets": random.integers(0, 9, 300_000), "adc": random.integers(0, 2**60, 300_000)}
    content = state.to_bytes()
    for place in (0, 1, 65_535, 299_999):
        assert place_of(content, ("packets", "adc"), place) == [state["packets"][place], state["adc"][place]]
    with pytest.raises(IndexError, match="no place 300000"):
        place_of(content, ("packets",), 300_000)
    with pytest.raises(IndexError):
        place_of(content, ("packets",), -1)
    with pytest.raises(KeyError):
        place_of(content, ("nothing",), 0)
    with pytest.raises(KeyError):
        leaf_of(content, "nothing")
    assert np.array_equal(leaf_of(content, "adc"), state["adc"])


def test_followed_registers_are_registers() -> None:
    from dqm.views.channel_page import FOLLOWED

    assert set(FOLLOWED) <= REGISTERS.keys()
