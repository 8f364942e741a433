"""What lies in the data roots: the scan that is the truth, whatever events say."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dqm.formats.hdf5 import shown as printable
from dqm.formats.names import is_unfinished_name

# file systems on which inotify sees only the changes of this host
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "afs", "9p", "panfs", "orangefs"}


@dataclass(frozen=True)
class Sighting:
    """A data file as it was seen."""

    path: str
    root: str
    size: int
    mtime_ns: int
    inode: str
    """Device and number: the same for hard links."""


@dataclass
class Seen:
    """What a scan found; `problems` are sentences about what could not be searched."""

    files: dict[str, Sighting] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    searched: list[str] = field(default_factory=list)
    """Roots that could be searched: only in these a missing file is known to be gone."""
    unsearched: list[str] = field(default_factory=list)
    """Directories that could not be."""


@dataclass(frozen=True)
class Roots:
    """The data roots and the names that count. Links are followed only inside a root."""

    directories: Sequence[Path]
    patterns: Sequence[str] = ("*.h5", "*.hdf5")

    def scan(self) -> Seen:
        """Every data file of every root."""
        seen = Seen()
        for root in self.directories:
            if not os.path.isdir(root):  # noqa: PTH112 (Path.is_dir raises ESTALE, EACCES, EIO)
                what = "is not a directory" if os.path.lexists(root) else "is not there"
                seen.problems.append(f"data root {root} {what}; looked for again all the time")
                continue
            seen.searched.append(str(root))
            self._search(root, root, seen, set())
        if (more := len(seen.problems) - MOST_PROBLEMS) > 0:
            seen.problems[MOST_PROBLEMS:] = [f"and {more:,} more of the like"]
        return seen

    def _search(self, directory: Path, root: Path, seen: Seen, visited: set[tuple[int, int]]) -> None:
        try:
            info = directory.stat()
            if (info.st_dev, info.st_ino) in visited:  # a loop of links
                return
            visited.add((info.st_dev, info.st_ino))
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except OSError as error:
            seen.problems.append(f"directory {directory} cannot be read: {error.strerror or error}")
            seen.unsearched.append(str(directory))
            return
        for entry in entries:
            if entry.is_symlink() and (not os.path.exists(entry.path) or not self._inside(entry.path)):  # noqa: PTH110
                if why := self._refused(entry):
                    seen.problems.append(why)
                continue
            try:
                if entry.is_dir():
                    if not entry.name.startswith(HIDDEN):
                        self._search(Path(entry.path), root, seen, visited)
                elif self.wants(entry.name) and not _is_text(entry.path):
                    shown = os.fsencode(entry.path).decode("utf-8", "backslashreplace")
                    seen.problems.append(f"{shown} has a name that is not UTF-8, so it is not read: rename it")
                elif self.wants(entry.name) and (sighting := _sight(entry.path, root)):
                    seen.files[entry.path] = sighting
            except OSError:
                continue  # it went away meanwhile

    def _refused(self, link: os.DirEntry[str]) -> str:
        """Why a link is not followed, where somebody may miss what it leads to; empty for one that is no data."""
        target = os.path.realpath(link.path)
        if not self.wants(link.name) and not os.path.isdir(target):  # noqa: PTH112
            return ""
        if not self._inside(link.path):
            there = f"leads out of the data roots, to {shown(target)}"
            return f"{shown(link.path)} {there}: not followed; name that directory a root"
        return f"{shown(link.path)} is a link that leads nowhere, or in a circle: not read"

    def wants(self, name: str) -> bool:
        """Whether a name is that of a finished data file."""
        return not is_unfinished_name(name) and any(fnmatch.fnmatch(name, pattern) for pattern in self.patterns)

    def look_at(self, path: str) -> Sighting | None:
        """One file, if it lies in a root and is there."""
        root = self.root_of(path)
        if root is None or not self.wants(os.path.basename(path)) or not _is_text(path):  # noqa: PTH119
            return None
        if any(part.startswith(HIDDEN) for part in Path(path).relative_to(root).parts):
            return None
        if not self._inside(path):  # by a link, a directory that is one, or dots
            return None
        try:
            return _sight(path, root)
        except OSError:
            return None

    def root_of(self, path: str) -> Path | None:
        return next((root for root in self.directories if Path(path).is_relative_to(root)), None)

    def _inside(self, path: str) -> bool:
        target = Path(os.path.realpath(path))
        return any(target.is_relative_to(os.path.realpath(root)) for root in self.directories)

    def on_network(self) -> list[Path]:
        """Roots on file systems whose changes inotify may not see."""
        mounts = _mounts()
        return [
            root for root in self.directories if _kind_of(root, mounts) in NETWORK or "fuse" in _kind_of(root, mounts)
        ]


MOST_PROBLEMS = 20
HIDDEN = "."
"""What begins so holds copies: parts of rsync, snapshots of a file server, a waste basket."""


def shown(path: str) -> str:
    """A path that any page and any log can show."""
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"), 300)


def _is_text(path: str) -> bool:
    """Whether a name can be kept in a database and shown on a page."""
    return not any("\ud800" <= character <= "\udfff" for character in path)


def _sight(path: str, root: Path) -> Sighting | None:
    info = os.stat(path)  # noqa: PTH116
    if not stat.S_ISREG(info.st_mode):
        return None
    return Sighting(path, str(root), info.st_size, info.st_mtime_ns, f"{info.st_dev}:{info.st_ino}")


def _mounts(table: Path = Path("/proc/mounts")) -> list[tuple[str, str]]:
    """(mount point, kind of file system), the most special last."""
    try:
        lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = [(parts[1].replace("\\040", " "), parts[2]) for line in lines if len(parts := line.split()) >= 3]
    return sorted(found, key=lambda mount: len(mount[0]))


def _kind_of(path: Path, mounts: Iterable[tuple[str, str]]) -> str:
    real = Path(os.path.realpath(path))
    kind = ""
    for point, here in mounts:
        if real.is_relative_to(point):
            kind = here
    return kind


def gone(known: Iterable[str], seen: Seen) -> Iterator[str]:
    """Paths that were known and are not there, in places that could be searched."""
    for path in known:
        if path in seen.files or not any(Path(path).is_relative_to(root) for root in seen.searched):
            continue
        if not any(Path(path).is_relative_to(directory) for directory in seen.unsearched):
            yield path
