"""Every test of the store runs on both databases."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from dqm.store import Store, open_store
from dqm.store.database import _engine
from dqm.store.states import FileStates, RowStates
from tests import postgresql


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    with postgresql.server() as url:
        yield url


@pytest.fixture
def new_database(postgresql_url: str) -> str:
    """The URL of a new, empty PostgreSQL database."""
    name = f"t{uuid.uuid4().hex}"
    engine = sa.create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return postgresql_url.rpartition("/")[0] + f"/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/larboard.sqlite"
    return request.getfixturevalue("new_database")


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    opened = open_store(url, tmp_path / "states", migrate=True)
    yield opened
    opened.close()


@pytest.fixture
def new_store(url: str, tmp_path: Path) -> Iterator[Store]:
    """A database without any tables."""
    engine = _engine(url)
    opened = Store(engine, FileStates(tmp_path / "states") if "sqlite" in url else RowStates(engine))
    yield opened
    opened.close()
