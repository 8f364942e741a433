"""What the board says of a store, without a browser."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dqm.records import Alarm, Element, ElementState, TrendValue, Watcher
from dqm.settings import DataSettings, Settings, WebSettings
from dqm.store import elements, files, open_store, plugins, runs, trends, watchers
from dqm.store.tables import runs as run_table
from dqm.views.alarm_list import AlarmList
from dqm.views.board import Board, Line, board
from dqm.views.live import Shared, last_notice, seq_of
from dqm.views.site import Site, open_site
from layouts.components.steady import tree_of
from layouts.pages.board.layout import board_of

NOW = 1_800_000_000.0
FRACTION = {"unit": "fraction", "range": (0, 1), "warn": (None, 1e-4), "alarm": (None, 1e-3)}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    settings = Settings(data=DataSettings(directory=tmp_path), web=WebSettings(stale_s=120, contact="me"))
    site = open_site(settings, open_store(f"sqlite:///{tmp_path / 'x.sqlite'}", tmp_path / "states"))
    yield site
    site.close()


def count(
    site: Site, plot: str, state: ElementState = ElementState.OK, reason: str = "", **values: list[float | None]
) -> None:
    """Files of run 7, a minute each and the last one ending now, with these trends of `plot`."""
    with site.store.begin() as tx:
        run_id = runs.ensure(tx, "7", 7, "physics", [])
        number = max((len(series) for series in values.values()), default=1)
        last: dict[str, TrendValue] = {}
        for i in range(number):
            start = NOW - 60 * (number - i)
            path = f"/data/{i}.h5"
            known = files.at(tx, path)
            file_id = known.id if known else files.add(tx, path, "/data", 1, int(start * 1e9), "", start)
            done = {
                "state": "done",
                "counted": True,
                "rows": 10,
                "rows_done": 10,
                "changed": start + 60,
                "done": start + 60,
                "next_look": None,
            }
            files.update(tx, file_id, run_id=run_id, start=start, end=start + 60, **done)
            last = {name: TrendValue(series[i], **FRACTION) for name, series in values.items()}  # type: ignore[arg-type]
            trends.save(tx, plot, file_id, run_id, start, start + 60, last)
        element = Element(
            run_id, "7", plot, 1, None, 0, None, True, 10 * number, state, reason, "", False, last, NOW
        )  # fmt: skip
        elements.save(tx, element)
        runs.recount(tx, run_id, None, now=NOW)


def line(found: Board, plot: str) -> Line:
    return next(line for line in found.lines if line.plot == plot)


def test_an_empty_store_has_a_board(site: Site) -> None:
    found = board(site, NOW)
    assert found.run is None
    assert found.lines == ()
    assert found.ingest.words == "No ingest process has reported yet"


def test_bad_comes_first_with_the_limit_and_since_when(site: Site) -> None:
    count(site, "AdcSpectrum", a=[0.0, 0.0, 0.0, 0.0, 0.0])
    count(site, "ParityErrors", a=[0.0, 5e-4, 2e-3, None, 4e-3])
    found = board(site, NOW)
    assert [(line.plot, line.state) for line in found.lines] == [("ParityErrors", "bad"), ("AdcSpectrum", "good")]
    worst = found.lines[0]
    assert worst.title == "Fraction of data packets with invalid parity"
    assert worst.words == "0.004, above 0.001 (bad)"
    assert (worst.since, worst.files, worst.whole_run) == (NOW - 180, 2, False)
    assert found.wrong == (worst,)
    assert found.contact == "me"


def test_a_whole_run_that_is_bad_says_that_it_may_be_older(site: Site) -> None:
    count(site, "ParityErrors", a=[2e-3, 4e-3])
    assert board(site, NOW).lines[0].whole_run


def test_the_newest_file_with_a_value_judges(site: Site) -> None:
    count(site, "ParityErrors", a=[2e-3, 0.0, None])
    assert board(site, NOW).lines[0].state == "good"


def test_each_number_outside_its_limits_has_its_line_and_its_name(site: Site) -> None:
    count(site, "ParityErrors", first_one=[2e-3], second_one=[5e-4], third=[0.0])
    words = [(line.state, line.words) for line in board(site, NOW).lines]
    assert words == [
        ("bad", "first one 0.002, above 0.001 (bad)"),
        ("suspect", "second one 0.0005, above 0.0001 (suspect)"),
    ]


def test_not_yet_no_data_broken_and_no_limits_are_four_things(site: Site) -> None:
    count(site, "ParityErrors", a=[None])
    count(site, "SyncDt", ElementState.UNAVAILABLE, "no column timestamp")
    count(site, "AdcSpectrum", ElementState.BROKEN, "counting: ValueError")
    count(site, "PacketRate")
    found = board(site, NOW)
    states = {line.plot: (line.state, line.words) for line in found.lines}
    assert states == {
        "ParityErrors": ("unknown", "not enough data to decide"),
        "SyncDt": ("nodata", "no column timestamp"),
        "AdcSpectrum": ("broken", "counting: ValueError"),
        "PacketRate": ("", "no limits are set"),
    }
    assert found.rate_plot == "PacketRate"


def test_a_plug_in_that_ingest_found_broken_is_on_the_board(site: Site) -> None:
    from dqm.records import Plugin

    count(site, "PacketRate")
    with site.store.begin() as tx:
        plugins.found(tx, [Plugin("mine", "plugins/mine.py", "", "ImportError: no such library", "")])
    assert line(board(site, NOW), "mine").state == "broken"


def test_old_data_make_the_board_stale(site: Site) -> None:
    count(site, "ParityErrors", a=[2e-3])
    assert board(site, NOW).stale, "nobody reads files: what is shown may be old"
    beat(site, at=NOW + 115)
    assert not board(site, NOW + 119).stale
    found = board(site, NOW + 120)
    assert found.stale
    assert found.run_state == "silent"


def test_a_closed_run_has_ended(site: Site) -> None:
    count(site, "ParityErrors", a=[0.0])
    with site.store.begin() as tx:
        tx.execute(run_table.update().values(closed=True))
    assert board(site, NOW).run_state == "ended"


def beat(
    site: Site, at: float = NOW, problems: tuple[str, ...] = (), backlog_s: float = 12.0, leads: bool = True
) -> None:
    """A sign of life of an ingest process."""
    with site.store.begin() as tx:
        watchers.beat(tx, Watcher("w", "daq", 1, NOW, at, leads, "reading", 3, backlog_s, problems))
        if leads:
            watchers.lead(tx, "w", at, 15)


def test_an_ingest_process_that_is_silent_is_not_running(site: Site) -> None:
    beat(site)
    assert (board(site, NOW + 15).ingest.state, board(site, NOW).ingest.words) == ("good", "reading")
    silent = board(site, NOW + 16).ingest
    assert (silent.state, silent.last_beat) == ("broken", NOW)
    beat(site, problems=("data root /d is not there",))
    found = board(site, NOW).ingest
    assert (found.state, found.problems) == ("suspect", ("data root /d is not there",))


def test_an_ingest_that_does_not_keep_up_or_does_not_lead_is_no_green_thing(site: Site) -> None:
    beat(site, leads=False)
    assert board(site, NOW).ingest.state == "suspect"
    assert "no ingest leads" in board(site, NOW).ingest.problems[0]
    beat(site, backlog_s=61)
    assert board(site, NOW).ingest.problems == ("it does not keep up: 3 files wait to be counted",)


def test_the_board_of_a_long_run_takes_little_time(site: Site) -> None:
    count(site, "ParityErrors", a=[1e-5] * 300)
    start = time.perf_counter()
    board(site, NOW)
    assert time.perf_counter() - start < 1


def test_those_who_are_told_of_nothing_newer_share_one_answer(site: Site) -> None:
    count(site, "ParityErrors", a=[0.0])
    made = []
    shared = Shared(lambda site, key: made.append(key) or len(made), for_s=60)
    assert [shared(site, "a"), shared(site, "a"), shared(site, "b")] == [1, 1, 2]
    before = last_notice(site)
    count(site, "SyncDt", a=[0.0])
    assert shared(site, "a", seq=before) == 1
    assert shared(site, "a", seq=last_notice(site)) == 3
    assert Shared(lambda site: made.append("c") or len(made), for_s=0)(site) == 4


def test_those_who_come_while_it_is_made_take_the_next_one_together(site: Site) -> None:
    begun, go_on, made = threading.Event(), threading.Event(), []

    def make(site: Site) -> int:
        made.append(1)
        begun.set()
        assert go_on.wait(20)
        return len(made)

    shared = Shared(make, for_s=60)
    got: list[int] = []
    count(site, "ParityErrors", a=[0.0])
    threads = [threading.Thread(target=lambda: got.append(shared(site)))]
    threads[0].start()
    assert begun.wait(20)
    count(site, "SyncDt", a=[0.0])  # what is being made may not know of this
    newest = last_notice(site)
    threads += [threading.Thread(target=lambda: got.append(shared(site, seq=newest))) for _ in range(5)]
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(got) == [1, 2, 2, 2, 2, 2]


def test_what_a_browser_says_of_notices_is_read_with_care() -> None:
    assert seq_of([{"seq": 5, "keys": []}, None, 7, {"seq": "9"}, {"seq": 4}, []]) == 5
    assert seq_of([]) == 0


def test_alarms_of_the_monitor_that_nobody_has_seen_stand_first_and_leave_room(site: Site) -> None:
    count(site, "PacketRate", rate=[1.0])
    quiet = board(site, NOW)
    raised = [Alarm(n, "plugin", f"p{n}", "suspect", f"reason {n}", NOW, NOW) for n in range(1, 5)]
    unseen = replace(quiet, alarms=AlarmList(tuple(raised)))
    seen = replace(quiet, alarms=AlarmList(tuple(replace(one, acknowledged_at=NOW) for one in raised)))

    def monitor(found: Board) -> tuple[int, str]:
        """Where the panel of the monitor stands in the page, and what it says."""
        text = json.dumps(tree_of(board_of(found)))
        return text.index("panel monitor"), text

    place, text = monitor(unseen)
    assert place < text.index("Whom to call")
    assert [reason for reason in ("reason 1", "reason 2", "reason 3", "reason 4") if reason in text] == [
        "reason 1",
        "reason 2",
    ]
    assert "2 more alarms on Health" in text
    place, text = monitor(seen)
    assert place > text.index("Whom to call")
