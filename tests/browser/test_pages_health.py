"""The Health page in a real browser: it follows the pulse by itself, and an alarm is acknowledged by mouse or key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dqm.records import Alarm, BacklogFacts, Pulse
from dqm.store import alarms, files, pulses
from tests.browser.list_site import SIZES, keeps_inside
from tests.browser.run_site import Running, site_over
from tests.checks.test_alarms import facts

pytestmark = pytest.mark.browser


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Running]:
    site = site_over(tmp_path / "data")
    site.start()
    yield site
    site.close()


def pulse(site: Running, **changes: object) -> None:
    """The leader measures itself."""
    site.beat()
    now = time.time()
    with site.store.begin() as tx:
        sample = Pulse(now, "w1", 0, 1.0, 5, 500, 5, 0.01, {})
        pulses.save(tx, replace(sample, facts=facts(time=now, **changes)))


def raised(site: Running, kind: str = "lag") -> int:
    now = time.time()
    with site.store.begin() as tx:
        return alarms.raise_(
            tx, Alarm(0, kind, "/data", "suspect", "it is <img src=x onerror=alert(1)> late", now, now)
        )


def test_an_empty_site_says_what_will_be_here(site: Running, page: Page) -> None:
    page.goto(f"{site.url}/monitor")
    expect(page.get_by_text("How the monitor does will be here")).to_be_visible()
    expect(page.locator("#navigation a[aria-current]")).to_have_text("Health")


def test_the_page_follows_a_backlog_without_a_reload(site: Running, page: Page) -> None:
    now = time.time()
    pulse(site, backlog=BacklogFacts(now - 60, 10_000, 2_500, 600.0))
    page.goto(f"{site.url}/monitor")
    expect(page.get_by_text("2,500 of 10,000 files done")).to_be_visible()
    expect(page.get_by_text("about 10 min left")).to_be_visible()
    bar = page.locator(".backlog progress")
    expect(bar).to_have_attribute("value", "2500")
    pulse(site, backlog=BacklogFacts(now - 60, 10_000, 9_000, 60.0))
    expect(bar).to_have_attribute("value", "9000")
    pulse(site, backlog=None)
    expect(bar).to_have_count(0)


def test_an_alarm_comes_by_itself_and_is_acknowledged_by_the_key_a(site: Running, page: Page) -> None:
    pulse(site, backlog=None)
    page.goto(f"{site.url}/monitor")
    expect(page.get_by_text("ALL WELL")).to_be_visible()
    number = raised(site)
    alarm = page.locator(f"#alarm-{number}")
    expect(alarm).to_contain_text("it is <img src=x onerror=alert(1)> late")
    expect(page.get_by_text("1 ALARM")).to_be_visible()
    page.keyboard.press("a")
    expect(alarm.get_by_role("button")).to_be_focused()
    page.keyboard.press("a")
    expect(alarm).to_contain_text("Seen by admin@127.0.0.1")
    expect(page.get_by_text("1 alarm acknowledged")).to_be_visible()


def test_the_board_says_what_blinds_the_monitor_and_a_click_acknowledges_it(site: Running, page: Page) -> None:
    pulse(site, backlog=None)
    number = raised(site, "root")
    page.goto(f"{site.url}/")
    expect(page.get_by_role("alert")).to_contain_text("A data root cannot be read")
    page.goto(f"{site.url}/monitor")
    page.locator(f"#alarm-{number}").get_by_role("button", name="Acknowledge").click()
    expect(page.locator(f"#alarm-{number}")).to_contain_text("Seen by")


def test_g_h_leads_to_the_page_and_a_reason_to_its_files(site: Running, page: Page) -> None:
    pulse(site)
    now = time.time()
    with site.store.begin() as tx:
        for n in range(3):
            file = files.add(tx, f"/data/{n}.h5", "/data", 1, n, "", now)
            reason = "is no HDF5 file" if n else "is locked"
            files.update(tx, file, state="quarantined", reason=reason, next_look=None)
    page.goto(f"{site.url}/")
    page.locator("#navigation").wait_for()
    page.keyboard.press("g")
    page.keyboard.press("h")
    page.get_by_role("link", name="2 files").click()
    expect(page.locator("#files-found")).to_contain_text("2")
    assert "state=quarantined" in page.url


def test_nothing_is_wider_than_the_window(site: Running, page: Page) -> None:
    pulse(site)
    raised(site, "root")
    page.goto(f"{site.url}/monitor")
    page.locator("#monitor-alarms").wait_for()
    keeps_inside(page, [*SIZES, (480, 800)])
