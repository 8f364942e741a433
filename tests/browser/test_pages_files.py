"""The files page: every state in words, the chosen file beside the table, reading again by the API."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dqm.records import FileState, Watcher
from dqm.store import audit, files, watchers
from tests.browser.list_site import NASTY, Served, keeps_inside, served, some_files

pytestmark = pytest.mark.browser

NAMES = ".ag-pinned-left-cols-container button.link"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("ledger")) as site:
        some_files(site.store)
        yield site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as site:
        yield site


def test_states_are_counted_in_words_and_filter_the_table_and_the_url(page: Page, ledger: Served) -> None:
    page.goto(f"{ledger.url}/files")
    expect(page.locator("#files-found")).to_have_text("10 files")
    page.get_by_text("QUARANTINED").first.click()
    expect(page.locator("#files-found")).to_have_text("1 file fits")
    expect(page).to_have_url(f"{ledger.url}/files?state=quarantined")
    page.reload()
    expect(page.locator(NAMES)).to_have_text([NASTY])
    expect(page.get_by_text("<b>why</b> it is quarantined").first).to_be_visible()
    page.locator("#files-clear").click()
    expect(page.locator("#files-found")).to_have_text("10 files")


def test_the_chosen_file_stands_beside_the_table_and_in_the_url(page: Page, ledger: Served) -> None:
    page.goto(f"{ledger.url}/files")
    page.locator(NAMES, has_text="partial").click()
    detail = page.locator("#file-detail")
    expect(detail).to_contain_text("/data/packet-50017-partial.h5")
    expect(detail).to_contain_text("120,000 of 340,000")
    expect(page).to_have_url(re.compile(r"/files\?file=\d+$"))
    page.reload()
    expect(detail).to_contain_text("packet-50017-partial.h5")
    expect(page.locator("#files-table")).to_be_visible()
    detail.get_by_role("button", name="Close").click()
    expect(detail).to_be_hidden()
    expect(page).to_have_url(f"{ledger.url}/files")


def test_enter_on_a_row_chooses_its_file(page: Page, ledger: Served) -> None:
    page.goto(f"{ledger.url}/files?search=waiting")
    page.locator(".ag-center-cols-container .ag-cell").nth(1).click()
    page.keyboard.press("Enter")
    expect(page.locator("#file-detail")).to_contain_text("packet-50017-waiting.h5")
    page.keyboard.press("Escape")
    expect(page.locator("#file-detail")).to_be_hidden()


def test_reading_again_says_what_it_touches_and_stands_in_the_audit_trail(site: Served, page: Page) -> None:
    some_files(site.store)
    with site.store.read() as tx:
        [done] = files.search(tx, state="done")
    page.goto(f"{site.url}/files?file={done.id}")
    expect(page.locator("#live")).to_contain_text("live")
    page.get_by_text("Read again …").click()
    expect(page.locator("#file-again")).to_contain_text("Its 120,000 rows are taken out of")
    expect(page.locator("#file-again")).to_contain_text("Ingest is not running")
    page.get_by_role("button", name="Read it again").click()
    expect(page.locator("#file-said")).to_have_text("It will be read again.")
    expect(page.locator("#file-about .state")).to_have_text("WAITING")
    with site.store.read() as tx:
        after = files.by_id(tx, done.id)
        assert after
        assert (after.state, after.rows_done) == (FileState.WAITING, 0)
        assert [change["action"] for change in audit.of(tx, f"file {done.id}")] == ["read again"]


def test_selected_files_are_ignored_together_and_that_is_undone(site: Served, page: Page) -> None:
    some_files(site.store)
    page.goto(f"{site.url}/files")
    expect(page.locator("#live")).to_contain_text("live")
    expect(page.locator("#files-acts")).to_be_hidden()
    for name in ("done", "partial", "gone"):
        row = page.locator(".ag-pinned-left-cols-container .ag-row", has_text=f"-{name}.h5")
        row.locator("input[type=checkbox]").check()
    expect(page.locator("#files-selected")).to_have_text("3 selected:")
    expect(page.get_by_role("button", name="Read again (2)")).to_be_enabled()
    expect(page.get_by_role("button", name="Release (0)")).to_be_disabled()
    page.locator("#files-why").fill("<b>noisy</b> supply")
    page.get_by_role("button", name="Ignore (3)").click()
    expect(page.locator("#files-said")).to_have_text("3 files ignored.")
    expect(page.locator("#files-acts")).to_be_hidden()
    with site.store.read() as tx:
        ignored = [file for file in files.search(tx, limit=100, history=True) if file.ignored]
    assert [file.ignored for file in ignored] == ["ignored by admin@127.0.0.1: <b>noisy</b> supply"] * 3
    expect(page.get_by_text("<b>noisy</b> supply").first).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#files-said")).to_have_text("3 files released, to be read again.")
    with site.store.read() as tx:
        assert not [file for file in files.search(tx, limit=100, history=True) if file.ignored]


def test_a_file_is_ignored_and_released_in_its_detail_with_a_reason(site: Served, page: Page) -> None:
    some_files(site.store)
    with site.store.read() as tx:
        [bad] = files.search(tx, state="quarantined")
    page.goto(f"{site.url}/files?file={bad.id}")
    page.get_by_text("Ignore or Release …").click()
    expect(page.locator("#file-leave")).to_contain_text("Released, it is read again at once.")
    page.locator("#file-leave input").fill("not of ours")
    page.get_by_role("button", name="Ignore it").click()
    expect(page.locator("#file-said")).to_have_text("It is ignored.")
    expect(page.locator("#file-about .state")).to_have_text("IGNORED")
    expect(page.locator("#file-about")).to_contain_text("ignored (not of ours) by")
    page.locator("#file-leave summary").click()
    page.get_by_role("button", name="Release it").click()
    expect(page.locator("#file-about .state")).to_have_text("WAITING")


def test_a_file_that_is_gone_cannot_be_read_again(page: Page, ledger: Served) -> None:
    page.goto(f"{ledger.url}/files?state=gone")
    page.locator(NAMES).click()
    page.locator("#file-again").get_by_text("Read again").click()
    expect(page.locator("#file-again")).to_contain_text("It is no longer there.")
    expect(page.get_by_role("button", name="Read it again")).to_have_count(0)


def test_new_files_and_the_queue_appear_by_themselves(site: Served, page: Page) -> None:
    page.goto(f"{site.url}/files")
    expect(page.get_by_role("heading", name="No files yet")).to_be_visible()
    expect(page.locator("#files-progress")).to_contain_text("Ingest is not running")
    expect(page.locator("#live")).to_contain_text("live")
    now = time.time()
    with site.store.begin() as tx:
        watchers.beat(tx, Watcher("w", "daq01", 1, now, now, True, "counting", 37, 252.0, ("/more is not there",)))
        files.add(tx, "/data/new.h5", "/data", 10, time.time_ns(), "", now)
    expect(page.locator("#files-found")).to_have_text("1 file")
    expect(page.locator(NAMES)).to_have_text(["new.h5"])
    expect(page.locator("#files-progress")).to_contain_text("37 files wait to be counted, about 4 min 12 s left.")
    expect(page.locator("#files-progress")).to_contain_text("/more is not there")


@pytest.mark.parametrize(
    ("query", "said"),
    [("state=<script>", "“<script>” is no state of a file"), ("order=nothing", "is no column to sort by")],
)
def test_a_query_that_nobody_understands_is_said_in_words(page: Page, ledger: Served, query: str, said: str) -> None:
    page.goto(f"{ledger.url}/files?{query}")
    expect(page.locator("#files-problems")).to_contain_text(said)
    expect(page.locator("#files-found")).to_have_text("10 files")


@pytest.mark.parametrize("chosen", ["999999", "<script>", "-1", "²"])
def test_a_file_that_is_not_there_is_said(page: Page, ledger: Served, chosen: str) -> None:
    page.goto(f"{ledger.url}/files?file={chosen}")
    expect(page.locator("#file-detail")).to_contain_text("No such file")


def test_nothing_is_wider_than_the_window(page: Page, ledger: Served) -> None:
    page.goto(f"{ledger.url}/files?file=1")
    page.locator(NAMES).first.wait_for()
    keeps_inside(page)
