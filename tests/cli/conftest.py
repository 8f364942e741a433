"""Files that the commands are tried on, and with which plots."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.commands import FEW
from tests.conftest import some_packets
from tests.ingest.watching import all_but


@pytest.fixture(autouse=True)
def few_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command is tried with a few of the built-in plots; with all of them where a test asks for `all_plots`."""
    if "all_plots" not in request.fixturenames:
        monkeypatch.setenv("LARBOARD_PLOTS__WITHOUT", json.dumps(all_but(FEW)))


@pytest.fixture
def all_plots() -> None:
    """What is said of each built-in plot is tried with all of them."""


@pytest.fixture
def good(packet_file: Callable) -> Path:
    return packet_file(some_packets(3000), "packet-0000042-2024_07_08_13_37_42_CDT.h5")


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    path = tmp_path / "empty.h5"
    path.touch()
    return path
