"""A small run of the demo detector, taken once, with every ingredient in it."""

from __future__ import annotations

import numpy as np
import pytest

from dqm.demo import DemoRun, Taken, take_run
from dqm.formats import Packets, cut, open_file
from dqm.formats.columns import PACKET_DTYPE
from tests.demo.runs import small_run


@pytest.fixture(scope="session")
def run() -> DemoRun:
    return small_run()


@pytest.fixture(scope="session")
def taken(run: DemoRun, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    return take_run(run, tmp_path_factory.mktemp("demo") / "data")


@pytest.fixture(scope="session")
def rows(taken: Taken) -> np.ndarray:
    """All rows of the packet file of the small run, PACKET_DTYPE."""
    assert taken.packets is not None
    with open_file(taken.packets) as reader:
        blocks = list(reader.blocks())
    rows = np.zeros(sum(map(len, blocks)), PACKET_DTYPE)
    for name in PACKET_DTYPE.names or ():
        rows[name] = np.concatenate([block[name] for block in blocks])
    return rows


@pytest.fixture(scope="session")
def packets(rows: np.ndarray) -> Packets:
    """The same as one block, with the demo detector."""
    from dqm.detector import demo_detector

    return next(cut(rows, detector=demo_detector()))
