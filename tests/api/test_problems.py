"""What goes wrong is said in RFC 9457, by name; who may not change anything does not."""

from __future__ import annotations

import logging

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dqm.store import runs
from dqm.views.site import Site

API = "/api/v1"


@pytest.mark.parametrize(
    ("path", "parameter", "said"),
    [
        ("/runs?serach=x", "serach", "search"),
        ("/runs?limit=x", "limit", "integer"),
        ("/runs?limit=0", "limit", "1"),
        ("/runs?limit=1001", "limit", "1000"),
        ("/runs?limit=1&limit=2", "limit", "one value"),
        ("/runs?category=", "category", "1 character"),
        ("/runs?quality=nice", "quality", "suspect"),
        ("/runs?since=yesterday", "since", "2024-07-08"),
        ("/runs?since=" + "T " * 3000, "since", "2024-07-08"),
        ("/runs?since=2024-07-08&until=2024-07-07", "since", "before until"),
        ("/runs?order=nonsense", "order", "number"),
        ("/runs?order=--number", "order", "number"),
        ("/runs?cursor=x", "cursor", "next"),
        ("/runs?cursor=WzEsMl0", "cursor", "next"),
        ("/runs?search=%00", "search", "control"),
        ("/runs/7?x=1", "x", "no parameters"),
        ("/runs/7/elements/AdcSpectrum/figure?zone=Mars", "zone", "America/Chicago"),
        ("/runs/7/elements/AdcSpectrum/figure?zone=../../etc/passwd", "zone", "America/Chicago"),
        ("/trends?points=5", "points", "10"),
        ("/trends?start=2024-01-01", "name", "trend"),
        ("/trends?name=A.b&start=2025-01-01&end=2024-01-01", "start", "before end"),
        ("/files?state=lost", "state", "quarantined"),
        ("/changes?after=-1", "after", "0"),
        ("/changes?after=99999999999999999999999", "after", "less"),
        ("/events?after=x", "after", "integer"),
        ("/plots?all", "all", "no parameters"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_was_expected_and_what_came(
    client: FlaskClient, path: str, parameter: str, said: str
) -> None:
    response = client.get(API + path)
    assert response.status_code == 400
    assert response.mimetype == "application/problem+json"
    problem = response.json
    assert problem
    assert (problem["status"], problem["title"]) == (400, "Bad Request")
    (error,) = problem["errors"]
    assert error["parameter"] == parameter
    assert said in error["expected"]
    assert parameter in problem["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"tags": null}', b'{"tags": "a"}', b'{"tags": [""]}', b'{"number": 8}',
        b'{"category": ""}', b'{"category": " "}', b'{"comment": "\\ud800"}', b'{"comment": "\\u0000"}', b"\xff",
        b'{"comment": NaN}', b'{"category": "' + b"x" * 65 + b'"}', b'{"tags": [' + b'"x",' * 60 + b'"x"]}',
    ],
)  # fmt: skip
def test_a_wrong_body_changes_nothing(client: FlaskClient, site: Site, body: bytes) -> None:
    response = client.patch(f"{API}/runs/7", data=body, content_type="application/json")
    assert response.status_code == 400
    assert response.json
    assert response.json["errors"]
    with site.store.read() as tx:
        run = runs.get(tx, "7")
    assert run
    assert (run.category, run.tags, run.comment) == ("physics", ("test",), "")


def test_a_body_is_json_of_limited_length(client: FlaskClient) -> None:
    assert client.patch(f"{API}/runs/7", data="comment=x").status_code == 415
    assert client.patch(f"{API}/runs/7", json={"comment": "x" * 70_000}).status_code == 413
    chunked = client.patch(f"{API}/runs/7", input_stream=None, json={"comment": "ü" * 9_000})
    assert chunked.status_code == 200


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v1", "/api/v2/runs", "/api/v1/nothing", "/api/v1/runs/"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_is_not_there_is_said_in_json(client: FlaskClient, path: str, method: str) -> None:
    response = client.open(path, method=method)
    assert (response.status_code, response.mimetype) == (404, "application/problem+json")


def test_another_method_is_refused_and_the_right_ones_are_named(client: FlaskClient) -> None:
    response = client.delete(f"{API}/runs/7")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, PATCH")
    assert response.mimetype == "application/problem+json"
    asked = client.options(f"{API}/files/1/retry")
    assert (asked.status_code, asked.headers["Allow"]) == (204, "OPTIONS, POST")
    assert client.head(f"{API}/runs").data == b""


def test_a_failure_is_in_the_log_and_not_in_the_answer(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("the secret")

    monkeypatch.setattr("dqm.views.queries.run_page", fail)
    with caplog.at_level(logging.ERROR):
        response = client.get(f"{API}/runs")
    assert (response.status_code, response.mimetype) == (500, "application/problem+json")
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    assert "GET /api/v1/runs failed" in caplog.text


def test_pages_beside_the_api_are_not_touched(server: Flask) -> None:
    @server.get("/page")
    def page() -> str:
        raise KeyError

    client = server.test_client()
    assert client.get("/page").mimetype == "text/html"
    assert client.get("/nowhere").mimetype == "text/html"


LOCAL = {"REMOTE_ADDR": "127.0.0.1"}


@pytest.mark.parametrize(
    ("environment", "headers"),
    [
        ({"REMOTE_ADDR": "192.168.1.5"}, {}),
        ({"REMOTE_ADDR": "::ffff:10.0.0.1"}, {}),
        ({"REMOTE_ADDR": ""}, {}),
        (LOCAL, {"X-Forwarded-For": "10.0.0.1"}),
        (LOCAL, {"Forwarded": "for=10.0.0.1"}),
        *[(LOCAL, {name: "x"}) for name in ("Via", "X-Real-IP")],
        *[(LOCAL, {f"X-Forwarded-{name}": "x"}) for name in ("Proto", "Host", "Server", "Prefix", "Port")],
        (LOCAL, {"Host": "rebound.example"}),
        (LOCAL, {"Origin": "http://evil.example"}),
        (LOCAL, {"Origin": "null"}),
        (LOCAL, {"Origin": "https://localhost"}),
        (LOCAL, {"Sec-Fetch-Site": "cross-site"}),
    ],
)
def test_changes_are_for_the_host_itself_and_not_for_the_pages_of_others(
    client: FlaskClient, environment: dict[str, str], headers: dict[str, str]
) -> None:
    for send in (
        lambda: client.patch(f"{API}/runs/7", json={"comment": "x"}, environ_base=environment, headers=headers),
        lambda: client.post(f"{API}/files/1/retry", environ_base=environment, headers=headers),
    ):
        response = send()
        assert response.status_code == 403
        assert response.json
        assert response.json["detail"].endswith(".")
    assert client.get(f"{API}/runs/7", environ_base=environment, headers=headers).json["comment"] == ""  # type: ignore[index]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8050", "[::1]:8050"])
def test_the_local_admin_changes_things_from_his_own_pages(client: FlaskClient, host: str) -> None:
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    for peer in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        sent = client.patch(
            f"{API}/runs/7", json={"comment": peer}, headers=headers, environ_base={"REMOTE_ADDR": peer}
        )
        assert sent.status_code == 200


def test_a_body_where_none_is_taken_is_refused_and_not_passed_over(client: FlaskClient) -> None:
    answer = client.post("/api/v1/files/1/ignore", json={"why": "a test"})
    assert answer.status_code == 400
    assert answer.json
    assert answer.json["detail"] == "A body is not taken here, and would not be read; parameters of the query: reason."
