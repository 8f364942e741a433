"""The documents are true: README blocks run, and no plot, trend, setting or command is missing from them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dqm.settings import Settings, example, load_settings
from dqm.views.plot_list import plot_list
from plots.discovery import discover

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PLOTS = (REPOSITORY / "docs/plots.md").read_text(encoding="utf-8")
OPERATION = (REPOSITORY / "docs/operation.md").read_text(encoding="utf-8")
SETTINGS = (REPOSITORY / "docs/settings.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `make demo` has run, with the settings of the README."""
    folder = tmp_path_factory.mktemp("readme")
    larboard(folder, "demo", "--once", "--data", "larboard-demo")
    return folder


def larboard(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", "from dqm.cli import main; main()", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_commands_of_the_readme_run(workshop: Path) -> None:
    commands = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    assert len(commands) >= 6
    for command in commands:
        words = [
            name
            for word in shlex.split(command)
            for name in (sorted(str(p.relative_to(workshop)) for p in workshop.glob(word)) if "*" in word else [word])
        ]
        assert words[0] == "larboard"
        larboard(workshop, *words[1:])
    assert (workshop / "report.html").is_file()
    assert (workshop / "packets.hdf5").is_file()
    assert list((workshop / "figures").glob("packet-*/trends.json"))


def test_the_plot_of_the_readme_keeps_the_contract(tmp_path: Path) -> None:
    (block,) = blocks("python")
    (tmp_path / "packets_per_tile.py").write_text(block)
    assert "all passed" in larboard(tmp_path, "plots", "test", "packets_per_tile.py")


def test_the_settings_of_the_readme_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = blocks("toml")
    (tmp_path / "larboard.toml").write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LARBOARD_CONFIG", raising=False)
    assert load_settings().plots.paths == [Path("plugins")]


def test_the_document_of_the_settings_is_what_init_writes() -> None:
    assert f"```toml\n{example()}```" in SETTINGS
    # uncommented, every line of it is a setting with a value that is accepted
    uncommented = re.sub(r"^# (\w+ = )", r"\1", example(), flags=re.MULTILINE)
    shown = tomllib.loads(uncommented)
    for section, field in Settings.model_fields.items():
        assert field.annotation is not None
        assert set(field.annotation.model_fields) == set(shown[section]), section  # type: ignore[attr-defined]
    Settings(**shown)


def test_every_command_is_in_the_readme() -> None:
    from dqm.cli import NOUNS, app

    registered = (app, *NOUNS.values())
    documents = README + OPERATION
    for command in [command for group in registered for command in group.registered_commands]:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        assert re.search(rf"\b{name}\b", documents), name


def test_every_alarm_is_in_the_table_for_shifters() -> None:
    from dqm.checks.alarms import KINDS

    rows = re.findall(r"^\| `(\w+)`( \(blind\))? \|", OPERATION, re.MULTILINE)
    assert {name: bool(blind) for name, blind in rows} == {kind.name: kind.blind for kind in KINDS.values()}


def test_every_plot_and_trend_is_in_its_table() -> None:
    listed = plot_list(discover())
    ours, theirs = PLOTS.split("### What the predecessors draw")
    text = ours + theirs.split("\n\n", 2)[2]
    rows = {match[1]: match[0] for match in re.finditer(r"^\| `(\w+)` \|.*$", text, re.MULTILINE)}
    for plot in listed.plots:
        assert plot.name in rows
        named = set(re.findall(r"`(\w+)`", rows[plot.name])) - {plot.name}
        assert named == set(plot.trends), plot.name
        assert all(f"[{unit}]" in rows[plot.name] for unit in plot.trends.values())


PREDECESSORS = {
    "PacketRate", "FIFOFlags", "TileRate", "TimestampHistograms", "PacmanSyncHistograms", "TriggerHistograms", "PixelMap",
    "AnodeSimple", "HotPixelPlot",
    "panel_ped", "hot_pixels", "rate_trigger", "charge_trigger", "config_summary", "lifetime", "light_dqm",
}  # fmt: skip
"""The plot functions of larpix-monitor (by class) and of arcube_nearline (by action)."""
NOT_YET = {"lifetime", "light_dqm"}


def test_each_plot_of_the_predecessors_has_its_row_with_plots_that_there_are() -> None:
    _, _, *rows = PLOTS.split("### What the predecessors draw")[1].split("\n\n")[1].splitlines()
    cells = [[set(re.findall(r"`(\w+)`", cell)) for cell in row.strip("|").split("|")] for row in rows]
    theirs = [name for first, *_ in cells for name in first]
    assert sorted(theirs) == sorted(PREDECESSORS)
    for first, _, here in cells:
        assert here <= discover().plots.keys()
        assert bool(here) != (first <= NOT_YET), first


def test_the_makefile_has_the_targets_that_are_promised() -> None:
    targets = re.findall(r"^(\w[\w-]*):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert {"setup", "demo", "test", "lint", "bench"} <= set(targets)


def test_nothing_in_the_tree_names_a_registry_or_a_path_of_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=REPOSITORY, check=False).stdout
    bad = re.compile(r"https?://[^\s]*/simple/|(index-url|registry)\s*[=:]\s*http|/(home|root|Users)/\w")
    for name in listed.split("\n"):
        path = REPOSITORY / name
        if (
            name
            and path.suffix in {".py", ".md", ".toml", ".txt", ".yaml", ".js", ".css", ".cff", ""}
            and path.is_file()
        ):
            found = bad.search(path.read_text(encoding="utf-8"))
            assert found is None or name == "tests/test_docs.py", (name, found)
