"""user and token, as they are typed; the database is a new one of each test."""

from __future__ import annotations

import json
import os
import pty
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dqm.cli import app
from tests.conftest import REPOSITORY

GOOD = "correct horse battery"


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Desk:
    """Commands in this process (each would need a second to start), in a folder of their own."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(self, *arguments: object, word: str = "") -> Done:
        done = CliRunner().invoke(app, [str(argument) for argument in arguments], input=word + "\n")
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Done(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


@pytest.fixture
def place(desk: Desk) -> Desk:
    """Where ada is the admin."""
    done = desk("user", "add", "ada", "--role", "admin", "--password-stdin", word=GOOD)
    assert (done.code, done.out) == (0, "ada is an admin\n"), done.err
    return desk


def test_people_are_added_changed_disabled_and_enabled(place: Desk) -> None:
    options = ("--role", "expert", "--expert-of", "charge", "--password-stdin")
    assert place("user", "add", "bob", *options, word=GOOD).out == "bob is an expert of charge\n"
    assert place("user", "role", "bob", "manager").out == "bob is a manager\n"
    assert place("user", "remove", "bob").code == 0
    rows = {row["name"]: row for row in place("user", "list", "--json").json}
    assert (rows["bob"]["role"], rows["bob"]["state"]) == ("manager", "disabled")
    assert rows["ada"]["expert_of"] is None
    assert GOOD not in str(rows)
    assert place("user", "enable", "bob").code == 0
    assert "disabled" not in place("user", "list").out
    assert place("user", "password", "bob", "--password-stdin", word="another long one").code == 0


@pytest.mark.parametrize(
    ("arguments", "word", "said"),
    [
        (("user", "add", "a b", "--password-stdin"), GOOD, "'a b' is no name"),
        (("user", "add", "ADA", "--password-stdin"), GOOD, "There is an account ADA already."),
        (("user", "add", "eve", "--password-stdin"), "short", "has 5 characters, expected 10 or more"),
        (("user", "add", "eve", "--password-stdin"), "Password12345", "one of the commonest"),
        (
            ("user", "add", "eve", "--role", "king", "--password-stdin"),
            GOOD,
            "'king' is no role, expected one of viewer",
        ),
        (("user", "add", "eve", "--role", "expert", "--expert-of", "muons", "--password-stdin"), GOOD, "no subsystem"),
        (("user", "add", "eve"), "", "no terminal to ask for the password on; use --password-stdin"),
        (("user", "role", "eve", "admin"), "", "There is no account eve."),
        (("user", "role", "ada", "viewer"), "", "ada is the only admin; make another one first."),
        (("user", "remove", "ada"), "", "ada is the only admin"),
        (("token", "add", "ada", "daq", "--scopes", "rule"), "", "rule is no scope, expected some of read, write"),
        (("token", "add", "ada", "daq", "--days", "9999"), "", "9999 days are not possible"),
        (("token", "revoke", "7"), "", "There is no token 7."),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(
    place: Desk, arguments: tuple[str, ...], word: str, said: str
) -> None:
    before = place("user", "list", "--json").out
    done = place(*arguments, word=word)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert place("user", "list", "--json").out == before


def test_the_first_account_is_that_of_an_admin(desk: Desk) -> None:
    done = desk("user", "add", "ada", "--password-stdin", word=GOOD)
    assert done.code == 2
    assert "The first account must be that of an admin" in done.err
    assert "larboard user add NAME --role admin" in desk("user", "list").out


def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown(tmp_path: Path) -> None:
    code = "from dqm.cli import main; main()"
    command = [sys.executable, "-c", code, "user", "add", "ada", "--role", "admin"]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": str(REPOSITORY)})
    shown = b""
    for prompt in (b"Password of ada: ", b"Once more: "):
        while prompt not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, GOOD.encode() + b"\n")
    while b"ada is an admin" not in shown:
        shown += os.read(terminal, 1024)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(terminal)
    assert GOOD.encode() not in shown


def test_a_token_is_printed_once_alone_on_its_line_and_can_be_revoked(place: Desk) -> None:
    done = place("token", "add", "ada", "daq", "--scopes", "read,files:write", "--days", "30")
    assert done.code == 0
    assert done.out.startswith("lbd_")
    assert done.out.count("\n") == 1
    (row,) = place("token", "list", "--json").json
    assert (row["owner"], row["name"], row["scopes"], row["state"]) == ("ada", "daq", ["read", "files:write"], "valid")
    assert done.out.strip() not in place("token", "list").out
    assert place("token", "revoke", row["number"]).code == 0
    assert place("token", "list", "--json").json[0]["state"] == "revoked"
    database = (place.folder / "larboard-data/larboard.sqlite").read_bytes()
    assert done.out.strip().encode() not in database
    assert GOOD.encode() not in database
