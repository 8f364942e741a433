"""Files that the commands are tried on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import some_packets


@pytest.fixture
def good(packet_file: Callable) -> Path:
    return packet_file(some_packets(3000), "packet-0000042-2024_07_08_13_37_42_CDT.h5")


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    path = tmp_path / "empty.h5"
    path.touch()
    return path
