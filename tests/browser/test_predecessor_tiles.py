"""A figure of matplotlib on a run page: a picture on a white sheet in both themes, large when it is enlarged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.run_site import Running
from tests.ingest.watching import Site, take

pytestmark = pytest.mark.browser

PLUGIN = """
import matplotlib.pyplot as plt

class ChipPlot(object):
    def __call__(self, filename, fh, fig=None):
        fig = plt.figure(figsize=(9, 4))
        plt.hist(fh['packets']['chip_id'], color='#ff00aa', label='chips')
        plt.xlabel('chip')
        plt.legend()
        return fig

class TallPlot(object):
    def __call__(self, filename, fh, fig=None):
        return plt.figure(figsize=(6, 18))
"""
WHITE = "rgb(255, 255, 255)"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "theirs.py").write_text(PLUGIN)
    site = Site(folder, plugins=[folder / "plugins"])
    take(site.root, raw=False)
    site.settle()
    assert site.elements("5")["ChipPlot"].state == "ok"
    running = Running(site.settings, site.store)
    running.start()
    yield running.url
    running.stop()
    site.store.close()


def tile(page: Page, plot: str) -> Locator:
    found = page.locator(f'[data-figure*="/{plot}/"]').first
    found.scroll_into_view_if_needed()
    expect(found.locator("image")).to_have_count(1, timeout=20_000)
    return found


def picture(figure: Locator) -> dict:
    """The picture that is drawn: its own size when it is loaded [pixels], its place, and the colour of its sheet."""
    return figure.evaluate(
        """async (figure) => {
            const image = figure.querySelector("image"), loaded = new Image();
            loaded.src = image.href.baseVal;
            await loaded.decode();
            const { width, height, left, right } = image.getBoundingClientRect(), place = figure.getBoundingClientRect();
            return {
                source: loaded.src.slice(0, 26), own: [loaded.naturalWidth, loaded.naturalHeight], width, height,
                inside: left >= place.left - 1 && right <= place.right + 1,
                sheet: getComputedStyle(figure.querySelector(".main-svg")).backgroundColor,
            };
        }"""
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_tile_shows_the_picture_on_a_white_sheet_in_both_themes(theme: str, url: str, page: Page) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.goto(f"{url}/runs/5")
    seen = picture(tile(page, "ChipPlot"))
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert seen["source"] == "data:image/svg+xml;base64,"
    assert seen["own"][0] / seen["own"][1] == pytest.approx(9 / 4, rel=0.02)
    assert seen["inside"]
    assert seen["sheet"] == WHITE


def test_a_tall_picture_has_a_row_of_its_own_and_others_do_not(url: str, page: Page) -> None:
    page.goto(f"{url}/runs/5")
    wide = [
        tile(page, plot).locator("xpath=ancestor::*[@data-wide]").get_attribute("data-wide")
        for plot in ("TallPlot", "ChipPlot")
    ]
    assert wide == ["yes", "no"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_enlarged_the_picture_fills_the_page_in_its_own_shape(theme: str, url: str, page: Page) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.goto(f"{url}/runs/5")
    small = picture(tile(page, "ChipPlot"))
    page.goto(f"{url}/runs/5/ChipPlot")
    large = picture(tile(page, "ChipPlot"))
    assert large["width"] > 1.5 * small["width"]
    assert large["inside"]
    assert large["sheet"] == WHITE
