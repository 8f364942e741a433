"""From the detector down to a channel and its packets, and back up, by clicks and keys; each view is a link."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as Timeout

from dqm.results import FileReport
from dqm.store import elements, runs
from tests.browser.list_site import keeps_inside
from tests.browser.run_site import Running, reports, site_over
from tests.filling import put

pytestmark = pytest.mark.browser
SIZES = ((1366, 768), (1920, 1080), (480, 800))
IDS = re.compile(r"io_group (\d+), io_channel (\d+), chip (\d+), channel (\d+)")


@pytest.fixture(scope="module")
def some_files(tmp_path_factory: pytest.TempPathFactory) -> list[FileReport]:
    return reports(tmp_path_factory.mktemp("files"))


@pytest.fixture
def site(tmp_path: Path, some_files: list[FileReport]) -> Iterator[Running]:
    """Run 16 with one file, run 17 with another."""
    site = site_over(tmp_path / "data")
    site.settings.ingest.roots = [some_files[0].path.parents[1]]
    put(site.store, replace(some_files[2], start=some_files[2].start.replace(year=2024)), 16)  # type: ignore[union-attr]
    put(site.store, some_files[0], 17)
    site.beat()
    site.start()
    yield site
    site.close()


@pytest.fixture
def page(site: Running, page: Page) -> Page:
    """Closed before the site is, so that it has nothing to complain about."""
    return page


def painted(page: Page, level: str) -> None:
    page.locator(f".pixels[data-level='{level}'][data-painted]").wait_for()


def hovered(page: Page, x: float, y: float) -> tuple[str, str]:
    """What stands under the pointer at a place of the map: the name of the pixel, and its value."""
    page.locator(".pixels canvas").hover(position={"x": x, "y": y})
    said = page.locator(".pixel-tip").inner_text()
    ids = IDS.search(said)
    assert ids, said
    return "-".join(ids.groups()), said.split("\n")[1]


def test_clicks_lead_from_the_run_to_a_channel_and_escape_leads_back(site: Running, page: Page) -> None:
    page.goto(f"{site.url}/runs/17")
    page.locator("#to-pixels").click()
    painted(page, "detector")
    name, _ = hovered(page, 40, 60)
    for level, below in (("detector", "io_group"), ("io_group", "tile"), ("tile", "chip")):
        name, _ = hovered(page, 40, 60)
        page.locator(".pixels canvas").click(position={"x": 40, "y": 60})
        painted(page, below)
        group, channel, chip, _ = name.split("-")
        ending = {"io_group": group, "chip": f"{group}-{channel}-{chip}"}.get(below)
        if ending:
            assert f"/runs/17/{below}/{ending}?value=rate" in page.url, level
    name, _ = hovered(page, 40, 60)
    page.locator(".pixels canvas").click(position={"x": 40, "y": 60})
    page.wait_for_url(f"**/channels/{name}?run=17")
    expect(page.locator("#content h2")).to_have_text(f"Channel {name}")
    for level in ("chip", "tile", "io_group"):
        page.keyboard.press("Escape")
        painted(page, level)
    page.keyboard.press("Backspace")
    painted(page, "detector")
    page.keyboard.press("Escape")
    expect(page.locator("#to-pixels")).to_be_visible()
    assert page.url == f"{site.url}/runs/17"


def test_escape_leads_up_also_from_a_link_that_was_opened_directly(site: Running, page: Page) -> None:
    page.goto(f"{site.url}/runs/17/tile/3?value=mean")
    painted(page, "tile")
    page.keyboard.press("Escape")
    painted(page, "io_group")
    assert page.url == f"{site.url}/runs/17/io_group/1?value=mean"
    page.go_back()
    painted(page, "tile")


@pytest.mark.parametrize("width", [1366, 480])
def test_the_pixel_under_the_pointer_is_named_with_the_value_that_is_counted(
    site: Running, page: Page, width: int
) -> None:
    """Also where several pixels fall on a point of the map, as in a narrow window."""
    import numpy as np

    from dqm.detector import demo_detector
    from dqm.views.elements import counted, run_state
    from dqm.views.site import open_site
    from plots.pixel_map import values_of

    view = open_site(site.settings, site.store)
    asked = counted(view, "17", "PixelMap")
    mean = values_of(run_state(view, asked.found.plot(), asked.element, asked.live))["Mean"]  # type: ignore[arg-type]
    view.cache.close()
    detector = demo_detector()
    by_name = dict(zip(detector.labels(np.arange(len(mean))), mean.tolist(), strict=True))
    page.set_viewport_size({"width": width, "height": 500})
    page.goto(f"{site.url}/runs/17/detector?value=mean")
    painted(page, "detector")
    cell = float(page.locator(".pixels").get_attribute("data-cell") or "0")
    assert (cell < 1) is (width == 480)
    seen = set()
    for x, y in ((12, 30), (25, 41), (33, 77), (60, 90), (71, 55), (90, 88)):
        name, said = hovered(page, x, y)
        seen.add(name)
        value = by_name[name]
        if np.isnan(value):
            assert said == "no packet"
        else:
            assert float(said.removeprefix("mean ").removesuffix(" ADC")) == pytest.approx(value, rel=1e-3)
    assert len(seen) == 6


def test_the_colour_under_the_pointer_is_that_of_the_pixel(site: Running, page: Page) -> None:
    page.goto(f"{site.url}/runs/17/chip/1-5-40?value=mean")
    painted(page, "chip")
    silent = coloured = 0
    for place in range(7):
        at = (30 + 60 * place, 40 + 50 * place)
        _, said = hovered(page, *at)
        red, green, blue, _ = page.evaluate(
            """([x, y]) => { const canvas = document.querySelector('.pixels canvas');
            const ratio = canvas.width / canvas.clientWidth;
            return [...canvas.getContext('2d').getImageData(x * ratio, y * ratio, 1, 1).data]; }""",
            list(at),
        )
        if said == "no packet":
            silent += 1
            assert (red, green, blue) == (0xC9, 0xB8, 0xA3)
        else:
            coloured += 1
            assert (red, green, blue) != (0xC9, 0xB8, 0xA3)
    assert coloured


def test_the_value_is_in_the_url_and_survives_a_reload(site: Running, page: Page) -> None:
    page.goto(f"{site.url}/runs/17/tile/2")
    painted(page, "tile")
    page.locator("#value-std").click()
    page.wait_for_url("**/runs/17/tile/2?value=std")
    page.reload()
    painted(page, "tile")
    expect(page.locator("#value-std")).to_have_attribute("aria-current", "true")
    assert hovered(page, 40, 60)[1].startswith(("standard deviation ", "no packet"))
    page.keyboard.press("[")
    page.wait_for_url("**/runs/16/tile/2?value=std")
    painted(page, "tile")


def test_a_map_follows_its_run(site: Running, page: Page, some_files: list[FileReport]) -> None:
    page.goto(f"{site.url}/runs/17/detector")
    painted(page, "detector")
    expect(page.locator("#live")).to_contain_text("live")
    before = page.locator(".pixels").get_attribute("data-painted")
    with site.store.read() as tx:
        run = runs.get(tx, "17")
        assert run
        element = elements.get(tx, run.id, "PixelMap")
    assert element
    assert str(element.version) == before
    put(site.store, some_files[1], 17)
    expect(page.locator(".pixels")).not_to_have_attribute("data-painted", str(before))


def test_the_table_leads_down_without_a_mouse(site: Running, page: Page) -> None:
    page.goto(f"{site.url}/runs/17/chip/1-5-40")
    painted(page, "chip")
    rows = page.locator(".children tbody tr")
    expect(rows).to_have_count(49)
    first = rows.first.get_by_role("link")
    name = first.inner_text()
    first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/channels/{name}?run=17")


def test_a_channel_has_its_runs_registers_and_a_spectrum_when_asked(site: Running, page: Page) -> None:
    page.goto(f"{site.url}/runs/17/HotPixels")
    hottest = page.evaluate(
        "fetch('/api/v1/runs/17/elements/HotPixels/figure').then(a => a.json()).then(f => f.data[0].customdata[0])"
    )
    page.goto(f"{site.url}/channels/{hottest[0]}?run=17")
    expect(page.locator("#channel-said")).to_contain_text("in run 17, the newest that is known")
    expect(page.locator("#channel-runs tbody tr")).to_have_count(2)
    page.locator("#channel-life .main-svg").first.wait_for()
    page.locator("#channel-read").click()
    expect(page.locator("#channel-spectrum-said")).to_contain_text(f"{int(hottest[1]):,} packets; searched the file")
    page.locator("#channel-spectrum .main-svg").first.wait_for()
    expect(page.locator("#channel-read")).to_be_disabled()


def test_packets_of_a_pixel_are_shown_and_downloaded(site: Running, page: Page, tmp_path: Path) -> None:
    page.goto(f"{site.url}/runs/17/tile/3")
    painted(page, "tile")
    page.locator("#level-rows").click()
    expect(page.locator("#rows-said")).to_contain_text("100 rows; searched the first")
    expect(page.locator(".rows-table tbody tr")).to_have_count(100)
    first = [int(text) for text in page.locator(".rows-table tbody tr td:nth-child(2)").all_inner_texts()]
    with page.expect_download() as coming:
        page.locator("#rows-csv").click()
    coming.value.save_as(tmp_path / "rows.csv")
    with open(tmp_path / "rows.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [int(line["row"]) for line in lines] == first
    with page.expect_download() as coming:
        page.locator("#rows-hdf5").click()
    coming.value.save_as(tmp_path / "rows.hdf5")
    with h5py.File(tmp_path / "rows.hdf5") as file:
        assert file["origin"]["row"].tolist() == first
        assert file["packets"]["dataword"].tolist() == [int(line["dataword"]) for line in lines]
    page.locator("#rows-next").click()
    page.wait_for_url("**after=*")
    row = page.locator(".rows-table tbody tr td:nth-child(2)").first
    expect(row).not_to_have_text(str(first[0]))
    expect(page.locator(".rows-table tbody tr")).to_have_count(100)
    then = [int(text) for text in page.locator(".rows-table tbody tr td:nth-child(2)").all_inner_texts()]
    assert min(then) > max(first)


def test_a_click_on_a_bin_of_a_plot_shows_its_packets(site: Running, page: Page) -> None:
    page.goto(f"{site.url}/runs/17/AdcSpectrum")
    page.locator("#content [data-drawn] .nsewdrag").first.wait_for()
    box = page.locator("#content .nsewdrag").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.16, box["y"] + box["height"] * 0.5)
    page.locator("#content .hoverlayer .hovertext").first.wait_for()
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**/runs/17/rows?plot=AdcSpectrum&*")
    said = page.locator(".rows-page .run-head .weak").inner_text()
    found = re.fullmatch(r"packet_type 0, valid_parity 1, io_group (\d), dataword (\d+)", said)
    assert found, said
    page.locator(".rows-table tbody tr").first.wait_for()
    adc = page.locator(".rows-table tbody tr td:nth-child(9)").all_inner_texts()
    assert set(adc) == {found[2]}
    page.keyboard.press("Escape")
    page.wait_for_url("**/runs/17/AdcSpectrum")


def test_a_click_on_a_cell_of_a_heat_map_shows_its_packets(site: Running, page: Page) -> None:
    page.goto(f"{site.url}/runs/17/TileRate")
    page.locator("#content [data-drawn] .nsewdrag").first.wait_for()
    box = page.locator("#content .nsewdrag").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.5)
    page.locator("#content .hoverlayer .hovertext").first.wait_for()
    tile = re.match(r"tile (\d+)", page.locator("#content .hoverlayer .hovertext").first.text_content() or "")
    assert tile
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**/runs/17/rows?plot=TileRate&*")
    said = page.locator(".rows-page .run-head .weak").inner_text()
    assert re.fullmatch(rf"packet_type 0, valid_parity 1, tile {tile[1]}, unix_time \d+", said), said
    page.locator(".rows-table tbody tr").first.wait_for()


def test_a_click_on_the_map_of_all_pixels_leads_to_its_io_group(site: Running, page: Page) -> None:
    page.goto(f"{site.url}/runs/17/PixelMap")
    page.locator("#content [data-drawn] .nsewdrag").nth(2).wait_for()
    for place in range(60, 75):  # a pixel without a packet says nothing
        page.locator("#content .nsewdrag").nth(2).hover(position={"x": place, "y": place})
        with suppress(Timeout):
            page.locator("#content .hoverlayer .hovertext").first.wait_for(timeout=1000)
            break
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**/runs/17/io_group/3")
    painted(page, "io_group")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/runs/99/detector", "There is no run 99"),
        ("/runs/17/io_group/9", "There is no io_group 9 in demo; its io_groups are 1 to 4."),
        ("/runs/17/tile/77", "There is no tile 77 in demo; its tiles are 1 to 16."),
        ("/runs/17/chip/1-1-300", "There is no chip 300: chips go from 0 to 255."),
        ("/channels/1-1-11-64?run=17", "There is no channel 64: channels go from 0 to 63."),
        ("/channels/%3Cimg%20src=x%3E?run=17", "“<img src=x>” names no channel"),
        ("/runs/17/detector?value=charge", "“charge” is no value of a map: known are rate, mean, std."),
        ("/runs/17/rows?where=x:1", "“x:1” is no condition"),
        ("/runs/17/rows?where=io_group:200", "No packet of run 17 fits"),
        ("/runs/99/rows", "There is no run 99"),
    ],
)
def test_what_there_is_not_is_said_in_a_sentence(site: Running, page: Page, path: str, sentence: str) -> None:
    page.goto(f"{site.url}{path}")
    expect(page.locator("#content")).to_contain_text(sentence)


def test_a_map_that_cannot_be_fetched_says_so_and_comes_by_itself(site: Running, chromium: Browser) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.route("**/pixels?value=*", lambda route: route.abort())
    page.goto(f"{site.url}/runs/17/detector")
    expect(page.locator(".not-fetched")).to_contain_text("The map could not be fetched since")
    page.unroute("**/pixels?value=*")
    page.get_by_role("button", name="Try again").click()
    painted(page, "detector")
    expect(page.locator(".not-fetched")).to_have_count(0)
    context.close()


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/runs/17/detector", ".pixels[data-painted]"),
        ("/runs/17/tile/3", ".pixels[data-painted]"),
        ("/channels/1-5-40-12?run=17", "#channel-runs tbody tr"),
        ("/runs/17/rows", ".rows-table tbody tr"),
    ],
)
def test_nothing_is_wider_than_the_window(site: Running, page: Page, path: str, there: str) -> None:
    page.goto(f"{site.url}{path}")
    page.locator(there).first.wait_for()
    keeps_inside(page, SIZES)
