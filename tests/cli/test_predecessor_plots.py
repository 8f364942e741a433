"""Plots of larpix-monitor from the command line: listed, tested, run over files."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.cli.commands import larboard

PLUGIN = """
import matplotlib.pyplot as plt
import plotly.graph_objects as go

class ChipPlot(object):
    '''Packets of each chip'''
    def __call__(self, filename, fh, fig=None):
        fig = plt.figure()
        plt.hist(fh['packets']['chip_id'])
        return fig

def make(number):
    class PixelMap(object):
        def __call__(self, filename, fh, fig=None):
            return go.Figure(go.Bar(y=[number, len(fh['packets'])], name=filename))
    return PixelMap

PixelMapTile1 = make(1)

class Wrong(object):
    def __call__(self, filename, fh, fig=None):
        {wrong}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "larboard.toml").write_text('[plots]\npaths = ["plugins"]\n')
    return tmp_path


def write(folder: Path, wrong: str = "return go.Figure()") -> None:
    (folder / "plugins" / "theirs.py").write_text(PLUGIN.replace("{wrong}", wrong))


def test_they_are_listed_with_their_titles(folder: Path) -> None:
    write(folder)
    done = larboard("plots", "list", cwd=folder)
    assert done.code == 0
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert "Packets of each chip  [packets, predecessor, " in lines["ChipPlot"]
    assert "Pixel map tile 1" in lines["PixelMapTile1"]


def test_they_are_tested(folder: Path) -> None:
    write(folder)
    done = larboard("plots", "test", "plugins/theirs.py", cwd=folder)
    assert done.code == 0
    assert "pass  PixelMapTile1: stopping and resuming between two looks changes nothing" in done.out
    write(folder, "return None")
    done = larboard("plots", "test", "plugins/theirs.py", cwd=folder)
    assert done.code == 1
    assert "FAIL  Wrong: takes new packets with its figure of the last time, again and again" in done.out
    assert "NoFigure: returned None, expected a matplotlib or Plotly figure" in done.out
    assert "pass  ChipPlot: takes new packets" in done.out


def test_process_writes_their_figures_and_names_the_broken_one(good: Path, folder: Path) -> None:
    write(folder, "1 / 0")
    done = larboard("process", good, "--out", "out", "--html", "report.html", cwd=folder)
    assert done.code == 1
    assert "Wrong: drawing: ZeroDivisionError: division by zero" in done.out
    made = folder / "out" / good.name
    bar = json.loads((made / "PixelMapTile1.json").read_text())["data"][0]
    assert bar["name"] == str(good)
    layout = json.loads((made / "ChipPlot.json").read_text())["layout"]
    assert base64.b64decode(layout["images"][0]["source"].partition(",")[2]).startswith(b"<svg ")
    assert "larboard_state" not in (made / "ChipPlot.json").read_text()
    assert (made / "PacketRate.json").is_file()
    assert layout["images"][0]["source"] in (folder / "report.html").read_text()
