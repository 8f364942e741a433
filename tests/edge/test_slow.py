"""`larboard serve` before clients that send slowly, too much, or nothing that can be understood."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from gunicorn.util import close_graceful

from dqm.edge.slow import _let_go
from tests.services import running

THREADS = 8
Where = tuple[str, int]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Where]:
    folder = tmp_path_factory.mktemp("slow")
    settings = {"DATA__DIRECTORY": f"{folder}/data", "WEB__THREADS": str(THREADS), "WEB__BODY_KB": "64"}
    with running(
        "serve", "--port", 0, cwd=folder, **{f"LARBOARD_{name}": text for name, text in settings.items()}
    ) as s:
        port = re.search(r":(\d+)$", s.wait_for("Larboard is at http://127.0.0.1:"))
        assert port
        yield "127.0.0.1", int(port[1])


def exchange(where: Where, content: bytes) -> bytes:
    """All that is answered until the other side closes."""
    with closing(socket.create_connection(where, 30)) as sock:
        sock.sendall(content)
        answer = b""
        while part := sock.recv(65536):
            answer += part
        return answer


def health(where: Where) -> int:
    with closing(http.client.HTTPConnection(*where, timeout=30)) as connection:
        connection.request("GET", "/health")
        return connection.getresponse().status


def problem_of(answer: bytes) -> tuple[int, dict[str, str]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"Content-Security-Policy: " in head
    assert b"X-Content-Type-Options: nosniff" in head
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize("begun", [b"", b"GET /he", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: a"])
def test_slow_clients_hold_no_thread(where: Where, begun: bytes) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(socket.create_connection(where, 30))) for _ in range(4 * THREADS)]
        for part in (begun[:1], begun[1:]):
            for sock in slow:
                sock.sendall(part)
        assert health(where) == 200
        for sock in slow[:3]:  # and who comes to an end is answered
            sock.sendall(b"\r\n\r\n" if begun.startswith(b"GET / ") else b"")
        if begun.startswith(b"GET / "):
            assert slow[0].recv(15) == b"HTTP/1.1 200 OK"


def test_a_request_that_comes_byte_by_byte_is_answered(where: Where) -> None:
    with closing(socket.create_connection(where, 30)) as sock:
        for byte in b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n":
            sock.sendall(bytes([byte]))
        assert sock.recv(15) == b"HTTP/1.1 200 OK"


def test_requests_in_one_go_are_answered_one_after_the_other(where: Where) -> None:
    one = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    answers = exchange(where, one + b"\r\n" + one + b"\r\n" + one + b"Connection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 17_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(70)) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000, 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n", 421),
        (b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n", 413),
        (b"DELETE /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
    ],
    ids=["line", "header", "headers", "endless header", "no header", "no request", "TLS", "two lengths", "no length",
         "length and chunks", "coding", "host", "body", "method"],
)  # fmt: skip
def test_what_is_no_request_is_a_problem_in_json(where: Where, content: bytes, status: int) -> None:
    found, problem = problem_of(exchange(where, content))
    assert found == status
    assert problem["detail"]
    assert health(where) == 200


def send_for_ever(sock: socket.socket, content: bytes) -> None:
    for _ in range(10_000):
        sock.sendall(content)


def test_an_endless_body_in_chunks_is_cut_off(where: Where) -> None:
    head = b"PATCH /api/v1/runs/7 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with closing(socket.create_connection(where, 30)) as sock:
        sock.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + chunk)
        assert sock.recv(12) == b"HTTP/1.1 413"
        with pytest.raises(ConnectionError):  # nobody takes the rest
            send_for_ever(sock, chunk)
    assert health(where) == 200


@pytest.mark.parametrize("room", [4096, 65536, 300_000])
def test_who_sends_on_is_told_that_nobody_listens_however_little_was_left_to_read(room: int) -> None:
    with closing(socket.socket()) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        server.bind(("127.0.0.1", 0))
        server.listen()
        with closing(socket.create_connection(server.getsockname(), 30)) as client, ThreadPoolExecutor() as pool:
            theirs, _ = server.accept()
            sending = pool.submit(send_for_ever, client, b"x" * 65536)
            _let_go(theirs, linger=True)
            close_graceful(theirs)  # as gunicorn does then
            with pytest.raises(ConnectionError):
                sending.result()


def test_a_loopback_client_cannot_pretend_to_be_a_proxy(where: Where) -> None:
    headers = (
        b"Host: localhost\r\nX-Forwarded-Proto: https\r\nScript_Name: /x\r\nSCRIPT-NAME: /x\r\nConnection: close\r\n"
    )
    answer = exchange(where, b"GET /api/v1/openapi.json HTTP/1.1\r\n" + headers + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"servers":[{"url":"/"}]' in answer


@pytest.mark.parametrize(("path", "status"), [("/assets/site.css", 200), ("/assets/none.css", 404), ("/none", 200)])
def test_assets_and_errors_carry_the_headers_too(where: Where, path: str, status: int) -> None:
    with closing(http.client.HTTPConnection(*where, timeout=30)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == status
        assert "object-src 'none'" in str(answer.headers["Content-Security-Policy"])
        assert answer.headers["X-Frame-Options"] == "DENY"


def test_static_files_cannot_be_left(where: Where, tmp_path: Path) -> None:
    for path in (
        "/assets/../app.py",
        "/assets/..%2fapp.py",
        "/assets/%2e%2e/app.py",
        "//etc/passwd",
        "/assets//etc/passwd",
    ):
        answer = exchange(where, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert b"def create_app" not in answer
        assert b"root:" not in answer
