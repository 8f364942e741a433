"""larboard process and inspect: outputs, exit codes, memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import PLOTS, larboard
from tests.conftest import REPOSITORY, some_packets


@pytest.mark.usefixtures("all_plots")
def test_process_writes_a_figure_for_each_plot_and_the_trends(good: Path, tmp_path: Path) -> None:
    done = larboard("process", good, "--out", tmp_path / "out")
    assert done.code == 0
    folder = tmp_path / "out" / good.name
    assert {path.name for path in folder.iterdir()} == {f"{name}.json" for name in PLOTS} | {"trends.json"}
    for name in PLOTS:
        figure = json.loads((folder / f"{name}.json").read_text(), parse_constant=pytest.fail)
        assert figure["layout"]
        assert "data" in figure
    trends = json.loads((folder / "trends.json").read_text())
    assert trends["PacketRate.packets"] == {"value": 3000, "unit": "packets"}
    assert {name.split(".")[0] for name in trends} == PLOTS - {"SyncSeries", "UartPhase"}  # which have none
    assert trends["ParityErrors.invalid_parity_fraction"]["unit"] == "fraction"


def test_only_the_plots_that_are_asked_for_run(good: Path, tmp_path: Path) -> None:
    assert larboard("process", good, "--out", tmp_path / "out", "--plots", "SyncDt, AdcSpectrum").code == 0
    written = {path.name for path in (tmp_path / "out" / good.name).iterdir()}
    assert written == {"SyncDt.json", "AdcSpectrum.json", "trends.json"}


def test_an_unknown_plot_is_bad_usage_that_names_the_known_ones(good: Path) -> None:
    done = larboard("process", good, "--plots", "AdcSpectrun")
    assert done.code == 2
    assert "no plot named AdcSpectrun" in done.err
    assert "AdcSpectrum" in done.err


def test_a_bad_file_among_good_ones_costs_nothing_else(good: Path, empty: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    done = larboard("process", empty, good, text, "--out", tmp_path / "out", "--html", tmp_path / "r.html")
    assert done.code == 1
    assert "empty.h5: quarantined" in done.out
    assert "is empty (0 bytes)" in done.out
    assert (tmp_path / "out" / good.name / "trends.json").is_file()
    page = (tmp_path / "r.html").read_text()
    assert "QUARANTINED" in page
    assert good.name in page


def test_when_nothing_could_be_read_the_exit_code_is_2(empty: Path, tmp_path: Path) -> None:
    for arguments in (["process", empty], ["inspect", empty, tmp_path / "missing.h5"], ["process", tmp_path]):
        done = larboard(*arguments)
        assert done.code == 2
        assert done.out.count("quarantined") == len(arguments) - 1


def test_no_file_at_all_is_bad_usage() -> None:
    assert larboard("process").code == 2


def test_inspect_says_what_a_file_is_in_the_promised_words(good: Path, empty: Path) -> None:
    done = larboard("inspect", good, empty, "--json")
    assert done.code == 1
    first, second = done.json
    promised = ["path", "format", "version", "rows", "state", "reason", "run", "subrun", "start", "end"]
    assert list(first)[: len(promised)] == promised
    assert first["path"] == str(good)
    assert (first["format"], first["version"], first["rows"], first["state"]) == ("packets", "2.4", 3000, "ok")
    assert (first["run"], first["subrun"]) == (42, None)
    assert (first["start"], first["end"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:13:49Z")
    assert (second["format"], second["rows"], second["state"]) == ("unknown", None, "quarantined")
    assert second["reason"].startswith("is empty")


def test_json_goes_to_stdout_alone_and_has_no_nan(good: Path) -> None:
    done = larboard("process", good, "--json")
    assert done.code == 0
    (report,) = done.json
    assert report["trends"]["PixelMap.active_pixels"]["value"] is not None
    assert report["broken"] == {}
    assert done.err == ""


def test_inspecting_a_light_file_is_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "mpd_run_x_rctl_7_p3.data"
    path.write_bytes(b"Star" + bytes(4) + b"Run#" + (4).to_bytes(4, "little") + (51).to_bytes(4, "little") + bytes(50))
    done = larboard("inspect", path, "--json")
    assert done.code == 0
    assert (done.json[0]["format"], done.json[0]["run"], done.json[0]["subrun"]) == ("light", 51, 3)
    assert larboard("process", path).code == 2


@pytest.mark.usefixtures("all_plots")
@pytest.mark.parametrize("kind", ["packets", "long messages", "no geometry"])
def test_memory_stays_below_400_mb_whatever_the_file(tmp_path: Path, kind: str) -> None:
    from dqm.formats import words
    from dqm.formats.writers import PacketWriter, RawWriter

    path = tmp_path / "big.h5"
    if kind == "long messages":  # 12 million words in messages as long as they can be
        bits = words.encode_bits({"timestamp": np.arange(60_000) * 100, "chip_id": np.full(60_000, 20)})
        message = words.message(1_700_000_000, words.data_words(np.full(60_000, 3), np.full(60_000, 9), bits))
        with RawWriter(path) as raw:
            for _ in range(10):
                raw.write([message] * 20, np.ones(20, np.uint8))
    else:
        rows = some_packets(500_000)
        if kind == "no geometry":
            random = np.random.default_rng(1)
            for name in ("io_group", "io_channel", "chip_id"):
                rows[name] = random.integers(0, 256, len(rows))
        with PacketWriter(path, compression="gzip") as packets:
            for _ in range(6):
                packets.write(rows)
    code = (
        "import sys\nfrom dqm.cli import main\n"
        "try: main()\nfinally: print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0], file=sys.stderr)"
    )
    arguments = [sys.executable, "-c", code, "process", path, "--html", tmp_path / "r.html", "--out", tmp_path / "out"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split()[-1]) / 1024 <= 400


def test_a_file_that_is_being_written_is_read_as_far_as_it_is_final(tmp_path: Path) -> None:
    from dqm.formats import words
    from dqm.formats.writers import RawWriter

    path = tmp_path / "raw_2022_02_09_17_23_09_CET.h5"
    word = words.data_words(np.array([1]), np.array([9]), words.encode_bits({"dataword": np.array([4])}))
    with RawWriter(path, swmr=True) as writer:
        writer.write([words.message(1_700_000_000, word)] * 3, np.array([1, 2, 1]))
        (report,) = larboard("inspect", path, "--json").json
        assert (report["state"], report["rows"]) == ("growing", 6)
        assert "is being written: these are the rows that are final so far" in report["reason"]
        done = larboard("process", path, "--json")
        assert done.code == 0
        assert done.json[0]["trends"]["PacketRate.data_packets"]["value"] == 3


def test_messages_whose_bytes_are_not_there_yet_are_waited_for(tmp_path: Path) -> None:
    """HDF5 keeps the bytes in a heap that a writer may flush after the rows that point to it."""
    import h5py

    path = tmp_path / "raw.h5"
    with h5py.File(path, "w", libver="latest") as file:
        msgs = file.create_dataset("msgs", (0,), h5py.vlen_dtype(np.uint8), maxshape=(None,), chunks=(1024,))
        headers = file.create_dataset("msg_headers", (0,), [("io_groups", "u1")], maxshape=(None,), chunks=(1024,))
        file.swmr_mode = True
        for dset, values in (
            (msgs, [np.zeros(8, np.uint8), np.zeros(24, np.uint8)]),
            (headers, np.ones(2, headers.dtype)),
        ):
            dset.resize((2,))
            dset[:] = values
            dset.flush()
        (report,) = larboard("inspect", path, "--json").json
        assert report["state"] == "growing"
        # whether the heap is on the disk by now is the library's affair: they are read, or waited for in so many words
        waited_for = (
            "messages from 0 on cannot be read yet",
            "is being written: these are the rows that are final so far",
        )
        assert report["rows"] == 2 or any(words in report["reason"] for words in waited_for)
    (report,) = larboard("inspect", path, "--json").json
    assert (report["state"], report["rows"]) == ("ok", 2)


def test_an_interruption_is_one_line_and_leaves_nothing_half_written(good: Path, tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(
        "import signal\nfrom plots.base import Plot\nclass Waits(Plot):\n    title = 'x'\n"
        "    def __call__(self, packets, fig):\n        print('working', flush=True)\n        signal.pause()\n"
    )
    command = [sys.executable, "-c", "from dqm.cli import main; main()", "process", good, "--html", tmp_path / "r.html"]
    paths = json.dumps([str(tmp_path)])
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "LARBOARD_PLOTS__PATHS": paths}
    work = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert work.stderr is not None
    assert work.stderr.readline() == "working\n"
    work.send_signal(signal.SIGINT)
    _, said = work.communicate(timeout=60)
    assert work.returncode == 130
    assert said == "larboard: interrupted; nothing is half written\n"
    assert not list(tmp_path.glob("*.html")) + list(tmp_path.glob(".*"))
