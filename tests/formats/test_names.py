"""What the names of files say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dqm.formats.names import NameParts, is_unfinished_name, parse_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "packet-0050017-2024_07_08_13_37_42_CDT.hdf5",
            NameParts(50017, None, datetime(2024, 7, 8, 18, 37, 42, tzinfo=UTC)),
        ),
        (
            "packet-0050017-2024_07_08_13_37_42_CDT.FLOW.hdf5",
            NameParts(50017, None, datetime(2024, 7, 8, 18, 37, 42, tzinfo=UTC)),
        ),
        ("raw_2022_02_09_17_23_09_CET.h5", NameParts(None, None, datetime(2022, 2, 9, 16, 23, 9, tzinfo=UTC))),
        ("datalog_2021_04_02_19_00_46_CEST.h5", NameParts(None, None, datetime(2021, 4, 2, 17, 0, 46, tzinfo=UTC))),
        ("3-raw_2022_02_09_17_23_09_CET.h5", NameParts(None, None, datetime(2022, 2, 9, 16, 23, 9, tzinfo=UTC))),
        ("mpd_run_hvramp_rctl_105_p350.FLOW.hdf5", NameParts(105, 350)),
        ("mpd_run_0050017_rctl_p000.data", NameParts(None, 0)),
        ("MiniSim_2x2.0000003.LARNDSIM.hdf5", NameParts(None, 3)),
        ("packet_2022_02_09_17_23_09_CET.h5", NameParts(None, None, datetime(2022, 2, 9, 16, 23, 9, tzinfo=UTC))),
        (
            "binary-0050017-2024_07_09_00_04_33_CDT.h5",
            NameParts(50017, None, datetime(2024, 7, 9, 5, 4, 33, tzinfo=UTC)),
        ),
        (
            "packet-0050017-2024_07_08_13_37_42_CDT.FLOW.hdf5.tmp",
            NameParts(50017, None, datetime(2024, 7, 8, 18, 37, 42, tzinfo=UTC)),
        ),
        (
            "packet-0050017-2024_07_08_13_37_42_CDT.FLOW_LE.hdf5",
            NameParts(50017, None, datetime(2024, 7, 8, 18, 37, 42, tzinfo=UTC)),
        ),
        (
            ".packet-0050017-2024_07_08_13_37_42_CDT.hdf5.Xa31bQ",
            NameParts(50017, None, datetime(2024, 7, 8, 18, 37, 42, tzinfo=UTC)),
        ),
        (
            "tile-id-3-raw_2022_02_09_17_23_09_CET.h5",
            NameParts(None, None, datetime(2022, 2, 9, 16, 23, 9, tzinfo=UTC)),
        ),
        (
            "packet_2022_02_09_17_23_09_CET.module1_flow.h5",
            NameParts(None, None, datetime(2022, 2, 9, 16, 23, 9, tzinfo=UTC)),
        ),
        (
            "packet-cold-pedestal-2024_06_05_08_28_19_CDT_ped.json",
            NameParts(None, None, datetime(2024, 6, 5, 13, 28, 19, tzinfo=UTC)),
        ),
        ("evd_config_21-03-31_12-36-13.json", NameParts()),
        ("0cd913fa_20240708_133742.data", NameParts()),
        ("packet_2022_13_40_17_23_09_CET.h5", NameParts()),  # no such month
        ("packet_2022_02_09_17_23_09_XYZ.h5", NameParts()),  # no known zone
        ("<img src=x onerror=alert(1)>.h5", NameParts()),
        ("", NameParts()),
    ],
)
def test_a_name_says_run_subrun_and_start(name: str, expected: NameParts) -> None:
    assert parse_name(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        ".packet-0050017-2024_07_08_13_37_42_CDT.hdf5.Xa31bQ",
        "packet.h5.part",
        "packet.FLOW.hdf5.tmp",
        "packet.h5.partial",
        "packet.h5.FilePart",
        "packet.h5~",
        ".nfs000000000123",
        "/data/2x2/packet.h5.part",
    ],
)
def test_a_name_that_will_change_is_told(name: str) -> None:
    assert is_unfinished_name(name)


@pytest.mark.parametrize(
    "name",
    ["packet.h5", "packet.part.h5", "tmp", "raw_2022_02_09_17_23_09_CET.h5", "mpd_run_x_rctl_105_p3.data", "/.a/b", ""],
)
def test_any_other_name_is_the_last_one(name: str) -> None:
    assert not is_unfinished_name(name)


def test_a_long_name_takes_no_time() -> None:
    assert parse_name("packet-" + "a-" * 100_000) == NameParts()
    assert parse_name("packet-a" * 30_000) == NameParts()
