"""Numbers over time: what a query asks for, points that are thinned without losing a spike, the picture, the CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from dqm.records import Rollup, TrendName, TrendPoint, TrendValue
from dqm.store import runs, trends
from dqm.views import trend_page
from dqm.views.site import Site
from dqm.views.trend_page import (
    FIRST_VISIT,
    MOST,
    Line,
    View,
    csv_of,
    exact_value,
    groups,
    label_of,
    load,
    newest,
    stamps,
    thin,
    unix_of,
    wanted,
    zoom_text,
)
from layouts.pages.trends.figures import axis_range, beyond, figure
from layouts.pages.trends.layout import _remarks, _what
from tests.filling import fill

RATE = "PacketRate.data_rate_hz"
NOW = 1_720_464_000.0


def a_point(time: float, value: float | None = 1.0) -> TrendPoint:
    return TrendPoint(time, value, "7", int(time))


def a_line(points: list[TrendPoint], unit: str = "Hz", name: str = "rate_hz") -> Line:
    trend = TrendName(1, "P", name, unit, (0, None), (None, 10), (None, 100))
    return Line(trend, label_of(trend), points, len(points), 0, "")


def test_trends_of_files_are_offered_by_plot_with_titles_and_units(site: Site, tmp_path: Path) -> None:
    fill(site.store, tmp_path)
    found = {group.title: group for group in groups(site)}
    choices = {choice.key: choice for choice in found["Packet rate by type"].choices}
    assert (choices[RATE].label, choices[RATE].unit) == ("data rate", "Hz")
    assert set(FIRST_VISIT) <= {choice.key for group in found.values() for choice in group.choices}


def test_a_query_is_read_with_care() -> None:
    known = [RATE, "A.b", *[f"N.{i}" for i in range(20)]]
    assert wanted("", known).names == (RATE,)
    assert wanted("", known).live
    assert wanted("?name=none", known).names == ()
    assert wanted("?name=A.b,N.1&name=N.2&name=A.b", known).names == ("A.b", "N.1", "N.2")
    assert len(wanted("?name=" + ",".join(known), known).names) == MOST
    assert wanted("?since=2024-07-08&until=2024-07-08", known).span == "custom"
    assert not wanted("?since=7d&until=2024-07-08", known).live
    assert wanted("?zoom=2024-07-08T18:00:00Z~2024-07-08T19:00:00Z", known).zoom == (1720461600, 1720465200)
    for bad in (
        "since=garbage",
        "until=<script>",
        "zoom=2024-07-08",
        "zoom=x~y",
        "name=No.such",
        "since=2024-07-08&until=2023-01-01",
    ):
        assert len(wanted(f"?{bad}", known).problems) == 1, bad


def test_the_range_decides_which_points_and_run_boundaries_are_shown(site: Site, tmp_path: Path) -> None:
    for run, before in ((1, 7200), (2, 600)):
        (tmp_path / str(run)).mkdir()
        fill(site.store, tmp_path / str(run), run=run, start=int(NOW) - before)
    hour = load(site, wanted(f"?name={RATE}&since=1h", [RATE]), NOW)
    assert (hour.since, hour.until) == (NOW - 3600, NOW)
    assert [key for _, key in hour.runs] == ["2"]
    assert hour.lines[0].total == 1
    everything = load(site, wanted(f"?name={RATE}&since=all", [RATE]), NOW)
    assert everything.lines[0].total == 2
    assert everything.since < everything.lines[0].points[0].time < everything.lines[0].points[1].time < everything.until
    assert newest(site) == everything.lines[0].points[1].time
    assert load(site, wanted(f"?name={RATE}&since=1h", [RATE]), NOW + 1e6).empty


def test_thinning_keeps_every_spike_the_ends_of_gaps_and_the_order() -> None:
    random = np.random.default_rng(1)
    values = random.normal(100, 1, 50_000)
    values[[123, 40_000]] = 1e6, -1e6
    points = [a_point(float(i), None if 20_000 <= i < 20_500 else float(value)) for i, value in enumerate(values)]
    thinned = thin(points)
    assert len(thinned) <= 4_000
    assert {point.value for point in thinned} >= {1e6, -1e6}
    assert any(point.value is None and 20_000 <= point.time < 20_500 for point in thinned)
    times = [point.time for point in thinned]
    assert times == sorted(times)
    stretch = [point.value for point in points[:38] if point.value is not None]
    assert max(stretch) in {point.value for point in thinned}
    assert thin(points[:10]) == points[:10]
    same_time = [a_point(5.0, float(i)) for i in range(9_000)]
    assert {point.value for point in thin(same_time)} == {0.0, 8999.0}


def test_the_picture_has_a_box_for_each_unit_gaps_limits_and_shapes_outside_them() -> None:
    rate = a_line([a_point(NOW), a_point(NOW + 60, None), a_point(NOW + 120, 50.0), a_point(NOW + 180, 300.0)])
    other = a_line([a_point(NOW, 3.0)], unit="ADC", name="mean_adc")
    drawn = figure(View([rate, other], NOW, NOW + 200, [(NOW + 10, "7"), (NOW + 100, "8")]))
    go.Figure(drawn)  # Plotly takes it
    json.dumps(drawn, allow_nan=False)
    layout = drawn["layout"]
    assert layout["yaxis"]["title"]["text"] == "rate [Hz]"
    assert layout["yaxis2"]["title"]["text"] == "mean [ADC]"
    assert layout["xaxis"]["title"]["text"] == "time (UTC)"
    line, suspect, bad = drawn["data"][:3]
    assert line["y"] == [1.0, None, 50.0, 300.0]
    assert line["connectgaps"] is False
    assert (suspect["marker"]["symbol"], suspect["y"]) == ("triangle-up", [50.0])
    assert (bad["marker"]["symbol"], bad["y"]) == ("x", [300.0])
    assert line["customdata"][2][:2] == ["7", "50 Hz"]
    texts = [note["text"] for note in layout["annotations"]]
    assert {"run 7", "run 8", "suspect above 10 Hz", "bad above 100 Hz"} <= set(texts)
    assert sum(shape["x0"] == shape["x1"] for shape in layout["shapes"]) == 2


def test_hours_are_drawn_as_their_mean_within_a_band_and_no_spike_in_them_is_lost() -> None:
    hours = [
        Rollup(3600, NOW, 4, 0, 4, 4.0, 0.5, 2.0, NOW, NOW + 3000),
        Rollup(3600, NOW + 3600, 0, 2, 0, None, None, None, NOW + 3600, NOW + 4000),
        Rollup(3600, NOW + 7200, 2, 1, 2, 302.0, 2.0, 300.0, NOW + 7200, NOW + 9000, 3),
    ]
    line = replace(a_line([]), resolution="hour", rollups=hours, total=9, kept=3, kept_until=NOW + 9000)
    drawn = figure(View([line], NOW, NOW + 3 * 3600, []))
    go.Figure(drawn)
    json.dumps(drawn, allow_nan=False)
    mean, low, high, bad = drawn["data"]
    assert mean["y"] == [1.0, None, 151.0]
    assert mean["x"][0] == stamps([NOW + 1800], "UTC")[0]
    assert (low["y"], high["y"], high["fill"]) == ([0.5, None, 2.0], [2.0, None, 300.0], "tonexty")
    assert (bad["marker"]["symbol"], bad["y"]) == ("x", [300.0])
    assert mean["customdata"][0] == ["", "mean 1 Hz, 0.5 to 2 Hz in 4 files", None]
    assert mean["customdata"][1] == ["", "no value of 2 files", None]
    assert drawn["layout"]["yaxis"]["range"][1] > 300
    assert _what(line) == "P, 9 files, hourly: mean and range"
    said = " ".join(remark.children for remark in _remarks(View([line], NOW, NOW + 3 * 3600, [])))
    assert "The numbers of single files up to 2024-07-08 are not kept" in said


def test_a_range_of_very_many_files_is_shown_by_hours_until_it_is_short_enough(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trend_page, "DIRECT", 800)
    with site.store.begin() as tx:
        run = runs.ensure(tx, "9", 9, "physics", [])
        for i in range(500):
            trends.save(tx, "A", i, run, NOW + 600 * i, None, {"b": TrendValue(float(i % 7), "Hz")})
    view = load(site, wanted("?name=A.b&since=all", ["A.b"]), NOW + 4e5)
    assert (view.lines[0].resolution, view.lines[0].total) == ("hour", 500)
    assert {rollup.count for rollup in view.lines[0].rollups[1:-1]} == {6}
    assert sum(rollup.count for rollup in view.lines[0].rollups) == 500
    near = load(site, wanted("?name=A.b&since=24h", ["A.b"]), NOW + 600 * 499)
    assert (near.lines[0].resolution, len(near.lines[0].points)) == ("file", 145)


def test_limits_far_away_are_said_and_do_not_flatten_the_line() -> None:
    _, high = axis_range([a_line([a_point(NOW, 0.1), a_point(NOW + 1, 0.2)])])
    assert high < 1
    view = View([a_line([a_point(NOW, 0.1)]), a_line([a_point(NOW, 0.2)], name="other_hz")], NOW, NOW + 1, [])
    assert beyond(view) == ["rate, other: suspect above 10 Hz, bad above 100 Hz, outside the picture."]
    assert figure(view)["layout"]["annotations"] == []
    assert axis_range([a_line([a_point(NOW, None)])]) == (0.0, 1.0)


def test_times_go_to_a_zone_and_back() -> None:
    assert stamps([NOW], "America/Chicago") == ["2024-07-08 13:40:00.000"]
    assert unix_of("2024-07-08 13:40:00.1234", "America/Chicago") == pytest.approx(NOW + 0.1234)
    assert unix_of("<script>", "UTC") is None
    assert unix_of("2024-07-08", "UTC") == 1720396800
    assert zoom_text(NOW + 0.4, NOW + 60.2) == "2024-07-08T18:40:00Z~2024-07-08T18:41:01Z"


def test_the_csv_has_every_point_with_its_run_and_file(site: Site, tmp_path: Path) -> None:
    report = fill(site.store, tmp_path, run=50017, start=int(NOW))
    with site.store.begin() as tx:
        run = runs.get(tx, "50017")
        assert run
        trends.save(tx, "A", 999, run.id, NOW, None, {"b": TrendValue(None, "Hz", reason="no clock")})
    asked = wanted(f"?name={RATE},A.b&since=all", [RATE, "A.b"])
    text = csv_of(site, asked)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == ["time", "trend", "unit", "value", "run", "file", "step", "low", "high", "files"]
    by_name = {row["trend"]: row for row in rows}
    assert by_name[RATE]["file"] == str(report.path)
    assert by_name[RATE]["time"].endswith("Z")
    assert float(by_name[RATE]["value"]) > 0
    assert (by_name["A.b"]["value"], by_name["A.b"]["file"]) == ("", "")


def test_values_are_said_with_all_their_digits() -> None:
    assert exact_value(1234567.0, "Hz") == "1,234,567 Hz"
    assert exact_value(0.123456789, "fraction") == "0.123456789 fraction"
    assert exact_value(None, "Hz") == "–"
