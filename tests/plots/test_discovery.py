"""Plots are found without registration; a broken one is reported and everything else runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from plots.discovery import Registry, discover, load_file

GOOD = """
from plots.base import Plot
class {name}(Plot):
    title = "packets"
    def __call__(self, packets, fig):
        fig.update_layout(xaxis_title="x [cm]", yaxis_title="packets")
"""


def found(directory: Path, **files: str) -> Registry:
    for stem, text in files.items():
        (directory / f"{stem}.py").write_text(text)
    return discover([directory])


def reasons(registry: Registry) -> dict[str, str]:
    return {broken.name: broken.reason for broken in registry.broken}


def test_a_file_dropped_in_a_directory_is_found_beside_the_built_in(tmp_path: Path) -> None:
    registry = found(tmp_path, mine=GOOD.format(name="Mine"))
    assert registry.plots["Mine"].source == str(tmp_path / "mine.py")
    assert registry.plots["AdcSpectrum"].source == "built-in"
    assert registry.broken == []


def test_several_classes_of_one_file_are_all_found_helpers_are_not(tmp_path: Path) -> None:
    text = GOOD.format(name="First") + GOOD.format(name="Second") + GOOD.format(name="_Helper")
    assert {"First", "Second"} <= found(tmp_path, two=text).plots.keys()
    assert "_Helper" not in discover([tmp_path]).plots


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("class Broken(:", "SyntaxError"),
        ("raise RuntimeError('no license\\nfound')", "RuntimeError: no license found"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("x = 1", "holds no subclass of plots.base.Plot"),
    ],
)
def test_a_file_that_does_not_import_is_broken_with_its_reason(tmp_path: Path, text: str, reason: str) -> None:
    registry = found(tmp_path, bad=text, good=GOOD.format(name="Good"))
    assert reasons(registry)["bad"].startswith(reason)
    assert "Good" in registry.plots
    assert "AdcSpectrum" in registry.plots


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("def __call__(self, packets, fig): ...", "has no title"),
        ("title = 'x'", "has no __call__"),
        (
            "title = 'x'; level = 'cooked'\n    def __call__(self, p, f): ...",
            "has level 'cooked', expected one of raw, packets",
        ),
        (
            "title = 'x'; fields = 'dataword'\n    def __call__(self, p, f): ...",
            "expected a tuple such as ('dataword',)",
        ),
    ],
)
def test_a_class_that_is_no_plot_says_what_it_lacks(tmp_path: Path, body: str, reason: str) -> None:
    registry = found(tmp_path, mine=f"from plots.base import Plot\nclass Mine(Plot):\n    {body}\n")
    assert reason.replace("'", '"') in reasons(registry)["Mine"].replace("'", '"')


def test_a_mergeable_plot_needs_count_and_draw(tmp_path: Path) -> None:
    text = "from plots.base import MergeablePlot\nclass Mine(MergeablePlot):\n    title = 'x'\n"
    assert reasons(found(tmp_path, mine=text))["Mine"] == "is a MergeablePlot without count and draw"


def test_a_second_plot_of_a_name_does_not_replace_the_first(tmp_path: Path) -> None:
    registry = found(tmp_path, mine=GOOD.format(name="AdcSpectrum"))
    assert registry.plots["AdcSpectrum"].source == "built-in"
    assert "a plot of this name is already there (built-in)" in reasons(registry)["AdcSpectrum"]


def test_a_directory_that_is_not_there_is_reported(tmp_path: Path) -> None:
    assert f"{tmp_path / 'nowhere'} is not there" in reasons(discover([tmp_path / "nowhere"]))["nowhere"]
    (tmp_path / "file").touch()
    assert f"{tmp_path / 'file'} is not a directory" in reasons(discover([tmp_path / "file"]))["file"]


def test_an_installed_package_brings_plots_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_plots.py").write_text(GOOD.format(name="Theirs"))
    info = tmp_path / "their_plots-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-plots\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[larboard.plots]\nall = their_plots\none = their_plots:Theirs\nbad = their_plots:Nothing\nodd = json:dumps\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    registry = discover()
    assert registry.plots["Theirs"].source == "package their-plots 1.2"
    assert {"bad", "odd"} <= reasons(registry).keys()
    assert "expected a subclass" in reasons(registry)["odd"]


def test_selecting_an_unknown_plot_names_the_known_ones_and_why_it_is_broken(tmp_path: Path) -> None:
    registry = found(tmp_path, bad="import no_such_library")
    with pytest.raises(KeyError, match="no plot named Nothing; known: AdcSpectrum"):
        registry.select(["Nothing"])
    with pytest.raises(KeyError, match="bad is broken: ModuleNotFoundError"):
        registry.select(["AdcSpectrum", "bad"])
    assert [plot.name for plot in registry.select(["SyncDt", "AdcSpectrum", "SyncDt"])] == ["SyncDt", "AdcSpectrum"]


def test_plug_ins_of_one_name_in_two_directories_do_not_meet(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "rates.py").write_text(GOOD.format(name=f"Rates{number}"))
    assert {"Rates1", "Rates2"} <= discover([tmp_path / "1", tmp_path / "2"]).plots.keys()


def test_a_file_that_fails_leaves_no_module_behind(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")
    before = set(sys.modules)
    assert load_file(tmp_path / "bad.py").broken[0].reason.startswith("ZeroDivisionError")
    assert not {name for name in set(sys.modules) - before if name.startswith("larboard_plugin_bad")}
