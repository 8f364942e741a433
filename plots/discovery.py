"""Finding plots without registration: in ``plots/``, in directories of the settings, in installed packages.

Built-in plots are imported here; every other plug-in only in a limited process of its own (`plots.isolation`). Nothing
that it does there can stop the others: it becomes a `Broken` with its reason.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import plots
from plots.base import Plot, traceback_of
from plots.isolation.limits import Limits
from plots.isolation.loading import fault_of, plots_in
from plots.isolation.proxy import Described, Plugins

__all__ = ["Broken", "Found", "Limits", "Registry", "Shelf", "discover", "fault_of", "load_file", "plots_in"]

ENTRY_POINTS = "larboard.plots"
SIDE_BY_SIDE = 8
NOT_PLOTS = {"__init__", "base", "contract", "discovery", "drawing", "harmless", "scaffold", "state"}


@dataclass(frozen=True)
class Found:
    """A plot class and where it is from: ``built-in``, a file, or an installed package."""

    plot: type[Plot]
    """Of a plug-in the class that stands for it: its own is imported in its process only."""
    source: str

    @property
    def digest(self) -> str:
        """Changes with the content of a plug-in; empty for built-in plots."""
        return getattr(self.plot, "digest", "")

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
    again_at: float | None = None
    """When a plug-in that took too much to import may be tried again (monotonic)."""

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

    def _take(self, found: Described, source: str) -> None:
        """The plots of a plug-in, and what is wrong in it."""
        for name, error in found.broken:
            self._fail(name, source, error)
        for name, instead in found.odd:
            self.broken.append(Broken(name, source, f"is {instead}, expected a subclass of plots.base.Plot"))
        for name, plot, fault in found.plots:
            if plot is None:
                self.broken.append(Broken(name, source, fault))
            else:
                self._add(plot, source)
        self.again_at = min((at for at in (self.again_at, found.again_at) if at is not None), default=None)

    def _fail(self, name: str, source: str, error: BaseException) -> None:
        trace = _plain(traceback_of(error))
        text = " ".join(_plain(str(error)).split())
        self.broken.append(
            Broken(name, source, f"{type(error).__name__}: {text}" if text else type(error).__name__, trace)
        )


def _plain(text: str) -> str:
    """A text that any database and any page can hold, whatever a plug-in wrote."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def discover(
    directories: Iterable[Path] = (), limits: Limits | None = None, plugins: Plugins | None = None
) -> Registry:
    """Every plot that can be found: built-in, then `directories`, then the entry points of installed packages.

    `plugins` are those of an earlier discovery: what did not change is not imported again.
    """
    registry = Registry()
    plugins = plugins or Plugins(limits or Limits())
    plugins.begin()
    for module_name in builtin_modules():
        try:
            module = importlib.import_module(f"plots.{module_name}")
        except Exception as error:  # a built-in that lacks an optional library must not take the others with it
            registry._fail(module_name, "built-in", error)
            continue
        for plot in plots_in(module):
            registry._add(plot, "built-in")
    directories = [Path(directory) for directory in directories]
    _import_side_by_side(directories, plugins)
    for directory in directories:
        _discover_directory(registry, directory, plugins)
    _discover_packages(registry, plugins)
    plugins.finish()
    return registry


class Shelf:
    """The plots of some directories, kept up to date: `look` discovers anew when a plug-in file has changed."""

    def __init__(self, directories: Iterable[Path] = (), limits: Limits | None = None):
        self.directories = list(directories)
        self.registry = Registry()
        self.generation = ""
        self._plugins = Plugins(limits or Limits())

    def look(self) -> bool:
        """Whether something changed since the last look."""
        now = fingerprint(self.directories)
        again = self.registry.again_at
        if now == self.generation and (again is None or time.monotonic() < again):
            return False
        self.registry, self.generation = discover(self.directories, plugins=self._plugins), now
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


def load_file(path: Path, limits: Limits | None = None) -> Registry:
    """The plots of one file alone."""
    registry = Registry()
    _discover_file(registry, path, Plugins(limits or Limits()))
    return registry


def _discover_directory(registry: Registry, directory: Path, plugins: Plugins) -> None:
    if not directory.is_dir():
        what = "is not a directory" if directory.exists() else "is not there"
        fault = (
            f"{directory.absolute()} {what}, expected a directory with plot files: see [plots] paths in larboard.toml"
        )
        registry.broken.append(Broken(directory.name, str(directory), fault))
        return
    for path in sorted(directory.glob("*.py")):
        if not path.name.startswith("_"):
            _discover_file(registry, path, plugins)


def _import_side_by_side(directories: list[Path], plugins: Plugins) -> None:
    """Imports the files of all directories at once: several that hang at it cost their limit once."""
    files = [path for directory in directories for path in directory.glob("*.py") if not path.name.startswith("_")]

    def load(path: Path) -> None:
        with contextlib.suppress(OSError):  # said by whoever asks for it next
            plugins.of_file(path)

    if len(files) > 1:
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            list(pool.map(load, files))


def _discover_file(registry: Registry, path: Path, plugins: Plugins) -> None:
    try:
        found = plugins.of_file(path)
    except OSError as error:
        registry._fail(path.stem, str(path), error)
        return
    registry._take(found, str(path))
    for name in found.empty:
        registry.broken.append(Broken(name, str(path), "holds no subclass of plots.base.Plot"))


def _discover_packages(registry: Registry, plugins: Plugins) -> None:
    packages: dict[tuple[str, str], list[importlib.metadata.EntryPoint]] = {}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        key = (entry.dist.name, entry.dist.version) if entry.dist else ("installed package", "")
        packages.setdefault(key, []).append(entry)
    for (name, version), entries in packages.items():
        source = f"package {name} {version}" if version else name
        registry._take(plugins.of_package(name, version, entries), source)
