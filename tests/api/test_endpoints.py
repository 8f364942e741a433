"""What the endpoints give: runs, plots, figures, trends, files, changes."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from flask.testing import FlaskClient

from dqm.records import Element, ElementState, FileState, TrendValue, Watcher
from dqm.store import StoreProblem, audit, elements, files, notices, runs, trends, watchers
from dqm.views.gauges import gauges
from dqm.views.site import Site

API = "/api/v1"
FIGURE = f"{API}/runs/7/elements/AdcSpectrum/figure"


def get(client: FlaskClient, path: str, status: int = 200) -> Any:
    response = client.get(API + path)
    assert response.status_code == status, response.text
    return response.json


def add_runs(site: Site, keys: list[str], start: float = 1_600_000_000) -> None:
    with site.store.begin() as tx:
        for number, key in enumerate(keys):
            run = runs.ensure(tx, key, None, "cosmics", [])
            path = f"/data/{key}.h5"
            file = files.add(tx, path, "/data", 1, 1, key, 1.0)
            files.update(tx, file, run_id=run, start=start + number, state="done", counted=True)
            runs.recount(tx, run)


def test_a_run_is_given_with_its_state_and_times_in_utc(client: FlaskClient) -> None:
    (run,) = get(client, "/runs")["runs"]
    assert (run["key"], run["number"], run["category"], run["tags"]) == ("7", 7, "physics", ["test"])
    assert run["start"] == "2024-07-03T09:46:40.000000Z"
    assert run["quality"] in {"good", "suspect", "bad", "unknown"}
    one = get(client, "/runs/7")
    assert (one["before"], one["after"]) == (None, None)
    assert {name: one[name] for name in run} == run


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("search=test", True),
        ("search=nothing%20like%20it", False),
        ("category=physics", True),
        ("category=laser", False),
        ("since=2024-07-03", True),
        ("since=2024-07-04", False),
        ("since=2024-07-03T11:46:40+02:00", True),
        ("until=2024-07-03T09:46:40Z", True),
        ("until=2024-07-02", False),
        ("order=-packets,number", True),
    ],
)
def test_runs_are_searched(client: FlaskClient, query: str, found: bool) -> None:
    assert get(client, f"/runs?{query}")["total"] == found


def test_pages_follow_each_other_though_new_runs_come_in_between(client: FlaskClient, site: Site) -> None:
    add_runs(site, [f"r{number}" for number in range(9)])
    first = get(client, "/runs?limit=4")
    assert first["total"] == 10
    add_runs(site, ["new1", "new2", "new3"], start=1_800_000_000)
    seen, page = [run["key"] for run in first["runs"]], first
    while page["next"]:
        page = get(client, f"/runs?limit=4&cursor={page['next']}")
        seen += [run["key"] for run in page["runs"]]
    assert seen == ["7", *[f"r{number}" for number in range(8, -1, -1)]]


def test_a_cursor_belongs_to_its_list(client: FlaskClient, site: Site) -> None:
    add_runs(site, ["a", "b", "c"])
    cursor = get(client, "/runs?limit=1&category=cosmics")["next"]
    assert get(client, f"/runs?limit=2&category=cosmics&cursor={cursor}")["runs"][0]["key"] == "b"
    problem = get(client, f"/runs?cursor={cursor}", 400)
    assert problem["errors"][0]["parameter"] == "cursor"
    assert get(client, f"/files?cursor={cursor}", 400)


def test_an_expert_changes_a_run_and_the_audit_trail_has_it(client: FlaskClient, site: Site) -> None:
    changed = client.patch(f"{API}/runs/7", json={"category": "laser", "tags": ["a", "b", "a"], "comment": "ok"})
    assert changed.status_code == 200
    assert changed.json
    assert (changed.json["category"], changed.json["tags"], changed.json["comment"]) == ("laser", ["a", "b"], "ok")
    with site.store.read() as tx:
        (note,) = audit.of(tx, "7")
    assert (note["actor"], note["before"]["category"], note["after"]["category"]) == (
        "admin@127.0.0.1", "physics", "laser",
    )  # fmt: skip


def test_elements_have_trends_with_verdicts_and_lead_to_their_figures(client: FlaskClient) -> None:
    listed = get(client, "/runs/7/elements")
    spectrum = next(element for element in listed["elements"] if element["plot"] == "AdcSpectrum")
    assert (spectrum["title"], spectrum["state"], spectrum["version"]) == ("ADC spectrum", "ok", 1)
    mean = spectrum["trends"]["mean_adc"]
    assert mean["verdict"]["quality"] == "good"
    assert (mean["unit"], mean["reason"]) == ("ADC", "")
    assert spectrum["figure"] == FIGURE
    assert client.get(spectrum["figure"]).status_code == 200
    assert get(client, "/runs/8/elements", 404)["detail"] == "There is no run 8."


def test_a_figure_is_not_drawn_again_for_whoever_has_it(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    first = client.get(FIGURE)
    assert first.headers["X-Larboard-Version"] == "1"
    assert orjson.loads(first.data)["data"]
    monkeypatch.setattr("dqm.views.elements.figure", lambda *_: pytest.fail("it was drawn"))
    tag = first.headers["ETag"]
    for known in (tag, f"W/{tag}", tag.removesuffix('"') + ':zstd"', f'"other", {tag}'):
        again = client.get(FIGURE, headers={"If-None-Match": known})
        assert (again.status_code, again.data) == (304, b"")
        assert (again.headers["ETag"], again.headers["X-Larboard-Version"]) == (tag, "1")


def test_a_figure_is_compressed_for_whoever_takes_it_so(client: FlaskClient) -> None:
    plain = client.get(FIGURE, headers={"Accept-Encoding": "gzip;q=0"})
    packed = client.get(FIGURE, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert packed.headers["ETag"] != plain.headers["ETag"]  # other bytes
    again = client.get(FIGURE, headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]})
    assert again.status_code == 304


def test_a_figure_that_changed_has_another_tag(client: FlaskClient, site: Site) -> None:
    first = client.get(FIGURE)
    with site.store.begin() as tx:
        run = runs.get(tx, "7")
        assert run
        element = elements.get(tx, run.id, "AdcSpectrum")
        assert element
        elements.save(tx, element)
    second = client.get(FIGURE, headers={"If-None-Match": first.headers["ETag"]})
    assert (second.status_code, second.headers["X-Larboard-Version"]) == (200, "2")
    assert client.get(f"{FIGURE}?zone=America/Chicago").headers["ETag"] != second.headers["ETag"]


def put_element(site: Site, plot: str, state: ElementState, reason: str, traceback: str = "", version: int = 1) -> None:
    with site.store.begin() as tx:
        run = runs.get(tx, "7")
        assert run
        elements.save(
            tx, Element(run.id, "7", plot, version, None, 0, None, True, 0, state, reason, traceback, False, {}, 1.0)
        )


def test_why_there_is_no_figure_is_said_in_a_word_and_a_sentence(client: FlaskClient, site: Site) -> None:
    put_element(site, "Torn", ElementState.BROKEN, "division by <zero>", "Traceback ...")
    put_element(site, "Blind", ElementState.UNAVAILABLE, "no geometry fits")
    put_element(site, "Foreign", ElementState.OK, "")
    expected = {
        "7/elements/Torn": (409, "broken", "division by <zero>", "Traceback ..."),
        "7/elements/Blind": (404, "nodata", "no geometry fits", ""),
        "7/elements/Foreign": (409, "broken", "the plug-in Foreign is not installed on this host", ""),
        "7/elements/Nothing": (404, "nodata", "no plot is called Nothing", ""),
        "99/elements/AdcSpectrum": (404, "nodata", "no run 99", ""),
    }
    for path, (status, *words) in expected.items():
        problem = get(client, f"/runs/{path}/figure", status)
        assert [problem["state"], problem["detail"], problem["traceback"]] == words
        assert problem["status"] == status


def test_a_plot_of_another_version_is_not_known_yet(client: FlaskClient, site: Site) -> None:
    with site.store.begin() as tx:
        run = runs.ensure(tx, "8", 8, "physics", [])
        element = Element(
            run, "8", "AdcSpectrum", 99, None, 0, None, True, 0, ElementState.OK, "", "", False, {}, 1.0
        )  # fmt: skip
        elements.save(tx, element)
    assert get(client, "/runs/8/elements/AdcSpectrum/figure", 409)["state"] == "unknown"
    assert get(client, "/runs/8/elements/TileRate/figure", 409)["state"] == "unknown"


def test_a_number_is_followed(client: FlaskClient) -> None:
    names = get(client, "/trends")["trends"]
    assert {"PacketRate.data_rate_hz", "AdcSpectrum.mean_adc"} <= {name["name"] for name in names}
    rate = get(client, "/trends?name=PacketRate.data_rate_hz")
    (point,) = rate["points"]
    assert (rate["unit"], rate["thinned"], point["run"], point["time"]) == (
        "Hz", False, "7", "2024-07-03T09:46:40.000000Z",
    )  # fmt: skip
    assert get(client, "/trends?name=PacketRate.data_rate_hz&start=2025-01-01")["points"] == []
    assert get(client, "/trends?name=PacketRate.nonsense", 404)


def test_no_spike_is_lost_when_points_are_thinned(client: FlaskClient, site: Site) -> None:
    with site.store.begin() as tx:
        for number in range(400):
            value = {100: 1e6, 300: -1e6, 140: None}.get(number, float(number % 10))
            reason = "no light" if value is None else ""
            trend = TrendValue(value, "Hz", reason=reason)
            trends.save(tx, "Mine", 1000 + number, 1, 1_700_000_000 + number, None, {"rate": trend})
    found = get(client, "/trends?name=Mine.rate&points=50")
    values = [point["value"] for point in found["points"]]
    assert len(values) <= 50
    assert (found["total"], found["thinned"]) == (400, True)
    assert {1e6, -1e6, None} <= set(values)
    assert next(point["reason"] for point in found["points"] if point["value"] is None) == "no light"
    times = [point["time"] for point in found["points"]]
    assert times == sorted(times)


def test_many_files_are_given_by_hours_or_days(client: FlaskClient, site: Site) -> None:
    with site.store.begin() as tx:
        for number in range(48):
            trend = TrendValue(None if number % 8 == 7 else float(number), "Hz", reason="too short")
            trends.save(tx, "Mine", 1000 + number, 1, 1_720_396_800 + number * 1800, None, {"rate": trend})
    hours = get(client, "/trends?name=Mine.rate&resolution=hour")
    assert (hours["resolution"], hours["total"], hours["thinned"], len(hours["points"])) == ("hour", 48, True, 24)
    first, fourth = hours["points"][0], hours["points"][3]
    assert (first["time"], first["end"]) == ("2024-07-08T00:00:00.000000Z", "2024-07-08T01:00:00.000000Z")
    assert (first["value"], first["low"], first["high"], first["files"], first["run"]) == (0.5, 0.0, 1.0, 2, None)
    assert (fourth["value"], fourth["files"], fourth["unknown"]) == (6.0, 2, 1)
    (day,) = get(client, "/trends?name=Mine.rate&resolution=day")["points"]
    assert (day["low"], day["high"], day["files"], day["unknown"]) == (0.0, 46.0, 48, 6)
    few = get(client, "/trends?name=Mine.rate&resolution=hour&points=10")["points"]
    assert len(few) == 8
    assert sum(point["files"] for point in few) == 48
    assert get(client, "/trends?name=Mine.rate")["resolution"] == "file"
    assert get(client, "/trends?name=Mine.rate&resolution=week", 400)


def test_null_stands_where_a_number_is_none(client: FlaskClient, site: Site) -> None:
    with site.store.begin() as tx:
        trend = TrendValue(float("inf"), "Hz")
        trends.save(tx, "Mine", 1000, 1, 1e18, None, {"rate": trend})
    text = client.get(f"{API}/trends?name=Mine.rate").text
    assert '"value":null' in text
    assert '"time":null' in text


def test_files_are_listed_and_read_again(client: FlaskClient, site: Site) -> None:
    (file,) = get(client, "/files?state=done&run=7&search=packet&order=-size")["files"]
    assert (file["run"], file["state"], file["rows"]) == ("7", "done", file["rows_done"])
    retried = client.post(f"{API}/files/{file['id']}/retry")
    assert retried.status_code == 202
    assert retried.json
    assert (retried.json["state"], retried.json["counted"], retried.json["rows_done"]) == ("waiting", False, 0)
    with site.store.read() as tx:
        (note,) = audit.of(tx, f"file {file['id']}")
    assert note["actor"] == "admin@127.0.0.1"


@pytest.mark.parametrize("state", [FileState.READING, FileState.GROWING, FileState.REPLACED])
def test_a_file_that_is_being_read_or_is_not_there_is_not_read_again(
    client: FlaskClient, site: Site, state: FileState
) -> None:
    with site.store.begin() as tx:
        files.update(tx, 1, state=state)
    response = client.post(f"{API}/files/1/retry")
    assert response.status_code == 409
    assert response.json
    assert response.json["detail"]
    assert get(client, "/files/1")["state"] == state


@pytest.mark.parametrize("file", ["99", "x", "-1", "9" * 30, "%D9%A1"])
def test_a_file_that_nobody_knows_is_not_found(client: FlaskClient, file: str) -> None:
    assert get(client, f"/files/{file}", 404)
    assert client.post(f"{API}/files/{file}/retry").status_code == 404


def test_plots_and_broken_plug_ins_are_listed(client: FlaskClient, site: Site) -> None:
    (site.settings.plots.paths[0] / "bad.py").write_text("raise RuntimeError('no licence')")
    listed = get(client, "/plots")
    spectrum = next(plot for plot in listed["plots"] if plot["name"] == "AdcSpectrum")
    assert (spectrum["source"], spectrum["trends"]["mean_adc"]) == ("built-in", "ADC")
    assert "no licence" in listed["broken"][0]["reason"]


def test_ingest_says_who_lives_and_what_waits(client: FlaskClient, site: Site) -> None:
    now = time.time()
    with site.store.begin() as tx:
        watchers.beat(tx, Watcher("old", "daq", 1, now - 9000, now - 3600, False, "reads", 0, None, ()))
        watchers.beat(tx, Watcher("new", "daq", 2, now - 60, now, True, "reads x", 3, 1.5, ("slow disk",)))
    found = get(client, "/ingest")
    assert {watcher["name"]: watcher["alive"] for watcher in found["watchers"]} == {"old": False, "new": True}
    assert found["files"] == {"done": 1}
    assert found["last_done"]["id"] == 1


def test_changes_are_the_newest_of_each_thing(client: FlaskClient, site: Site) -> None:
    begin = get(client, "/changes")
    assert begin["notices"] == []
    assert get(client, f"/changes?after={begin['seq']}") == {"seq": begin["seq"], "notices": [], "gap": False}
    with site.store.begin() as tx:
        for version in (1, 2, 3):
            notices.post(tx, "run", "7", version)
        notices.post(tx, "ingest", "w")
    found = get(client, f"/changes?after={begin['seq']}")
    told = [(notice["topic"], notice["key"], notice["version"]) for notice in found["notices"]]
    assert told == [("run", "7", 3), ("ingest", "w", 0)]
    assert found["seq"] == begin["seq"] + 4


def test_changes_that_are_forgotten_are_a_gap(client: FlaskClient, site: Site) -> None:
    with site.store.begin() as tx:
        for _ in range(20):
            notices.post(tx, "run", "7")
        notices.prune(tx, keep=5)
    last = get(client, "/changes")["seq"]
    assert get(client, "/changes?after=1") == {"seq": last, "notices": [], "gap": True}
    assert get(client, f"/changes?after={last + 100}")["gap"]
    assert not get(client, f"/changes?after={last - 5}")["gap"]


def test_a_run_with_a_strange_name_is_reached(client: FlaskClient, site: Site) -> None:
    key = "2024-07-08T18:37:42 <img src=x> ü%2F?"
    add_runs(site, [key])
    assert get(client, f"/runs/{quote(key)}")["key"] == key
    assert get(client, f"/runs/{quote(key)}/elements")["elements"] == []


@pytest.fixture
def without_database(monkeypatch: pytest.MonkeyPatch, site: Site) -> Iterator[None]:
    def fail(*_: Any) -> Any:
        raise StoreProblem("the database cannot be used: its disk is full")

    monkeypatch.setattr(type(site.store), "read", fail)
    monkeypatch.setattr(type(site.store), "begin", fail)
    yield
    monkeypatch.undo()


@pytest.mark.usefixtures("without_database")
def test_without_a_database_everything_says_so_and_when_to_come_back(client: FlaskClient) -> None:
    for path in (
        "/runs",
        "/runs/7",
        "/runs/7/elements",
        "/trends",
        "/files",
        "/plots",
        "/ingest",
        "/changes",
        "/events",
    ):
        response = client.get(API + path)
        assert response.status_code == 503, path
        assert response.headers["Retry-After"]
        assert response.json
        assert "disk is full" in response.json["detail"]
    assert get(client, "/runs/7/elements/AdcSpectrum/figure", 503)["state"] == "unknown"


@pytest.mark.usefixtures("without_database")
def test_health_is_of_the_process_and_readiness_of_the_database(client: FlaskClient) -> None:
    assert client.get("/health").status_code == 200
    response = client.get("/ready")
    assert response.status_code == 503
    assert "disk is full" in response.text
    metrics = client.get("/metrics")
    assert metrics.status_code == 200
    assert "larboard_database_up 0.0" in metrics.text


def test_an_old_schema_is_not_ready(client: FlaskClient, site: Site) -> None:
    assert client.get("/ready").status_code == 200
    with site.store.begin() as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = 'from the future'")
    response = client.get("/ready")
    assert response.status_code == 503
    assert "newer Larboard" in response.text
    site.settings.auth.anonymous = False
    response = client.get("/ready", environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert (response.status_code, str(site.settings.data.directory) in response.text) == (503, False)


def test_metrics_count_files_runs_and_beats(client: FlaskClient, site: Site) -> None:
    now = time.time()
    with site.store.begin() as tx:
        watchers.beat(tx, Watcher("w", "daq", 2, now - 60, now - 30, True, "reads", 3, None, ()))
    text = client.get("/metrics").text
    for line in ('larboard_files{state="done"} 1.0', "larboard_runs 1.0", "larboard_ingest_queue_files 3.0"):
        assert line in text
    age = re.search(r'larboard_ingest_beat_age_seconds\{watcher="w"\} ([\d.]+)', text)
    assert age
    assert 30 <= float(age[1]) < 60
    assert gauges(site).notices > 0
