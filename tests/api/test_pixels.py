"""Maps of pixels and packets by the API."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from dqm.detector import demo_detector
from dqm.store import files, runs
from dqm.views.site import Site

API = "/api/v1"
PLACES = f"{API}/geometries/{{}}/pixels"


@pytest.fixture
def with_files(site: Site, filled: Path) -> Site:
    """The site where the files of its run lie in a data root."""
    site.settings.ingest.roots = [filled / "raw"]
    with site.store.read() as tx:
        run = runs.get(tx, "7")
        assert run
        assert all(Path(file.path).is_relative_to(filled / "raw") for file in files.of_run(tx, run.id))
    return site


@pytest.mark.parametrize("value", ["rate", "mean", "std"])
def test_values_and_places_of_all_pixels_are_arrays_of_one_length(client: FlaskClient, value: str) -> None:
    done = client.get(f"{API}/runs/7/pixels?value={value}")
    assert (done.status_code, done.mimetype) == (200, "application/octet-stream")
    values = np.frombuffer(done.data, "<f4")
    places = client.get(PLACES.format(done.headers["X-Larboard-Geometry"]))
    assert np.frombuffer(places.data, "<u4", 1)[0] == len(values) == len(demo_detector().pixels)
    assert np.isfinite(values).any()
    assert "immutable" in places.headers["Cache-Control"]


def test_values_are_not_sent_again_to_who_has_them(client: FlaskClient) -> None:
    for headers in ({}, {"Accept-Encoding": "gzip"}):
        first = client.get(f"{API}/runs/7/pixels", headers=headers)
        again = client.get(f"{API}/runs/7/pixels", headers={**headers, "If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["X-Larboard-Version"] == first.headers["X-Larboard-Version"]
    assert (
        client.get(f"{API}/runs/7/pixels?value=mean", headers={"If-None-Match": first.headers["ETag"]}).status_code
        == 200
    )


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/runs/99/pixels", 404, "no run 99"),
        ("/runs/7/pixels?value=charge", 400, "value: expected 'rate', 'mean' or 'std', got 'charge'"),
        ("/geometries/nothing/pixels", 404, "There is no geometry nothing on this host."),
        ("/runs/99/rows", 404, "There is no run 99."),
        ("/runs/7/rows?where=x:1", 400, "“x:1” is no condition"),
        ("/runs/7/rows?rows=10001", 400, "rows: expected"),
        ("/runs/7/rows?cursor=x", 400, "“x” is no place to go on from"),
        ("/runs/7/rows.csv?file=77", 409, "File 77 is none of those that are counted for run 7."),
        ("/runs/7/rows.hdf5?pixel=1-1-300-1", 409, "There is no chip 300: chips go from 0 to 255."),
    ],
)
def test_what_there_is_not_is_a_problem(
    with_files: Site, client: FlaskClient, path: str, status: int, sentence: str
) -> None:
    done = client.get(API + path)
    assert done.status_code == status, done.text
    assert done.json
    assert sentence in done.json["detail"]


def test_rows_come_as_json_csv_and_hdf5(with_files: Site, client: FlaskClient) -> None:
    query = "where=io_group:1,packet_type:0&rows=20"
    found = client.get(f"{API}/runs/7/rows?{query}").json
    assert found
    assert len(found["rows"]) == 20
    assert found["columns"][:3] == ["file", "row", "unix_time"]
    assert found["said"].startswith("searched the first ")
    lines = client.get(f"{API}/runs/7/rows.csv?{query}")
    assert lines.headers["Content-Disposition"] == 'attachment; filename="rows-of-run-7.csv"'
    assert [[int(cell) for cell in line.split(",")] for line in lines.text.splitlines()[1:]] == found["rows"]
    whole = client.get(f"{API}/runs/7/rows.hdf5?{query}")
    assert (whole.data[:4], whole.mimetype) == (b"\x89HDF", "application/x-hdf5")
    then = client.get(f"{API}/runs/7/rows?{query}&cursor={found['next']}").json
    assert then
    assert then["rows"][0][1] > found["rows"][-1][1]


def test_files_outside_the_data_roots_are_not_read(site: Site, client: FlaskClient) -> None:
    found = client.get(f"{API}/runs/7/rows").json
    assert found
    assert found["rows"] == []
    assert "lies outside the data roots of this host" in found["problems"][0]
