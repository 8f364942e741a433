"""Imports point one way. A new arrow is a decision made here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent

# room -> rooms it may import; what nobody imports (app, dqm.cli) may import anything and is not listed
TABLE: dict[str, set[str]] = {
    "dqm.kernels": set(),
    "dqm.formats": {"dqm.kernels"},
    "dqm.detector": {"dqm.kernels"},
    "dqm.masks": {"dqm.formats"},
    "plots": {"dqm.formats", "dqm.detector", "dqm.masks", "dqm.kernels"},
    "dqm.records": set(),
    "dqm.logs": set(),
    "dqm.checks": {"dqm.records"},
    "dqm.results": {"dqm.detector", "plots"},
    "dqm.settings": set(),
    "dqm.store": {"dqm.records"},
    "dqm.auth": {"dqm.records", "dqm.store", "dqm.settings"},
    "dqm.ingest": {
        "dqm.formats", "dqm.logs", "dqm.detector", "dqm.records", "dqm.results", "dqm.checks", "dqm.store",
        "dqm.settings", "plots"
    },
    "dqm.worker": {"dqm.ingest", "dqm.settings", "dqm.logs", "plots"},
    "dqm.recount": {"dqm.formats", "dqm.ingest", "dqm.masks", "dqm.results", "dqm.worker", "plots"},
    "dqm.demo": {"dqm.formats", "dqm.detector"},
    "dqm.views": {
        "dqm.formats", "dqm.detector", "dqm.records", "dqm.results", "dqm.checks", "dqm.store", "dqm.settings", "plots",
        "dqm.auth", "dqm.masks",
    },
    "dqm.api": {"dqm.views", "dqm.records", "dqm.auth", "dqm.masks"},
    "layouts": {"dqm.views", "dqm.records", "dqm.auth", "dqm.masks"},
    "dqm.supervise": set(),
    "dqm.edge": {"dqm.settings", "dqm.auth"},
    "dqm.serve": {"dqm.logs", "dqm.settings", "dqm.store", "dqm.edge"},
}  # fmt: skip
ANYTHING = {"dqm.cli", "dqm.commands", "app"}

# of other packages, who may not use what
FORBIDDEN: dict[str, set[str]] = {
    "dqm.formats": {"dash", "plotly", "sqlalchemy", "pandas"},
    "dqm.detector": {"dash", "plotly", "sqlalchemy", "h5py"},
    "plots": {"dash", "sqlalchemy", "h5py"},
    "dqm.store": {"dash", "plotly", "h5py", "numpy", "pandas"},
    "dqm.auth": {"dash", "plotly", "h5py"},
    "dqm.ingest": {"dash", "plotly", "h5py", "sqlalchemy"},
    "dqm.api": {"dash", "h5py", "sqlalchemy", "numpy"},
    "dqm.views": {"dash"},
    "layouts": {"h5py", "sqlalchemy", "numpy"},
}

# of plots, ingest takes the contract only: concrete plots are handed to it
PLOTS_FOR_INGEST = {"plots.base"}


def room_of(module: str) -> str | None:
    """The room a module lies in, None for other people's packages."""
    rooms = sorted({*TABLE, *ANYTHING}, key=len, reverse=True)
    return next((room for room in rooms if module == room or module.startswith(room + ".")), None)


def imports_of(path: Path) -> set[str]:
    """Full names of all modules a file imports, wherever in it, for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


def sources() -> list[Path]:
    folders = [REPOSITORY / name for name in ("dqm", "plots", "layouts")]
    return [REPOSITORY / "app.py", *sorted(path for folder in folders for path in folder.rglob("*.py"))]


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_a_module_imports_only_rooms_that_the_table_allows(path: Path) -> None:
    room = room_of(module_name(path))
    if room is None or room in ANYTHING:
        known = module_name(path) in {"dqm", "app", "dqm.cli"} or room == "dqm.commands"
        assert known, "a module in no room: add its room to the table"
        return
    targets = {(name, room_of(name)) for name in imports_of(path)}
    wrong = {name for name, target in targets if target and target != room and target not in TABLE[room]}
    assert not wrong, f"{module_name(path)} must not import {sorted(wrong)}"
    packages = {name.split(".")[0] for name, target in targets if target is None}
    assert not packages & FORBIDDEN.get(room, set())


def test_ingest_knows_no_concrete_plot() -> None:
    for path in (REPOSITORY / "dqm/ingest").glob("*.py"):
        used = {name for name in imports_of(path) if name.startswith("plots")}
        allowed = {name for name in used if any(name == p or name.startswith(p + ".") for p in (*PLOTS_FOR_INGEST,))}
        assert used <= allowed | {"plots"}, path


def test_nobody_imports_the_wiring() -> None:
    for path in sources():
        if room_of(module_name(path)) in {"dqm.cli", "dqm.commands"}:  # which is made of its verbs
            continue
        assert not {room_of(name) for name in imports_of(path)} & ANYTHING, path


def test_importing_every_room_needs_neither_files_nor_network_nor_dash() -> None:
    """Importing does nothing: the framework comes up without the web packages."""
    import subprocess
    import sys

    code = "import dqm.cli, dqm.formats, dqm.detector, plots.base, sys; assert 'dash' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


def test_the_top_level_holds_only_what_a_repository_needs() -> None:
    import subprocess

    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=REPOSITORY)
    if listed.returncode:  # unpacked from an sdist
        return
    top = {name.split("/")[0] for name in listed.stdout.split()}
    assert {"app.py", "dqm", "plots", "layouts", "assets", "tests", "pyproject.toml"} <= top
    beside = {
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE",
        "CITATION.cff",
        "Makefile",
        "constraints.txt",
        "Containerfile",
    }
    others = {
        "docs",
        "benchmarks",
        "deploy",
        ".ci",
        ".containerignore",
        ".gitattributes",
        ".gitignore",
        ".pre-commit-config.yaml",
    }
    assert top <= {"app.py", "dqm", "plots", "layouts", "assets", "tests", "pyproject.toml"} | beside | others
