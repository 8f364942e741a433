"""The ledger of files in words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dqm.records import FileState, Pulse, Watcher
from dqm.store import files, pulses, runs, watchers
from dqm.views.file_page import STATES, Wanted, counts, detail, file_rows, progress, size, wanted
from dqm.views.site import Site
from tests.checks.test_alarms import facts
from tests.filling import fill


def test_every_state_has_a_word_a_shape_and_a_meaning() -> None:
    assert set(STATES) == set(FileState)
    assert len({word.word for word in STATES.values()}) == len(FileState)


def test_a_counted_file_is_a_row_in_words(site: Site, tmp_path: Path) -> None:
    report = fill(site.store, tmp_path, run=50017)
    found = file_rows(site, Wanted())
    [row] = found.rows
    assert found.total == 1
    assert (row["full"], row["path"]) == (str(report.path), report.path.name)
    assert (row["run"], row["word"], row["reason"], row["share"]) == ("50017", "DONE", "", None)
    assert row["rows_exact"] == f"{report.rows:,} rows"


def test_files_are_found_by_state_run_and_words_and_history_only_by_its_state(site: Site) -> None:
    with site.store.begin() as tx:
        run = runs.ensure(tx, "7", 7, "physics", [])
        for i, state in enumerate(("done", "partial", "growing")):
            file_id = files.add(tx, f"/{state}.h5", "/", 10, i, "", 1.0)
            files.update(
                tx, file_id, state=state, reason="a checksum", run_id=run if i else None, rows=100, rows_done=25
            )
        files.retire(tx, files.add(tx, "/old.h5", "/", 10, 1, "", 1.0), FileState.REPLACED, "another file")
    assert file_rows(site, Wanted()).total == 3
    beyond = file_rows(site, Wanted(), start=100, end=200)
    assert (beyond.rows, beyond.total) == ([], 3)
    assert file_rows(site, Wanted(state="replaced")).total == 1
    assert file_rows(site, Wanted(run="7")).total == 2
    assert file_rows(site, Wanted(words="checksum partial")).total == 1
    assert [count.word for count in counts(site)] == ["GROWING", "PARTIAL", "DONE", "REPLACED"]
    [growing] = file_rows(site, Wanted(state="growing")).rows
    assert (growing["rows"], growing["share"]) == ("25 of 100", 0.25)
    paths = [row["path"] for row in file_rows(site, Wanted(), order=(("path", True),)).rows]
    assert paths == ["partial.h5", "growing.h5", "done.h5"]


def test_the_detail_says_all_facts_and_what_reading_again_touches(site: Site, tmp_path: Path) -> None:
    report = fill(site.store, tmp_path, run=50017)
    [row] = file_rows(site, Wanted()).rows
    found = detail(site, row["id"])
    assert found
    assert dict(found.facts)["Path"] == str(report.path)
    assert {"Start", "End", "First seen", "Counted"} <= {name for name, _ in found.times}
    assert f"{report.rows:,} rows are taken out of" in found.confirmation
    assert "plots of run 50017" in found.confirmation
    assert "as soon as it runs" in found.confirmation
    assert found.refusal == ""


@pytest.mark.parametrize("file_id", ["", "x", "-1", "999", "9" * 30, "²", "1.0"])
def test_there_is_no_detail_of_a_file_that_is_not_there(site: Site, file_id: str) -> None:
    assert detail(site, file_id) is None


def test_the_detail_names_the_file_with_the_same_data_and_faults(site: Site) -> None:
    with site.store.begin() as tx:
        first = files.add(tx, "/first.h5", "/", 10, 1, "", 1.0)
        second = files.add(tx, "/second.h5", "/", 9, 1, "", 1.0)
        files.update(tx, second, state="same", same_as=first, faults=["time goes back"])
    found = detail(site, str(second))
    assert found
    assert found.same_as == (first, "first.h5")
    assert found.reason == "time goes back"
    with site.store.begin() as tx:
        files.update(tx, second, reason="time goes back; no stamps", faults=["time goes back", "no stamps", "a hole"])
    again = detail(site, str(second))
    assert again
    assert again.reason == "time goes back; no stamps; a hole"


def test_the_queue_is_said_with_the_time_that_is_left(site: Site) -> None:
    assert not progress(site).alive
    now = time.time()
    with site.store.begin() as tx:
        watchers.beat(tx, Watcher("a", "h", 1, now, now, True, "", 0, None, ("no disk",)))
    assert progress(site).text == "No file waits to be counted."
    assert progress(site).problems == ("no disk",)
    with site.store.begin() as tx:
        watchers.beat(tx, Watcher("a", "h", 1, now, now, True, "", 1200, 3700.0))
    assert progress(site).text == "1,200 files wait to be counted, about 1 h 1 min left."
    assert not progress(site, now + 3600).alive
    with site.store.begin() as tx:  # what the Health page says is said here too
        pulses.save(tx, Pulse(now, "a", 0, 0.0, 0, 0, 1200, 0.0, {}, facts(time=now, left_s=7200.0)))
    assert progress(site).text == "1,200 files wait to be counted, about 2 h left."


def test_a_query_is_read_with_care() -> None:
    assert wanted({"state": "done", "order": "-size"}) == Wanted(state="done", order=(("size", True),))
    assert len(wanted({"state": "<script>", "order": "evil"}).problems) == 2


@pytest.mark.parametrize(
    ("n_bytes", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_999, "1 MB"), (12_345_678, "12.3 MB"), (5 * 10**12, "5 TB")],
)
def test_sizes_have_three_digits(n_bytes: int, said: str) -> None:
    assert size(n_bytes) == said


def test_names_and_reasons_that_turn_or_steer_the_writing_are_shown_as_escapes(site: Site) -> None:
    name = "/data/packet-\u202e5h.exe\x1b[31m<img src=x onerror=alert(1)>.h5"
    with site.store.begin() as tx:
        file_id = files.add(tx, name, "/data", 1, 1, "", 1.0)
        files.update(tx, file_id, state=FileState.QUARANTINED, reason="why")
    (row,) = [row for row in file_rows(site, wanted({"search": "exe"})).rows if row["id"] == str(file_id)]
    found = detail(site, str(file_id))
    assert found is not None
    for text in (row["path"], row["full"], found.name, dict(found.facts)["Path"]):
        assert text.isprintable(), text
        assert "<img src=x onerror=alert(1)>" in text  # text, which React and Jinja show as it is
