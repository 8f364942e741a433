"""Names of files, and where outputs go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.commands import larboard
from tests.conftest import REPOSITORY, some_packets

NASTY = ["<img src=x onerror=alert(1)>.h5", "a b'\"&.h5", "[red]x[bold].h5", "line\nbreak.h5", "\x1b[31mred.h5", "-.h5"]


def test_files_of_one_name_do_not_overwrite_each_other(packet_file: Callable, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = packet_file(some_packets(100), "a/same.h5")
    other = packet_file(some_packets(200), "b/same.h5")
    assert larboard("process", one, other, "--out", tmp_path / "out", "--plots", "PacketRate").code == 0
    counts = [
        json.loads((tmp_path / "out" / folder / "trends.json").read_text())["PacketRate.packets"]["value"]
        for folder in ("same.h5", "same.h5~2")
    ]
    assert counts == [100, 200]


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_file_name_is_only_a_name(packet_file: Callable, tmp_path: Path, name: str) -> None:
    path = packet_file(some_packets(300), name)
    done = larboard("process", path, "--out", tmp_path / "out", "--html", tmp_path / "r.html", "--plots", "PacketRate")
    assert done.code == 0
    assert "\x1b" not in done.out
    assert len(done.out.splitlines()) == len(larboard("process", path, "--plots", "PacketRate").out.splitlines()) + 2
    assert len(list((tmp_path / "out").glob("*/trends.json"))) == 1
    page = (tmp_path / "r.html").read_text()
    assert "<img src=x" not in page
    assert larboard("inspect", path, "--json").json[0]["path"] == str(path)


def test_a_name_that_is_not_utf8_is_survived(packet_file: Callable, tmp_path: Path) -> None:
    path = packet_file(some_packets(300))
    odd = os.fsencode(tmp_path) + b"/caf\xe9.h5"
    path.rename(os.fsdecode(odd))
    done = larboard("process", os.fsdecode(odd), "--html", tmp_path / "r.html", "--json")
    assert done.code == 0
    assert done.json[0]["path"].endswith("caf?.h5")
    assert (tmp_path / "r.html").stat().st_size > 10_000


def test_an_unwritable_output_is_one_sentence(good: Path, empty: Path, tmp_path: Path) -> None:
    page = larboard("process", good, "--html", empty / "r.html")
    assert page.code == 2
    assert "cannot write" in page.err
    assert page.err.count("\n") == 1
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / good.name).touch()
    other = good.with_name("other.h5")
    other.write_bytes(good.read_bytes())
    figures = larboard("process", good, other, "--out", tmp_path / "out")
    assert figures.code == 1
    assert figures.out.count("cannot write") == 1
    assert (tmp_path / "out" / "other.h5" / "trends.json").is_file()


def test_a_report_is_never_written_over_anything_but_a_report(good: Path, tmp_path: Path) -> None:
    before = good.read_bytes()
    other = good.with_name("other.h5")
    other.write_bytes(before)
    for arguments in ([good, "--html", good], ["--html", good, other], [other, "--html", other.parent]):
        done = larboard("process", *arguments)
        assert done.code == 2
        assert "is already there and is no report" in done.err
    assert good.read_bytes() == other.read_bytes() == before
    for _ in range(2):
        assert larboard("process", good, "--html", tmp_path / "r.html", "--plots", "SyncDt").code == 0


def test_two_that_write_one_report_do_not_mix(good: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from dqm.cli import main; main()", "process", good, "--html", tmp_path / "r.html"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [one.wait(timeout=120) for one in both] == [0, 0]
    page = (tmp_path / "r.html").read_text()
    assert page.count("<!doctype html>") == page.count("</html>") == 1
    assert not list(tmp_path.glob(".*"))


def test_what_a_file_holds_cannot_steer_the_terminal(packet_file: Callable) -> None:
    done = larboard("inspect", packet_file(some_packets(100), version="\x1b]0;mine\x07"))
    assert "\x1b" not in done.out
    assert "\\x1b" in done.out
