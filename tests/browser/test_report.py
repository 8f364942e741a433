"""The report in a real browser: it opens without a network, draws, and can be used by keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.list_site import SIZES, keeps_inside

pytestmark = pytest.mark.browser

TITLES = [
    "ADC spectrum",
    "FIFO more than half full, and full",
    "Hottest 100 pixels",
    "Data rate of each io_group",
    "Packet rate by type",
    "Fraction of data packets with invalid parity",
    "PPS sync minus one second",
    "Data rate of each tile",
    "Pixels: mean, standard deviation and rate",
]


@pytest.fixture
def opened(page: Page, report: Path) -> Page:
    page.goto(report.as_uri())
    return page


def tile(page: Page, title: str):
    return page.locator("#file-0 .tile").filter(has=page.get_by_role("heading", name=title, exact=True))


def drawn(page: Page, title: str):
    """The tile with its figure drawn: figures are drawn when they come into view."""
    one = tile(page, title)
    one.scroll_into_view_if_needed()
    expect(one.locator(".main-svg").first).to_be_visible()
    return one


@pytest.mark.parametrize("title", TITLES)
def test_every_plot_is_drawn(opened: Page, title: str) -> None:
    drawn(opened, title)


def test_bad_numbers_come_first_in_words_and_shape(opened: Page) -> None:
    opened.locator("#file-0 summary").filter(has_text="more numbers").click()
    states = opened.locator("#file-0 tbody tr td:first-child").all_inner_texts()
    words = [state.strip() for state in states]
    order = ["BAD", "SUSPECT", "NOT YET", "", "GOOD"]
    assert words == sorted(words, key=order.index)
    assert "BAD" in words
    expect(opened.locator("#file-0 tbody tr.bad .mark.bad").first).to_be_visible()


def test_nothing_of_a_name_or_a_reason_is_executed(opened: Page) -> None:
    dialogs: list[str] = []
    opened.on("dialog", lambda dialog: dialogs.append(dialog.message))
    expect(opened.get_by_role("heading", name="<img src=x onerror=alert(1)>.h5")).to_be_visible()
    expect(opened.locator("#file-1 .why-not").first).to_contain_text("ValueError: </script><script>alert(2)</script>")
    assert opened.locator("img[src=x]").count() == 0
    assert dialogs == []


def test_broken_no_data_and_unreadable_are_different_things(opened: Page) -> None:
    expect(opened.locator("#file-1 .why-not").filter(has_text="BROKEN")).to_have_count(1)
    expect(opened.locator("#file-2 .notice")).to_contain_text("QUARANTINED")
    expect(opened.locator("#file-2 .notice")).to_contain_text("is empty (0 bytes)")
    expect(opened.get_by_text("BROKEN bad (plugins/bad.py): ImportError: no such library")).to_be_visible()


def test_a_plot_without_geometry_says_so(opened: Page) -> None:
    panel = opened.locator("#file-1 .tile").filter(has_text="Pixels: mean")
    panel.scroll_into_view_if_needed()
    expect(panel.get_by_text("No known geometry fits the ids of this file")).to_be_visible()


def test_the_theme_can_be_switched_and_is_remembered(opened: Page) -> None:
    html = opened.locator("html")
    expect(html).to_have_attribute("data-theme", "light")
    light = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    opened.get_by_role("button", name="Switch between light and dark theme").click()
    expect(html).to_have_attribute("data-theme", "dark")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") != light
    opened.reload()
    expect(html).to_have_attribute("data-theme", "dark")


def test_a_plot_can_be_enlarged_and_escape_returns_to_the_same_place(opened: Page) -> None:
    one = drawn(opened, "Packet rate by type")
    place = opened.evaluate("window.scrollY")
    one.get_by_role("button", name="Enlarge").click()
    expect(one).to_have_class("tile large")
    expect(one.locator(".modebar")).to_be_visible()
    assert one.bounding_box()["width"] > 1300  # type: ignore[index]
    opened.keyboard.press("Escape")
    expect(one).not_to_have_class("tile large")
    assert opened.evaluate("window.scrollY") == place


def test_enlarging_and_going_back_leaves_the_maps_as_large_as_before(opened: Page) -> None:
    one = drawn(opened, "Pixels: mean, standard deviation and rate")
    width = "tile => tile.querySelector('.cartesianlayer .subplot').getBoundingClientRect().width"
    one.locator(".updatemenu-button").filter(has_text="Rate").click()
    before = one.evaluate(width)
    for _ in range(3):
        one.get_by_role("button", name="Enlarge").click()
        expect(one).to_have_class("tile wide large")
        opened.keyboard.press("Escape")
        expect(one).to_have_class("tile wide")
    opened.wait_for_function(
        f"before => Math.abs(({width})(document.querySelector('#file-0 .tile.wide')) - before) < 2", arg=before
    )
    expect(one.get_by_text("Rate [Hz]")).to_be_visible()  # what was chosen stays chosen


def test_no_toolbar_offers_to_upload_anything(opened: Page) -> None:
    one = drawn(opened, "Packet rate by type")
    one.get_by_role("button", name="Enlarge").click()
    titles = one.locator(".modebar-btn").evaluate_all("all => all.map(b => b.dataset.title || '')")
    assert titles
    assert not [title for title in titles if "cloud" in title.lower() or "share" in title.lower()]


def test_the_axis_is_logarithmic_only_by_its_switch(opened: Page) -> None:
    one = drawn(opened, "ADC spectrum")
    kind = "tile => tile.querySelector('.figure').layout.yaxis.type"
    assert one.evaluate(kind) != "log"
    one.get_by_role("button", name="log").click()
    assert one.evaluate(kind) == "log"
    expect(one.get_by_role("button", name="log")).to_have_attribute("aria-pressed", "true")


def test_the_keys_go_through_the_plots(opened: Page) -> None:
    opened.keyboard.press("j")
    first = opened.evaluate("document.activeElement.id")
    opened.keyboard.press("j")
    assert opened.evaluate("document.activeElement.id") != first
    opened.keyboard.press("k")
    assert opened.evaluate("document.activeElement.id") == first
    expect(opened.locator(f"#{first} .main-svg").first).to_be_visible()
    opened.keyboard.press("e")
    expect(opened.locator(f"#{first}")).to_have_class("tile large")


def test_the_maps_switch_between_mean_spread_and_rate(opened: Page) -> None:
    one = drawn(opened, "Pixels: mean, standard deviation and rate")
    expect(one.get_by_text("Mean [ADC]")).to_be_visible()
    one.locator(".updatemenu-button").filter(has_text="Rate").click()
    expect(one.get_by_text("Rate [Hz]")).to_be_visible()
    expect(one.get_by_text("Mean [ADC]")).to_have_count(0)


def test_nothing_is_wider_than_the_page(opened: Page) -> None:
    keeps_inside(opened, [*SIZES, (480, 800)])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_contrasts_with_its_ground_in_both_themes(opened: Page, theme: str) -> None:
    """At least 4.5 to 1 (WCAG 2.1, 1.4.3) for words of every state."""
    opened.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
    for selector in [
        "body",
        ".facts",
        ".cover",
        "tr.good td",
        "tr.bad td",
        "tr.suspect td",
        ".why",
        "header .zone",
        "a",
    ]:
        ratio = opened.evaluate(CONTRAST, selector)
        assert ratio >= 4.5, (selector, ratio)


CONTRAST = """selector => {
  const element = document.querySelector(selector);
  const numbers = text => text.match(/[0-9.]+/g).map(Number);
  let ground = element;
  while (ground && numbers(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
  const linear = c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  const light = rgb => { const [r, g, b] = rgb.map(c => linear(c / 255));
                         return .2126 * r + .7152 * g + .0722 * b; };
  const [one, other] = [getComputedStyle(element).color, getComputedStyle(ground || document.body).backgroundColor]
    .map(numbers).map(light).sort((a, b) => b - a);
  return (one + .05) / (other + .05);
}"""
