"""Kills at random instants lose nothing and count nothing twice; and a service that does is found out."""

from __future__ import annotations

import os

import pytest

from tests.soak.harness import soak
from tests.soak.mutants import CODE, MUTANTS

KILLS = int(os.environ.get("SOAK_KILLS", "20"))


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_every_packet_is_counted_once_whoever_is_killed_while_files_come(engine: str) -> None:
    result = soak(KILLS // 2, seed=7, engine=engine, say=print)
    assert result.problems == []
    assert result.killed == KILLS // 2
    assert result.packets > 0


EVIDENCE = {
    "twice": "instead of",
    "cursor_first": "rows",
    "loses_a_state": "is named and is not there",
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_service_with_a_fault_is_found_out(name: str) -> None:
    result = soak(0, seed=3, code=CODE.format(name=name), runs=3, rest_s=8, roles=["watch"], say=print)
    assert any(EVIDENCE[name] in problem for problem in result.problems), result.problems
