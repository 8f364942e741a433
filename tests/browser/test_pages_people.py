"""People, Audit and one's own account, in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dqm.auth import people
from dqm.auth.roles import LOCAL_ADMIN
from dqm.records import Plugin
from dqm.store import plugins
from tests.browser.list_site import Served, keeps_inside, served, some_files

GOOD = "correct horse battery"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as site:
        yield site


@pytest.fixture
def ada(site: Served, page: Page) -> Page:
    """The page of ada, the admin, who has signed in."""
    return signed_in(site, page, "ada", "admin")


def signed_in(site: Served, page: Page, name: str, role: str, of: tuple[str, ...] = ("*",)) -> Page:
    if role != "admin":
        people.add(site.store, LOCAL_ADMIN, "root", "admin", password=GOOD)
    people.add(site.store, LOCAL_ADMIN, name, role, of, GOOD)
    page.goto(f"{site.url}/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(GOOD)
    page.keyboard.press("Enter")
    expect(page.locator("#person .who")).to_have_text(name)
    return page


def test_from_a_page_one_signs_in_comes_back_to_it_and_signs_out(site: Served, page: Page) -> None:
    people.add(site.store, LOCAL_ADMIN, "ada", "admin", password=GOOD)
    page.goto(f"{site.url}/files?search=x")
    page.locator("#person").get_by_text("Sign in").click()
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(GOOD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile(r"/files\?search=x$"))
    expect(page.locator("#navigation").get_by_text("People")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(re.compile("/sign-in$"))
    page.goto(f"{site.url}/people")
    expect(page.get_by_text("People is not for everybody")).to_be_visible()
    expect(page.locator("#navigation").get_by_text("People")).to_have_count(0)


def test_an_admin_adds_a_person_whose_mistakes_stand_under_their_fields(site: Served, ada: Page) -> None:
    ada.goto(f"{site.url}/people")
    ada.get_by_text("Add a person …").click()
    form = ada.locator("#person-form")
    form.get_by_label("Name").fill("b o b")
    form.get_by_text("Add this person").click()
    problem = ada.locator(".problem:not(:empty)")  # one, under its field
    expect(form.locator(".form-field", has=problem)).to_contain_text(re.compile("^Name.*is no name"))
    form.get_by_label("Name").fill("bob")
    form.get_by_label("Password").fill("short")
    form.get_by_text("Add this person").click()
    expect(form.locator(".form-field", has=problem)).to_contain_text(re.compile("^Password.*has 5 characters"))
    form.get_by_label("Password").fill("battery horse staple")
    form.get_by_text("Add this person").click()
    expect(ada.locator("#people-said")).to_have_text("bob is a viewer now.")
    ada.locator("#people-table").get_by_text("bob").click()
    detail = ada.locator("#person-detail")
    detail.get_by_text("Disable …").click()
    detail.get_by_text("Disable this account").click()
    expect(ada.locator("#people-said")).to_have_text("bob is disabled.")
    expect(ada.locator("#people-table tr", has_text="bob")).to_contain_text("DISABLED")
    detail.get_by_text("Enable again").click()
    expect(ada.locator("#people-said")).to_have_text("bob is enabled again.")


def test_a_token_is_shown_once_and_can_be_revoked(site: Served, ada: Page) -> None:
    ada.goto(f"{site.url}/account")
    ada.get_by_text("A token for a program …").click()
    ada.get_by_label("What it is for").fill("logbook")
    ada.get_by_text("Make this token").click()
    expect(ada.locator(".secret")).to_have_text(re.compile(r"^lbd_[\w-]{43}$"))
    ada.get_by_role("button", name="Revoke").click()
    expect(ada.locator("#account-content")).to_contain_text("revoked")
    ada.reload()
    expect(ada.locator("#account-content")).to_contain_text("logbook")
    expect(ada.locator(".secret")).to_have_count(0)


def test_the_audit_trail_is_filtered_and_the_link_brings_the_view_back(site: Served, ada: Page) -> None:
    ada.goto(f"{site.url}/audit")
    rows = ada.locator("#audit-table .ag-row")
    expect(rows).to_have_count(2)
    ada.get_by_label("Search", exact=True).fill("sign in")
    expect(rows).to_have_count(1)
    expect(ada).to_have_url(re.compile(r"/audit\?search=sign\+in$"))
    ada.reload()
    expect(ada.get_by_label("Search", exact=True)).to_have_value("sign in")
    expect(rows).to_have_count(1)
    ada.goto(f"{site.url}/audit?who=nobody")
    expect(ada.get_by_text("Nothing fits")).to_be_visible()


@pytest.mark.parametrize("path", ["/people?name=ada", "/audit", "/account", "/sign-in"])
def test_nothing_is_wider_than_the_window(site: Served, ada: Page, path: str) -> None:
    ada.goto(f"{site.url}{path}")
    expect(ada.get_by_text("ada").first).to_be_visible()
    keeps_inside(ada)


def test_a_session_that_has_ended_is_said_and_the_way_back_is_one_click(site: Served, ada: Page) -> None:
    ada.goto(f"{site.url}/people?name=ada")
    expect(ada.locator("#person-detail h3")).to_have_text("ada")
    people.end_sessions(site.store, LOCAL_ADMIN, "ada")
    # the browser itself writes a 401 to its console, which a page of these tests may not have
    ada.evaluate("console.error = () => {}")
    ada.evaluate("window.larboard.signedOut()")
    expect(ada.locator("#refusal")).to_contain_text("You are not signed in any more")
    ada.locator("#refusal").get_by_text("Sign in").click()
    ada.wait_for_url(re.compile(r"/sign-in\?next=%2Fpeople%3Fname%3Dada$"))


@pytest.fixture
def resting(site: Served) -> str:
    """A plot that went over a limit."""
    with site.store.begin() as tx:
        plugins.found(tx, [Plugin("AdcSpectrum", "built-in", "ADC spectrum", "", "")])
        plugins.set_rest(tx, "AdcSpectrum", plugins.Rest(1, time.time() + 3000))
    return "AdcSpectrum"


def rests(site: Served, name: str) -> int:
    """How often in a row a plot went over a limit."""
    with site.store.read() as tx:
        return plugins.rest(tx, name).stops


def test_a_button_says_which_role_it_needs_and_does_nothing_without(site: Served, page: Page, resting: str) -> None:
    signed_in(site, page, "vic", "viewer")
    page.goto(f"{site.url}/plots")
    button = page.get_by_role("button", name="Try it now")
    expect(button).to_be_disabled()
    expect(button).to_have_attribute("title", "This needs the role expert of everything; you are a viewer.")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data or ""))
    button.dispatch_event("click")
    button.focus()
    page.keyboard.press("Enter")
    # what is asked for later is answered: a click before it would have been sent
    page.locator("#navigation").get_by_text("Runs").click()
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    assert not [body for body in asked if "plot-retry" in body]
    assert rests(site, resting) == 1


def test_an_expert_has_a_plot_that_rests_tried_again(site: Served, page: Page, resting: str) -> None:
    signed_in(site, page, "eve", "expert")
    page.goto(f"{site.url}/plots")
    page.get_by_role("button", name="Try it now").click()
    expect(page.locator("#plots-said")).to_contain_text("AdcSpectrum is tried again")
    assert rests(site, resting) == 0


def test_a_file_is_ignored_by_experts_of_its_own_subsystem(site: Served, page: Page) -> None:
    some_files(site.store)
    signed_in(site, page, "liz", "expert", ("light",))
    page.goto(f"{site.url}/files?file=1")
    detail = page.locator("#file-detail")
    detail.get_by_text("Ignore …").click()
    ignore = detail.get_by_role("button", name="Ignore it")
    expect(ignore).to_be_disabled()
    expect(ignore).to_have_attribute("title", "This needs the role expert of charge; you are an expert of light.")
    detail.get_by_text("Read again …").click()
    expect(detail.get_by_role("button", name="Read it again")).to_be_enabled()
