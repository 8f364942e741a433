"""The Content-Security-Policy in a real Chromium: nothing of any page breaks it, and it holds what it must."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from layouts.pages import PAGES
from tests.browser.run_site import Running, path_of, site_over
from tests.filling import fill

LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI || event.sourceFile}`);
});
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("policy")
    running = site_over(folder)
    fill(running.store, folder / "raw", run=7)
    running.start()
    yield running
    running.close()


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1366, "height": 768})
    context.add_init_script(LISTEN)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("one", PAGES, ids=lambda page: page.name)
def test_no_page_breaks_the_policy(running: Running, watched: Page, one: object) -> None:
    complaints: list[str] = []
    watched.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    rule: str = one.rule  # type: ignore[attr-defined]
    watched.goto(running.url + path_of(rule, "PixelMap"))  # drawn by WebGL or as an image
    expect(watched.locator("#live")).to_have_text("live")
    watched.wait_for_function("() => !document.documentElement.dataset.arriving && !larboard.figuresToCome()")
    assert watched.evaluate("() => window.violations") == []
    assert complaints == []


@pytest.mark.parametrize(
    ("attempt", "directive"),
    [
        ("const s = document.createElement('script'); s.textContent = 'window.got = 1'; document.body.append(s)", "script"),
        ("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.got = 1\">')", "script"),
        ("const s = document.createElement('script'); s.src = 'http://192.0.2.1/x.js'; document.body.append(s)", "script"),
        ("fetch('http://192.0.2.1/').catch(() => {})", "connect-src"),
        ("new Image().src = 'http://192.0.2.1/x.png'", "img-src"),
        ("const f = document.createElement('iframe'); f.src = 'http://192.0.2.1/'; document.body.append(f)", "frame-src"),
        ("const o = document.createElement('object'); o.data = '/favicon'; document.body.append(o)", "object-src"),
        ("const b = document.createElement('base'); b.href = 'http://192.0.2.1/'; document.head.append(b)", "base-uri"),
    ],
)  # fmt: skip
def test_what_a_string_from_a_file_could_try_is_held(
    running: Running, watched: Page, attempt: str, directive: str
) -> None:
    watched.goto(f"{running.url}/plots")
    expect(watched.locator("#live")).to_have_text("live")
    watched.evaluate(f"() => {{ {attempt}; }}")
    watched.wait_for_function("() => window.violations.length")
    (found,) = watched.evaluate("() => window.violations")
    assert directive in found or directive.removesuffix("-src") in found
    assert watched.evaluate("() => window.got") is None
