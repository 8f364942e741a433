"""Masks by the API: made, fetched as the disabled-channel JSON and as CSV, and figures without their channels."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient


def test_a_mask_that_was_made_comes_back_as_json_and_csv_and_changes_figures(client: FlaskClient) -> None:
    done = client.post("/api/v1/masks", json={"run": "7", "leave_out": {"1-1-11": [0, 1], "1-1-12": [5]}})
    assert done.status_code == 201
    made = done.json
    assert made == {"mask": made["mask"], "channels": 3, "chips": 2, "said": []}
    as_json = client.get(f"/api/v1/masks/{made['mask']}")
    assert json.loads(as_json.text) == {"1-1-11": [0, 1], "1-1-12": [5]}
    assert as_json.headers["Content-Disposition"].endswith(f'disabled-channels-{made["mask"]}.json"')
    as_csv = client.get(f"/api/v1/masks/{made['mask']}/csv")
    assert as_csv.mimetype == "text/csv"
    assert as_csv.text.splitlines()[:2] == ["io_group,io_channel,chip_id,channel_id", "1,1,11,0"]
    figure = "/api/v1/runs/7/elements/PixelMap/figure"
    whole, without = client.get(figure), client.get(f"{figure}?mask={made['mask']}")
    assert whole.json["data"] != without.json["data"]
    assert whole.headers["ETag"] != without.headers["ETag"]
    again = client.get(f"{figure}?mask={made['mask']}", headers={"If-None-Match": without.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"run": "7", "pasted": "{nonsense"}, 400, "Expected JSON such as"),
        ({"run": "7", "base": "zz"}, 400, "base: "),
        ({"run": "7", "chips": ["../../etc/passwd"]}, 400, "is no io_group-io_channel-chip"),
        ({"run": "7", "area": {"io_group": 1, "z": [1, 2], "y": [1, 2]}}, 400, "area.z: "),
        ({"run": "7", "tiles": [1]}, 400, "one of the members run"),
        ({"run": "nothing"}, 404, "There is no run nothing."),
        ({}, 400, "run: expected a value"),
    ],
)
def test_what_makes_no_mask_is_a_problem_with_what_was_expected(
    client: FlaskClient, body: dict, status: int, words: str
) -> None:
    done = client.post("/api/v1/masks", json=body)
    assert (done.status_code, done.mimetype) == (status, "application/problem+json")
    assert words in done.json["detail"]


def test_a_mask_that_is_not_there_is_a_word_on_the_tile_and_not_found_elsewhere(client: FlaskClient) -> None:
    address = "0" * 24
    assert client.get(f"/api/v1/masks/{address}").status_code == 404
    assert client.get("/api/v1/masks/..%2f..").status_code == 404
    tile = client.get(f"/api/v1/runs/7/elements/PixelMap/figure?mask={address}")
    assert tile.status_code == 404
    assert tile.json["state"] == "nodata"
    assert "There is no mask 0000" in tile.json["detail"]
    unmasked = client.get("/api/v1/runs/7/elements/PixelMap/figure?mask=1%27")
    assert unmasked.status_code == 400


def test_a_body_longer_than_two_thousand_chips_need_is_refused(client: FlaskClient) -> None:
    done = client.post("/api/v1/masks", json={"run": "7", "pasted": " " * 2**20})
    assert done.status_code == 413
