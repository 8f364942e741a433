"""The site in a real browser: pages show what the store holds, and follow it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from dqm.records import ElementState
from dqm.results import FileReport
from dqm.store import runs
from tests.browser.conftest import is_local
from tests.browser.list_site import keeps_inside
from tests.browser.run_site import Running, reports, site_over
from tests.filling import put

pytestmark = pytest.mark.browser
SIZES = ((1366, 768), (1920, 1080), (480, 800))
PLUGIN = """
from plots.base import Plot
class Mine(Plot):
    title = "A plot of mine"
    fields = ("packet_type",)
    def __call__(self, packets, fig): ...
"""


@pytest.fixture(scope="session")
def some_files(tmp_path_factory: pytest.TempPathFactory) -> list[FileReport]:
    return reports(tmp_path_factory.mktemp("files"))


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    made = tmp_path / "plugins"
    made.mkdir()
    return made


@pytest.fixture
def empty_site(tmp_path: Path, plugins: Path) -> Iterator[Running]:
    site = site_over(tmp_path / "data", [plugins])
    site.start()
    yield site
    site.close()


@pytest.fixture
def site(empty_site: Running, some_files: list[FileReport]) -> Running:
    """Run 17 with one file, and an older run 16 with the other."""
    put(empty_site.store, replace(some_files[2], start=some_files[2].start.replace(year=2024)), 16)  # type: ignore[union-attr]
    put(empty_site.store, some_files[0], 17)
    empty_site.beat()
    return empty_site


@pytest.fixture
def page(empty_site: Running, page: Page) -> Page:
    """Closed before the site is, so that it has nothing to complain about."""
    return page


@pytest.fixture
def hardy_page(empty_site: Running, chromium: Browser) -> Iterator[Page]:
    """A page that may be refused what it asks for, which a browser logs as an error."""
    context = chromium.new_context(viewport={"width": 1366, "height": 768})
    page = context.new_page()
    foreign: list[str] = []
    page.on("request", lambda request: None if is_local(request.url) else foreign.append(request.url))
    yield page
    context.close()
    assert foreign == []


def tile(page: Page, plot: str):
    return page.locator(f"#tile-{plot}")


def drawn(page: Page, plot: str):
    """The tile of a plot, with its figure drawn."""
    one = tile(page, plot)
    one.scroll_into_view_if_needed()
    expect(one.locator(".main-svg").first).to_be_visible()
    return one


def opened(page: Page, site: Running, path: str = "/") -> Page:
    page.goto(site.url + path)
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator(".skeleton")).to_have_count(0)
    return page


def figures_asked(page: Page, act: Callable[[], None]) -> list[str]:
    """Names of the plots whose figures are asked for while `act` runs."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if found := re.search(r"/elements/(\w+)/figure", request.url):
            asked.append(found[1])

    page.on("request", note)
    act()
    page.remove_listener("request", note)
    return asked


# pages show what the store holds


def test_the_board_says_what_is_wrong_since_when_and_who_is_called(page: Page, site: Running) -> None:
    opened(page, site)
    expect(page.locator(".banner")).to_contain_text("Run 17")
    expect(page.locator(".banner")).to_contain_text("RUNNING")
    line = page.locator(".line").filter(has_text="Fraction of data packets with invalid parity")
    expect(line).to_contain_text(re.compile(r"SUSPECT.*: 0\.000\d+, above 0\.0001 \(suspect\), since .* \(1 file\)"))
    assert line.locator(".mark.suspect").count() == 1
    expect(page.locator(".monitor")).to_contain_text("READS FILES")
    expect(page.locator(".call")).to_contain_text("the charge expert, 555 0100")
    expect(page.locator(".rate .main-svg").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollHeight <= 768"), "all of it above the fold"
    assert page.locator(".line.unknown a").count() == 2, "what is not known for one reason is one line"
    page.get_by_text("inside their limits").click()
    expect(page.locator(".calm a", has_text="Packet rate by type")).to_be_visible()


def test_an_empty_store_says_how_to_begin(page: Page, empty_site: Running) -> None:
    opened(page, empty_site)
    expect(page.locator(".empty-state")).to_contain_text("larboard demo")
    expect(page.locator(".empty-state")).to_contain_text("larboard.toml")
    expect(page.get_by_role("alert")).to_contain_text("No ingest process has reported yet")


def test_a_run_that_comes_replaces_the_empty_board(
    page: Page, empty_site: Running, some_files: list[FileReport]
) -> None:
    opened(page, empty_site)
    put(empty_site.store, some_files[0], 17)
    expect(page.locator(".banner")).to_contain_text("Run 17")
    expect(page.locator("#run-strip")).to_contain_text("Run 17")


def test_a_silent_monitor_and_old_data_are_loud(page: Page, site: Running) -> None:
    from dqm.store import tables

    with site.store.begin() as tx:
        tx.execute(tables.runs.update().values(updated=time.time() - 720))
        tx.execute(tables.watchers.update().values(beat=time.time() - 720))
    opened(page, site)
    expect(page.get_by_role("alert")).to_contain_text("No ingest process has reported for 12 min")
    expect(page.locator(".notice.stale")).to_contain_text("No new data for 12 min")
    expect(page.locator(".line").first).to_contain_text("STALE, was")
    expect(page.locator(".banner")).to_contain_text("NO NEW DATA")


def test_problems_of_the_ingest_are_said(page: Page, site: Running) -> None:
    opened(page, site)
    site.beat(problems=("data root /data/2x2 is not there",))
    expect(page.locator(".monitor")).to_contain_text("PROBLEM data root /data/2x2 is not there")


def test_a_run_page_shows_the_bad_plots_first_each_with_words_and_a_figure(page: Page, site: Running) -> None:
    opened(page, site, "/runs/17")
    expect(page.get_by_role("heading", name="Run 17")).to_be_visible()
    states = page.locator(".tile").evaluate_all("tiles => tiles.map((tile) => tile.dataset.state)")
    order = ["bad", "suspect", "broken"]
    places = [order.index(state) if state in order else len(order) for state in states]
    assert places == sorted(places)
    assert "bad" in states
    for plot in ("HotPixels", "PacketRate", "AdcSpectrum", "PixelMap"):
        one = drawn(page, plot)
        expect(one.locator(".cover")).to_contain_text("100 % of run")
    expect(tile(page, "HotPixels").locator(".verdict.bad")).to_contain_text("BAD")


def test_the_numbers_of_a_run_come_worst_first(page: Page, site: Running) -> None:
    opened(page, site, "/runs/17")
    page.locator("#numbers summary").click()
    words = [word.strip() for word in page.locator("#numbers tbody tr td:first-child").all_inner_texts()]
    order = ["BAD", "SUSPECT", "NOT YET", "", "GOOD"]
    assert words == sorted(words, key=order.index)


def test_the_latest_run_is_followed(page: Page, site: Running, some_files: list[FileReport]) -> None:
    opened(page, site, "/runs/latest")
    expect(page.locator(".run-head")).to_contain_text("follows the newest run")
    later = replace(some_files[1], start=some_files[1].end)
    put(site.store, later, 18)
    expect(page.get_by_role("heading", name="Run 18")).to_be_visible()
    drawn(page, "PacketRate")


def test_what_is_not_there_is_said_in_words(page: Page, site: Running) -> None:
    opened(page, site, "/nowhere")
    expect(page.locator(".empty-state")).to_contain_text("There is no such page")
    opened(page, site, "/runs/999")
    expect(page.locator(".empty-state")).to_contain_text("There is no run 999")
    opened(page, site, "/runs/17/NoSuchPlot")
    expect(page.locator(".empty-state")).to_contain_text("has no plot NoSuchPlot")


@pytest.mark.parametrize("path", ["/", "/runs", "/runs/17", "/runs/17/PacketRate", "/trends", "/files", "/plots"])
def test_every_page_has_its_title(page: Page, site: Running, path: str) -> None:
    opened(page, site, path)
    expect(page).to_have_title(re.compile(r".+ – Larboard"))


# pages follow the store


def test_only_the_changed_figures_in_view_are_fetched(page: Page, site: Running) -> None:
    opened(page, site, "/runs/17")
    expect(page.locator(".figure[data-drawn]").nth(2)).to_be_visible()
    first = page.locator(".tile").first.get_attribute("data-plot")
    assert first
    last = page.locator(".tile").last.get_attribute("data-plot")
    assert last
    assert tile(page, last).locator(".figure").get_attribute("data-drawn") is None, "it is out of view"
    page.wait_for_function("document.querySelector('.figure[data-drawn]') && larboard.figuresToCome() === 0")
    before = int(tile(page, first).locator(".figure").get_attribute("data-drawn") or 0)

    def change() -> None:
        site.touch(last)
        site.touch(first)
        expect(tile(page, first).locator(".figure")).to_have_attribute("data-drawn", str(before + 1))

    assert figures_asked(page, change) == [first]


def test_a_second_file_shows_without_a_reload(page: Page, site: Running, some_files: list[FileReport]) -> None:
    opened(page, site, "/runs/17")
    expect(page.locator(".facts")).to_contain_text("1 file")
    page.evaluate("window.unchanged = true")
    put(site.store, some_files[1], 17)
    expect(page.locator(".facts")).to_contain_text("2 files")
    assert page.evaluate("window.unchanged")


def test_what_is_open_chosen_or_marked_stays_so_when_the_page_is_brought_up_to_date(page: Page, site: Running) -> None:
    opened(page, site, "/runs/17")
    page.locator("#numbers summary").click()
    page.keyboard.press("j")
    page.keyboard.press("j")
    chosen = page.locator(".tile:focus").get_attribute("id")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.verdict'))")
    marked = page.evaluate("String(getSelection())")
    page.evaluate("document.querySelector('.tile .figure').dataset.mine = 'yes'")
    with site.store.begin() as tx:
        runs.edit(tx, "17", "me", {"comment": "the pump was off"})
    expect(page.locator(".comment")).to_have_text("the pump was off")
    expect(page.locator("#numbers")).to_have_attribute("open", "")
    assert page.locator(".tile:focus").get_attribute("id") == chosen
    assert page.evaluate("String(getSelection())") == marked
    assert page.locator(".figure[data-mine]").count() == 1


def test_zoom_survives_an_update_and_a_reload(page: Page, site: Running) -> None:
    opened(page, site, "/runs/17/PacketRate")
    figure = page.locator(".figure")
    expect(figure.locator(".main-svg").first).to_be_visible()
    box = figure.locator(".nsewdrag").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + 100, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 200, steps=5)
    page.mouse.up()
    page.wait_for_function("document.querySelector('.js-plotly-plot').layout.yaxis.autorange === false")
    zoomed = "JSON.stringify(document.querySelector('.js-plotly-plot')._fullLayout.yaxis.range)"
    before = page.evaluate(zoomed)
    drawn_before = int(figure.get_attribute("data-drawn") or 0)
    site.touch("PacketRate")
    expect(figure).to_have_attribute("data-drawn", str(drawn_before + 1))
    assert page.evaluate(zoomed) == before
    page.reload()
    expect(figure.locator(".main-svg").first).to_be_visible()
    page.wait_for_function("document.querySelector('.js-plotly-plot')?._fullLayout?.yaxis")
    assert page.evaluate(zoomed) == before


def test_a_chosen_button_of_a_figure_survives_an_update(page: Page, site: Running) -> None:
    opened(page, site, "/runs/17/PixelMap")
    figure = page.locator(".figure")
    figure.locator(".updatemenu-button").filter(has_text="Rate").click()
    shown = "document.querySelector('.js-plotly-plot').data.filter((trace) => trace.visible !== false).length"
    active = "document.querySelector('.js-plotly-plot')._fullLayout.updatemenus[0].active"
    page.wait_for_function(f"{active} === 2")
    before, version = page.evaluate(shown), int(figure.get_attribute("data-drawn") or 0)
    site.touch("PixelMap")
    expect(figure).to_have_attribute("data-drawn", str(version + 1))
    assert page.evaluate(active) == 2
    assert page.evaluate(shown) == before


def test_an_element_that_breaks_shows_why_and_a_traceback(hardy_page: Page, site: Running) -> None:
    page = opened(hardy_page, site, "/runs/17")
    drawn(page, "AdcSpectrum")
    trace = "Traceback: <b>line 1</b>"
    site.touch("AdcSpectrum", state=ElementState.BROKEN, reason="counting: ValueError: <i>no</i>", traceback=trace)
    broken = tile(page, "AdcSpectrum").locator(".why-not")
    expect(broken).to_contain_text("BROKEN counting: ValueError: <i>no</i>")
    broken.locator("summary").click()
    expect(broken.locator("pre")).to_have_text(trace)
    expect(tile(page, "AdcSpectrum").locator("svg")).to_have_count(0)


def test_no_data_and_broken_are_different_things(hardy_page: Page, site: Running) -> None:
    page = hardy_page
    site.touch("SyncDt", state=ElementState.UNAVAILABLE, reason="no column timestamp", trends={})
    opened(page, site)
    expect(page.locator(".line.nodata")).to_contain_text("NO DATA")
    expect(page.locator(".line.nodata")).to_contain_text("no column timestamp")
    opened(page, site, "/runs/17")
    tile(page, "SyncDt").scroll_into_view_if_needed()
    expect(tile(page, "SyncDt").locator(".why-not")).to_contain_text("NO DATA no column timestamp")


def test_a_plug_in_that_is_dropped_in_is_named_and_goes_again(page: Page, site: Running, plugins: Path) -> None:
    opened(page, site, "/runs/17")
    expect(page.locator(".tile").first).to_be_visible()
    (plugins / "mine.py").write_text(PLUGIN)
    site.touch("PacketRate")
    expect(page.locator(".without")).to_contain_text("A plot of mine")
    (plugins / "mine.py").write_text("raise RuntimeError('<b>no</b> licence')")
    site.touch("PacketRate")
    expect(page.locator("#tile-mine")).to_contain_text("BROKEN RuntimeError: <b>no</b> licence")
    (plugins / "mine.py").unlink()
    site.touch("PacketRate")
    expect(page.locator("#tile-mine")).to_have_count(0)
    expect(page.locator(".without")).to_have_count(0)


# theme, zone, keys, history


def test_theme_and_zone_survive_a_reload(page: Page, site: Running) -> None:
    opened(page, site, "/runs/17")
    figure = page.locator(".figure[data-drawn]").first
    expect(figure).to_be_visible()
    page.wait_for_function("() => !larboard.figuresToCome()")
    colour = "getComputedStyle(document.querySelector('.figure .xtick text')).fill"
    light = page.evaluate(colour)
    asked = figures_asked(page, lambda: page.locator("#theme-switch").click())
    assert asked == [], "a theme needs no server"
    page.wait_for_function(f"{colour} !== {light!r}")
    page.locator("#zone-switch").click()
    expect(page.locator("time.moment").first).to_have_attribute("title", re.compile("America/Chicago"))
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("html")).to_have_attribute("data-zone", "America/Chicago")
    with page.expect_request(re.compile(r"figure\?zone=America%2FChicago")):
        page.reload()


def test_by_keyboard_from_the_board_to_an_enlarged_plot_and_back(page: Page, site: Running) -> None:
    opened(page, site)
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page).to_have_title(re.compile("^Runs"))
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("17")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/runs\?search=17$"))
    opened(page, site, "/runs/17")
    expect(page.locator(".tile").first).to_be_visible()
    for _ in range(5):
        page.keyboard.press("j")
    chosen = page.locator(".tile:focus")
    plot = chosen.get_attribute("data-plot")
    page.wait_for_function("scrollY > 0")
    page.wait_for_timeout(100)  # the scroll position is remembered 50 ms after the last move
    place = page.evaluate("scrollY")
    page.keyboard.press("e")
    expect(page).to_have_url(re.compile(f"/runs/17/{plot}$"))
    expect(page.locator(".figure .modebar").first).to_be_visible()
    page.keyboard.press("k")
    expect(page).not_to_have_url(re.compile(f"/{plot}$"))
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("/runs/17$"))
    expect(page.locator(f"#tile-{plot}")).to_be_focused()
    page.wait_for_function(f"Math.abs(scrollY - {place}) < 2")


def test_the_keys_are_listed(page: Page, site: Running) -> None:
    opened(page, site)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("next and previous plot")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_back_and_forward_go_where_they_say(page: Page, site: Running) -> None:
    opened(page, site)
    page.locator("#navigation").get_by_text("Plots").click()
    expect(page).to_have_title(re.compile("^Plots"))
    page.locator("#run-strip a").click()
    expect(page.get_by_role("heading", name="Run 17")).to_be_visible()
    page.go_back()
    expect(page).to_have_title(re.compile("^Plots"))
    page.go_back()
    expect(page.locator(".banner")).to_be_visible()
    page.go_forward()
    expect(page).to_have_title(re.compile("^Plots"))


def test_previous_and_next_run_keep_the_plot(page: Page, site: Running) -> None:
    opened(page, site, "/runs/17/AdcSpectrum")
    page.locator("#previous-run").click()
    expect(page).to_have_url(re.compile("/runs/16/AdcSpectrum$"))
    page.locator("#next-run").click()
    expect(page).to_have_url(re.compile("/runs/17/AdcSpectrum$"))


def test_a_logarithmic_axis_is_kept(page: Page, site: Running) -> None:
    opened(page, site, "/runs/17/PacketRate")
    expect(page.locator(".figure .main-svg").first).to_be_visible()
    page.locator("#log-switch").click()
    kind = "document.querySelector('.js-plotly-plot')?._fullLayout?.yaxis.type"
    page.wait_for_function(f"{kind} === 'log'")
    page.reload()
    page.wait_for_function(f"{kind} === 'log'")
    expect(page.locator("#log-switch")).to_have_attribute("aria-pressed", "true")


# manners


@pytest.mark.parametrize("path", ["/", "/runs/17", "/runs/17/PixelMap"])
def test_nothing_is_wider_than_the_window(hardy_page: Page, site: Running, path: str) -> None:
    """In a large window there are figures that cannot be drawn yet, too."""
    opened(hardy_page, site, path)
    hardy_page.locator(".figure").first.scroll_into_view_if_needed()
    expect(hardy_page.locator(".figure[data-drawn]").first).to_be_visible()
    keeps_inside(hardy_page, SIZES)


def test_a_figure_fits_its_place_when_that_changes(page: Page, site: Running) -> None:
    opened(page, site, "/runs/17/IoGroupRate")
    figure = page.locator(".figure")
    expect(figure.locator(".main-svg").first).to_be_visible()
    page.set_viewport_size({"width": 700, "height": 768})
    width = "[document.querySelector('.figure').clientWidth, document.querySelector('.main-svg').clientWidth]"
    page.wait_for_function(f"Math.abs({width}[0] - {width}[1]) <= 1 && {width}[0] < 700")
    page.set_viewport_size({"width": 1366, "height": 768})
    page.wait_for_function(f"Math.abs({width}[0] - {width}[1]) <= 1 && {width}[0] > 1000")
    legend, plot = figure.locator(".legend").bounding_box(), figure.locator(".nsewdrag").bounding_box()
    assert legend
    assert plot
    assert legend["y"] + legend["height"] <= plot["y"] + 1, "the legend lies above the plot"


def test_there_is_a_toolbar_only_when_enlarged_and_never_an_upload(page: Page, site: Running) -> None:
    opened(page, site, "/runs/17")
    drawn(page, "PacketRate")
    expect(page.locator(".modebar-btn")).to_have_count(0)
    opened(page, site, "/runs/17/PacketRate")
    expect(page.locator(".modebar-btn").first).to_be_visible()
    names = page.locator(".modebar-btn").evaluate_all("buttons => buttons.map((button) => button.dataset.title)")
    assert not [name for name in names if re.search("cloud|share|upload", name, re.I)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/runs/17"])
def test_text_has_enough_contrast(page: Page, site: Running, path: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    opened(page, site, path)
    expect(page.locator("html")).to_have_attribute("data-theme", scheme)
    expect(page.locator(".figure[data-drawn]").first).to_be_visible()
    assert page.evaluate((Path(__file__).parent / "contrast.js").read_text()) == []


# when the stream or the server is lost


def test_a_lost_server_is_said_and_the_page_recovers(hardy_page: Page, site: Running) -> None:
    page = opened(hardy_page, site, "/runs/17")
    expect(page.locator(".figure[data-drawn]").first).to_be_visible()
    first = page.locator(".tile").first.get_attribute("data-plot") or ""
    before = int(tile(page, first).locator(".figure").get_attribute("data-drawn") or 0)
    port = site.port
    site.stop()
    expect(page.locator("#live")).to_contain_text(re.compile("NO ANSWER since .*, asking every 5 s"))
    site.touch(first)
    site.start(port)
    expect(page.locator("#live")).to_have_text("live")
    expect(tile(page, first).locator(".figure")).to_have_attribute("data-drawn", str(before + 1))


def test_a_page_that_does_not_come_is_late_and_comes_when_the_server_does(hardy_page: Page, site: Running) -> None:
    page = opened(hardy_page, site)
    port = site.port
    site.stop()
    expect(page.locator("#live")).to_contain_text("NO ANSWER")
    page.keyboard.press("g")
    page.keyboard.press("p")
    expect(page.get_by_text("This page has not come for 8 s")).to_be_visible(timeout=15_000)
    site.start(port)
    expect(page).to_have_title(re.compile("^Plots"))
    expect(page.locator("#late")).to_be_hidden()


def test_without_a_stream_the_page_asks_every_five_seconds(hardy_page: Page, site: Running) -> None:
    hardy_page.add_init_script("delete window.SharedWorker")  # so that the page owns the stream, and it can be cut here
    hardy_page.route("**/api/v1/events*", lambda route: route.abort())
    page = hardy_page
    page.goto(site.url + "/runs/17")
    expect(page.locator("#live")).to_contain_text(re.compile("stream lost since .*, asking every 5 s"))
    expect(page.locator(".figure[data-drawn]").first).to_be_visible()
    first = page.locator(".tile").first.get_attribute("data-plot") or ""
    before = int(tile(page, first).locator(".figure").get_attribute("data-drawn") or 0)
    site.touch(first)
    figure = tile(page, first).locator(".figure")
    expect(figure).to_have_attribute("data-drawn", str(before + 1))
    page.unroute("**/api/v1/events*")
    expect(page.locator("#live")).to_have_text("live")


def test_a_figure_that_does_not_come_says_so_and_can_be_asked_for_again(hardy_page: Page, site: Running) -> None:
    hardy_page.route("**/figure?*", lambda route: route.abort())
    page = opened(hardy_page, site, "/runs/17")
    note = page.locator(".tile .not-fetched").first
    expect(note).to_contain_text(re.compile("Could not be fetched since .*: no answer"))
    page.unroute("**/figure?*")
    note.get_by_role("button", name="Try again").click()
    expect(page.locator(".tile").first.locator(".main-svg").first).to_be_visible()


def test_eight_tabs_share_one_stream(chromium: Browser, site: Running) -> None:
    context = chromium.new_context()
    pages = [context.new_page() for _ in range(8)]
    for page in pages:
        opened(page, site, "/runs/17")
    streams = site.events.listeners
    context.close()
    assert streams == 1
