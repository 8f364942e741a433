"""A site over a new store, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dqm.settings import DataSettings, PlotSettings, Settings
from dqm.store import open_store
from dqm.views.site import Site, open_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "plugins").mkdir()
    data, plots = DataSettings(directory=tmp_path), PlotSettings(paths=[tmp_path / "plugins"])
    store = open_store(f"sqlite:///{tmp_path / 'larboard.sqlite'}", tmp_path / "states")
    made = open_site(Settings(data=data, plots=plots), store)
    yield made
    made.close()
