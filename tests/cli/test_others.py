"""larboard demo, convert, help."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from dqm.formats import words
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.writers import RawWriter
from tests.cli.commands import larboard


def test_the_version_is_printed() -> None:
    assert larboard("--version").out.startswith("larboard 0.")


def test_demo_once_makes_data_processes_them_and_prints_a_summary(tmp_path: Path) -> None:
    done = larboard("demo", "--once", "--data", tmp_path / "demo", "--seconds", 2, "--json")
    assert done.code == 0
    (report,) = done.json["files"]
    assert report["state"] == "ok"
    assert report["geometry"] == "demo"
    assert report["trends"]["PacketRate.data_rate_hz"]["value"] > 10_000
    assert Path(done.json["report"]).read_text().startswith("<!doctype html>")
    assert Path(done.json["raw"]).is_file()
    text = larboard("demo", "--once", "--data", tmp_path / "demo", "--seconds", 2)
    assert text.code == 0
    assert "report.html" in text.out


def test_the_same_seed_gives_the_same_demo(tmp_path: Path) -> None:
    trends = []
    for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
        done = larboard("demo", "--once", "--data", tmp_path / folder, "--seconds", 2, "--seed", seed, "--json")
        trends.append(done.json["files"][0]["trends"])
    assert trends[0] == trends[1]
    assert trends[0] != trends[2]


def test_convert_gives_the_packet_file_of_a_raw_file(tmp_path: Path) -> None:
    larboard("demo", "--once", "--data", tmp_path, "--seconds", 2)
    (raw,) = (tmp_path / "data").glob("binary-*")
    (packets,) = (tmp_path / "data").glob("packet-*")
    assert larboard("convert", raw, tmp_path / "mine.h5", "--gzip").code == 0
    with h5py.File(tmp_path / "mine.h5") as mine, h5py.File(packets) as theirs:
        assert mine["packets"].dtype == PACKET_DTYPE
        np.testing.assert_array_equal(mine["packets"][:], theirs["packets"][:])
        assert mine["_header"].attrs["version"] == "2.4"
    again = larboard("convert", raw, tmp_path / "mine.h5")
    assert again.code == 2
    assert "already there" in again.err
    wrong = larboard("convert", packets, tmp_path / "other.h5")
    assert wrong.code == 2
    assert "expected a raw PACMAN file" in wrong.err
    assert sorted(path.name for path in tmp_path.glob("*.h5*")) == ["mine.h5"]


def test_convert_reads_the_fifo_counts_when_it_is_told_that_there_are_some(tmp_path: Path) -> None:
    bits = np.array([(3 << 44) | (0xABC << 32) | (77 << 16)], np.uint64)
    with RawWriter(tmp_path / "raw.h5") as writer:
        writer.write([words.message(5, words.data_words(np.ones(1), np.ones(1), bits))], np.array([1]))
    done = larboard("convert", tmp_path / "raw.h5", tmp_path / "mine.h5", "--fifo-diagnostics")
    assert (done.code, done.out.split(": ")[1]) == (0, "2 packets\n")
    with h5py.File(tmp_path / "mine.h5") as file:
        row = file["packets"][1]
    names = ("timestamp", "shared_fifo_events", "local_fifo_events", "fifo_diagnostics_enabled")
    assert [int(row[name]) for name in names] == [77, 0xABC, 3, 1]


def test_convert_of_a_file_that_is_being_written_says_so(tmp_path: Path) -> None:
    words_of = [words.message(5, words.data_words(np.ones(2), np.ones(2), np.ones(2, np.uint64)))]
    with RawWriter(tmp_path / "raw.h5", swmr=True) as writer:
        writer.write(words_of, np.array([1]))
        done = larboard("convert", tmp_path / "raw.h5", tmp_path / "mine.h5")
    assert done.code == 1
    assert "3 packets" in done.out
    assert "is being written: these are the packets that are final so far" in done.err


def test_help_lists_the_commands() -> None:
    done = larboard("--help")
    assert done.code == 0
    for command in ("process", "inspect", "convert", "demo", "plots"):
        assert command in done.out
