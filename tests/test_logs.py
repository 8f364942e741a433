"""Logs: one line for each thing, nothing in it steers a terminal, and one id follows a file through all processes."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqm import logs
from tests.ingest.watching import age, take
from tests.services import running

NASTY = "packet-7-a\nERROR larboard: all is lost \x1b[31m\u202e\u2028.h5"


@pytest.fixture
def as_it_was() -> Iterator[None]:
    """Logging is global: what a test sets up must not be there for the next."""
    root, ours = logging.getLogger(), logging.getLogger(logs.OURS)
    before = root.handlers, root.level, ours.level, logs._chosen
    yield
    root.handlers, logs._chosen = before[0], before[3]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def record(message: str, *arguments: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("larboard.test", logging.INFO, "", 0, message, arguments, None)
    made.__dict__ |= more
    return made


class File:
    """A row of the ledger."""

    def __init__(self, id: int, first_seen: float = 1.5, run_key: str | None = "7"):
        self.id, self.first_seen, self.run_key = id, first_seen, run_key


@given(text=st.text(), run=st.text())
def test_whatever_stands_in_a_line_it_stays_one_printable_line(text: str, run: str) -> None:
    with logs.within((1, "abc", run)):
        for formatter in (logs.Text(), logs.Json()):
            line = formatter.format(record("%s", text))
            assert line.isprintable()
            assert len(line.splitlines()) == 1
        found = json.loads(line)
        assert found["message"] == logs.plain(text)
        assert found["run"] == logs.plain(run)


@given(first=st.text(), second=st.text())
def test_what_was_escaped_can_be_told_apart(first: str, second: str) -> None:
    assert (logs.plain(first) == logs.plain(second)) == (first == second)


def test_a_name_that_is_not_text_is_said_all_the_same() -> None:
    assert logs.plain(os.fsdecode(b"a\xff.h5")) == "a\\udcff.h5"


def test_a_json_line_says_when_where_and_what() -> None:
    with logs.about(File(12)):
        try:
            raise OSError("no\nway")
        except OSError as error:
            line = record("x", exc_info=(OSError, error, error.__traceback__))
            found = json.loads(logs.Json().format(line))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])
    assert (found["level"], found["logger"], found["message"]) == ("info", "larboard.test", "x")
    assert (found["file"], found["key"], found["run"]) == (12, logs.key_of(12, 1.5), "7")
    assert found["pid"] == os.getpid()
    assert found["host"]
    assert found["error"].startswith("OSError: no\\nway (test_a_json_line")
    assert "file" not in json.loads(logs.Json().format(record("y")))


def test_lines_are_about_the_innermost_file_and_about_none_afterwards() -> None:
    assert logs.carry() is None
    with logs.about(File(1)):
        with logs.about(File(2)):
            assert logs.Text().format(record("x")).endswith(f"[file 2 {logs.key_of(2, 1.5)} run 7] x")
        assert logs.Text().format(record("x")).endswith(f"[file 1 {logs.key_of(1, 1.5)} run 7] x")
    assert logs.carry() is None


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.floats(0, 4e9))
def test_the_key_of_a_file_is_short_and_its_own(first: int, second: int, seen: float) -> None:
    assert re.fullmatch(r"[0-9a-f]{8}", logs.key_of(first, seen))
    assert logs.key_of(first, seen) == logs.key_of(first, float(repr(seen)))
    if first != second:
        assert logs.key_of(first, seen) != logs.key_of(second, seen)


def in_a_worker(carried: logs.Carried) -> str:
    with logs.within(carried):
        return logs.Text().format(record("there"))


def test_a_worker_in_another_process_or_thread_goes_on_with_the_same_id() -> None:
    with logs.about(File(5)):
        carried = logs.carry()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert f"[file 5 {logs.key_of(5, 1.5)} run 7] there" in pool.submit(in_a_worker, carried).result()
    lines: list[str] = []
    thread = threading.Thread(target=lambda: lines.append(in_a_worker(carried)))
    thread.start()
    thread.join()
    assert "[file 5 " in lines[0]


@pytest.mark.usefixtures("as_it_was")
def test_of_libraries_only_warnings_are_heard() -> None:
    stream = io.StringIO()
    logs.set_up("text", "debug", stream)
    for name in ("larboard.watch", "alembic"):
        logging.getLogger(name).debug("quiet %s", name)
        logging.getLogger(name).warning("loud %s", name)
    said = stream.getvalue()
    assert "quiet larboard.watch" in said
    assert "quiet alembic" not in said
    assert "loud alembic" in said
    logs.set_up("json", "error", stream)
    logging.getLogger("larboard.watch").warning("no more")
    assert "no more" not in stream.getvalue()


def test_one_id_follows_a_file_through_the_log_of_a_real_watch(tmp_path: Path) -> None:
    made = take(tmp_path / "made", raw=False)
    root = tmp_path / "data"
    root.mkdir()
    with running(
        "watch", cwd=tmp_path, LARBOARD_INGEST__ROOTS=json.dumps([str(root)]), LARBOARD_LOG__FORMAT="json"
    ) as watch:
        shutil.copy2(made[0], root)
        (root / NASTY).write_bytes(b"nothing")
        age(root / NASTY, 1_000_000_000)
        watch.wait_for(": done")
        watch.wait_for("quarantined")
    lines = [json.loads(line) for line in watch.lines]
    seen = next(line for line in lines if line["message"] == f"seen: {root / made[0].name}")
    mine = [line for line in lines if line.get("key") == seen["key"]]
    assert {line["file"] for line in mine} == {seen["file"]}
    assert mine[0] is seen
    assert mine[-1]["message"].startswith(f"{made[0].name}: done")
    assert mine[-1]["run"] == "5"
    other = next(line for line in lines if "quarantined" in line["message"])
    assert other["key"] != seen["key"]
    assert "\\nERROR larboard" in other["message"]
    assert "\x1b" not in "".join(watch.lines)
