"""What the operating system tells about files: hints where to look, never the truth."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver


class Hints(FileSystemEventHandler):
    """Collects paths that changed, and whether a writer closed them; `news` is set while there are any."""

    def __init__(self) -> None:
        self.news = threading.Event()
        self._lock = threading.Lock()
        self._paths: dict[str, bool] = {}
        self._observer: BaseObserver | None = None
        self._watched: set[Path] = set()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in ("opened", "closed_no_write"):
            return  # readers, ourselves among them
        if event.is_directory and event.event_type == "modified":
            return
        closed = isinstance(event, (FileClosedEvent, FileMovedEvent))
        for path in filter(None, (event.src_path, event.dest_path)):
            self.add(str(path), closed)

    def add(self, path: str, closed: bool = False) -> None:
        with self._lock:
            self._paths[path] = closed or self._paths.get(path, False)
        self.news.set()

    def take(self) -> dict[str, bool]:
        """All paths since the last time, with True where a writer closed or renamed the file."""
        with self._lock:
            paths, self._paths = self._paths, {}
            self.news.clear()
        return paths

    def watch(self, directories: list[Path]) -> list[str]:
        """Watches the directories that are there and were not watched; gives sentences about those that cannot be."""
        problems = []
        for directory in directories:
            if not os.path.isdir(directory):  # noqa: PTH112
                self._watched.discard(directory)
                continue
            if directory in self._watched:
                continue
            try:
                self._start().schedule(self, str(directory), recursive=True)
                self._watched.add(directory)
            except OSError as error:  # the limit of watches or instances, or an unreadable directory
                problems.append(f"{directory} cannot be watched ({error.strerror or error}): it is searched instead")
        return problems

    def _start(self) -> BaseObserver:
        if self._observer is None:
            self._observer = Observer()
            self._observer.daemon = True
            self._observer.start()
        return self._observer

    def close(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=5)
            self._observer = None
