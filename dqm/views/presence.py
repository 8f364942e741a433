"""Workers of the site, as they tell of themselves: the Health page and `/metrics` count their streams."""

from __future__ import annotations

import os
import socket
import time
import uuid
from dataclasses import dataclass, field

from dqm.records import WebWorker
from dqm.store import web_workers
from dqm.views.site import Site

WEB_SILENT_S = 45.0
"""A web worker that gave no sign of life for so long has ended, or hangs."""


@dataclass(frozen=True)
class Presence:
    """This process, in the table of web workers."""

    site: Site
    most: int
    """So many streams may be open."""
    # not only host and process: containers may have the same of both
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}")
    started: float = field(default_factory=time.time)

    def tell(self, streams: int) -> None:
        """A sign of life. Raises StoreProblem."""
        now = time.time()
        worker = WebWorker(self.name, socket.gethostname(), os.getpid(), self.started, now, streams, self.most)
        with self.site.store.begin() as tx:
            web_workers.beat(tx, worker)

    def leave(self) -> None:
        """It ends. Raises StoreProblem."""
        with self.site.store.begin() as tx:
            web_workers.gone(tx, self.name)
