"""Importing a plug-in, and what in it is a plot. Only children do this; built-in plots are judged by the same rules."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType

from plots.base import LEVELS, MergeablePlot, Plot


class _Fresh(importlib.machinery.SourceFileLoader):
    """Compiles the source each time: compiled files are told apart by whole seconds, and an author saves twice in one."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def import_file(path: Path) -> ModuleType:
    """The module of a plug-in file; leaves nothing behind when it fails."""
    # a name of its own for each file, so that two plug-ins called rates.py do not meet
    name = f"larboard_plugin_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_Fresh(name, str(path)))
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def plots_in(module: ModuleType) -> Iterator[type[Plot]]:
    """The plot classes that `module` defines itself, in the order of its file; names with a leading _ are helpers."""
    for value in vars(module).values():
        is_plot = inspect.isclass(value) and issubclass(value, Plot) and value not in (Plot, MergeablePlot)
        if is_plot and value.__module__ == module.__name__ and not value.__name__.startswith("_"):
            yield value


def fault_of(plot: type[Plot]) -> str:
    """What keeps a class from being a plot, in one sentence; empty when nothing does."""
    if not plot.title:
        return 'has no title; add a line such as title = "ADC spectrum"'
    if plot.level not in LEVELS:
        return f"has level {plot.level!r}, expected one of {', '.join(LEVELS)}"
    if isinstance(plot.fields, str):
        return f'has fields = "{plot.fields}", expected a tuple such as ("{plot.fields}",)'
    if not isinstance(plot.fields, (tuple, list)) or not all(isinstance(field, str) for field in plot.fields):
        return f"has fields = {plot.fields!r}, expected a tuple of names of columns"
    if not isinstance(plot.title, str) or not isinstance(plot.version, int):
        return "has a title that is no text, or a version that is no whole number"
    if not 0 <= plot.version < 2**31:
        return f"has version {plot.version}, expected a whole number from 0 to 2,147,483,647"
    if plot.title != plot.title.encode("utf-8", "replace").decode() or "\0" in plot.title:
        return "has a title with characters that no page can show"
    if not isinstance(plot.group, str) or not plot.group:
        return f'has group {plot.group!r}, expected a heading such as "Rates"'
    if plot.name is not Plot.name:
        return "defines name, which is always the name of the class"
    if issubclass(plot, MergeablePlot):
        lacking = [name for name in ("count", "draw") if getattr(plot, name) is getattr(MergeablePlot, name)]
        return f"is a MergeablePlot without {' and '.join(lacking)}" if lacking else ""
    return "has no __call__(packets, fig)" if plot.__call__ is Plot.__call__ else ""
