"""A watched folder, and what a clean pass over the files of the run gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ingest.watching import Site, take


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """What a single clean pass over the packet files of the run gives."""
    clean = Site(tmp_path_factory.mktemp("clean"))
    take(clean.root, raw=False)
    clean.scan()
    clean.settle()
    return clean.bases("5")
