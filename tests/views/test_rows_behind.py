"""From a bin to the packets behind it: what is found, how far a search gets, and which files are not opened."""

from __future__ import annotations

import csv
import io
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from dqm.demo import DemoRun, take_run
from dqm.formats import reader
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.reader import open_file
from dqm.formats.writers import PacketWriter
from dqm.ingest.oneshot import Sources, process
from dqm.settings import DataSettings, DetectorSettings, IngestSettings, PlotSettings, Settings
from dqm.store import files, open_store, runs
from dqm.views import rows_behind
from dqm.views.rows_behind import CannotSearch, Search, adc_spectrum, as_csv, as_hdf5, search, wanted
from dqm.views.site import Site, open_site
from layouts.pages.rows.layout import found_rows
from plots.discovery import discover
from plots.options import Calibration
from plots.trigger_intervals import middles
from plots.trigger_packets import US
from tests.conftest import packets_of
from tests.filling import put

PLOTS = ("AdcSpectrum", "PacketRate", "PacketTypes", "IoGroupRate", "ParityErrors", "HotPixels", "PixelMap", "TileRate")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two packet files of a run."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(2):
        run = DemoRun(seed=number + 1, duration_s=2, start_unix=1_720_000_000 + 2 * number)
        into = folder / str(number)
        into.mkdir()
        take_run(run, into, run_number=7, raw=False)
    return folder


@pytest.fixture(scope="module")
def counted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with both; copied for each test."""
    folder = tmp_path_factory.mktemp("counted")
    store = open_store(f"sqlite:///{folder}/larboard.sqlite", folder / "states")
    plots = [discover().plots[name].plot for name in PLOTS]
    for path in paths(data):
        put(store, process(path, plots, Sources()), 7)
    store.close()
    return folder


@pytest.fixture
def site(tmp_path: Path, data: Path, counted: Path) -> Iterator[Site]:
    shutil.copytree(counted, tmp_path, dirs_exist_ok=True)
    store = open_store(f"sqlite:///{tmp_path}/larboard.sqlite", tmp_path / "states")
    settings = Settings(data=DataSettings(directory=tmp_path), ingest=IngestSettings(roots=[data]))
    site = open_site(settings, store)
    yield site
    site.close()


def paths(data: Path) -> list[Path]:
    return sorted(data.glob("*/*.h*5"))


def every(data: Path) -> np.ndarray:
    """All rows of both files, one after the other."""
    found = []
    for path in paths(data):
        with open_file(path) as reader:
            found += [block.source[0] for block in reader.blocks() if block.source]
    return np.concatenate(found)


def found(site: Site, **query: str) -> Search:
    result = search(site, "7", wanted(site, query))
    assert result
    return result


def rows(result: Search) -> np.ndarray:
    return np.concatenate([piece.rows for piece in result.pieces])


def test_the_first_rows_that_fit_come_in_the_order_of_files_and_rows(site: Site, data: Path) -> None:
    result = found(site, where="io_group:2,dataword:40..45,packet_type:0", rows="50")
    whole = every(data)
    fits = (
        (whole["io_group"] == 2) & (whole["dataword"] >= 40) & (whole["dataword"] <= 45) & (whole["packet_type"] == 0)
    )
    assert np.array_equal(rows(result), whole[fits][:50])
    assert result.found == 50
    first = result.pieces[0]
    with open_file(paths(data)[0]) as reader:
        (block, *_) = [block.source[0] for block in reader.blocks() if block.source]
    assert np.array_equal(block[first.index], first.rows)


def test_a_search_that_goes_on_finds_each_row_once(site: Site, data: Path) -> None:
    whole = every(data)
    expected = np.flatnonzero((whole["io_group"] == 3) & (whole["packet_type"] == 0))
    got, after = [], ""
    for _ in range(1000):
        result = found(site, where="io_group:3,packet_type:0", rows="999", after=after)
        got += [rows(result)] if result.pieces else []
        if result.next is None:
            break
        after = f"{result.next[0]}.{result.next[1]}"
    assert np.array_equal(np.concatenate(got), whole[expected])
    assert result.words == "searched all 2 files"


def test_without_what_was_kept_a_search_goes_on_all_the_same(site: Site) -> None:
    first = found(site, where="packet_type:6", rows="3")
    assert first.next
    after = f"{first.next[0]}.{first.next[1]}"
    kept = rows(found(site, where="packet_type:6", rows="3", after=after))
    times = found(site, where="packet_type:6", rows="3", after=after).pieces[0].unix_time
    site.cache.clear()
    again = found(site, where="packet_type:6", rows="3", after=after)
    assert np.array_equal(rows(again), kept)
    assert np.array_equal(again.pieces[0].unix_time, times)


def test_a_search_over_its_time_says_how_far_it_got_and_goes_on(site: Site) -> None:
    asked = wanted(site, {"where": "io_group:200"})
    looked, steps = 0, 0
    while True:
        result = search(site, "7", asked, seconds=0)
        assert result
        looked, steps = looked + result.packets, steps + 1
        if result.next is None:
            break
        assert result.words.startswith(("searched 0 of 2 files", "searched 1 of 2 files"))
        asked = wanted(site, {"where": "io_group:200", "after": f"{result.next[0]}.{result.next[1]}"})
        assert steps < 100
    with site.store.read() as tx:
        run = runs.get(tx, "7")
    assert run
    assert looked == run.packets
    assert steps > 1


def test_a_pixel_has_its_data_packets_of_valid_parity_through_any_io_channel(site: Site, data: Path) -> None:
    whole = every(data)
    whole = whole[(whole["packet_type"] == 0) & (whole["valid_parity"] == 1)]
    one = whole[1000]
    name = f"{one['io_group']}-{one['io_channel']}-{one['chip_id']}-{one['channel_id']}"
    ids = ("io_group", "chip_id", "channel_id")
    tile = (whole["io_channel"].astype(int) - 1) // 4 == (int(one["io_channel"]) - 1) // 4
    expected = whole[tile & np.logical_and.reduce([whole[column] == one[column] for column in ids])]
    assert np.array_equal(rows(found(site, pixel=name)), expected[:100])
    result = adc_spectrum(site, "7", wanted(site, {"pixel": name}))
    assert result
    assert result[1] == np.bincount(expected["dataword"], minlength=256).tolist()


def test_one_file_can_be_asked_for(site: Site) -> None:
    with site.store.read() as tx:
        run = runs.get(tx, "7")
        assert run
        second = files.of_run(tx, run.id)[1]
    result = found(site, file=str(second.id), rows="5")
    assert {piece.file.id for piece in result.pieces} == {second.id}
    assert result.pieces[0].index.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(CannotSearch, match="File 99 is none of those that are counted for run 7"):
        found(site, file="99")


@pytest.mark.parametrize(
    ("query", "check"),
    [
        (
            {"plot": "AdcSpectrum", "series": "io_group 2", "x": "40"},
            lambda r: (r["io_group"] == 2) & (r["dataword"] == 40) & (r["packet_type"] == 0) & (r["valid_parity"] == 1),
        ),
        (
            {"plot": "PacketTypes", "series": "sync", "x": "2024-07-03 09:46:41", "to": "2024-07-03 09:46:42"},
            lambda r: r["packet_type"] == 6,
        ),
        (
            {
                "plot": "IoGroupRate", "series": "io_group 3", "x": "2024-07-03 04:46:41", "to": "2024-07-03 04:46:42",
                "zone": "America/Chicago",
            },
            lambda r: (r["io_group"] == 3) & (r["packet_type"] == 0) & (r["valid_parity"] == 1),
        ),
    ],
)  # fmt: skip
def test_a_click_on_a_bin_finds_what_the_bin_counts(site: Site, query: dict[str, str], check: object) -> None:
    result = found(site, **query)
    assert result.found
    assert check(rows(result)).all()  # type: ignore[operator]
    if "to" in query:
        assert {int(t) for piece in result.pieces for t in piece.unix_time} == {1_720_000_001}


def test_the_bins_of_a_spectrum_have_as_many_rows_as_they_count(site: Site) -> None:
    from dqm.views.elements import counted, run_state

    asked = counted(site, "7", "AdcSpectrum")
    state = run_state(site, asked.found.plot(), asked.element, asked.live)  # type: ignore[arg-type]
    result = found(site, plot="AdcSpectrum", series="io_group 4", x="60", rows="10000")
    # the element of this test holds the newest file alone
    newest = result.pieces[-1].file.id
    assert sum(len(one.index) for one in result.pieces if one.file.id == newest) == state["adc"][4, 60]
    assert state["adc"][4, 60] > 0


# triggers -------------------------------------------------------------------------------------------------------------

SAMPLE = "charge/packet-0050017-2024_07_08_13_37_42_CDT.hdf5"
"""Of the 2x2: io_group 5 tells of the trigger, and io_groups 1 to 4 stand before it in the file."""


class Triggered:
    """A site with one file, and what the plots of triggers count in it."""

    def __init__(self, folder: Path, path: Path, io_group: int, geometries: list[Path]):
        settings = Settings(
            data=DataSettings(directory=folder), ingest=IngestSettings(roots=[path.parent]),
            detector=DetectorSettings(directories=geometries), plots=PlotSettings(trigger_io_group=io_group),
        )  # fmt: skip
        store = open_store(f"sqlite:///{folder}/larboard.sqlite", folder / "states")
        self.site = open_site(settings, store)
        names = ("TriggerPackets", "TriggerCharge", "TriggerIntervals")
        plots = [self.site.registry.plots[name].plot for name in names]
        self.report = process(path, plots, Sources(tuple(geometries)))
        put(store, self.report, 7)

    def bins(self, plot: str) -> list[tuple[dict[str, str], int]]:
        """Bins of the figure as the browser says which was clicked, with the number of packets that it counts."""
        (element,) = [one for one in self.report.elements if one.name == plot]
        assert element.state is not None
        leaf = element.state["intervals" if plot == "TriggerIntervals" else "packets"].reshape(256, -1)
        x, edge = (middles(), "") if plot == "TriggerIntervals" else (US, ": edge 190 us")
        return [
            ({"plot": plot, "series": f"io_group {group}{edge}", "x": repr(float(x[place]))}, int(count))
            for group, counts in enumerate(leaf)
            for place, count in enumerate(counts)
            if count
        ]


@pytest.fixture(params=["demo", pytest.param("sample", marks=pytest.mark.samples)])
def triggered(request: pytest.FixtureRequest, data: Path, tmp_path: Path, samples: Path) -> Iterator[Triggered]:
    if request.param == "demo":
        made = Triggered(tmp_path, paths(data)[0], 0, [])
    else:
        made = Triggered(tmp_path, samples / SAMPLE, 5, [samples / "geometry"])
    yield made
    made.site.close()


@pytest.mark.parametrize("block_rows", [65_536, 4_000])
@pytest.mark.parametrize("plot", ["TriggerPackets", "TriggerIntervals"])
def test_behind_a_bin_of_triggers_are_as_many_rows_as_it_counts_in_whatever_block_they_are(
    triggered: Triggered, plot: str, block_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BLOCK_ROWS", block_rows)
    bins = triggered.bins(plot)
    largest = sorted(bins, key=lambda one: -one[1])[:3]
    for query, count in [*bins[:: max(len(bins) // 10, 1)], *largest]:
        result = search(triggered.site, "7", wanted(triggered.site, query | {"rows": "10000"}), seconds=60)
        assert result
        assert (result.found, result.next) == (count, None), query
        numbers = [int(row) for piece in result.pieces for row in piece.index]
        assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("seconds", [0, 2])
def test_a_search_beside_triggers_that_goes_on_finds_each_row_once(
    triggered: Triggered, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it stopped between a packet and its trigger."""
    monkeypatch.setattr(reader, "BLOCK_ROWS", 10_000)
    query = {"where": "trigger_ticks:-500..1500,packet_type:0", "rows": "700" if seconds else "10000"}
    whole = search(triggered.site, "7", wanted(triggered.site, query | {"rows": "10000"}), seconds=60)
    assert whole
    assert whole.next is None
    expected = [int(row) for piece in whole.pieces for row in piece.index]
    numbers: list[int] = []
    after, steps = "", 0
    while steps < 200:
        part = search(triggered.site, "7", wanted(triggered.site, query | {"after": after}), seconds=seconds)
        assert part
        numbers += [int(row) for piece in part.pieces for row in piece.index]
        steps += 1
        if part.next is None:
            break
        after = f"{part.next[0]}.{part.next[1]}"
    assert numbers == expected
    assert len(numbers) > 1000
    assert steps > 1


def test_the_charge_of_a_bin_is_that_of_the_rows_behind_it(triggered: Triggered) -> None:
    (charge,) = [one.state["electrons"] for one in triggered.report.elements if one.name == "TriggerCharge"]  # type: ignore[index]
    for query, _ in triggered.bins("TriggerPackets")[::50]:
        result = found(triggered.site, **(query | {"plot": "TriggerCharge", "rows": "9999"}))
        group = int(rows(result)["io_group"][0])
        place = int(np.argmin(np.abs(US - float(query["x"]))))
        electrons, _ = Calibration().electrons(rows(result))
        assert electrons.sum() == charge.reshape(256, -1)[group, place]


def test_a_file_of_old_that_tells_of_no_trigger_says_so(site: Site, tmp_path: Path, data: Path) -> None:
    old = data / "old.h5"
    with h5py.File(old, "w") as file:
        names = [name for name in PACKET_DTYPE.names or () if name != "trigger_type"]
        file["packets"] = packets_of(10)[names]
        file.create_group("_header").attrs["version"] = "1.0"
    with site.store.begin() as tx:
        run_id = runs.ensure(tx, "8", 8, "physics", [])
        file_id = files.add(tx, str(old), str(data), 1, 1, "", 1.0)
        files.update(tx, file_id, run_id=run_id, state="done", counted=True, next_look=None)
    for column in ("trigger_ticks", "interval_ticks"):
        result = search(site, "8", wanted(site, {"where": f"{column}:0..10"}))
        assert result
        assert result.problems == ["old.h5 has no trigger_type: nothing in it can be told to fit."]
    old.unlink()


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (
            {"where": "nothing:1"},
            "“nothing:1” is no condition: expected column:value or column:low..high.",
        ),
        ({"where": "io_group:a"}, "“io_group:a” is no range"),
        ({"where": "io_group:5..1"}, "the smaller one first"),
        ({"where": "io_group:nan"}, "is no range"),
        ({"where": "io_group:1," * 200}, "more than 1,000 characters"),
        ({"plot": "NoSuch", "x": "1"}, "There is no plot NoSuch."),
        ({"plot": "AdcMeans", "x": "1"}, "AdcMeans does not say which packets a bin of it stands for"),
        ({"plot": "TriggerPackets", "x": "1000", "series": "io_group 1"}, "does not say which packets this place"),
        ({"plot": "AdcSpectrum", "x": "here", "series": "io_group 1"}, "does not say which packets this place"),
        ({"plot": "AdcSpectrum", "x": "1", "series": "<b>"}, "does not say which packets this place"),
        ({"plot": "PacketRate", "x": "2024-01-01", "zone": "No/Zone", "series": "sync"}, "this place"),
        ({"pixel": "1-1-300-1"}, "There is no chip 300"),
        ({"pixel": "x"}, "names no channel"),
        ({"after": "77.1"}, "no longer counted: begin it anew"),
    ],
)
def test_what_cannot_be_told_is_refused_in_a_sentence_and_shows_no_other_rows(
    site: Site, query: dict[str, str], sentence: str
) -> None:
    with pytest.raises(CannotSearch) as error:
        found(site, **query)
    assert sentence in str(error.value)


def test_numbers_of_a_url_that_are_none_are_left_out_with_a_word(site: Site) -> None:
    asked = wanted(site, {"rows": "20000", "file": "x", "after": "y"})
    assert (asked.rows, asked.file, asked.after, len(asked.problems)) == (10_000, None, None, 3)
    assert wanted(site, {"rows": "0"}).rows == 1
    assert wanted(site, {}).rows == 100


def test_a_run_that_there_is_not_is_none_and_one_without_files_says_so(site: Site) -> None:
    assert search(site, "99", wanted(site, {})) is None
    with site.store.begin() as tx:
        runs.ensure(tx, "8", 8, "physics", [])
    with pytest.raises(CannotSearch, match="No file of run 8 is counted"):
        search(site, "8", wanted(site, {}))


def test_a_file_outside_the_data_roots_is_not_opened_wherever_its_name_lies(
    site: Site, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.h5"
    with PacketWriter(secret) as writer:
        writer.write(packets_of(10, io_group=77))
    link = data / "link.h5"
    link.symlink_to(secret)
    opened: list[Path] = []
    real = rows_behind.open_file
    monkeypatch.setattr(rows_behind, "open_file", lambda path, *a, **k: (opened.append(path), real(path, *a, **k))[1])
    with site.store.begin() as tx:
        run_id = runs.ensure(tx, "9", 9, "physics", [])
        for path in (secret, link):
            file_id = files.add(tx, str(path), str(data), 1, 1, "", 1.0)
            files.update(tx, file_id, run_id=run_id, state="done", counted=True, next_look=None)
    result = search(site, "9", wanted(site, {}))
    link.unlink()
    assert result
    assert (result.found, opened) == (0, [])
    assert [problem.endswith("it is not opened.") for problem in result.problems] == [True, True]
    assert result.words == "searched to the end, but 2 of 2 files could not be"
    shown = str(found_rows(result, wanted(site, {}), "9"))
    assert "No packet of run 9 fits, as far as its files can be searched" in shown
    assert "Every file of it was searched" not in shown


def test_files_that_are_gone_are_said_and_the_rest_is_searched(site: Site, data: Path, tmp_path: Path) -> None:
    first = paths(data)[0]
    away = tmp_path / "away.h5"
    first.rename(away)
    try:
        result = found(site, rows="5")
        assert result.problems == [f"{first.name} is not there (any more)."]
        assert result.found == 5
    finally:
        away.rename(first)


def test_on_a_host_without_the_files_it_is_said_where_they_are(site: Site) -> None:
    from dqm.records import Watcher
    from dqm.store import watchers

    with site.store.begin() as tx:
        watchers.beat(tx, Watcher("w", "daq.example.org", 1, 1.0, 1.0, True, "reading", 0, None, ()))
        run_id = runs.ensure(tx, "8", 8, "physics", [])
        file_id = files.add(tx, "/far/away.h5", "/far", 1, 1, "", 1.0)
        files.update(tx, file_id, run_id=run_id, state="done", counted=True, next_look=None)
    with pytest.raises(CannotSearch, match=r"not on this host: they are on daq\.example\.org, or gone"):
        search(site, "8", wanted(site, {}))


def test_a_damaged_file_is_a_sentence(site: Site, data: Path) -> None:
    broken = data / "broken.h5"
    broken.write_bytes(paths(data)[0].read_bytes()[:5000])
    with site.store.begin() as tx:
        run_id = runs.ensure(tx, "8", 8, "physics", [])
        file_id = files.add(tx, str(broken), str(data), 1, 1, "", 1.0)
        files.update(tx, file_id, run_id=run_id, state="done", counted=True, next_look=None)
    result = search(site, "8", wanted(site, {}))
    broken.unlink()
    assert result
    assert result.found == 0
    assert len(result.problems) == 1
    assert result.problems[0].startswith("broken.h5 ")


def test_a_csv_holds_numbers_alone(site: Site) -> None:
    lines = list(csv.reader(io.StringIO(as_csv(found(site, rows="200")))))
    assert lines[0][:4] == ["file", "row", "unix_time", "io_group"]
    assert len(lines) == 201
    assert all(cell.lstrip("-").isdecimal() for line in lines[1:] for cell in line)


def test_hdf5_is_a_packet_file_that_tells_where_each_row_is_from(site: Site, tmp_path: Path) -> None:
    result = found(site, where="io_group:1", rows="300")
    path = tmp_path / "rows.h5"
    path.write_bytes(as_hdf5(result))
    with open_file(path) as reader:
        assert np.array_equal(reader.first_rows(300), rows(result))
    with h5py.File(path) as file:
        origin = file["origin"]
        assert origin["row"].tolist() == [int(row) for piece in result.pieces for row in piece.index]
        assert dict(origin.attrs) == result.names


def test_no_more_read_at_once_than_may_and_the_others_are_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_behind, "WAIT_S", 0.01)
    site.reading = threading.BoundedSemaphore(1)
    assert site.reading.acquire()
    with pytest.raises(CannotSearch, match="Others are reading files just now"):
        found(site)
    site.reading.release()
    for _ in range(3):  # who is done lets the next one in, also when it had found enough
        assert found(site, rows="1").found == 1
