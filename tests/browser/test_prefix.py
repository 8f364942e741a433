"""The site below /larboard behind a real nginx, in a real Chromium: pages, links, live updates, and nothing outside."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from playwright.sync_api import Page, expect

from dqm.store import Store, elements, open_store, runs
from layouts.pages import PAGES
from tests.browser.run_site import path_of
from tests.filling import fill
from tests.nginx import Proxy, in_front_of
from tests.services import running

PREFIX = "/larboard"


@dataclass(frozen=True)
class Behind:
    """A site behind a proxy, and its store."""

    proxy: Proxy
    store: Store

    @property
    def url(self) -> str:
        return self.proxy.url + PREFIX

    def touch(self, plot: str) -> int:
        """Another version of an element, as a commit of the ingest makes it."""
        with self.store.begin() as tx:
            run = runs.get(tx, "7")
            assert run
            element = elements.get(tx, run.id, plot)
            assert element
            elements.save(tx, replace(element, updated=time.time()))
        return element.version


@pytest.fixture(scope="module", params=["kept", "cut off"])
def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """The site by `larboard serve`, behind a nginx that leaves the prefix in the path or cuts it off."""
    folder = tmp_path_factory.mktemp("behind")
    store = open_store(f"sqlite:///{folder}/data/larboard.sqlite", folder / "data/states")
    fill(store, folder / "raw", run=6)
    fill(store, folder / "raw", run=7)
    settings = {"DATA__DIRECTORY": f"{folder}/data", "WEB__PREFIX": PREFIX, "WEB__PROXIES": '["127.0.0.1"]'}
    environment = {f"LARBOARD_{name}": value for name, value in settings.items()}
    with running("serve", "--port", 0, cwd=folder, **environment) as service:
        address = service.wait_for("Larboard is at http://127.0.0.1:")
        port = re.search(r":(\d+)/larboard$", address)
        assert port, address
        with in_front_of(int(port[1]), folder / "nginx", strips=request.param == "cut off") as proxy:
            yield Behind(proxy, store)
    store.close()


def test_every_page_works_and_all_its_links_stay_below_the_prefix(behind: Behind, page: Page) -> None:
    for one in PAGES:
        page.goto(behind.url + path_of(one.rule, "AdcSpectrum"))
        expect(page.locator("#live")).to_have_text("live")
        page.wait_for_function("() => !document.documentElement.dataset.arriving")
        page.wait_for_function("() => !larboard.figuresToCome()")
        expect(page.locator(".pixels:not([data-painted])")).to_have_count(0)
        expect(page.locator("#content .failed, #content .not-fetched")).to_have_count(0)
        assert page.evaluate("() => location.pathname").startswith(PREFIX)
        links = page.evaluate("() => [...document.querySelectorAll('a[href]')].map(link => link.getAttribute('href'))")
        assert len(links) > 5
        assert [link for link in links if not link.startswith((f"{PREFIX}/", "#"))] == [], one.name


def test_a_figure_changes_by_itself_through_the_proxy(behind: Behind, page: Page) -> None:
    page.goto(f"{behind.url}/runs/7")
    expect(page.locator("#live")).to_have_text("live")
    figure = page.locator("#content [data-figure*='/PacketRate/']")
    figure.scroll_into_view_if_needed()
    figure.and_(page.locator("[data-drawn]")).wait_for()
    before = int(figure.get_attribute("data-drawn") or 0)
    behind.touch("PacketRate")
    page.wait_for_function(
        "before => document.querySelector(\"[data-figure*='/PacketRate/']\").dataset.drawn > before", arg=before
    )


def test_links_keys_and_reloads_lead_where_they_should(behind: Behind, page: Page) -> None:
    page.goto(f"{behind.proxy.url}{PREFIX}")
    expect(page).to_have_url(f"{behind.url}/")
    page.locator("#navigation a[data-page=runs]").click()
    expect(page).to_have_url(f"{behind.url}/runs")
    expect(page.locator("#navigation a[aria-current=page]")).to_have_text("Runs")
    page.locator(".ag-row a", has_text="7").first.click()
    expect(page).to_have_url(f"{behind.url}/runs/7")
    page.reload()
    expect(page.locator("#content h2")).to_have_text("Run 7")
    page.keyboard.press("[")
    expect(page).to_have_url(f"{behind.url}/runs/6")
    page.go_back()
    expect(page.locator("#content h2")).to_have_text("Run 7")
    page.keyboard.press("g")
    page.keyboard.press("b")
    expect(page).to_have_url(f"{behind.url}/")
    expect(page.locator("#navigation a[aria-current=page]")).to_have_text("Board")


def test_nothing_outside_the_prefix_was_asked_for(behind: Behind) -> None:
    """Last of this file: the log of nginx has every request of the tests before it, those of workers too."""
    paths = behind.proxy.asked
    assert any("/api/v1/events" in path for path in paths)
    assert any("notices-worker.js" in path for path in paths)
    assert [path for path in paths if not path.startswith(f"{PREFIX}/") and path != PREFIX] == []


def test_the_api_names_addresses_that_work(behind: Behind, page: Page) -> None:
    listed = page.request.get(f"{behind.url}/api/v1/runs/7/elements").json()["elements"]
    assert listed[0]["figure"].startswith(f"{PREFIX}/api/v1/runs/7/elements/")
    assert page.request.get(behind.proxy.url + listed[0]["figure"]).ok
    assert page.request.get(f"{behind.url}/api/v1/openapi.json").json()["servers"] == [{"url": PREFIX}]
    assert f"{PREFIX}/api/v1/openapi.json" in page.request.get(f"{behind.url}/api/v1/nothing").json()["detail"]
