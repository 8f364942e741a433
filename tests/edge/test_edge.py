"""What gets past the edge: who is believed, under which name, how much; and what every answer carries."""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from werkzeug.test import EnvironBuilder, run_wsgi_app

from dqm.edge import Edge, hosts, proxies
from dqm.settings import WebSettings

POLICY = "default-src 'self'"


def site(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
    """Says what it was asked."""
    seen = {
        "client": environ["REMOTE_ADDR"], "scheme": environ["wsgi.url_scheme"], "host": environ.get("HTTP_HOST"),
        "root": environ.get("SCRIPT_NAME"), "path": environ["PATH_INFO"], "body": environ["wsgi.input"].read().decode(),
        "length": environ.get("CONTENT_LENGTH"),
    }  # fmt: skip
    start("200 OK", [("Content-Type", "application/json"), ("X-Frame-Options", "SAMEORIGIN")])
    return [json.dumps(seen).encode()]


def ask(
    path: str = "/", web: dict[str, Any] | None = None, headers: dict[str, str] | None = None, **environ: Any
) -> tuple[int, Any, Any]:
    """(status, what the site saw or the problem, headers)"""
    edge = Edge(site, WebSettings(**(web or {})), lambda: POLICY)
    values = {"REMOTE_ADDR": "192.0.2.7"} | environ
    method = values.pop("method", "GET")
    built = EnvironBuilder(path, method=method, headers=headers or {}, environ_overrides=values).get_environ()
    content, status, answered = run_wsgi_app(edge, built)
    body = b"".join(content)
    return int(status.split()[0]), json.loads(body) if body else None, answered


FORWARDED = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "daq.example.org"}
TRUSTING = {"proxies": ["10.0.0.0/8", "127.0.0.1", "::1"], "hosts": ["daq.example.org"]}


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.9.8.7", "::1", "::ffff:10.0.0.1"])
def test_a_proxy_in_the_settings_says_who_asks_and_how(peer: str) -> None:
    _, seen, _ = ask(web=TRUSTING, headers=FORWARDED, REMOTE_ADDR=peer)
    assert (seen["client"], seen["scheme"], seen["host"]) == ("203.0.113.9", "https", "daq.example.org")


@pytest.mark.parametrize("peer", ["192.0.2.7", "11.0.0.1", "::2", "", "unix:", "10.0.0.1.evil.example"])
def test_nobody_else_is_believed(peer: str) -> None:
    _, seen, _ = ask(web=TRUSTING, headers=FORWARDED, REMOTE_ADDR=peer)
    assert (seen["client"], seen["scheme"], seen["host"]) == (peer, "http", "localhost")


def test_without_the_setting_nobody_is_believed() -> None:
    _, seen, _ = ask(headers=FORWARDED, REMOTE_ADDR="127.0.0.1")
    assert (seen["client"], seen["scheme"]) == ("127.0.0.1", "http")


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),  # the left part is what the client claims
        ("203.0.113.9, 10.1.1.1", "203.0.113.9"),  # through two proxies of ours
        ("6.6.6.6, 203.0.113.9, 10.1.1.1, 10.1.1.2", "203.0.113.9"),
        ("203.0.113.9:1234", "203.0.113.9"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("garbage", "10.0.0.1"),
        ("203.0.113.9, <script>", "10.0.0.1"),
        ("", "10.0.0.1"),
        (",,,", "10.0.0.1"),
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_proxy_of_ours(forwarded: str, client: str) -> None:
    _, seen, _ = ask(web=TRUSTING, headers={"X-Forwarded-For": forwarded}, REMOTE_ADDR="10.0.0.1")
    assert seen["client"] == client


@given(
    st.lists(st.ip_addresses().map(str), max_size=4), st.lists(st.sampled_from(["10.1.1.1", "10.2.2.2"]), max_size=3)
)
def test_what_a_client_claims_never_becomes_his_address(claimed: list[str], ours: list[str]) -> None:
    chain = [*claimed, "203.0.113.9", *ours]
    environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": ", ".join(chain)}
    proxies.believe(environ, proxies.networks_of(["10.0.0.0/8"]))
    assert environ["REMOTE_ADDR"] == "203.0.113.9"
    assert environ[proxies.PEER] == "10.0.0.1"


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_no_header_of_a_proxy_breaks_anything(client: str, scheme: str, host: str) -> None:
    environ = {
        "REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": client, "HTTP_X_FORWARDED_PROTO": scheme,
        "HTTP_X_FORWARDED_HOST": host, "wsgi.url_scheme": "http",
    }  # fmt: skip
    proxies.believe(environ, proxies.networks_of(["10.0.0.0/8"]))
    assert environ["wsgi.url_scheme"] in ("http", "https")
    assert proxies._address(environ["REMOTE_ADDR"]) is not None


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("localhost:8050", 200), ("127.0.0.1:8050", 200), ("[::1]:8050", 200), ("192.0.2.1", 200),
        ("LOCALHOST.", 200), ("daq.example.org", 200), ("shift.daq.example.org:443", 421), ("x.slac.example", 200),
        ("rebound.example", 421), ("localhost.rebound.example", 421), ("127.0.0.1.rebound.example", 421),
        ("2130706433", 421), ("a b", 400), ("user@localhost", 400), ("localhost/path", 400), ("<script>", 400),
    ],
)  # fmt: skip
def test_the_site_answers_under_its_own_names_only(host: str, status: int) -> None:
    web = {"hosts": ["daq.example.org", "*.slac.example"]}
    found, seen, _ = ask(web=web, headers={"Host": host})
    assert found == status, seen


def test_a_name_that_is_not_known_is_told_with_the_setting() -> None:
    status, problem, headers = ask(headers={"Host": "daq.example.org"})
    assert (status, headers["Content-Type"]) == (421, "application/problem+json")
    assert "daq.example.org" in problem["detail"]
    assert "hosts" in problem["detail"]


def test_who_listens_everywhere_answers_as_this_machine() -> None:
    import socket

    assert socket.gethostname().lower() in hosts.known("0.0.0.0", [])
    assert hosts.known("daq.example.org", []) == ("daq.example.org", "localhost")


@pytest.mark.parametrize("prefix", ["/larboard", "larboard/", "/larboard/"])
@pytest.mark.parametrize("path", ["/larboard/runs/7", "/runs/7"])
def test_a_prefix_is_known_whether_the_proxy_leaves_it_or_not(prefix: str, path: str) -> None:
    _, seen, _ = ask(path, web={"prefix": prefix})
    assert (seen["root"], seen["path"]) == ("/larboard", "/runs/7")


@pytest.mark.parametrize("path", ["/larboardroom/x", "/runs/larboard/x", "//larboard/x"])
def test_a_path_that_only_looks_like_the_prefix_is_left_alone(path: str) -> None:
    _, seen, _ = ask(web={"prefix": "/larboard"}, PATH_INFO=path)
    assert (seen["root"], seen["path"]) == ("/larboard", path)


def test_the_slash_behind_the_prefix_is_put_there() -> None:
    status, _, headers = ask("/larboard?run=7", web={"prefix": "/larboard"})
    assert (status, headers["Location"]) == (308, "/larboard/?run=7")


@pytest.mark.parametrize("prefix", ["/a b", "/<script>", "/..", "/a/../b", '/"', "/a?b"])
def test_a_prefix_that_is_no_path_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationError, match="is no path"):
        WebSettings(prefix=prefix)


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValidationError, match="is no address or network"):
        WebSettings(proxies=["nginx"])


class Unread:
    """A body that must not be touched."""

    def read(self, *_: int) -> bytes:
        raise AssertionError("it was read")


def test_a_body_that_says_it_is_too_long_is_not_read() -> None:
    size = {"CONTENT_LENGTH": str(64 * 1024 + 1), "wsgi.input": Unread()}
    status, problem, _ = ask(web={"body_kb": 64}, method="POST", **size)
    assert status == 413
    assert "at most 65536" in problem["detail"]


@pytest.mark.parametrize("path", ["/", "/_dash-update-component", "/api/v1/runs/7", "/assets/site.css"])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
def test_every_path_has_the_limit(path: str, method: str) -> None:
    status, _, headers = ask(path, method=method, CONTENT_LENGTH="99999999999", **{"wsgi.input": Unread()})
    assert (status, headers["Content-Type"]) == (413, "application/problem+json")


def chunked(content: bytes) -> dict[str, Any]:
    stream = {"wsgi.input": BytesIO(content), "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    return {**stream, "CONTENT_LENGTH": ""}


def test_a_body_of_unknown_length_has_it_too() -> None:
    status, seen, _ = ask(web={"body_kb": 64}, method="POST", **chunked(b"x" * 64 * 1024))
    assert (status, len(seen["body"]), seen["length"]) == (200, 65536, "65536")
    status, problem, _ = ask(web={"body_kb": 64}, method="POST", **chunked(b"x" * (64 * 1024 + 1)))
    assert (status, problem["title"]) == (413, "Request Entity Too Large")


class Slow:
    def read(self, *_: int) -> bytes:
        raise TimeoutError


class Broken:
    def read(self, *_: int) -> bytes:
        raise ConnectionResetError


@pytest.mark.parametrize(("stream", "status"), [(Slow(), 408), (Broken(), 400), (BytesIO(b"abc"), 400)])
def test_a_body_that_does_not_come_is_a_problem(stream: Any, status: int) -> None:
    assert ask(method="POST", CONTENT_LENGTH="10", **{"wsgi.input": stream})[0] == status


@pytest.mark.parametrize("length", ["-1", "1e3", "abc", "٣", "1,1"])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    assert ask(method="POST", CONTENT_LENGTH=length)[0] == 400


@pytest.mark.parametrize(
    "request_", [{}, {"headers": {"Host": "rebound.example"}}, {"CONTENT_LENGTH": "99999999"}, {"method": "HEAD"}]
)
def test_every_answer_carries_the_headers_that_keep_a_page_to_itself(request_: dict[str, Any]) -> None:
    _, _, headers = ask(**request_)
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert len(headers.getlist("X-Frame-Options")) == 1  # what the site says itself stays
