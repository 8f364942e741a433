"""What a run's page says of a store, without a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dqm.records import Element, ElementState, Plugin, TrendValue
from dqm.settings import DataSettings, PlotSettings, Settings
from dqm.store import elements, files, open_store, plugins, runs
from dqm.views.run_page import PlotPage, RunPage, Tile, in_order, plot_page, run_page
from dqm.views.site import Site, open_site
from dqm.views.verdicts import amount, beyond, limits_words, named_amount, trend_words
from layouts.components.steady import tree_of
from layouts.pages.plot.layout import plot_of
from layouts.pages.run.layout import run_of

NOW = 1_800_000_000.0
GOOD = TrendValue(0.0, "fraction", warn=(None, 1e-4), alarm=(None, 1e-3))
SUSPECT, BAD = replace(GOOD, value=5e-4), replace(GOOD, value=2e-3)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    settings = Settings(data=DataSettings(directory=tmp_path), plots=PlotSettings(paths=[tmp_path / "plugins"]))
    (tmp_path / "plugins").mkdir()
    site = open_site(settings, open_store(f"sqlite:///{tmp_path / 'x.sqlite'}", tmp_path / "states"))
    with site.store.begin() as tx:
        for key in ("6", "7", "8"):
            run_id = runs.ensure(tx, key, int(key), "physics", [])
            file_id = files.add(tx, f"/data/{key}.h5", "/data", 1, 1, "", NOW)
            done = {"state": "done", "counted": True, "rows": 100, "rows_done": 100, "done": NOW, "next_look": None}
            files.update(tx, file_id, run_id=run_id, start=NOW + int(key), end=NOW + 60, **done)
            runs.recount(tx, run_id, None, now=NOW)
    yield site
    site.close()


def element(
    site: Site, plot: str, state: ElementState = ElementState.OK, rows: int = 100, **trends: TrendValue
) -> None:
    with site.store.begin() as tx:
        run = runs.get(tx, "7")
        assert run
        elements.save(
            tx,
            Element(run.id, "7", plot, 1, None, 0, None, True, rows, state, "why", "", False, trends, NOW),
        )


def page(site: Site, key: str = "7") -> RunPage:
    found = run_page(site, key, NOW)
    assert found
    return found


def test_bad_plots_come_first_then_broken_then_groups(site: Site) -> None:
    element(site, "PacketRate", data_rate_hz=GOOD)
    element(site, "AdcSpectrum")
    element(site, "SyncDt", ElementState.BROKEN)
    element(site, "ParityErrors", invalid_parity_fraction=BAD)
    element(site, "FifoFlags", full=SUSPECT)
    assert [(tile.plot, tile.state) for tile in page(site).tiles] == [
        ("ParityErrors", "bad"),
        ("FifoFlags", "suspect"),
        ("SyncDt", "broken"),
        ("PacketRate", "good"),
        ("AdcSpectrum", ""),
    ]


def test_groups_have_their_order_and_other_is_the_last() -> None:
    tiles = [
        Tile(group, group, group, 1, "", (), None, NOW, False, True, False)
        for group in ("Other", "Mine", "Timing", "Rates")
    ]
    assert [tile.group for tile in in_order(tiles)] == ["Rates", "Timing", "Mine", "Other"]


def test_coverage_is_of_files_and_of_packets(site: Site) -> None:
    element(site, "PacketRate", rows=50)
    assert page(site).tiles[0].share == 0.5
    with site.store.begin() as tx:
        run = runs.get(tx, "7")
        assert run
        file_id = files.add(tx, "/data/x.h5", "/data", 1, 1, "", NOW)
        files.update(tx, file_id, run_id=run.id, state="quarantined")
        runs.recount(tx, run.id, None, now=NOW)
    found = page(site)
    assert (found.share, found.unread.words) == (0.5, "1 in quarantine")
    assert found.tiles[0].share == 0.25


def test_numbers_are_judged_worst_first_and_have_their_limits(site: Site) -> None:
    element(site, "ParityErrors", fraction=BAD, other=GOOD, count=TrendValue(3, "packets"))
    numbers = page(site).numbers
    assert [(number.name, number.state) for number in numbers] == [
        ("fraction", "bad"),
        ("count", ""),
        ("other", "good"),
    ]
    assert numbers[0].reason == "above 0.001 (bad)"
    assert numbers[0].limits == "suspect above 0.0001, bad above 0.001"


def test_latest_is_the_newest_run_and_neighbours_are_named(site: Site) -> None:
    assert page(site, "latest").run.key == "8"
    found = page(site)
    assert (found.before, found.behind, found.newest, found.state) == ("6", "8", False, "ended")


def test_a_plot_that_is_not_counted_is_named_and_one_that_went_goes(site: Site, tmp_path: Path) -> None:
    element(site, "Mine")
    plugin = tmp_path / "plugins" / "mine.py"
    source = (
        "from plots.base import Plot\nclass Mine(Plot):\n    title = 'My plot'\n    def __call__(self, p, fig): ...\n"
    )
    plugin.write_text(source)
    assert [tile.title for tile in page(site).tiles] == ["My plot"]
    assert "ADC spectrum" in page(site).missing
    plugin.unlink()
    assert page(site).tiles == ()


def test_a_plot_that_rests_says_so_instead_of_a_riddle(site: Site) -> None:
    element(site, "PacketRate")
    with site.store.begin() as tx:
        plugins.found(tx, [Plugin("AdcSpectrum", "built-in", "ADC spectrum", "", "")])
        plugins.set_rest(tx, "AdcSpectrum", plugins.Rest(1, NOW))
    found = page(site)
    assert "ADC spectrum" not in found.missing
    [(title, words)] = found.stopped.values()
    assert title == "ADC spectrum"
    assert words.startswith("stopped once for going over a limit; it is tried again at ")
    for shown in (run_of(found, "7"), plot_of(plot_page(site, "7", "AdcSpectrum"), "7", "AdcSpectrum")):
        assert words in json.dumps(tree_of(shown))


def test_an_enlarged_plot_knows_its_neighbours(site: Site) -> None:
    for plot in ("PacketRate", "AdcSpectrum", "SyncDt"):
        element(site, plot)
    names = [tile.plot for tile in page(site).tiles]
    found = plot_page(site, "7", names[1])
    assert isinstance(found, PlotPage)
    assert (found.previous, found.next) == (names[0], names[2])
    assert isinstance(plot_page(site, "7", "NoSuch"), RunPage)
    assert plot_page(site, "99", "PacketRate") is None


def test_numbers_are_said_as_people_say_them() -> None:
    assert amount(0.004, "fraction") == "0.004"
    assert amount(21_700, "Hz") == "21.7 kHz"
    assert named_amount("hot pixels", 5, "pixels") == "hot pixels 5"
    assert trend_words("max_abs_dt_ticks", "ticks") == "max abs dt"
    assert trend_words("hot_pixels", "pixels") == "hot pixels"
    assert beyond(BAD) == "above 0.001 (bad)"
    assert beyond(TrendValue(-1, "V", alarm=(0, None))) == "below 0 V (bad)"
    assert limits_words(TrendValue(1, "V", warn=(0, 5))) == "suspect below 0 V or above 5 V"


def test_a_figure_that_many_ask_for_at_once_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from dqm.settings import DataSettings, Settings
    from dqm.store import open_store
    from dqm.views import elements
    from dqm.views.site import open_site
    from tests.filling import fill

    store = open_store(f"sqlite:///{tmp_path}/larboard.sqlite", tmp_path / "states")
    fill(store, tmp_path / "raw", run=7)
    site = open_site(Settings(data=DataSettings(directory=tmp_path)), store)
    drawn, draw = [], elements._draw
    monkeypatch.setattr(elements, "_draw", lambda *what: drawn.append(1) or draw(*what))
    with ThreadPoolExecutor(16) as pool:
        figures = list(pool.map(lambda _: elements.figure(site, "7", "PixelMap").content, range(32)))
    assert (len(drawn), len(set(figures))) == (1, 1)

    def fail(*_: object) -> bytes:
        drawn.append(1)
        raise elements.NoFigure("no reason", "broken")

    monkeypatch.setattr(elements, "_draw", fail)
    for _ in range(3):  # nor is one that cannot be drawn tried by each
        with pytest.raises(elements.NoFigure, match="no reason"):
            elements.figure(site, "7", "AdcSpectrum")
    assert len(drawn) == 2
    site.close()
