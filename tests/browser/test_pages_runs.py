"""The runs page: ten thousand runs, filters and order that survive a reload, and what stands there when nothing does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dqm.store import runs
from tests.browser.list_site import Served, keeps_inside, many_runs, served

pytestmark = pytest.mark.browser

ROWS = ".ag-center-cols-container .ag-row:not(.ag-row-loading)"
KEYS = ".ag-pinned-left-cols-container a"
TEN_THOUSAND = 10_000


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("many")) as site:
        many_runs(site.store, TEN_THOUSAND)
        yield site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as site:
        yield site


def test_ten_thousand_runs_are_there_at_once_and_scroll(page: Page, many: Served) -> None:
    page.goto(f"{many.url}/runs")
    expect(page.locator("#runs-found")).to_have_text("10,000 runs")
    expect(page.locator(KEYS).first).to_have_text("10000")
    page.evaluate("document.querySelector('.ag-body-viewport').scrollTop = 200000")
    expect(page.locator(KEYS).first).to_have_text(re.compile(r"^4\d\d\d$"))


def test_filters_stand_in_the_url_and_survive_reload_and_back(page: Page, many: Served) -> None:
    page.goto(f"{many.url}/runs")
    page.locator("#runs-search").fill("hot")
    expect(page.locator("#runs-found")).to_have_text("200 runs fit")
    expect(page).to_have_url(f"{many.url}/runs?search=hot")
    expect(page.locator("#runs-search")).to_be_focused()
    page.reload()
    expect(page.locator("#runs-found")).to_have_text("200 runs fit")
    expect(page.locator("#runs-search")).to_have_value("hot")
    page.locator(KEYS).first.click()
    expect(page).to_have_url(f"{many.url}/runs/10000")
    page.go_back()
    expect(page.locator("#runs-found")).to_have_text("200 runs fit")
    expect(page.locator("#runs-search")).to_have_value("hot")
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.locator("#runs-found")).to_have_text("10,000 runs")
    expect(page.locator("#runs-search")).to_have_value("")


def test_a_link_with_every_filter_shows_just_that(page: Page, many: Served) -> None:
    page.goto(
        f"{many.url}/runs?search=hot&category=physics&quality=good&since=2020-01-01&until=2100-01-01&order=packets"
    )
    expect(page.locator("#runs-found")).to_have_text("66 runs fit")
    expect(page.locator(KEYS).first).to_have_text("150")
    expect(page.locator("#runs-since")).to_have_value("2020-01-01")
    page.locator("#runs-clear").click()
    expect(page.locator("#runs-found")).to_have_text("10,000 runs")
    expect(page).to_have_url(f"{many.url}/runs?order=packets")


def test_a_click_on_a_column_sorts_in_the_database_and_in_the_url(page: Page, many: Served) -> None:
    page.goto(f"{many.url}/runs")
    page.get_by_role("columnheader", name="Packets").click()
    page.get_by_role("columnheader", name="Packets").click()
    expect(page.locator(KEYS).first).to_have_text("1")
    expect(page).to_have_url(f"{many.url}/runs?order=packets")
    page.reload()
    expect(page.locator(KEYS).first).to_have_text("1")


def test_enter_opens_the_run_of_the_row(page: Page, many: Served) -> None:
    page.goto(f"{many.url}/runs")
    page.locator(f"{ROWS} .ag-cell").first.click()
    expect(page.locator('.ag-row[row-index="0"] .ag-cell-focus')).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator('.ag-row[row-index="1"] .ag-cell-focus')).to_be_visible()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{many.url}/runs/9999")


def test_a_new_run_appears_by_itself_and_the_place_stays(site: Served, page: Page) -> None:
    many_runs(site.store, 300)
    page.goto(f"{site.url}/runs")
    expect(page.locator("#runs-found")).to_have_text("300 runs")
    expect(page.locator("#live")).to_contain_text("live")
    page.evaluate("document.querySelector('.ag-body-viewport').scrollTop = 3400")
    expect(page.locator(KEYS).first).to_have_text(re.compile(r"^2\d\d$"))
    with site.store.begin() as tx:
        runs.ensure(tx, "999", 999, "physics", [])
    expect(page.locator("#runs-found")).to_have_text("301 runs")
    assert page.evaluate("document.querySelector('.ag-body-viewport').scrollTop") == 3400
    page.evaluate("document.querySelector('.ag-body-viewport').scrollTop = 0")
    expect(page.locator(KEYS).first).to_have_text("999")


def test_without_runs_the_page_says_what_to_do_and_the_first_run_takes_its_place(site: Served, page: Page) -> None:
    page.goto(f"{site.url}/runs")
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    expect(page.get_by_text("larboard watch")).to_be_visible()
    expect(page.locator("#live")).to_contain_text("live")
    with site.store.begin() as tx:
        runs.ensure(tx, "7", 7, "physics", [])
    expect(page.locator("#runs-found")).to_have_text("1 run")
    expect(page.locator(KEYS)).to_have_text("7")


def test_when_no_run_fits_the_filters_can_be_cleared(page: Page, many: Served) -> None:
    page.goto(f"{many.url}/runs?search=nothing+like+it")
    expect(page.get_by_role("heading", name="No run fits")).to_be_visible()
    page.locator(".empty-state button").click()
    expect(page.locator("#runs-found")).to_have_text("10,000 runs")
    expect(page).to_have_url(f"{many.url}/runs")
    expect(page.locator(KEYS).first).to_be_visible()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("since=garbage", "“garbage” is no date"),
        ("quality=<script>alert(1)</script>", "“<script>alert(1)</script>” is no verdict"),
        ("order=;drop table runs", "is no column to sort by"),
        ("since=2030-01-01&until=2020-01-01", "The first day is after the last one"),
        ("since=99999999999999999999", "is no date"),
    ],
)
def test_a_query_that_nobody_understands_is_said_in_words(page: Page, many: Served, query: str, said: str) -> None:
    page.goto(f"{many.url}/runs?{query}")
    expect(page.locator("#runs-problems")).to_contain_text(said)
    expect(page.locator("#runs-found")).to_have_text(re.compile("runs$|No run fits"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(page: Page, many: Served, theme: str) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.goto(f"{many.url}/runs")
    page.locator(KEYS).first.wait_for()
    keeps_inside(page)
    ground = page.locator(".ag-root-wrapper").evaluate("e => getComputedStyle(e).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 21, 23)"}[theme]
