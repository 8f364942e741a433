"""What ChipConfiguration says of files and runs whose chips are known to the last register."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from dqm.demo import DemoRun, take_run
from dqm.detector import demo_detector
from dqm.formats import open_file
from dqm.formats.writers import CONFIGS_DTYPE
from dqm.ingest.oneshot import Sources, process
from dqm.results import FileReport
from plots import contract
from plots.base import State, Trend
from plots.chip_configuration import ChipConfiguration, changed_chips, newest, problems_of
from plots.discovery import discover
from tests.conftest import SAMPLES
from tests.formats.archives import archive, chips, config, packet_file, put

STAMPS = [f"2024_07_03_10_{minute:02}_00" for minute in range(20)]


def state_of(path: Path) -> State:
    plot = ChipConfiguration()
    with open_file(path, demo_detector()) as reader:
        state = plot.start(reader.detector)
        for packets in reader.blocks():
            state.add(plot.count(packets))
    return state


def run_of(folder: Path, *archives: bytes | None) -> list[State]:
    """The states of the files of a run, in their order."""
    return [state_of(packet_file(folder, content, STAMPS[n])) for n, content in enumerate(archives)]


def merged(states: list[State]) -> State:
    total = ChipConfiguration().start(demo_detector())
    for state in states:
        total.merge(state)
    return total


def texts(state: State) -> str:
    return " ".join(note.text.replace("<br>", " ") for note in ChipConfiguration().figure(state).layout.annotations)


def trends(state: State) -> dict[str, Trend]:
    return ChipConfiguration().read_trends(state)


def test_the_disabled_channels_of_the_demo_are_those_that_were_masked_and_those_of_its_dead_chip(
    tmp_path: Path,
) -> None:
    taken = take_run(DemoRun(duration_s=1), tmp_path, raw=False)
    assert taken.packets is not None
    report = process(taken.packets, [ChipConfiguration], Sources())
    found = {name: trend.value for name, trend in report.elements[0].trends.items()}
    table = demo_detector().pixels
    labels = [label.rpartition("-")[0] for label in demo_detector().labels(np.arange(len(table)))]
    of_dead_chip = labels.count(taken.truth["dead_chips"][0])
    assert of_dead_chip == 49
    assert found == {
        "configured_chips": 1599,
        "unconfigured_chips": 1,
        "disabled_channels": len(taken.truth["disabled_channels"]) + of_dead_chip,
        "changed_chips": 0,
        "config_problems": 0,
    }
    assert f"no configuration of 1 chip: {taken.truth['dead_chips'][0]}" in texts(state_of(taken.packets))


def test_the_same_configuration_in_twenty_files_is_one(tmp_path: Path) -> None:
    same = chips(c1_1_11=config(), c1_5_42=config())
    states = run_of(tmp_path, *[same] * 20)
    run = merged(states)
    assert len(run["chips"]) == 2
    assert "2 chips configured" in texts(run)
    assert "the same in 20 files" in texts(run)
    assert trends(run)["changed_chips"].value == 0
    assert len(run.to_bytes()) < 1.5 * len(states[0].to_bytes())


def test_files_merge_to_the_same_bits_in_any_order(tmp_path: Path) -> None:
    one, other = chips(c1_1_11=config(), c1_5_42=config()), chips(c1_1_11=config(threshold_global=31))
    states = run_of(tmp_path, one, other, one, b"broken" * 100)
    first, *rest = (merged(list(order)) for order in itertools.permutations(states))
    assert all(contract.same_state(first, another) for another in rest)


def test_a_change_in_the_middle_of_a_run_is_said_with_its_chips_registers_and_time(tmp_path: Path) -> None:
    before = chips(c1_1_11=config(), c1_5_42=config(), c2_1_11=config())
    after = chips(c1_1_11=config(), c1_5_42=config(threshold_global=99, channel_mask=[1] * 64), c2_1_11=config())
    run = merged(run_of(tmp_path, before, before, after, after))
    assert "changed during the run" in texts(run)
    assert "at 2024-07-03 10:02:00 UTC: 1 chip (channel_mask, threshold_global): 1-5-42" in texts(run)
    assert trends(run)["changed_chips"].value == 1
    assert trends(run)["changed_chips"].warn == (None, 0)
    now = newest(run)
    assert len(now.chip) == 3
    (menu,) = ChipConfiguration().figure(run).layout.updatemenus
    assert "threshold_global: 30 to 99" in [button.label for button in menu.buttons]


def test_a_chip_that_goes_and_one_that_comes_are_changes_and_what_went_is_not_configured(tmp_path: Path) -> None:
    run = merged(run_of(tmp_path, chips(c1_1_11=config(), c1_5_42=config()), chips(c1_1_11=config(), c2_1_11=config())))
    assert changed_chips(run).tolist() == [1 << 16 | 5 << 8 | 42, 2 << 16 | 1 << 8 | 11]
    assert newest(run).chip.tolist() == [1 << 16 | 1 << 8 | 11, 2 << 16 | 1 << 8 | 11]
    assert trends(run)["configured_chips"].value == 2


def test_a_chip_that_another_io_channel_of_its_tile_reads_out_is_the_same_chip(tmp_path: Path) -> None:
    table = demo_detector().pixels
    first = (table.io_group == 1) & (table.io_channel == 1) & (table.chip_id == 11)
    mask = [1] + [0] * 63
    assert first[table.channel_id == 0].sum() == 1
    disabled = [
        trends(state_of(packet_file(tmp_path, chips(**{name: config(channel_mask=mask)}))))["disabled_channels"].value
        for name in ("c1_1_11", "c1_3_11")
    ]
    assert disabled[0] == disabled[1] == len(table) - first.sum() + 1


def test_chips_that_the_geometry_does_not_have_are_said(tmp_path: Path) -> None:
    assert "1 configured chip the geometry does not have" in texts(
        state_of(packet_file(tmp_path, chips(c9_1_11=config(), c1_1_11=config())))
    )


def test_the_menu_tells_the_value_of_registers_that_are_everywhere_the_same(tmp_path: Path) -> None:
    trims = [list(range(32)) * 2, [5] * 64]
    content = chips(c1_1_11=config(pixel_trim_dac=trims[0]), c2_1_11=config(pixel_trim_dac=trims[1]))
    figure = ChipConfiguration().figure(state_of(packet_file(tmp_path, content)))
    labels = [button.label for button in figure.layout.updatemenus[0].buttons]
    assert labels == ["channel_mask = 0", "threshold_global = 30", "pixel_trim_dac: 0 to 31"]
    assert [trace.name for trace in figure.data] == ["io_group 1", "io_group 2"]
    table = demo_detector().pixels
    channels = table.channel_id[(table.io_group == 1) & (table.io_channel == 1) & (table.chip_id == 11)]
    assert len(channels) == 49, "those without a pixel are not drawn"
    assert list(figure.data[0].y) == np.bincount(channels % 32, minlength=32).tolist()
    assert (figure.data[1].y[5], sum(figure.data[1].y)) == (49, 49)


def test_without_a_geometry_all_channels_are_drawn_and_nobody_knows_which_are_disabled(tmp_path: Path) -> None:
    plot, path = ChipConfiguration(), packet_file(tmp_path, chips(c1_1_11=config(pixel_trim_dac=[5] * 64)))
    with open_file(path) as reader:
        state = plot.start().add(plot.count(next(reader.blocks())))
    assert sum(plot.figure(state).data[0].y) == 64
    assert trends(state)["configured_chips"].value == 1
    assert trends(state)["disabled_channels"].reason == "no known geometry fits the ids of this file"


def test_rows_that_larpix_control_wrote_are_a_log_and_say_nothing_of_other_chips(tmp_path: Path) -> None:
    rows = np.zeros(3, CONFIGS_DTYPE)
    rows["io_group"], rows["io_channel"], rows["chip_id"] = 1, 1, [11, 12, 11]
    rows["timestamp"] = [1_720_000_000, 1_720_000_000, 1_720_000_060]
    rows["registers"][2, 64] = 99
    path = put(packet_file(tmp_path), "configs", rows)
    import h5py

    with h5py.File(path, "r+") as file:
        file["configs"].attrs["asic_version"] = "2"
    state = state_of(path)
    assert "changed during the run at 2024-07-03 09:47:40 UTC: 1 chip (threshold_global): 1-1-11" in texts(
        state
    ).replace("<b>", "").replace("</b>", "")
    assert trends(state)["configured_chips"].value == 2
    assert trends(state)["disabled_channels"].value == 0
    assert trends(state)["unconfigured_chips"].value is None
    assert "need not have all chips" in trends(state)["unconfigured_chips"].reason


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no archive" * 100, "daq_configs is not a tar archive"),
        (archive(("../config_1-1-11.json", config())), "member ../config_1-1-11.json leads out of the archive"),
    ],
)
def test_what_cannot_be_used_is_said_on_this_tile_and_the_others_run_on(
    content: bytes, sentence: str, tmp_path: Path
) -> None:
    report = process(packet_file(tmp_path, content), [found.plot for found in discover().plots.values()], Sources())
    assert report.state == "ok"
    assert not report.broken
    tile = next(element for element in report.elements if element.name == "ChipConfiguration")
    assert tile.state is not None
    (problem,) = problems_of(tile.state)
    assert sentence in problem
    shown = " ".join(note.text.replace("<br>", " ") for note in tile.figure.layout.annotations)
    assert sentence in shown
    assert tile.trends["config_problems"].value == 1
    assert tile.trends["configured_chips"].value is None
    assert next(element for element in report.elements if element.name == "PacketRate").trends["packets"].value == 300


def test_a_run_with_one_bad_file_keeps_what_the_others_say(tmp_path: Path) -> None:
    run = merged(run_of(tmp_path, chips(c1_1_11=config()), b"no archive" * 100, chips(c1_1_11=config())))
    assert trends(run)["configured_chips"].value == 1
    assert trends(run)["changed_chips"].value == 0
    assert "daq_configs is not a tar archive" in texts(run)


def test_a_chip_whose_registers_cannot_be_read_in_one_file_has_neither_gone_nor_changed(tmp_path: Path) -> None:
    good = chips(c1_1_11=config(), c1_5_42=config())
    broken = archive(("asic_configs/config_1-1-11.json", config()), ("asic_configs/config_1-5-42.json", b"{"))
    run = merged(run_of(tmp_path, good, broken))
    assert trends(run)["changed_chips"].value == 0
    assert trends(run)["configured_chips"].value == 2
    assert trends(run)["config_problems"].value == 1


def processed(name: str) -> FileReport:
    return process(SAMPLES / name, [ChipConfiguration], Sources())


@pytest.mark.samples
def test_the_table_of_the_sample_file_is_read_as_larpix_control_reads_it() -> None:
    from larpix.format.hdf5format import from_file

    state = processed("charge/small_v2.4.h5").elements[0].state
    assert state is not None
    theirs = from_file(str(SAMPLES / "charge/small_v2.4.h5"), load_configs=True)["configs"]
    now = newest(state)
    assert len(theirs) == len(now.chip) == 20
    from dqm.formats.registers import values_in

    by_chip = {chip.io_group << 16 | chip.io_channel << 8 | chip.chip_id: chip.config for chip in theirs}
    assert sorted(by_chip) == now.chip.tolist()
    for name in (
        "channel_mask",
        "pixel_trim_dac",
        "threshold_global",
        "vref_dac",
        "periodic_reset_cycles",
        "csa_enable",
    ):
        values, _ = values_in(now.rows, name)
        for row, chip in zip(values.tolist(), now.chip.tolist(), strict=True):
            expected = getattr(by_chip[chip], name)
            assert row == (list(expected) if isinstance(expected, list) else [expected]), (name, chip)
    masked = sum(sum(config.channel_mask) for config in by_chip.values())
    assert processed("charge/small_v2.4.h5").elements[0].trends["disabled_channels"].value <= masked


@pytest.mark.samples
@pytest.mark.parametrize("name", ["charge/packet_2022_02_09_17_23_09_CET.h5", "charge/raw_2022_02_09_17_23_09_CET.h5"])
def test_a_sample_file_without_a_configuration_says_so(name: str) -> None:
    (element,) = processed(name).elements
    assert element.trends["configured_chips"].reason == "no file has a chip configuration (daq_configs or configs)"
    assert element.trends["config_problems"].value == 0
