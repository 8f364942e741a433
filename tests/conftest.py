"""What tests share: where the sample files are, files made on the fly, the demo detector's packets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import settings

from dqm.formats.columns import PACKET_DTYPE

# how long an example takes says more about the machine than about the code
settings.register_profile("larboard", deadline=None)
settings.load_profile("larboard")

REPOSITORY = Path(__file__).parent.parent
THOROUGH = int(os.environ.get("THOROUGH", "1"))
"""How many times the examples of a slow property are made: more in the long run."""
SAMPLES = REPOSITORY / os.environ.get("LARBOARD_SAMPLES", "../shared/data")


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of the peers' sample files."""
    return SAMPLES


@pytest.fixture
def packet_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a packet file: ``packet_file(rows, name="x.h5", chunk=100, compression="gzip", version="2.4")``."""

    def write(
        rows: np.ndarray, name: str = "packets.h5", chunk: int = 100, version: str = "2.4", **options: object
    ) -> Path:
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            file.create_group("_header").attrs["version"] = version
            file.create_dataset("packets", data=rows, chunks=(chunk,), maxshape=(None,), **options)
        return path

    return write


def packets_of(n: int, **columns: object) -> np.ndarray:
    """`n` packet rows, zero but for `columns`."""
    rows = np.zeros(n, PACKET_DTYPE)
    for name, values in columns.items():
        rows[name] = values
    return rows


def some_packets(n: int = 1000, seed: int = 1) -> np.ndarray:
    """Rows as a detector sends them: a timestamp packet, data, a PPS each 100 rows, a few of every other type."""
    random = np.random.default_rng(seed)
    rows = packets_of(
        n,
        io_group=random.integers(1, 3, n),
        io_channel=random.integers(1, 5, n),
        chip_id=random.integers(11, 111, n),
        channel_id=random.integers(0, 6, n),
        dataword=random.integers(0, 256, n),
        valid_parity=random.random(n) > 0.01,
        timestamp=np.sort(random.integers(0, 10_000_000, n)),
        local_fifo=random.integers(0, 4, n),
        shared_fifo=random.integers(0, 4, n),
    )
    rows["receipt_timestamp"] = rows["timestamp"] + 500
    every = np.arange(n)
    rows["packet_type"][every % 50 == 0] = 4
    rows["timestamp"][every % 50 == 0] = 1_700_000_000 + every[every % 50 == 0] // 100
    pps = every % 100 == 49
    rows["packet_type"][pps], rows["trigger_type"][pps], rows["timestamp"][pps] = 6, ord("S"), 10_000_003
    trigger = every % 70 == 33
    rows["packet_type"][trigger], rows["trigger_type"][trigger] = 7, 2
    rows["timestamp"][trigger] |= np.uint64(1 << 31)
    return rows


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files come first: at the end no process waits for another one. Without samples some cannot run."""
    items.sort(
        key=lambda item: next((i for i, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))
    )
    if SAMPLES.is_dir():
        return
    for item in items:
        if item.get_closest_marker("samples"):
            item.add_marker(pytest.mark.skip(reason=f"{NO_SAMPLES} {SAMPLES}"))


LONGEST = (
    "tests/soak/test_soak",
    "tests/ingest/test_arrivals",
    "tests/browser/test_site.py",
    "tests/ingest/test_watch",
)
NO_SAMPLES = "no sample files in"
NOT_RUN = pytest.StashKey[int]()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Counted from the reports, which come from whichever process ran a test."""
    skipped = terminalreporter.stats.get("skipped", [])
    config.stash[NOT_RUN] = sum(NO_SAMPLES in str(report.longrepr) for report in skipped)


def pytest_unconfigure(config: pytest.Config) -> None:
    if number := config.stash.get(NOT_RUN, 0):
        print(f"{number} agreement tests did not run: no sample files (set LARBOARD_SAMPLES)")
