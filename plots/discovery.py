"""Finding plots without registration: in ``plots/``, in directories of the settings, in installed packages.

Nothing that a plug-in does while it is imported can stop the others: it becomes a `Broken` with its reason.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType

import plots
from plots.base import LEVELS, PLUGIN_ERRORS, MergeablePlot, Plot

ENTRY_POINTS = "larboard.plots"
NOT_PLOTS = {"__init__", "base", "contract", "discovery", "drawing", "scaffold", "state"}


@dataclass(frozen=True)
class Found:
    """A plot class and where it is from: ``built-in``, a file, or an installed package."""

    plot: type[Plot]
    source: str

    @property
    def name(self) -> str:
        return self.plot.__name__


@dataclass(frozen=True)
class Broken:
    """A plug-in that cannot be used: its name (class or file), where it is from, why, and the traceback for experts."""

    name: str
    source: str
    reason: str
    traceback: str = ""


@dataclass
class Registry:
    """All plots by name, in the order in which they were found, and the broken ones."""

    plots: dict[str, Found] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)

    def select(self, names: Iterable[str]) -> list[Found]:
        """The plots of these names; raises KeyError that lists the unknown names and the known ones."""
        names = list(names)
        unknown = [name for name in names if name not in self.plots]
        if unknown:
            broken = {plugin.name: plugin.reason for plugin in self.broken}
            because = "; ".join(f"{name} is broken: {broken[name]}" for name in unknown if name in broken)
            raise KeyError(
                f"no plot named {', '.join(unknown)}{'; ' + because if because else ''}; known: {', '.join(self.plots)}"
            )
        return [self.plots[name] for name in dict.fromkeys(names)]

    def _add(self, plot: type[Plot], source: str) -> None:
        if fault := fault_of(plot):
            self.broken.append(Broken(plot.__name__, source, fault))
        elif plot.__name__ in self.plots:
            first = self.plots[plot.__name__].source
            self.broken.append(
                Broken(plot.__name__, source, f"a plot of this name is already there ({first}); rename one")
            )
        else:
            self.plots[plot.__name__] = Found(plot, source)

    def _fail(self, name: str, source: str, error: BaseException) -> None:
        trace = _plain("".join(traceback.format_exception(error)))
        text = " ".join(_plain(str(error)).split())
        self.broken.append(
            Broken(name, source, f"{type(error).__name__}: {text}" if text else type(error).__name__, trace)
        )


def _plain(text: str) -> str:
    """A text that any database and any page can hold, whatever a plug-in wrote."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def discover(directories: Iterable[Path] = ()) -> Registry:
    """Every plot that can be found: built-in, then `directories`, then the entry points of installed packages."""
    registry = Registry()
    for module_name in builtin_modules():
        try:
            module = importlib.import_module(f"plots.{module_name}")
        except Exception as error:  # a built-in that lacks an optional library must not take the others with it
            registry._fail(module_name, "built-in", error)
            continue
        for plot in plots_in(module):
            registry._add(plot, "built-in")
    for directory in directories:
        _discover_directory(registry, Path(directory))
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        _discover_entry(registry, entry)
    return registry


class Shelf:
    """The plots of some directories, kept up to date: `look` discovers anew when a plug-in file has changed."""

    def __init__(self, directories: Iterable[Path] = ()):
        self.directories = list(directories)
        self.registry = Registry()
        self.generation = ""

    def look(self) -> bool:
        """Whether something changed since the last look."""
        now = fingerprint(self.directories)
        if now == self.generation:
            return False
        self.registry, self.generation = discover(self.directories), now
        return True


def fingerprint(directories: Iterable[Path] = ()) -> str:
    """Changes when a plug-in file of `directories` comes, changes or goes; costs one look at each directory."""
    seen = []
    for directory in directories:
        try:
            files = sorted(path for path in Path(directory).glob("*.py") if not path.name.startswith("_"))
            seen += [(str(path), info.st_mtime_ns, info.st_size) for path in files for info in [path.stat()]]
        except OSError as error:
            seen.append((str(directory), error.errno or 0, 0))
    return hashlib.sha256(repr(seen).encode()).hexdigest()


def builtin_modules() -> list[str]:
    """Names of the modules of ``plots/`` that hold plots."""
    folder = Path(plots.__file__).parent
    return sorted(
        path.stem for path in folder.glob("*.py") if path.stem not in NOT_PLOTS and not path.stem.startswith("_")
    )


def load_file(path: Path) -> Registry:
    """The plots of one file alone."""
    registry = Registry()
    _discover_file(registry, path)
    return registry


def _discover_directory(registry: Registry, directory: Path) -> None:
    if not directory.is_dir():
        registry.broken.append(
            Broken(directory.name, str(directory), "is not a directory, expected one with plot files")
        )
        return
    for path in sorted(directory.glob("*.py")):
        if not path.name.startswith("_"):
            _discover_file(registry, path)


def _discover_file(registry: Registry, path: Path) -> None:
    try:
        module = _import_file(path)
    except PLUGIN_ERRORS as error:
        registry._fail(path.stem, str(path), error)
        return
    found = list(plots_in(module))
    if not found:
        registry.broken.append(Broken(path.stem, str(path), "holds no subclass of plots.base.Plot"))
    for plot in found:
        registry._add(plot, str(path))


class _Fresh(importlib.machinery.SourceFileLoader):
    """Compiles the source each time: compiled files are told apart by whole seconds, and an author saves twice in one."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _import_file(path: Path) -> ModuleType:
    # a name of its own for each file, so that two plug-ins called rates.py do not meet
    # and for each content, so that a changed one is imported beside the old, which may be in use
    content = str(path.resolve()).encode() + path.read_bytes()
    name = f"larboard_plugin_{path.stem}_{hashlib.sha256(content).hexdigest()[:12]}"
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


def _discover_entry(registry: Registry, entry: importlib.metadata.EntryPoint) -> None:
    source = f"package {entry.dist.name} {entry.dist.version}" if entry.dist else "installed package"
    try:
        loaded = entry.load()
    except PLUGIN_ERRORS as error:
        registry._fail(entry.name, source, error)
        return
    found = list(plots_in(loaded)) if isinstance(loaded, ModuleType) else [loaded]
    for plot in found:
        if isinstance(plot, type) and issubclass(plot, Plot):
            registry._add(plot, source)
        else:
            registry.broken.append(Broken(entry.name, source, f"is {plot!r}, expected a subclass of plots.base.Plot"))


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
