"""Settings and geometries, right and wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.commands import larboard
from tests.conftest import packets_of


@pytest.mark.parametrize(
    ("toml", "reason"),
    [
        (
            "[plots]\npath = ['x']",
            "plots.path is not a setting (in larboard.toml or LARBOARD_*); is plots.paths meant?",
        ),
        ("[ingst]\nroots = []", "ingst is not a setting (in larboard.toml or LARBOARD_*); is ingest meant?"),
        (
            "[ingest]\nfrequency = 5",
            "ingest.frequency is not a setting (in larboard.toml or LARBOARD_*); there are roots,",
        ),
        ("[detector]\nzone = 'Mars/Olympus'", "setting detector.zone: Value error, is no time zone"),
        ("[runs]\nrules = [{ match = '(' }]", "is no regular expression"),
        ("[web]\nport = 99999", "setting web.port"),
        ("[web]\nproxies = ['proxy.example']", "'proxy.example' is no address or network, expected such as 127.0.0.1"),
        ("[detector]\nname = 5", "setting detector.name: Input should be a valid string, got 5"),
        ("[plots", "larboard.toml"),
        (
            "[plots]\npedestal_keys = 'mine'",
            "setting plots.pedestal_keys: Input should be 'tile', 'io_channel', 'flow'",
        ),
        ("[plots]\nv_ref_mv = 400", "v_ref_mv is 400, expected more than v_cm_mv, which is 478.1"),
        ("[plots]\ngain_mv_per_ke = 0", "setting plots.gain_mv_per_ke: Input should be greater than 0"),
        ("[plots]\ntrigger_bit = 8", "setting plots.trigger_bit: Input should be less than or equal to 7"),
        ("[detector]\ndirectories = ['nowhere']", "setting detector.directories: nowhere is not a directory"),
        ("[detector]\nmodules = { 1 = 'nofile.yaml' }", "nofile.yaml (module 1) is not a file"),
    ],
)
def test_wrong_settings_are_one_sentence(good: Path, tmp_path: Path, toml: str, reason: str) -> None:
    (tmp_path / "larboard.toml").write_text(toml)
    done = larboard("process", good, "--html", tmp_path / "r.html", cwd=tmp_path)
    assert done.code == 2
    assert reason in done.err
    assert done.err.count("\n") == 1
    assert not list(tmp_path.glob("*.html*"))


def test_a_geometry_of_the_settings_that_is_not_known_is_said_and_the_rest_runs(good: Path, tmp_path: Path) -> None:
    done = larboard("process", good, good, "--out", tmp_path / "out", LARBOARD_DETECTOR__NAME="3x3")
    assert done.code == 1
    assert done.out.count("no geometry named '3x3'; known are demo (asked for in the settings)") == 2
    trends = json.loads((tmp_path / "out" / good.name / "trends.json").read_text())
    assert trends["PacketRate.packets"]["value"] == 3000
    assert trends["PixelMap.active_pixels"]["value"] is None


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("LARBOARD_DETECTR__NAME", "2x2", "LARBOARD_DETECTR__NAME in the environment is not a setting"),
        ("LARBOARD_PLOTS__PATHS", "plugins", "lists are JSON"),
    ],
)
def test_a_wrong_variable_of_the_environment_is_one_sentence(good: Path, name: str, value: str, reason: str) -> None:
    done = larboard("process", good, **{name: value})
    assert done.code == 2
    assert reason in done.err


def test_settings_that_are_pointed_to_must_be_there(good: Path) -> None:
    done = larboard("process", good, LARBOARD_CONFIG="nowhere.toml")
    assert done.code == 2
    assert "LARBOARD_CONFIG points to nowhere.toml" in done.err


def test_a_geometry_can_be_set_by_the_environment(good: Path) -> None:
    done = larboard("inspect", good, "--json", LARBOARD_DETECTOR__NAME="demo")
    assert done.json[0]["geometry"] == "demo"


def test_a_folder_called_geometry_beside_the_data_is_searched(packet_file: Callable, tmp_path: Path) -> None:
    from tests.detector.test_detector import DETECTOR, LAYOUT

    for folder in ("geometry", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "geometry/multi_tile_layout-0.0.1_mod0_plain.yaml").write_text(LAYOUT)
    (tmp_path / "geometry/tiny.yaml").write_text(DETECTOR)
    rows = packets_of(20, io_group=2, io_channel=3, chip_id=12, channel_id=1, valid_parity=1)
    done = larboard("inspect", packet_file(rows, "data/p.h5"), "--json")
    assert done.json[0]["geometry"] == "tiny"


def test_a_pedestal_file_that_cannot_be_used_costs_the_charge_alone_and_is_said(
    good: Path, tmp_path: Path, all_plots: None
) -> None:
    """Relative to the settings, as every path in them."""
    (tmp_path / "larboard.toml").write_text('[plots]\npedestal_file = "ped.json"\n')
    (tmp_path / "ped.json").write_text('{"4211392": {"pedestal": 733}}')
    done = larboard("process", good, "--out", "out", "--html", "report.html", cwd=tmp_path)
    assert done.code == 0
    sentence = "pedestal file ped.json has no pedestal_mv for key '4211392', got 'pedestal' (plots.pedestal_file)"
    assert f"NO DATA  TriggerCharge: {sentence}" in done.out
    others = [line for line in done.out.splitlines() if "NO DATA" in line and "TriggerCharge" not in line]
    assert all("no known geometry fits" in line for line in others)
    trends = json.loads((tmp_path / "out" / good.name / "trends.json").read_text())
    assert trends["TriggerCharge.charge_per_trigger"] == {"value": None, "unit": "ke-", "reason": sentence}
    assert trends["TriggerPackets.packets_per_trigger"]["value"] is not None
    assert "pedestal file ped.json has no pedestal_mv" in (tmp_path / "report.html").read_text()
