"""What files say about themselves, through the watch: once for each file, in whatever looks it is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from dqm.formats.writers import RawWriter
from plots.base import MergeablePlot, State
from plots.chip_configuration import ChipConfiguration
from tests.conftest import REPOSITORY, packets_of, some_packets
from tests.formats.archives import chips, config, packet_file
from tests.formats.good_files import good_messages
from tests.ingest.watching import Site, age

BEFORE, AFTER = chips(c1_1_11=config(), c1_5_42=config()), chips(c1_1_11=config(), c1_5_42=config(csa_gain=1))

DAQ = """
import sys
import numpy as np
from dqm.formats.writers import RawWriter
from tests.formats.good_files import good_messages
from tests.ingest.test_configurations import BEFORE
payloads, groups = good_messages()
writer, at = RawWriter(sys.argv[1], created=1.72e9, daq_configs=BEFORE, swmr=True), 0
for line in sys.stdin:
    if number := int(line):
        writer.write(payloads[at : at + number], groups[at : at + number])
        at += number
    else:
        writer.close()
    print("done", flush=True)
"""


def state_of(site: Site, run: str = "7") -> State:
    plot: MergeablePlot = ChipConfiguration()
    element = site.elements(run)["ChipConfiguration"]
    assert element.base is not None
    return State.from_bytes(site.store.states.get(element.base), plot.name, plot.version, element.geometry)


def test_a_run_of_several_files_has_one_configuration_and_tells_a_change(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for minute, content in enumerate((BEFORE, BEFORE, AFTER)):
        age(packet_file(site.root, content, f"2024_07_03_10_{minute:02}_00", some_packets(300, seed=minute)))
        site.settle()
    state = state_of(site)
    assert state["files"].tolist() == [3, 3, 0]
    assert len(state["chips"]) == 3
    figure = ChipConfiguration().figure(state)
    assert "at 2024-07-03 10:02:00 UTC: 1 chip (csa_gain): 1-5-42" in figure.layout.annotations[0].text.replace(
        "<br>", " "
    )
    assert site.elements("7")["ChipConfiguration"].trends["changed_chips"].value == 1


def test_a_file_that_grows_gives_the_bits_of_one_pass(tmp_path: Path) -> None:
    whole, growing = Site(tmp_path / "whole"), Site(tmp_path / "growing")
    name = "binary-0000007-2024_07_03_10_00_00_UTC.h5"
    payloads, groups = good_messages()
    with RawWriter(whole.root / name, created=1.72e9, daq_configs=BEFORE) as writer:
        writer.write(payloads, groups)
    age(whole.root / name)
    whole.settle()

    command = [sys.executable, "-c", DAQ, str(growing.root / name)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as daq:
        assert daq.stdin
        assert daq.stdout
        for number in (5, 40, 30, len(payloads) - 75, 0):
            print(number, file=daq.stdin, flush=True)
            assert daq.stdout.readline() == "done\n"
            growing.settle(times=2)
        daq.stdin.close()
    growing.settle(seconds=30)
    assert growing.states() == {name: "done"}
    assert state_of(growing)["files"].tolist() == [1, 1, 0]
    assert growing.bases("7") == whole.bases("7")


def test_a_file_without_packets_has_its_configuration_and_is_told_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    age(packet_file(site.root, BEFORE, rows=packets_of(0)))
    site.settle()
    site.watch = site.new_watch()
    site.settle()
    assert state_of(site)["files"].tolist() == [1, 1, 0]
    assert np.unique(state_of(site)["chips"].keys).tolist() == [1 << 16 | 1 << 8 | 11, 1 << 16 | 5 << 8 | 42]
