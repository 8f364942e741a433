"""The plots page: broken ones first, what ingest and this host do not agree about, how to add one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from dqm.records import Plugin
from dqm.store import notices, plugins
from tests.browser.list_site import Served, keeps_inside, many_runs, served

pytestmark = pytest.mark.browser

MINE = "from plots.base import Plot\nclass Mine(Plot):\n    title = 'A plot of mine'\n    def __call__(self, p, fig): ...\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    directory = tmp_path / "plugins"
    directory.mkdir()
    (directory / "bad.py").write_text("raise RuntimeError('<b>no</b> licence')")
    return directory


@pytest.fixture
def site(tmp_path: Path, folder: Path) -> Iterator[Served]:
    with served(tmp_path / "data", [folder]) as site:
        yield site


def test_broken_plug_ins_stand_first_with_their_reason_and_traceback(site: Served, page: Page) -> None:
    page.goto(f"{site.url}/plots")
    fault = page.locator(".fault")
    expect(fault).to_contain_text("RuntimeError: <b>no</b> licence")
    fault.get_by_text("Traceback, for its author").click()
    expect(fault.locator("pre")).to_contain_text("raise RuntimeError")
    order = page.evaluate("document.querySelector('.fault').getBoundingClientRect().top")
    assert order < page.evaluate("document.querySelector('.plots-table').getBoundingClientRect().top")


def test_plots_are_listed_with_trends_limits_and_units(site: Served, page: Page) -> None:
    page.goto(f"{site.url}/plots")
    row = page.get_by_role("row", name="Packet rate by type")
    expect(row).to_contain_text("data_rate_hz [Hz] suspect above 200 k, bad above 2 M")
    expect(row).to_contain_text("mergeable")
    expect(row).to_contain_text("built-in")
    expect(page.get_by_text("No ingest has run on this database yet")).to_be_visible()


def test_costs_failures_and_differences_to_ingest_are_said(site: Served, page: Page) -> None:
    with site.store.begin() as tx:
        plugins.found(
            tx, [Plugin(name, "built-in", name, "", "") for name in ("PacketRate", "AdcSpectrum", "Elsewhere")]
        )
        plugins.cost(tx, "PacketRate", 10, 1_000_000, 3.0)
        plugins.cost(tx, "AdcSpectrum", 10, 1_000_000, 1.0, "MemoryError: too much")
    page.goto(f"{site.url}/plots")
    expect(page.get_by_role("row", name="Packet rate by type")).to_contain_text("3 µs/packet, 75 % of all")
    first = page.locator(".plots-table tbody tr").first
    expect(first).to_contain_text("failed 1 time, last: MemoryError: too much")
    expect(page.get_by_text("which cannot draw them: Elsewhere.")).to_be_visible()
    expect(page.get_by_role("row", name="Hottest 100 pixels")).to_contain_text("ingest has not found it")


def test_a_plug_in_dropped_in_appears_when_ingest_tells(site: Served, page: Page, folder: Path) -> None:
    page.goto(f"{site.url}/plots")
    expect(page.locator("#live")).to_contain_text("live")
    (folder / "mine.py").write_text(MINE)
    with site.store.begin() as tx:
        plugins.found(tx, [Plugin("Mine", str(folder / "mine.py"), "A plot of mine", "", "")])
    expect(page.get_by_role("row", name="A plot of mine")).to_contain_text("newest file only")


def test_what_changes_while_the_page_is_on_its_way_is_on_it(site: Served, page: Page, folder: Path) -> None:
    def change_meanwhile(route: Route) -> None:
        made = route.fetch()
        if "content.children" in (route.request.post_data or "") and "Broken" in made.text():
            many_runs(site.store, 1, first=4711)
            with site.store.begin() as tx:
                plugins.found(tx, [Plugin("Mine", str(folder / "mine.py"), "A plot of mine", "", "")])
                notices.post(tx, "run", "4711")
            page.wait_for_function("document.getElementById('run-strip').innerText.includes('4711')")
        route.fulfill(response=made)

    page.goto(f"{site.url}/runs")
    expect(page.locator("#live")).to_contain_text("live")
    page.route("**/_dash-update-component*", change_meanwhile)
    page.get_by_role("link", name="Plots").click()
    expect(page.locator("#content")).to_contain_text("not installed on this web host")


def test_without_a_directory_the_page_says_how_to_add_a_plot(tmp_path: Path, page: Page) -> None:
    with served(tmp_path) as site:
        page.goto(f"{site.url}/plots")
        expect(page.get_by_text("larboard plots new MyPlot --into plugins")).to_be_visible()
        page.goto("about:blank")


def test_nothing_is_wider_than_the_window(site: Served, page: Page) -> None:
    page.goto(f"{site.url}/plots")
    page.locator(".plots-table").wait_for()
    keeps_inside(page)
