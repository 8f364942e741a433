"""The trends page: choosing, ranges and zoom in the URL, points that lead to their run, CSV, live."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dqm.records import TrendValue
from dqm.store import runs, trends
from tests.browser.list_site import Served, keeps_inside, served, steady_trends

pytestmark = pytest.mark.browser

RATE, PARITY = "PacketRate.data_rate_hz", "ParityErrors.invalid_parity_fraction"
DRAWN = "#trend-graph .js-plotly-plot .scatterlayer .trace"
POINTS = "document.querySelector('#trend-graph .js-plotly-plot').data[0].y.length"


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("steady")) as site:
        steady_trends(site.store, spike=100)
        yield site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as site:
        yield site


def test_a_first_visit_shows_rate_and_parity_of_the_last_day(page: Page, steady: Served) -> None:
    page.goto(f"{steady.url}/trends")
    expect(page.locator("#trend-legend li")).to_have_text([re.compile("data rate"), re.compile("invalid parity")])
    expect(page.locator(DRAWN).first).to_be_visible()
    expect(page.locator("#trend-remarks")).to_contain_text("5 of 200 files gave no value: live time below 1 s")
    expect(page.get_by_text("bad above 2 MHz")).to_be_visible()
    expect(page.get_by_text("time (UTC)")).to_be_visible()
    assert page.evaluate("document.querySelectorAll('.modebar-btn[data-attr=sendChartToCloud]').length") == 0


def test_choices_and_range_stand_in_the_url_and_survive_a_reload(page: Page, steady: Served) -> None:
    page.goto(f"{steady.url}/trends")
    expect(page.locator("#trend-legend li")).to_have_count(2)
    page.get_by_label("invalid parity fraction").uncheck()
    expect(page.locator("#trend-legend li")).to_have_count(1)
    page.get_by_text("last hour").click()
    expect(page).to_have_url(f"{steady.url}/trends?name={RATE}&since=1h")
    expect(page.locator("#trend-legend")).to_contain_text(re.compile("(59|60|61) files"))
    page.reload()
    expect(page.locator("#trend-legend")).to_contain_text(re.compile("(59|60|61) files"))
    expect(page.get_by_label("invalid parity fraction")).not_to_be_checked()


def test_names_may_stand_one_by_one(page: Page, steady: Served) -> None:
    page.goto(f"{steady.url}/trends?name={RATE}&name={PARITY}&since=7d")
    expect(page.locator("#trend-legend li")).to_have_count(2)


def test_nothing_chosen_says_what_to_do(page: Page, steady: Served) -> None:
    page.goto(f"{steady.url}/trends?name=none")
    expect(page.get_by_role("heading", name="Choose a trend on the left")).to_be_visible()
    page.get_by_label("invalid parity fraction").check()
    expect(page.locator("#trend-legend li")).to_have_count(1)
    expect(page.locator(DRAWN).first).to_be_visible()


def test_the_list_is_searched(page: Page, steady: Served) -> None:
    page.goto(f"{steady.url}/trends")
    page.locator("#trend-search").fill("parity")
    expect(page.get_by_label("data rate")).to_be_hidden()
    expect(page.get_by_label("invalid parity fraction")).to_be_visible()
    page.locator("#trend-search").fill("nothing like it")
    expect(page.locator("#trend-none")).to_have_text("No trend fits these words.")


def test_dragging_zooms_in_the_url_a_reload_keeps_it_and_a_button_ends_it(page: Page, steady: Served) -> None:
    page.goto(f"{steady.url}/trends?name={RATE}")
    page.locator(DRAWN).first.wait_for()
    box = page.locator("#trend-graph .nsewdrag").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.98, box["y"] + 42, steps=5)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"zoom=.+~.+"))
    expect(page.locator("#trend-legend")).to_contain_text(re.compile(r" (\d\d|1[01]\d) files"))
    page.reload()
    expect(page.locator("#trend-legend")).to_contain_text(re.compile(r" (\d\d|1[01]\d) files"))
    page.locator("#trend-whole").click()
    expect(page.locator("#trend-legend")).to_contain_text("200 files")
    expect(page).not_to_have_url(re.compile("zoom"))


def test_a_click_on_a_point_opens_its_run(page: Page, steady: Served) -> None:
    page.goto(f"{steady.url}/trends?name={RATE}&since=6h")
    page.locator(DRAWN).first.wait_for()
    marker = page.locator("#trend-graph .scatterlayer .trace").nth(1).locator("path.point").bounding_box()
    assert marker, "the spike has a mark of its own"
    x, y = marker["x"] + marker["width"] / 2, marker["y"] + marker["height"] / 2
    page.mouse.move(x, y)
    expect(page.locator(".hoverlayer")).to_contain_text("3,000,000 Hz")
    page.mouse.down()
    page.mouse.up()
    expect(page).to_have_url(f"{steady.url}/runs/50017")


def test_with_shift_a_click_on_a_point_opens_the_packets_of_its_file(page: Page, steady: Served) -> None:
    page.goto(f"{steady.url}/trends?name={RATE}&since=6h")
    page.locator(DRAWN).first.wait_for()
    marker = page.locator("#trend-graph .scatterlayer .trace").nth(1).locator("path.point").bounding_box()
    assert marker
    page.mouse.move(marker["x"] + marker["width"] / 2, marker["y"] + marker["height"] / 2)
    expect(page.locator(".hoverlayer")).to_contain_text("shift-click: its packets")
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.up()
    page.keyboard.up("Shift")
    expect(page).to_have_url(re.compile(r"/runs/50017/rows\?file=\d+$"))
    expect(page.locator("#content")).to_contain_text("is none of those that are counted for run 50017")


def test_what_is_shown_is_downloaded_as_csv(page: Page, steady: Served) -> None:
    page.goto(f"{steady.url}/trends?name={RATE}&since=all")
    page.locator(DRAWN).first.wait_for()
    with page.expect_download() as download:
        page.locator("#trend-csv").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert len(rows) == 200
    assert rows[100]["value"] == "3000000.0"
    assert (rows[0]["trend"], rows[0]["unit"], rows[0]["run"]) == (RATE, "Hz", "50017")
    assert rows[50]["value"] == ""


def test_times_are_in_the_zone_that_is_chosen(page: Page, steady: Served) -> None:
    page.goto(f"{steady.url}/trends")
    expect(page.get_by_text("time (UTC)")).to_be_visible()
    page.locator("#zone-switch").click()
    expect(page.get_by_text("time (America/Chicago)")).to_be_visible()
    page.reload()
    expect(page.get_by_text("time (America/Chicago)")).to_be_visible()


def test_a_new_file_appears_by_itself(site: Served, page: Page) -> None:
    steady_trends(site.store, n=20)
    page.goto(f"{site.url}/trends?name={RATE}")
    page.locator(DRAWN).first.wait_for()
    expect(page.locator("#live")).to_contain_text("live")
    assert page.evaluate(POINTS) == 20
    with site.store.begin() as tx:
        run = runs.get(tx, "50017")
        assert run
        trends.save(tx, "PacketRate", 999, run.id, time.time(), None, {"data_rate_hz": TrendValue(1.0, "Hz")})
        runs.recount(tx, run.id)
    page.wait_for_function(f"{POINTS} === 21")


def test_without_files_in_the_range_the_newest_is_named_and_all_can_be_shown(site: Served, page: Page) -> None:
    with site.store.begin() as tx:
        run = runs.ensure(tx, "7", 7, "physics", [])
        trends.save(tx, "PacketRate", 1, run, 1_720_000_000, None, {"data_rate_hz": TrendValue(10.0, "Hz")})
    page.goto(f"{site.url}/trends")
    expect(page.get_by_role("heading", name="No file in this range of time")).to_be_visible()
    expect(page.locator(".empty-state time")).to_contain_text("2024")
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#trend-legend li")).to_have_count(1)
    expect(page).to_have_url(re.compile("since=all"))


def test_without_any_trend_the_page_says_when_they_come(site: Served, page: Page) -> None:
    page.goto(f"{site.url}/trends")
    expect(page.get_by_role("heading", name="No trends yet")).to_be_visible()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("since=garbage", "“garbage” is no range of time"),
        ("since=7d&until=<script>", "“<script>” is no date"),
        ("name=<img src=x onerror=alert(1)>", "No file has given a trend called “<img src=x onerror=alert(1)>”"),
        ("zoom=1~2~3", "“1~2~3” is no part of a range of time"),
        ("since=2024-07-08&until=2020-01-01", "The end is before the start"),
    ],
)
def test_a_query_that_nobody_understands_is_said_in_words(page: Page, steady: Served, query: str, said: str) -> None:
    page.goto(f"{steady.url}/trends?{query}")
    expect(page.locator("#trend-problems")).to_contain_text(said)


def test_nothing_is_wider_than_the_window(page: Page, steady: Served) -> None:
    page.goto(f"{steady.url}/trends")
    page.locator(DRAWN).first.wait_for()
    keeps_inside(page)
