"""What every view needs, made once and handed over: the store, the plots that can draw, geometries, the figure cache."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import diskcache
from cachetools import LRUCache
from sqlalchemy.engine import Connection

from dqm.auth.door import Door
from dqm.settings import Settings
from dqm.store import Store, notices
from plots.discovery import Limits, Registry, Shelf

PATIENCE_S = 2.0
"""How long a page may wait for a plug-in that another request imports."""
KNOWN_MOST = 2_000
RECENT_BYTES = 32 * 2**20
MAPS_BYTES = 64 * 2**20
"""Of maps of pixels: one of 337,600 takes 12 MB."""
READERS = 2
STATES_BYTES = 64 * 2**20
"""Of states of runs that are being looked at without some channels: 1,000,000 pixels with three sums take 24 MB."""
MASKED_MOST = 1_000_000
"""Channels of all masks that are kept at hand."""
T = TypeVar("T")


@dataclass
class Site:
    """The store as pages and the API see it. Nothing in it is global: two sites in one process do not meet."""

    settings: Settings
    store: Store
    cache: diskcache.Cache
    _shelf: Shelf
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _look: threading.Lock = field(default_factory=threading.Lock)
    _looked_at: float = math.inf
    """Since when a request looks for plug-ins (monotonic)."""
    _drawing: dict[Hashable, tuple[threading.Lock, int]] = field(default_factory=dict)
    """By figure: the lock, and how many hold it or wait for it."""
    recent: LRUCache[str, Any] = field(
        default_factory=lambda: LRUCache(RECENT_BYTES, getsizeof=lambda drawn: len(drawn.content))
    )
    """Figures that were asked for last, by their tag; only with `recent_lock`."""
    recent_lock: threading.Lock = field(default_factory=threading.Lock)
    maps: LRUCache[Hashable, Any] = field(
        default_factory=lambda: LRUCache(MAPS_BYTES, getsizeof=lambda kept: kept.size)
    )
    """Maps of pixels that were asked for last; only with `recent_lock`."""
    reading: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(READERS))
    """To be held while files are read for a page: the disks are for ingest first."""
    states: LRUCache[Hashable, Any] = field(
        default_factory=lambda: LRUCache(STATES_BYTES, getsizeof=lambda state: state.size)
    )
    """States of runs that masks are tried on; only with `states_lock`."""
    states_lock: threading.Lock = field(default_factory=threading.Lock)
    counting: threading.Lock = field(default_factory=threading.Lock)
    """Held while files are counted anew without the channels of a mask."""
    masks: LRUCache[str, Any] = field(default_factory=lambda: LRUCache(MASKED_MOST, getsizeof=lambda mask: len(mask)))
    """Masks by address, which never change; only with `states_lock`."""
    told: Callable[[], int | None] = lambda: None
    """The newest notice that was told to all who listen here; None while nobody does."""
    _known: dict[Hashable, Any] = field(default_factory=dict)
    _known_at: int = -1
    auth: Door = field(init=False)
    """Who asks, and whether he may."""

    def __post_init__(self) -> None:
        self.auth = Door(self.settings, self.store)

    @property
    def registry(self) -> Registry:
        """The plots, discovered anew when a plug-in file has changed.

        One request looks and the others wait for it: what they made of the old plots would stay on their pages until
        the next notice. A plug-in that is slow to import keeps them for `PATIENCE_S` all together, not each.
        """
        left = PATIENCE_S - (time.monotonic() - self._looked_at)
        if self._look.acquire(timeout=-1 if not self._shelf.generation else max(0.0, min(left, PATIENCE_S))):
            self._looked_at = time.monotonic()
            try:
                self._shelf.look()
            finally:
                self._looked_at = math.inf
                self._look.release()
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

    @property
    def newest(self) -> int:
        """Number of the newest notice, as far as any browser here has been told: what is read after this knows of it."""
        told = self.told()
        if told is not None:
            return told
        with self.store.read() as tx:
            return notices.last(tx)

    def known(self, key: Hashable, read: Callable[[Connection], T]) -> T:
        """What `read` gives of the store for `key`; kept until the next notice, since whatever changes is told by one."""
        newest = self.newest  # first: what is kept may be newer than this, never older
        with self._lock:
            if newest != self._known_at or len(self._known) >= KNOWN_MOST:
                self._known, self._known_at = {}, newest
            known = self._known
        if key not in known:
            with self.store.read() as tx:
                known[key] = read(tx)
        return known[key]

    def close(self) -> None:
        self.cache.close()
        self.store.close()


def open_site(settings: Settings, store: Store) -> Site:
    """The site over a store; its cache lies in the data directory (on a local disk: it is SQLite)."""
    directory = Path(settings.data.directory) / "cache"
    cache = diskcache.Cache(str(directory), size_limit=settings.retention.figures_mb * 2**20)
    return Site(settings, store, cache, Shelf(settings.plots.paths, Limits.of(settings.plots), settings.plots))
