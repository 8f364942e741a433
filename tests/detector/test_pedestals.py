"""Pedestal files: every scheme of keys, and what is wrong with one in a sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from dqm.detector import demo_detector
from dqm.detector.pedestals import SCHEMES, BadPedestals, load_pedestals
from dqm.formats.packets import cut
from plots.options import Calibration
from tests.conftest import SAMPLES, packets_of

# io_group 3, io_channel 7 (the second tile of its plane), chip 42, channel 63
KEYS = {
    "tile": ((3 * 256 + 2) * 256 + 42) * 64 + 63,
    "io_channel": ((3 * 256 + 7) * 256 + 42) * 64 + 63,
    "flow": ((3 * 100_000 + 7) * 1000 + 42) * 64 + 63,
    "flow_tile": 3_000_000_000 + 10 * 100_000 + 42 * 100 + 63,
}


def written(folder: Path, content: object) -> Path:
    path = folder / "ped.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_channel_has_the_pedestal_of_its_key_and_others_the_default(scheme: str, tmp_path: Path) -> None:
    path = written(tmp_path, {str(KEYS[scheme]): {"pedestal_mv": 700.5, "pedestal_std_mv": 3}})
    pedestals, _ = load_pedestals(path, scheme)
    rows = packets_of(3, io_group=3, io_channel=7, chip_id=42, channel_id=[63, 62, 63], dataword=[100, 100, 200])
    (packets,) = cut(rows, (), demo_detector())
    mv, known = pedestals.of(packets, 580.0)
    assert mv.tolist() == [700.5, 580.0, 700.5]
    assert known.tolist() == [True, False, True]
    electrons, measured = Calibration(gain_mv_per_ke=4.0, pedestals=pedestals).electrons(packets)
    expected = [round((adc / 256 * (1568 - 478.1) + 478.1 - ped) / 4 * 1000) for adc, ped in zip([100, 100, 200], mv)]  # noqa: B905
    assert electrons.tolist() == expected
    assert measured.tolist() == known.tolist()


def test_keys_by_tile_of_the_geometry_know_no_channel_without_one(tmp_path: Path) -> None:
    pedestals, _ = load_pedestals(written(tmp_path, {str(KEYS["flow_tile"]): {"pedestal_mv": 700}}), "flow_tile")
    (packets,) = cut(packets_of(2, io_group=3, io_channel=7, chip_id=42, channel_id=63))
    assert not pedestals.of(packets, 580.0)[1].any()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1, 2]", "has no pedestals, expected"),
        ("{}", "has no pedestals, expected"),
        ({"one": {"pedestal_mv": 5}}, "has the key 'one', which no channel has in the scheme 'tile' (((io_group * 256"),
        ({"-5": {"pedestal_mv": 5}}, "has the key '-5', which no channel has"),
        ({"9" * 500: {"pedestal_mv": 5}}, "has the key '999999"),
        ({"70": {"pedestal_mv": 5}}, "is plots.pedestal_keys right?"),
        ({"4211392": 733.1}, "has no pedestal_mv for key '4211392', got float"),
        ({"4211392": {"vref_mv": 1, "vcm_mv": 2}}, "has no pedestal_mv for key '4211392', got 'vref_mv', 'vcm_mv'"),
        ({"4211392": {"pedestal_mv": "733"}}, "has pedestal_mv '733' for key '4211392', expected a number"),
        ({"4211392": {"pedestal_mv": True}}, "has pedestal_mv True for key '4211392', expected a number"),
        ('{"4211392": {"pedestal_mv": NaN}}', "has pedestal_mv nan for key '4211392', expected 0 to 5,000 mV"),
        ({"4211392": {"pedestal_mv": 1e9}}, "has pedestal_mv 1000000000.0 for key '4211392', expected 0 to 5,000 mV"),
        ({"4211392": {"pedestal_mv": 10**400}}, "for key '4211392', expected 0 to 5,000 mV"),
        ({"4211392": {"pedestal_mv": 1}, "04211392": {"pedestal_mv": 2}}, "has two entries for channel 4211392"),
        ({"\x1b[2J": {"pedestal_mv": 5}}, "has the key '\\x1b[2J', which"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(content: object, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BadPedestals) as error:
        load_pedestals(written(tmp_path, content), "tile")
    assert sentence in str(error.value)
    assert str(error.value).startswith(f"pedestal file {tmp_path}/ped.json ")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 400 + len(str(tmp_path))


def test_a_file_that_is_not_there_or_no_file_is_one_sentence_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, sentence in (("nothing", "is not there"), ("pipe", "is not a file"), (".", "is not a file")):
        with pytest.raises(BadPedestals, match=sentence):
            load_pedestals(tmp_path / name, "tile")


def test_random_channels_of_all_schemes_are_told_apart() -> None:
    random = np.random.default_rng(2)
    n = 20_000
    ids = (random.integers(1, 256, n), random.integers(1, 65, n), random.integers(0, 256, n), random.integers(0, 64, n))
    distinct = len(np.unique(np.stack(ids), axis=1).T)
    for scheme in SCHEMES.values():
        keys = scheme.encode(*ids)
        assert len(np.unique(keys)) == distinct
        assert all(map(scheme.is_key, keys[:500].tolist()))


@pytest.mark.samples
def test_the_pedestals_of_a_real_run_are_read() -> None:
    path = SAMPLES / "real/moduleX_packet-2023_10_03_11_18_CESTevd_ped.json"
    pedestals, _ = load_pedestals(path, "tile")
    table = json.loads(path.read_text())
    assert len(pedestals.keys) == len(table)
    assert 500 < np.median(pedestals.mv) < 900
    assert pedestals.mv[pedestals.keys == 4211392] == table["4211392"]["pedestal_mv"]
