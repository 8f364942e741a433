"""The audit trail can be added to and read; the database itself refuses everything else."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from dqm.store import Store, StoreProblem, audit
from dqm.store.tables import audit as table

SQLITE = [
    "INSERT OR REPLACE INTO audit (id, time, actor, action, subject) VALUES (1, 0, 'eve', 'nothing', 'run 1')",
    "REPLACE INTO audit (id, time, actor, action, subject) VALUES (1, 0, 'eve', 'nothing', 'run 1')",
    "INSERT INTO audit (id, time, actor, action, subject) VALUES (1, 0, 'eve', 'x', 'y') "
    "ON CONFLICT (id) DO UPDATE SET actor = 'eve'",
]
POSTGRESQL = [
    "TRUNCATE audit",
    "TRUNCATE audit CASCADE",
    "INSERT INTO audit (id, time, actor, action, subject) VALUES (1, 0, 'eve', 'x', 'y') "
    "ON CONFLICT (id) DO UPDATE SET actor = 'eve'",
    "SET LOCAL session_replication_role = 'replica'; DELETE FROM audit",
]


@pytest.fixture
def noted(store: Store) -> Store:
    with store.begin() as tx:
        audit.note(tx, "ada", "edit run", "run 1", {"comment": ""}, {"comment": "ok"})
        audit.note(tx, "ada", "edit run", "run 2")
    return store


def run(store: Store, statement: str) -> None:
    with store.begin() as tx:
        for part in statement.split("; "):
            tx.exec_driver_sql(part)


def test_no_statement_changes_or_removes_a_row(noted: Store) -> None:
    statements = ["UPDATE audit SET actor = 'eve'", "UPDATE audit SET actor = 'eve' WHERE id = 2", "DELETE FROM audit"]
    with noted.read() as tx:
        before = audit.search(tx, audit.Filter())
    assert len(before) == 2
    for statement in statements + (SQLITE if noted.is_sqlite else POSTGRESQL):
        with pytest.raises((sa.exc.IntegrityError, StoreProblem), match="the audit trail cannot be changed"):
            run(noted, statement)
        with noted.read() as tx:
            assert audit.search(tx, audit.Filter()) == before, statement


def test_rows_are_added_and_found_by_who_what_and_when(noted: Store) -> None:
    with noted.begin() as tx:
        audit.note(tx, "bob", "disable account", "account eve", None, {"sessions_ended": 1})
    with noted.read() as tx:
        newest, *_ = audit.search(tx, audit.Filter())
        assert (newest.actor, newest.subject, newest.after) == ("bob", "account eve", {"sessions_ended": 1})
        assert [row.subject for row in audit.search(tx, audit.Filter(actor="ada"))] == ["run 2", "run 1"]
        assert audit.count(tx, audit.Filter(words="EVE account")) == 1
        assert audit.count(tx, audit.Filter(words="100%")) == 0
        assert audit.count(tx, audit.Filter(since=newest.time + 1)) == 0
        assert audit.count(tx, audit.Filter(action="edit run", until=newest.time + 1)) == 2
        assert audit.actions(tx) == ["disable account", "edit run"]
        assert audit.actors(tx) == ["ada", "bob"]
        assert [row.id for row in audit.search(tx, audit.Filter(), start=1, limit=1)] == [newest.id - 1]


def test_the_triggers_are_those_of_the_table_that_the_code_writes(store: Store) -> None:
    with store.read() as tx:
        if store.is_sqlite:
            found = set(
                tx.scalars(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'"))
            )
            assert found == {"audit_no_update", "audit_no_delete", "audit_no_replace"}
        else:
            wanted = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'larboard.audit'::regclass AND tgenabled = 'A'"
            assert set(tx.scalars(sa.text(wanted))) == {"audit_no_change", "audit_no_truncate"}
    assert table.name == "audit"
