"""What every view needs, made once and handed over: the store, the plots that can draw, geometries, the figure cache."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import diskcache

from dqm.auth.door import Door
from dqm.settings import Settings
from dqm.store import Store
from plots.discovery import Limits, Registry, Shelf


@dataclass
class Site:
    """The store as pages and the API see it. Nothing in it is global: two sites in one process do not meet."""

    settings: Settings
    store: Store
    cache: diskcache.Cache
    _shelf: Shelf
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _drawing: dict[Hashable, tuple[threading.Lock, int]] = field(default_factory=dict)
    """By figure: the lock, and how many hold it or wait for it."""
    auth: Door = field(init=False)
    """Who asks, and whether he may."""

    def __post_init__(self) -> None:
        self.auth = Door(self.settings, self.store)

    @property
    def registry(self) -> Registry:
        """The plots, discovered anew when a plug-in file has changed."""
        # while one request waits for a plug-in that is slow to import, the others go on with what there was
        if self._lock.acquire(blocking=not self._shelf.generation):
            try:
                self._shelf.look()
            finally:
                self._lock.release()
        return self._shelf.registry

    @property
    def generation(self) -> str:
        """Changes with every change of a plug-in file; look at `registry` first."""
        return self._shelf.generation

    @contextmanager
    def drawing(self, key: Hashable) -> Iterator[None]:
        """To be held while the figure `key` is drawn: of those who want the same one, one draws, the others wait."""
        with self._lock:
            lock, waiting = self._drawing.get(key) or (threading.Lock(), 0)
            self._drawing[key] = (lock, waiting + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, waiting = self._drawing.pop(key)
                if waiting > 1:
                    self._drawing[key] = (lock, waiting - 1)

    def close(self) -> None:
        self.cache.close()
        self.store.close()


def open_site(settings: Settings, store: Store) -> Site:
    """The site over a store; its cache lies in the data directory (on a local disk: it is SQLite)."""
    directory = Path(settings.data.directory) / "cache"
    cache = diskcache.Cache(str(directory), size_limit=settings.retention.figures_mb * 2**20)
    return Site(settings, store, cache, Shelf(settings.plots.paths, Limits.of(settings.plots)))
