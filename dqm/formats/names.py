"""What the name of a file says: run, subrun, start. Content has the last word; these are what a name can promise.

Forms (formats in use at the 2x2 and its predecessors): ``packet-0050017-2024_07_08_13_37_42_CDT.hdf5``,
``raw_2022_02_09_17_23_09_CET.h5``, ``packet-cold-pedestal-2024_06_05_08_28_19_CDT.h5``,
``mpd_run_<text>_rctl_<run>_p<part>.data``, ``MiniSim_2x2.0000000.LARNDSIM.hdf5``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import PurePath

# The zones that stand in file names; the zone of this host is never used.
ZONE_HOURS = {"UTC": 0, "GMT": 0, "CET": 1, "CEST": 2, "CDT": -5, "CST": -6, "PDT": -7, "PST": -8, "EDT": -4, "EST": -5}

CHARGE = re.compile(
    r"(binary|packet|raw|datalog)[-_](?:(\d{7})-)?(?:[A-Za-z][\w-]{0,60}?[-_])?(\d{4}(?:_\d{2}){5})_([A-Z]{2,5})"
)
LIGHT_RUN = re.compile(r"_rctl_(\d+)")
LIGHT_PART = re.compile(r"_p(\d+)(?=[._]|$)")
SIMULATION = re.compile(r"\.(\d{7})\.[A-Z]")


UNFINISHED = (".part", ".partial", ".filepart", ".tmp", "~")
"""Endings of names that a writer or a copier uses until it is done."""


@dataclass(frozen=True)
class NameParts:
    """Run and subrun numbers and start (UTC) that a file name gives; None for what it does not say."""

    run: int | None = None
    subrun: int | None = None
    start: datetime | None = None


def parse_name(path: str | PurePath) -> NameParts:
    """What the name of `path` says; any name is legal, most say nothing."""
    name = PurePath(path).name
    if charge := CHARGE.search(name):
        run = int(charge[2]) if charge[2] else None
        return NameParts(run=run, start=_start(charge[3], charge[4]))
    if name.startswith("mpd_run_"):
        run_digits, part = LIGHT_RUN.search(name), LIGHT_PART.search(name)
        return NameParts(int(run_digits[1]) if run_digits else None, int(part[1]) if part else None)
    if simulated := SIMULATION.search(name):
        return NameParts(subrun=int(simulated[1]))
    return NameParts()


def is_unfinished_name(name: str) -> bool:
    """Whether a writer or a copier will rename (or remove) the file: hidden (rsync, NFS), or with such an ending."""
    name = PurePath(name).name.lower()
    return name.startswith(".") or name.endswith(UNFINISHED)


def _start(stamp: str, zone: str) -> datetime | None:
    if zone not in ZONE_HOURS:
        return None
    try:
        local = datetime.strptime(stamp, "%Y_%m_%d_%H_%M_%S")
    except ValueError:
        return None
    return local.replace(tzinfo=timezone(timedelta(hours=ZONE_HOURS[zone]))).astimezone(UTC)
