"""Runs as a list."""

from __future__ import annotations

from pathlib import Path

import pytest

from dqm.store import files, runs
from dqm.store.runs import Search
from dqm.views.asked import day_of, moment_of
from dqm.views.run_list import found_in_words, run_count, run_rows, span, wanted
from dqm.views.site import Site
from tests.filling import fill


def test_a_run_is_a_row_in_words(site: Site, tmp_path: Path) -> None:
    fill(site.store, tmp_path, run=50017, start=1_720_000_000)
    [row] = run_rows(site, Search()).rows
    assert (row["key"], row["category"], row["tags"], row["detector"]) == ("50017", "physics", "test", "demo")
    assert (row["quality"], row["word"]) == ("bad", "BAD")
    assert row["start"] == pytest.approx(1_720_000_000, abs=2)
    assert row["duration"] == "3 s"
    assert row["files"] == "1"


def test_a_run_without_files_and_one_with_unread_and_growing_ones(site: Site) -> None:
    with site.store.begin() as tx:
        run = runs.ensure(tx, "1", 1, "physics", [])
        runs.ensure(tx, "2", 2, "physics", [])
        for i, state in enumerate(("growing", "waiting", "quarantined")):
            file_id = files.add(tx, f"/{i}", "/", 1, 1, "", 1.0)
            files.update(tx, file_id, run_id=run, state=state, counted=i == 0, start=100.0, end=160.0)
        runs.recount(tx, run)
    first, second = run_rows(site, Search(), (("number", False),)).rows
    assert (first["files"], first["unread"], first["duration"]) == ("1 (1 growing), 2 unread", 2, "1 min +")
    assert (first["word"], second["word"]) == ("NO LIMITS", "NO DATA")


def test_rows_come_in_parts_and_in_order(site: Site) -> None:
    with site.store.begin() as tx:
        for number in range(20):
            runs.ensure(tx, str(number), number, "physics", [])
    found = run_rows(site, Search(), (("number", True),), 5, 8)
    assert [row["key"] for row in found.rows] == ["14", "13", "12"]
    assert found.total == run_count(site) == 20
    assert run_rows(site, Search(), (), -5, 3).rows
    assert run_rows(site, Search(), (), 100, 50).rows == []


def test_a_query_is_read_with_care() -> None:
    good = wanted(
        {"search": " hot  ", "quality": "bad", "since": "2024-07-08", "until": "2024-07-08", "order": "-packets,number"}
    )
    assert good.problems == ()
    assert good.search == Search("hot", "", "bad", 1720396800.0, pytest.approx(1720483200.0, abs=1e-3))
    assert good.order == (("packets", True), ("number", False))
    bad = wanted({"quality": "<script>", "since": "garbage", "until": "2024-99-99", "order": "evil"})
    assert bad.search == Search()
    assert bad.order == ()
    assert len(bad.problems) == 4
    assert not bad.filtered
    assert len(wanted({"search": "x" * 10_000}).search.words) == 200


@pytest.mark.parametrize("text", ["", "now", "nan", "99999999999", "0000-00-00", "2024-07-08T99", "٢٠٢٤", "\x00"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert moment_of(text) is None


def test_times_may_say_their_zone() -> None:
    assert moment_of("2024-07-08T13:30-05:00") == moment_of("2024-07-08T18:30")
    assert day_of(moment_of("2024-07-08T23:59:59Z")) == "2024-07-08"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.6, "1 min"), (724, "12 min 4 s"), (3600, "1 h"), (7260, "2 h 1 min"), (200_000, "2 d 7 h")],
)
def test_a_length_of_time_has_two_units(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_how_many_were_found_is_said_in_words() -> None:
    assert found_in_words(10_000, False) == "10,000 runs"
    assert found_in_words(1, True) == "1 run fits"
    assert found_in_words(0, True, "file") == "No file fits"
    assert found_in_words(0, False) == "No runs yet"
