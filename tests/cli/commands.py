"""The command as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PLOTS = {
    "AdcMeans",
    "AdcSpectrum",
    "ChipConfiguration",
    "ChipRate",
    "FifoFlags",
    "HotPixels",
    "HydraDelay",
    "IoGroupRate",
    "LiveSpans",
    "PacketRate",
    "PacketTypes",
    "ParityErrors",
    "PixelMap",
    "SilentChannels",
    "SyncDt",
    "SyncSeries",
    "TileRate",
    "TriggerCharge",
    "TriggerIntervals",
    "TriggerPackets",
    "UartPhase",
}

FEW = ("AdcSpectrum", "FifoFlags", "HotPixels", "PacketRate", "PixelMap", "SyncDt", "SyncSeries")


class Done:
    def __init__(self, done: subprocess.CompletedProcess[str]):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        return json.loads(self.out, parse_constant=pytest.fail)


def larboard(*arguments: object, cwd: Path | None = None, **environment: str) -> Done:
    """Runs the command in a process of its own; a traceback is never an answer."""
    done = subprocess.run(
        [sys.executable, "-c", "from dqm.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done)
