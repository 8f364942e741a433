"""larboard plots list, new, test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import PLOTS, larboard
from tests.conftest import REPOSITORY


@pytest.mark.usefixtures("all_plots")
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
    assert larboard("plots").out == text.out
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


def test_plots_test_on_a_machine_without_room_for_blocks_says_so(tmp_path: Path) -> None:
    path = tmp_path / "charge_of_chip.py"
    assert larboard("plots", "new", "ChargeOfChip", "--into", tmp_path).code == 0
    command = ["prlimit", "--fsize=4096", sys.executable, "-B", "-m", "dqm.cli", "plots", "test", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 2
    assert "this machine cannot call plug-ins now: no shared memory for a block of" in done.stderr
    assert "Traceback" not in done.stderr


def test_plots_test_of_a_built_in_by_name_and_of_nothing() -> None:
    assert larboard("plots", "test", "AdcSpectrum").code == 0
    assert larboard("plots", "test", "Nothing").code == 2
    assert larboard("plots", "test", "nowhere.py").code == 2
