"""A gunicorn worker whose threads wait for nobody.

The threads of a worker are few, and every open browser holds one for its stream. gunicorn gives a connection a thread as
soon as its first byte is there: so many clients that send a byte now and then would take them all. Here a thread is given
to a request whose head is there; the rest of it, and the taking of the answer, have their limits.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

from gunicorn.http import errors
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers import gthread

from dqm.edge import policy
from dqm.edge.refusals import Refusal

HEAD_S = 15.0
"""The head of a request (line and headers) comes in so many seconds, or the connection is closed."""
BODY_S = 20.0
"""So long a thread waits for a body."""
ANSWER_S = 60.0
"""So long a thread waits for a client to take a part of the answer."""
LINGER_S, LINGER_MOST = 0.5, 256 * 1024
HEAD_MOST = 64 * 1024
LIMITS = {"limit_request_line": 8190, "limit_request_fields": 64, "limit_request_field_size": 16380}
STATUS = {errors.LimitRequestLine: 414, errors.LimitRequestHeaders: 431}


class TimedReader(SocketUnreader):
    """Bytes of a connection, until a moment that does not move however often something comes."""

    def __init__(self, sock: socket.socket):
        super().__init__(sock)
        self.until = 0.0

    def chunk(self, size_hint: int | None = None) -> bytes:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request did not come in time")
        self.sock.settimeout(left)
        try:
            return bytes(super().chunk(size_hint))
        finally:
            self.sock.settimeout(ANSWER_S)


class PatientWorker(gthread.ThreadWorker):
    """Threads for requests that are there, not for those that may come."""

    def handle(self, conn: Any) -> Any:
        """In a thread: answers the request if its head is there, else gives the connection back to be watched."""
        try:
            if not self._has_head(conn):
                return gthread._DEFER
            conn.begun = 0.0
            conn.parser.unreader.until = time.monotonic() + BODY_S
            kept = super().handle(conn)
        except OSError:  # it closed, or was too slow
            _let_go(conn.sock, linger=False)
            return False
        except errors.LimitRequestHeaders as error:
            self.handle_error(None, conn.sock, conn.client, error)
            kept = False
        if not kept:
            _let_go(conn.sock, linger=True)
        return kept

    def _has_head(self, conn: Any) -> bool:
        """Takes what has come, without waiting. Raises OSError when nothing more can come."""
        _prepare(conn)
        buffer = conn.parser.unreader.buf
        buffer.seek(0, 2)
        conn.sock.setblocking(False)
        while b"\r\n\r\n" not in buffer.getvalue():
            if buffer.tell() > HEAD_MOST:
                raise errors.LimitRequestHeaders(f"more than {HEAD_MOST} bytes of headers")
            try:
                content = conn.sock.recv(8192)
            except BlockingIOError:
                if time.monotonic() - conn.begun > HEAD_S:
                    raise TimeoutError("no head in time") from None
                return False
            if not content:
                raise ConnectionError("closed")
            buffer.write(content)
        return True

    def handle_request(self, req: Any, conn: Any) -> Any:
        conn.sock.settimeout(ANSWER_S)
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """What never became a request, or broke the server itself, is answered as every other problem."""
        status = next((code for kind, code in STATUS.items() if isinstance(exc, kind)), 400)
        detail = "This is no request that can be understood: " + " ".join(str(exc).split())[:200]
        if not isinstance(exc, errors.ParseException):
            self.log.error("a request failed", exc_info=exc)
            status, detail = 500, "Larboard failed at this; its log says how."
        with contextlib.suppress(OSError):
            client.settimeout(LINGER_S)
            refusal = Refusal(status, detail)
            client.sendall(refusal.as_http(policy.complete(refusal.all_headers, policy.NOTHING)))


def _prepare(conn: Any) -> None:
    """A connection that is seen for the first time, or for the first time since its last answer."""
    conn.data_ready = True
    conn.init()
    if not isinstance(conn.parser.unreader, TimedReader):
        conn.parser.unreader = TimedReader(conn.sock)
    if not getattr(conn, "begun", 0.0):
        conn.begun = time.monotonic()


def _let_go(sock: socket.socket, linger: bool) -> None:
    """Ends a connection here: gunicorn would wait for the client in the thread that accepts all others.

    Whoever still sends is heard for a moment, since closing at once would take the answer away from him. After it the
    socket is closed while it still could be read: a shut one that is emptied never tells its client that there is room
    again, so he would wait for it a minute instead of hearing that nobody listens.
    """
    heard, until = 0, time.monotonic() + LINGER_S
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while linger and heard < LINGER_MOST and (left := until - time.monotonic()) > 0:
            sock.settimeout(left)
            content = sock.recv(65536)
            heard += len(content)
            if not content:
                break
    sock.close()
