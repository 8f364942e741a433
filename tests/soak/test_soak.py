"""Kills at random instants lose nothing and count nothing twice; and a service that does is found out."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.ingest.watching import FEWEST
from tests.soak import reliability
from tests.soak.harness import soak
from tests.soak.mutants import CODE, MUTANTS

KILLS = int(os.environ.get("SOAK_KILLS", "20"))


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_every_packet_is_counted_once_whoever_is_killed_while_files_come(engine: str) -> None:
    result = soak(KILLS // 2, seed=7, engine=engine, say=print, plots=FEWEST)
    assert result.problems == []
    assert result.killed == KILLS // 2
    assert result.packets > 0


EVIDENCE = {
    "twice": "instead of",
    "cursor_first": "instead of",
    "loses_a_state": "is named and is not there",
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_service_with_a_fault_is_found_out(name: str) -> None:
    result = soak(
        0, seed=3, code=CODE.format(name=name), runs=3, rest_s=8, roles=["watch"], say=print, executor="inline",
        plots=FEWEST,
    )  # fmt: skip
    assert any(EVIDENCE[name] in problem for problem in result.problems), result.problems


def test_every_test_that_the_page_of_promises_names_is_there() -> None:
    text = reliability.DOCUMENT.read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) > 20
    for file, test in named:
        assert f"def {test}" in (REPOSITORY / file).read_text(), (file, test)


def test_the_long_run_writes_its_own_line_and_leaves_the_others(tmp_path: Path) -> None:
    page = tmp_path / "reliability.md"
    page.write_text(reliability.DOCUMENT.read_text())
    reliability.write("one", "5 kills", "5", "0 lost", page)
    reliability.write("other", "6 kills", "6", "0 lost", page)
    reliability.write("one", "7 kills", "7", "0 lost", page)
    text = page.read_text()
    assert text.count("| one |") == 1
    assert "| one | 7 kills | 7 | 0 lost | " in text
    assert "| other | 6 kills |" in text
    assert text.split("## Promises")[1] == reliability.DOCUMENT.read_text().split("## Promises")[1]
