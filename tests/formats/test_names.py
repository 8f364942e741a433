"""What the names of files say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dqm.formats.names import NameParts, parse_name


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
        ("packet_2022_13_40_17_23_09_CET.h5", NameParts()),  # no such month
        ("packet_2022_02_09_17_23_09_XYZ.h5", NameParts()),  # no known zone
        ("<img src=x onerror=alert(1)>.h5", NameParts()),
        ("", NameParts()),
    ],
)
def test_a_name_says_run_subrun_and_start(name: str, expected: NameParts) -> None:
    assert parse_name(name) == expected
