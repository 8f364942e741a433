"""The detectors that are known here, and which of them a file's ids belong to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from dqm.detector.detector import Detector
from dqm.detector.layouts import BadLayout, detector_from_layout, detector_from_yaml, kind_of_yaml, module_files
from dqm.detector.synthetic import NAME as DEMO
from dqm.detector.synthetic import demo_detector

FIT = 0.999
"""Share of the valid data packets whose ids a detector must have; the rest may be double bit flips."""


class NoGeometry(LookupError):
    """No known detector of that name; the message lists those that there are."""


@dataclass(frozen=True)
class Match:
    """The detector that a file's ids belong to (None: to no known one), and a sentence that says so."""

    detector: Detector | None
    reason: str
    directory: Path | None = None
    """Where its files are; None for a built-in one."""


@lru_cache(maxsize=32)
def _load(kind: str, path: Path, modules: tuple[tuple[int, Path], ...], changed: tuple[int, ...]) -> Detector:
    """The detector of these files as they were `changed` [ns]: a corrected file is read anew."""
    return detector_from_yaml(path, dict(modules)) if kind == "detector" else detector_from_layout(path)


class Library:
    """Geometry files of some directories, read when needed, and the built-in demo detector.

    `modules` names the layout file of each module where the file names do not say it (``_mod0_`` is module 1).
    A layout that belongs to a module of a detector is not offered as a detector of its own.
    """

    def __init__(self, directories: Iterable[Path] = (), modules: dict[int, Path] | None = None):
        self.problems: list[str] = []
        self._files: dict[str, tuple[str, Path, tuple[tuple[int, Path], ...]]] = {}
        for directory in dict.fromkeys(path.resolve() for path in directories):
            if directory.is_dir():
                self._add(directory, modules or {})

    def _add(self, directory: Path, modules: dict[int, Path]) -> None:
        kinds = {path: kind_of_yaml(path) for path in sorted(directory.glob("*.yaml"))}
        of_module = tuple((modules or module_files(directory)).items())
        has_detector = "detector" in kinds.values()
        for path, kind in kinds.items():
            if kind == "detector":
                self._files.setdefault(path.stem, (kind, path, of_module))
            elif kind == "layout" and not (has_detector and path in dict(of_module).values()):
                self._files.setdefault(path.stem.removeprefix("multi_tile_layout-"), (kind, path, ()))

    @property
    def names(self) -> tuple[str, ...]:
        return (DEMO, *self._files)

    def directory_of(self, name: str) -> Path | None:
        """Where the files of a geometry are; None for a built-in one."""
        return self._files[name][1].parent if name in self._files else None

    def get(self, name: str) -> Detector:
        """The detector called `name`; raises NoGeometry, or BadLayout when its files are wrong."""
        if name == DEMO:
            return demo_detector()
        if name not in self._files:
            raise NoGeometry(f"no geometry named {name!r}; known are {', '.join(self.names)}")
        kind, path, modules = self._files[name]
        files = [path, *(layout for _, layout in modules)]
        return _load(kind, path, modules, tuple(file.stat().st_mtime_ns if file.is_file() else 0 for file in files))

    def match(self, io_group: np.ndarray, io_channel: np.ndarray, chip_id: np.ndarray, channel_id: np.ndarray) -> Match:
        """The smallest known detector that has the ids of these data packets (arrays of shape (n,))."""
        if not len(io_group):
            return Match(None, "no data packets of valid parity, so no geometry can be matched")
        fitting: list[Detector] = []
        broken: set[str] = set()
        for name in self.names:
            try:
                detector = self.get(name)
            except BadLayout as error:
                self.problems.append(str(error))
                broken.add(name)
                continue
            inside = detector.pixel_of(io_group, io_channel, chip_id, channel_id) >= 0
            if inside.mean() >= FIT:
                fitting.append(detector)
        if not fitting:
            groups = ", ".join(map(str, np.unique(io_group)[:8]))
            unusable = "".join(f"; {problem}" for problem in self.problems)
            known = ", ".join(name for name in self.names if name not in broken)
            return Match(None, f"ids (io_group {groups}) fit none of the known geometries: {known}{unusable}")
        best = min(fitting, key=lambda detector: len(detector.pixels))
        others = [detector.name for detector in fitting if detector is not best]
        also = f"; {', '.join(others)} would fit too" if others else ""
        unusable = "".join(f"; {problem}" for problem in self.problems)
        return Match(
            best,
            f"geometry {best.name} ({len(best.pixels):,} pixels) matched by ids{also}{unusable}",
            self.directory_of(best.name),
        )


@lru_cache(maxsize=32)
def find_geometry(
    geometry_id: str, name: str, directory: str, directories: tuple[Path, ...], modules: tuple[tuple[int, Path], ...]
) -> Detector | None:
    """The detector of a geometry id, where it was found before or in `directories`; None when it is gone."""
    library = Library([*directories, *([Path(directory)] if directory else [])], dict(modules))
    for candidate in [name] if name in library.names else library.names:
        try:
            detector = library.get(candidate)
        except (NoGeometry, BadLayout):
            continue
        if detector.geometry_id == geometry_id:
            return detector
    return None
