"""The commands, as a user types them: exit codes, outputs, one clear line for bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from dqm.formats.columns import PACKET_DTYPE
from tests.conftest import REPOSITORY, packets_of, some_packets

PLOTS = {"AdcSpectrum", "FifoFlags", "HotPixels", "PacketRate", "ParityErrors", "PixelMap", "SyncDt", "TileRate"}


class Done:
    def __init__(self, done: subprocess.CompletedProcess[str]):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        return json.loads(self.out, parse_constant=pytest.fail)


def larboard(*arguments: object, cwd: Path | None = None, **environment: str) -> Done:
    """Runs the command in a process of its own; a traceback is never an answer."""
    done = subprocess.run(
        [sys.executable, "-c", "from dqm.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done)


@pytest.fixture
def good(packet_file: Callable) -> Path:
    return packet_file(some_packets(3000), "packet-0000042-2024_07_08_13_37_42_CDT.h5")


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    path = tmp_path / "empty.h5"
    path.touch()
    return path


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
    assert {name.split(".")[0] for name in trends} == PLOTS
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


def test_a_plug_in_that_does_not_import_is_reported_and_the_rest_runs(good: Path, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "bad.py").write_text("import no_such_library")
    (tmp_path / "larboard.toml").write_text('[plots]\npaths = ["plugins"]\n')
    done = larboard("process", good, "--out", tmp_path / "out", "--html", tmp_path / "r.html", cwd=tmp_path)
    assert done.code == 1
    assert "BROKEN bad" in done.err
    assert "No module named 'no_such_library'" in done.err
    assert len(list((tmp_path / "out" / good.name).iterdir())) == len(PLOTS) + 1
    assert "no_such_library" in (tmp_path / "r.html").read_text()


def test_a_plug_in_that_raises_is_broken_on_its_own_tile(good: Path, tmp_path: Path) -> None:
    (tmp_path / "angry.py").write_text(
        "from plots.base import Plot\nclass Angry(Plot):\n    title = 'Angry'\n"
        "    def __call__(self, packets, fig):\n        raise ValueError('<b>never</b>')\n"
    )
    paths = json.dumps([str(tmp_path)])
    done = larboard("process", good, "--html", tmp_path / "r.html", LARBOARD_PLOTS__PATHS=paths)
    assert done.code == 1
    assert "BROKEN   Angry: counting rows from 0: ValueError: <b>never</b>" in done.out
    page = (tmp_path / "r.html").read_text()
    assert "<b>never</b>" not in page
    assert "&lt;b&gt;never&lt;/b&gt;" in page


def test_a_figure_of_an_earlier_run_does_not_stay_when_the_plot_broke(good: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    head = "from plots.base import Plot\nclass Mine(Plot):\n    title = 'Mine'\n"
    text = head + "    def __call__(self, packets, fig): {body}\n"
    paths = json.dumps([str(tmp_path)])
    plugin.write_text(text.format(body="fig.add_bar(y=[1])"))
    assert larboard("process", good, "--out", tmp_path / "out", LARBOARD_PLOTS__PATHS=paths).code == 0
    assert (tmp_path / "out" / good.name / "Mine.json").is_file()
    plugin.write_text(text.format(body="raise ValueError('x')"))
    for body in ("raise ValueError('x')", "return 5"):
        plugin.write_text(text.format(body="fig.add_bar(y=[1])"))
        assert larboard("process", good, "--out", tmp_path / "out", LARBOARD_PLOTS__PATHS=paths).code == 0
        plugin.write_text(text.format(body=body))
        assert larboard("process", good, "--out", tmp_path / "out", LARBOARD_PLOTS__PATHS=paths).code == 1
        assert not (tmp_path / "out" / good.name / "Mine.json").exists()
        assert larboard("process", good, LARBOARD_PLOTS__PATHS=paths).code == 1


@pytest.mark.parametrize(
    ("trends", "reason"),
    [
        ("{'x': 3.0}", "returned 'x': float, expected a name and a Trend"),
        ("None", "trends returned NoneType"),
        ("[1]", "trends returned list"),
        ("{5: Trend(1, 'x')}", "returned 5: Trend"),
        ("{'x': Trend('abc', 'x')}", "a trend's value is str, expected a number or None"),
        ("{'x': Trend(1 + 2j, 'x')}", "a trend's value is complex"),
        ("{'x': Trend(1, 'x', warn=3)}", "a trend's warn is 3, expected (low, high)"),
    ],
)
def test_wrong_trends_break_their_own_plot_only(good: Path, tmp_path: Path, trends: str, reason: str) -> None:
    (tmp_path / "odd.py").write_text(
        "from plots.adc_spectrum import AdcSpectrum\nfrom plots.base import Trend\n"
        f"class Odd(AdcSpectrum):\n    def trends(self, state): return {trends}\n"
    )
    paths = json.dumps([str(tmp_path)])
    done = larboard("process", good, "--out", tmp_path / "out", "--json", LARBOARD_PLOTS__PATHS=paths)
    assert done.code == 1
    assert done.json[0]["broken"].keys() == {"Odd"}
    assert reason in done.json[0]["broken"]["Odd"]
    assert done.json[0]["trends"]["AdcSpectrum.mean_adc"]["value"]
    tested = larboard("plots", "test", "Odd", LARBOARD_PLOTS__PATHS=paths)
    assert tested.code == 1
    assert larboard("plots", "list", LARBOARD_PLOTS__PATHS=paths).code == 0


def test_numbers_beyond_json_are_written_all_the_same(good: Path, tmp_path: Path) -> None:
    (tmp_path / "big.py").write_text(
        "from plots.adc_spectrum import AdcSpectrum\nfrom plots.base import Trend\n"
        "class Big(AdcSpectrum):\n"
        "    def trends(self, state): return {'x': Trend(2**70, 'x'), 'y': Trend(float('inf'), 'Hz')}\n"
    )
    done = larboard("process", good, "--json", LARBOARD_PLOTS__PATHS=json.dumps([str(tmp_path)]))
    assert done.code == 0
    assert done.json[0]["trends"]["Big.x"]["value"] == 2.0**70
    assert done.json[0]["trends"]["Big.y"] == {"value": None, "unit": "Hz", "reason": "not a finite number"}


def test_a_plot_that_makes_no_plotly_figure_is_broken(good: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "from plots.base import Plot\nclass Odd(Plot):\n    title = 'Odd'\n    def __call__(self, packets, fig): return 5\n"
    )
    done = larboard("process", good, "--out", tmp_path / "out", LARBOARD_PLOTS__PATHS=json.dumps([str(tmp_path)]))
    assert done.code == 1
    assert "expected a Plotly figure, the plot made int" in done.out


@pytest.mark.parametrize(
    ("toml", "reason"),
    [
        ("[plots]\npath = ['x']", "setting plots.path: Extra inputs are not permitted"),
        ("[detector]\nname = 5", "setting detector.name: Input should be a valid string, got 5"),
        ("[plots", "larboard.toml"),
        ("[detector]\ndirectories = ['nowhere']", "setting detector.directories: nowhere is not a directory"),
        ("[detector]\nmodules = { 1 = 'nofile.yaml' }", "nofile.yaml (module 1) is not a file"),
    ],
)
def test_wrong_settings_are_one_sentence(good: Path, tmp_path: Path, toml: str, reason: str) -> None:
    (tmp_path / "larboard.toml").write_text(toml)
    done = larboard("process", good, "--html", tmp_path / "r.html", cwd=tmp_path)
    assert done.code == 2
    assert reason in done.err
    assert done.err.count("\n") == 1
    assert not list(tmp_path.glob("*.html*"))


def test_a_geometry_of_the_settings_that_is_not_known_is_said_and_the_rest_runs(good: Path, tmp_path: Path) -> None:
    done = larboard("process", good, good, "--out", tmp_path / "out", LARBOARD_DETECTOR__NAME="3x3")
    assert done.code == 1
    assert done.out.count("no geometry named '3x3'; known are demo (asked for in the settings)") == 2
    trends = json.loads((tmp_path / "out" / good.name / "trends.json").read_text())
    assert trends["PacketRate.packets"]["value"] == 3000
    assert trends["PixelMap.active_pixels"]["value"] is None


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("LARBOARD_DETECTR__NAME", "2x2", "LARBOARD_DETECTR__NAME in the environment is not a setting"),
        ("LARBOARD_PLOTS__PATHS", "plugins", "lists are JSON"),
    ],
)
def test_a_wrong_variable_of_the_environment_is_one_sentence(good: Path, name: str, value: str, reason: str) -> None:
    done = larboard("process", good, **{name: value})
    assert done.code == 2
    assert reason in done.err


def test_what_a_plug_in_prints_does_not_get_into_the_json(good: Path, tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text(
        "from plots.base import Plot\nprint('hello')\nclass Chatty(Plot):\n    title = 'x'\n"
        "    def __call__(self, packets, fig): print('working')\n"
    )
    done = larboard("process", good, "--json", LARBOARD_PLOTS__PATHS=json.dumps([str(tmp_path)]))
    assert done.code == 0
    assert done.json[0]["rows"] == 3000
    assert "hello" in done.err
    assert "working" in done.err


def test_the_version_is_printed() -> None:
    assert larboard("--version").out.startswith("larboard 0.")


def test_settings_that_are_pointed_to_must_be_there(good: Path) -> None:
    done = larboard("process", good, LARBOARD_CONFIG="nowhere.toml")
    assert done.code == 2
    assert "LARBOARD_CONFIG points to nowhere.toml" in done.err


def test_a_geometry_can_be_set_by_the_environment(good: Path) -> None:
    done = larboard("inspect", good, "--json", LARBOARD_DETECTOR__NAME="demo")
    assert done.json[0]["geometry"] == "demo"


def test_a_folder_called_geometry_beside_the_data_is_searched(packet_file: Callable, tmp_path: Path) -> None:
    from tests.detector.test_detector import DETECTOR, LAYOUT

    for folder in ("geometry", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "geometry/multi_tile_layout-0.0.1_mod0_plain.yaml").write_text(LAYOUT)
    (tmp_path / "geometry/tiny.yaml").write_text(DETECTOR)
    rows = packets_of(20, io_group=2, io_channel=3, chip_id=12, channel_id=1, valid_parity=1)
    done = larboard("inspect", packet_file(rows, "data/p.h5"), "--json")
    assert done.json[0]["geometry"] == "tiny"


NASTY = ["<img src=x onerror=alert(1)>.h5", "a b'\"&.h5", "[red]x[bold].h5", "line\nbreak.h5", "\x1b[31mred.h5", "-.h5"]


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


def test_inspecting_a_light_file_is_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "mpd_run_x_rctl_7_p3.data"
    path.write_bytes(b"Star" + bytes(4) + b"Run#" + (4).to_bytes(4, "little") + (51).to_bytes(4, "little") + bytes(50))
    done = larboard("inspect", path, "--json")
    assert done.code == 0
    assert (done.json[0]["format"], done.json[0]["run"], done.json[0]["subrun"]) == ("light", 51, 3)
    assert larboard("process", path).code == 2


def test_what_a_file_holds_cannot_steer_the_terminal(packet_file: Callable) -> None:
    done = larboard("inspect", packet_file(some_packets(100), version="\x1b]0;mine\x07"))
    assert "\x1b" not in done.out
    assert "\\x1b" in done.out


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


def test_the_live_demo_says_that_it_is_not_there_yet() -> None:
    done = larboard("demo")
    assert done.code == 2
    assert "--once" in done.err


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


def test_plots_list_names_all_and_the_broken_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("1/0")
    done = larboard("plots", "list", "--json", LARBOARD_PLOTS__PATHS=json.dumps([str(tmp_path)]))
    assert done.code == 1
    assert {plot["name"] for plot in done.json["plots"]} == PLOTS
    (rate,) = [plot for plot in done.json["plots"] if plot["name"] == "PacketRate"]
    assert rate["trends"]["data_rate_hz"] == "Hz"
    assert done.json["broken"][0]["reason"] == "ZeroDivisionError: division by zero"
    text = larboard("plots", "list")
    assert text.code == 0
    assert "Hottest 100 pixels" in text.out


@pytest.mark.parametrize("kind", [[], ["--simple"]])
def test_a_new_plot_is_about_twenty_lines_passes_its_tests_and_is_found(tmp_path: Path, kind: list) -> None:
    done = larboard("plots", "new", "ChargeOfChip", *kind, "--into", tmp_path / "mine")
    assert done.code == 0
    path = tmp_path / "mine" / "charge_of_chip.py"
    assert 15 <= len(path.read_text().splitlines()) <= 22
    tested = larboard("plots", "test", path)
    assert tested.code == 0
    assert "all passed" in tested.out
    listed = larboard("plots", "list", "--json", LARBOARD_PLOTS__PATHS=json.dumps([str(tmp_path / "mine")]))
    assert "ChargeOfChip" in {plot["name"] for plot in listed.json["plots"]}
    again = larboard("plots", "new", "ChargeOfChip", *kind, "--into", tmp_path / "mine")
    assert again.code == 2
    assert "already there" in again.err


@pytest.mark.parametrize("name", ["charge", "2Fast", "class", "../Evil", "AdcSpectrum", ""])
def test_a_bad_name_for_a_new_plot_is_refused(tmp_path: Path, name: str) -> None:
    done = larboard("plots", "new", name, "--into", tmp_path)
    assert done.code == 2
    assert list(tmp_path.iterdir()) == []


def test_plots_test_fails_for_a_plot_that_breaks_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "counts_blocks.py"
    path.write_text(
        "import numpy as np\nfrom plots.base import MergeablePlot\nclass CountsBlocks(MergeablePlot):\n    title = 'x'\n"
        "    def count(self, packets): return {'n': np.array([1])}\n"
        "    def draw(self, state, fig): fig.add_bar(y=state['n'])\n"
    )
    done = larboard("plots", "test", path)
    assert done.code == 1
    assert "FAIL  CountsBlocks: any cut into blocks gives the same result" in done.out
    assert "FAIL  CountsBlocks: its axes have titles with units" in done.out


def test_plots_test_of_a_built_in_by_name_and_of_nothing() -> None:
    assert larboard("plots", "test", "AdcSpectrum").code == 0
    assert larboard("plots", "test", "Nothing").code == 2
    assert larboard("plots", "test", "nowhere.py").code == 2


def test_help_lists_the_commands() -> None:
    done = larboard("--help")
    assert done.code == 0
    for command in ("process", "inspect", "convert", "demo", "plots"):
        assert command in done.out


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
