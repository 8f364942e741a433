"""Server-sent notices: one thread per process looks at the database, as long as somebody listens, and tells everybody.

Each listener has a queue of its own, of limited length. Who does not keep up is dropped, comes back, and says by
Last-Event-ID what he saw last: nothing is lost, and nobody is waited for.
"""

from __future__ import annotations

import logging
import math
import select
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import orjson

from dqm.auth.proxies import is_loopback, network_of
from dqm.records import Notice
from dqm.views import queries
from dqm.views.queries import News, StoreProblem
from dqm.views.site import Site

log = logging.getLogger("larboard.events")

LOOK_S = 0.15
"""How often the database is asked for news."""
AGAIN_S = 1.0
"""How long to wait after the database could not be asked; also how often a listener looks whether his browser is there."""
AWAY_S = 5.0
"""When the database could not be asked for so long the streams end: a page must not say that it is live."""
PING_S = 15.0
SEND_S = 20.0
"""A browser that takes nothing for so long is gone."""
QUEUE = 1000
RESERVE = 4
OF_ADDRESS_LEAST = 8
RETRY_MS = 2000

Message = tuple[int, bytes]
"""A notice number and what is sent for it."""


class TooMany(Exception):
    """All streams that may be open are open; the message says whose."""


def streams_for(threads: int) -> int:
    """How many threads of a process streams may hold: pages keep a quarter, and never fewer than RESERVE."""
    return max(threads - max(RESERVE, threads // 4), 1)


def of_one_address(most: int) -> int:
    """How many of all streams one address may hold; this host itself may hold all of them."""
    return max(most // 4, OF_ADDRESS_LEAST)


def event(name: str, data: Any, seq: int | None = None) -> bytes:
    """One event as it stands in the stream."""
    number = "" if seq is None else f"id: {seq}\n"
    return f"{number}event: {name}\ndata: ".encode() + orjson.dumps(data) + b"\n\n"


def notice_event(notice: Notice) -> Message:
    data = {"seq": notice.seq, "time": notice.time, "topic": notice.topic, "version": notice.version}
    key = notice.key.encode("utf-8", "replace").decode()
    return notice.seq, event("notice", data | {"key": key}, notice.seq)


def gap_event(seq: int) -> Message:
    return seq, event("gap", {"seq": seq}, seq)


class Listener:
    """What waits for one browser."""

    def __init__(self, size: int = QUEUE, socket: Any = None, address: str = ""):
        self.socket = socket
        self.address = address
        self._size = size
        self._waiting: deque[Message] = deque()
        self._news = threading.Condition()
        self.ended = False

    def put(self, messages: list[Message]) -> None:
        """Hands over messages; too many end the stream, and those that had a place are still sent."""
        with self._news:
            if self.ended:
                return
            room = self._size - len(self._waiting)
            self._waiting.extend(messages[:room])
            self.ended = len(messages) > room
            self._news.notify()

    def end(self) -> None:
        with self._news:
            self.ended = True
            self._news.notify()

    @property
    def over(self) -> bool:
        """Whether nothing will come any more."""
        with self._news:
            return self.ended and not self._waiting

    def take(self, timeout: float) -> list[Message]:
        """All that waits; an empty list when nothing came in time, or when it has ended."""
        with self._news:
            if not self._waiting and not self.ended:
                self._news.wait(timeout)
            taken = list(self._waiting)
            self._waiting.clear()
            return taken


class Broadcaster:
    """The streams of one process. Its thread lives as long as there are any."""

    def __init__(self, site: Site, most: int, size: int = QUEUE):
        self._site = site
        self._size = size
        self.most = most
        self._listeners: set[Listener] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._seen = 0
        self._looked = -math.inf
        self._asked = 0.0
        """When the database answered last, or a stream began, which asks it too."""

    def told(self) -> int | None:
        """The newest notice that was told; None when nobody listens, or the database was not asked for a while."""
        fresh = self._thread is not None and time.monotonic() - self._looked < 3 * LOOK_S
        return self._seen if fresh else None

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def join(self, socket: Any = None, address: str = "") -> Listener:
        """A new listener, who is told everything from now on. Raises TooMany, and StoreProblem.

        One address does not take the places of all others; of IPv6 its network counts.
        """
        of = "" if is_loopback(address) else network_of(address) if address else ""
        if self._is_full(of):
            self._let_go()
        last = queries.last_news(self._site)
        with self._lock:
            if self._stopping.is_set() or len(self._listeners) >= self.most:
                raise TooMany(f"All {self.most} event streams are taken")
            if self._is_full(of):
                raise TooMany(f"All {of_one_address(self.most)} event streams that one address may have are taken")
            listener = Listener(self._size, socket, of)
            if self._thread is None:
                self._seen = last
                self._thread = threading.Thread(target=self._run, name="larboard-events", daemon=True)
                self._thread.start()
            self._asked = time.monotonic()
            self._listeners.add(listener)
        return listener

    def _is_full(self, address: str) -> bool:
        of_address = sum(1 for one in list(self._listeners) if one.address == address) if address else 0
        return len(self._listeners) >= self.most or of_address >= of_one_address(self.most)

    def leave(self, listener: Listener) -> None:
        listener.end()
        with self._lock:
            self._listeners.discard(listener)

    def _let_go(self) -> None:
        """Frees the places of browsers that have closed: one that is loaded again and again would take them all."""
        with self._lock:
            gone = {listener for listener in self._listeners if has_gone(listener.socket)}
            self._listeners -= gone
        for listener in gone:
            listener.end()

    def stop(self) -> None:
        """Ends all streams; new ones are refused."""
        self._stopping.set()
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.end()

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._stopping.is_set() or not self._listeners:
                    self._thread = None
                    return
            asked = self._look()
            if not asked and time.monotonic() - self._asked > AWAY_S:
                self._end_all()
            self._stopping.wait(LOOK_S if asked else AGAIN_S)

    def _end_all(self) -> None:
        """Ends the streams: whoever comes back before the database is told that it is away."""
        with self._lock:
            listeners, self._listeners = self._listeners, set()
        for listener in listeners:
            listener.end()

    def _look(self) -> bool:
        """Tells the listeners what is new; False when the database could not be asked."""
        began = time.monotonic()
        try:
            news = queries.news(self._site, self._seen)
        except StoreProblem as problem:
            log.warning("no notices for now: %s", problem)
            return False
        except Exception:  # whatever it is, the streams of all browsers hang on this thread
            log.exception("no notices for now")
            return False
        self._tell(news)
        self._looked = self._asked = began
        return True

    def _tell(self, news: News) -> None:
        messages = [gap_event(news.seq)] if news.gap else [notice_event(notice) for notice in news.notices]
        if not messages:
            return
        with self._lock:
            self._seen = messages[-1][0]
            for listener in self._listeners:
                listener.put(messages)


def stream(site: Site, listener: Listener, after: int | None) -> Iterator[bytes]:
    """What one browser is sent: hello, what it has missed since `after`, then whatever happens. Raises StoreProblem."""
    missed = queries.news(site, queries.last_news(site) if after is None else after)
    start = missed.seq if after is None else after
    # the number of hello is where the stream begins: who loses it right here misses nothing
    opening = f"retry: {RETRY_MS}\n".encode() + event("hello", {"seq": missed.seq}, start)
    return _sent(site, listener, opening, missed, start)


def _sent(site: Site, listener: Listener, opening: bytes, missed: News, seen: int) -> Iterator[bytes]:
    yield opening
    while missed.gap or missed.notices:
        messages = [gap_event(missed.seq)] if missed.gap else [notice_event(notice) for notice in missed.notices]
        seen = messages[-1][0]
        yield b"".join(text for _, text in messages)
        try:
            missed = queries.news(site, seen)
        except StoreProblem:
            return  # it comes back by itself, with the number of what it saw
    yield from _live(listener, seen)


def _live(listener: Listener, seen: int) -> Iterator[bytes]:
    sent = time.monotonic()
    while not listener.over:
        texts = []
        for seq, text in listener.take(AGAIN_S):
            # what was replayed is not sent again; after a gap the numbers may begin anew: it may be another database
            if seq > seen or b"event: gap\n" in text:
                seen = seq
                texts.append(text)
        if texts:
            yield b"".join(texts)
            sent = time.monotonic()
        elif time.monotonic() - sent >= PING_S:
            yield event("ping", {"seq": seen})
            sent = time.monotonic()
        elif has_gone(listener.socket):
            return


def has_gone(socket: Any) -> bool:
    """Whether the browser at the other end has closed; without looking, the next ping finds out."""
    closed = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
    if socket is None:
        return False
    try:
        poll = select.poll()
        poll.register(socket, closed)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True


def limit_sending(socket: Any) -> None:
    """A browser that is there but takes nothing must not hold a thread for ever."""
    if socket is not None:
        socket.settimeout(SEND_S)
