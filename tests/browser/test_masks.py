"""What if: channels are left out by names, ticks, marks on maps and pasted JSON, and every link shows the same again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.run_site import Running, site_over
from tests.filling import fill

pytestmark = pytest.mark.browser

ANEW_MS = 60_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("masks")
    made = site_over(folder)
    made.settings.ingest.roots = [folder]
    fill(made.store, folder, run=17, seconds=4)
    made.start()
    yield made
    made.close()


@pytest.fixture
def panel(page: Page, running: Running) -> Locator:
    page.goto(f"{running.url}/runs/17")
    page.locator("#what-if > summary").click()
    return page.locator("#what-if")


def mask_of(page: Page) -> str:
    found = re.search(r"mask=(\w+)", page.url)
    return found[1] if found else ""


def words(page: Page, plot: str) -> Locator:
    return page.locator(f"#tile-{plot} .mask-words")


def drawn_without(page: Page, plot: str) -> None:
    """Its figure is drawn, and that of the mask of the address."""
    expect(page.locator(f"#tile-{plot} .figure[data-figure$='mask={mask_of(page)}'][data-drawn]")).to_have_count(1)


def test_without_its_hot_pixels_a_run_is_not_hot_and_undo_brings_them_back(page: Page, panel: Locator) -> None:
    expect(panel).to_contain_text("Nothing is left out.")
    expect(page.locator("#tile-HotPixels .verdict.bad")).to_have_count(1)
    panel.get_by_role("button", name="Hot pixels of this run").click()
    expect(panel.locator("> summary")).to_contain_text("MASKED 5 channels of 5 chips")
    expect(words(page, "HotPixels")).to_have_text("MASKED 5 channels of 5 chips left out")
    expect(page.locator("#tile-HotPixels .verdict")).to_have_count(0)
    page.locator("#tile-HotPixels").scroll_into_view_if_needed()
    drawn_without(page, "HotPixels")
    panel.get_by_role("button", name="Undo").click()
    expect(page.locator(".mask-words")).to_have_count(0)
    expect(page.locator("#tile-HotPixels .verdict.bad")).to_have_count(1)
    assert not mask_of(page)


def test_what_its_sums_cannot_tell_is_unmasked_until_it_is_counted_anew(page: Page, panel: Locator) -> None:
    page.locator("#what-if-name").fill("1-1-11")
    page.locator("#what-if-name").press("Enter")
    expect(words(page, "AdcSpectrum")).to_contain_text("UNMASKED counting without them: 0 of 1 file")
    expect(words(page, "PixelMap")).to_have_text("MASKED 64 channels of 1 chip left out")
    anew = "MASKED 64 channels of 1 chip left out, counted anew from 1 file"
    expect(words(page, "AdcSpectrum")).to_have_text(anew, timeout=ANEW_MS)
    page.locator("#tile-AdcSpectrum").scroll_into_view_if_needed()
    drawn_without(page, "AdcSpectrum")


def test_a_link_shows_the_same_again_on_the_run_and_on_its_enlarged_plots(page: Page, panel: Locator) -> None:
    panel.get_by_role("button", name="Hot pixels of this run").click()
    expect(panel.locator("> summary")).to_contain_text("MASKED")
    page.reload()
    expect(panel.locator("> summary")).to_contain_text("MASKED 5 channels of 5 chips")
    page.locator("#tile-HotPixels h3 a").click()
    expect(page).to_have_url(re.compile(r"/runs/17/HotPixels\?mask="))
    expect(page.locator(".enlarged .mask-words")).to_have_text("MASKED 5 channels of 5 chips left out")
    expect(panel.locator("> summary")).to_contain_text("MASKED 5 channels")
    page.locator("#up").click()
    expect(page).to_have_url(re.compile(r"/runs/17\?mask="))
    expect(words(page, "HotPixels")).to_have_text("MASKED 5 channels of 5 chips left out")
    panel.get_by_role("button", name="Clear").click()
    expect(panel).to_contain_text("Nothing is left out.")
    assert not mask_of(page)


def test_channels_are_ticked_and_unticked_by_keyboard_alone(page: Page, panel: Locator) -> None:
    name = page.locator("#what-if-name")
    name.focus()
    page.keyboard.type("1-1-11")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # show its channels
    chip = page.locator("#chip-1-1-11")
    expect(chip.locator("summary")).to_be_focused()
    expect(chip.locator("input")).to_have_count(65)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # channel 0
    expect(chip.locator("summary")).to_have_text("chip 1-1-11 1 left out: 0")
    expect(panel.locator("> summary")).to_contain_text("MASKED 1 channel of 1 chip")
    expect(chip.locator("input[value='0']")).to_be_focused()
    page.keyboard.press("Space")
    expect(chip.locator("summary")).to_have_text("chip 1-1-11 all counted")
    expect(page.locator(".mask-words")).to_have_count(0)


def test_a_lasso_on_a_map_and_a_box_on_bars_leave_channels_out(page: Page, panel: Locator) -> None:
    panel.get_by_role("button", name="lasso").click()
    place = page.locator("#tile-PixelMap .figure")
    place.evaluate("it => it.scrollIntoView({block: 'center'})")
    expect(page.locator("#tile-PixelMap .figure[data-drawn] .nsewdrag").first).to_be_attached()
    place.evaluate("it => it.scrollIntoView({block: 'center'})")
    first = page.locator("#tile-PixelMap .nsewdrag").first.bounding_box()
    assert first
    x, y = first["x"] + first["width"] / 2, first["y"] + first["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for dx, dy in ((40, 0), (40, 40), (0, 40), (0, 5)):
        page.mouse.move(x + dx, y + dy, steps=4)
    page.mouse.up()
    expect(words(page, "PixelMap")).to_contain_text(re.compile(r"MASKED \d+ channels of \d+ chips left out"))
    drawn_without(page, "PixelMap")
    chips = panel.locator(".chips > details > summary b").all_inner_texts()
    assert chips
    assert all(chip.startswith("chip 1-") for chip in chips)  # of the first plane
    panel.get_by_role("button", name="Clear").click()
    panel.get_by_role("button", name="box").click()
    page.locator("#tile-HotPixels").evaluate("it => it.scrollIntoView({block: 'center'})")
    bars = page.locator("#tile-HotPixels .nsewdrag").first
    expect(bars).to_be_attached()
    box = bars.bounding_box()
    assert box
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.032 * box["width"], box["y"] + box["height"] - 2, steps=8)
    page.mouse.up()
    expect(panel.locator("> summary")).to_contain_text(re.compile(r"MASKED [2-4] channels"))


def test_the_export_is_what_is_left_out_and_can_be_pasted_again(page: Page, panel: Locator, running: Running) -> None:
    panel.get_by_role("button", name="Hot pixels of this run").click()
    link = panel.get_by_role("link", name="Export JSON")
    expect(link).to_have_attribute("data-there", "yes")
    with page.expect_download() as coming:
        link.click()
    text = Path(coming.value.path()).read_text()
    assert sum(map(len, json.loads(text).values())) == 5
    with page.expect_download() as coming:
        panel.get_by_role("link", name="Export CSV").click()
    assert len(Path(coming.value.path()).read_text().splitlines()) == 6
    with urlopen(f"{running.url}/api/v1/masks/{mask_of(page)}") as answer:
        assert answer.read().decode() == text
    before = mask_of(page)
    panel.get_by_role("button", name="Clear").click()
    panel.get_by_text("Paste JSON").click()
    page.get_by_label("Disabled-channel JSON").fill(text)
    panel.get_by_role("button", name="Use it").click()
    expect(page).to_have_url(re.compile(f"mask={before}"))


def test_what_is_wrong_in_a_pasted_mask_is_named_and_the_rest_is_used(page: Page, panel: Locator) -> None:
    panel.get_by_text("Paste JSON").click()
    page.get_by_label("Disabled-channel JSON").fill('{"1-1-11": [7, 70], "99-1-12": [1]}')
    panel.get_by_role("button", name="Use it").click()
    said = page.locator("#what-if-said")
    expect(said).to_contain_text("1-1-11: expected channels from 0 to 63, got 70")
    expect(said).to_contain_text("1 channel is not known here: 99-1-12-1")
    expect(panel.locator("> summary")).to_contain_text("MASKED 1 channel of 1 chip")


def test_a_link_to_a_mask_that_is_not_there_shows_the_run_and_says_so(page: Page, running: Running) -> None:
    page.goto(f"{running.url}/runs/17?mask=<img src=x>")
    expect(page.locator("#what-if")).to_contain_text("There is no mask <img src=x>")
    expect(page.locator("#tile-HotPixels .verdict.bad")).to_have_count(1)
