"""Signs of life of a web worker: in a thread of its own, since the loop that asks for them waits for nobody."""

from __future__ import annotations

import logging
import threading
import time

from dqm.api.events import Broadcaster
from dqm.views.presence import Presence
from dqm.views.queries import StoreProblem

log = logging.getLogger("larboard.api")

EVERY_S = 10.0


class SignsOfLife:
    """Call it as often as you like: it tells of itself when it is due."""

    def __init__(self, presence: Presence, broadcaster: Broadcaster):
        self._presence = presence
        self._broadcaster = broadcaster
        self._next = 0.0
        self._thread: threading.Thread | None = None
        self._said = ""

    def __call__(self) -> None:
        if time.monotonic() < self._next or (self._thread is not None and self._thread.is_alive()):
            return
        self._next = time.monotonic() + EVERY_S
        self._thread = threading.Thread(target=self.tell, name="larboard-presence", daemon=True)
        self._thread.start()

    def tell(self) -> None:
        """One sign of life; a database that takes none is said once."""
        try:
            self._presence.tell(self._broadcaster.listeners)
        except StoreProblem as problem:
            if str(problem) != self._said:
                self._said = str(problem)
                log.warning("this worker cannot tell of itself: %s", problem)
        else:
            self._said = ""

    def stop(self) -> None:
        """The worker ends: it is not missed."""
        self._next = float("inf")
        if self._thread is not None:
            self._thread.join(1.0)
            try:
                self._presence.leave()
            except StoreProblem:
                return
