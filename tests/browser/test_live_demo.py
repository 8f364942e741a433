"""The live demo as a whole: a detector takes data, the ingest reads them, a browser shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.postgresql import free_port
from tests.services import newest_run, running, until

pytestmark = pytest.mark.browser

PLUGIN = """
import numpy as np
from plots.base import MergeablePlot, Trend, tally
from plots.drawing import axes, steps


class ChannelsOfAll(MergeablePlot):
    title = "Data packets of each channel number"
    group = "Mine"
    fields = ("channel_id",)

    def count(self, packets):
        return {"n": tally((64,), packets.data["channel_id"])}

    def draw(self, state, fig):
        steps(fig, np.arange(64), state["n"], "all chips", "#0072B2")
        axes(fig, x="channel [id]", y="data packets")

    def trends(self, state):
        return {"busiest": Trend(int(state["n"].max()), "packets")}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The demo, started as a user starts it."""
    port = free_port()
    with running("demo", "--data", "demo", "--port", port, "--speed", 2, cwd=folder) as demo:
        demo.wait_for(f"Larboard is at http://127.0.0.1:{port}")
        until(lambda: newest_run(port)["packets"])
        yield f"http://127.0.0.1:{port}"


def test_a_run_page_fills_while_the_run_goes_on(page: Page, address: str) -> None:
    page.goto(f"{address}/runs/1")
    rate = page.locator("#tile-IoGroupRate .figure")
    expect(rate.locator(".main-svg").first).to_be_visible()
    points = "document.querySelector('#tile-IoGroupRate .js-plotly-plot').data[0]?.x?.length ?? 0"
    page.evaluate("window.never_reloaded = true")
    before = page.evaluate(points)
    page.wait_for_function(f"({points}) > {before} + 2")
    assert page.evaluate("window.never_reloaded")


def test_raw_and_packet_files_come_and_are_counted_once(page: Page, address: str) -> None:
    page.goto(f"{address}/files")
    expect(page.get_by_text("SAME DATA").first).to_be_visible()
    expect(page.get_by_text("DONE").first).to_be_visible()


def test_a_plug_in_that_is_dropped_in_is_on_the_page_without_a_restart(page: Page, address: str, folder: Path) -> None:
    page.goto(f"{address}/runs/1")
    expect(page.locator("#tile-IoGroupRate")).to_be_visible()
    (folder / "demo/plugins/channels.py").write_text(PLUGIN)
    tile = page.locator("#tile-ChannelsOfAll")
    expect(tile).to_be_visible()
    tile.scroll_into_view_if_needed()
    expect(tile.locator(".main-svg").first).to_be_visible()
    expect(tile).to_contain_text("Data packets of each channel number")


def test_a_broken_plug_in_shows_its_reason_on_its_own_tile(page: Page, address: str, folder: Path) -> None:
    page.goto(f"{address}/runs/1")
    expect(page.locator("#tile-IoGroupRate")).to_be_visible()
    (folder / "demo/plugins/no_good.py").write_text("import there_is_no_such_library\n")
    tile = page.locator("#tile-no_good")
    expect(tile).to_contain_text("BROKEN")
    expect(tile).to_contain_text("No module named 'there_is_no_such_library'")
    (folder / "demo/plugins/no_good.py").unlink()
    expect(tile).to_have_count(0)


def test_by_keyboard_alone_from_the_board_to_a_plot(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator("main")).to_contain_text("Run 1")
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.locator(".ag-row").first).to_be_visible()
    for _ in range(40):  # to the table, however many filters there are before it
        page.keyboard.press("Tab")
        if page.evaluate("!!document.activeElement.closest('.ag-cell, .ag-row')"):
            break
        if page.evaluate("!!document.activeElement.closest('.ag-header-cell')"):
            page.keyboard.press("ArrowDown")
            break
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/runs/\d+$"))
    expect(page.locator(".tile").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("e")
    expect(page).to_have_url(re.compile(r"/runs/\d+/\w+$"))
    expect(page.locator(".figure .main-svg").first).to_be_visible()
