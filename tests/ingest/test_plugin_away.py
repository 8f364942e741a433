"""What changes in a run while a plug-in is not there (its import fails, it is moved aside) holds for it when it is back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dqm.auth.roles import Actor
from dqm.demo import DemoRun
from dqm.records import ElementState
from dqm.store import StoreProblem, parts
from dqm.views import file_actions
from plots.base import HostTrouble, MergeablePlot, State, Stopped
from tests.ingest.watching import Site, Writer, take

EVA = Actor("eva", "expert")
TEXT = """
import numpy as np
from plots.base import MergeablePlot, Trend
class Mine(MergeablePlot):
    title = "mine"
    def count(self, packets):
        return {"n": np.array([len(packets)])NUMBERS}
    def draw(self, state, fig): fig.add_bar(y=state["n"])
    def trends(self, state): return {"n": Trend(int(state["n"][0]), "packets")}
"""
FLOATS = ', "sum": np.array([(packets["timestamp"] / 7 + 0.1).sum()])'


@pytest.fixture(params=["", FLOATS], ids=["integers", "floats"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / "plugins"
    place.mkdir()
    (place / "mine.py").write_text(TEXT.replace("NUMBERS", request.param))
    return place


def clean(place: Path, site: Site, folder: Path) -> tuple[Any, ...]:
    """What one pass over the files that are there now gives."""
    other = Site(place, roots=[site.root], plugins=[folder])
    other.settle(times=8)
    return seen(other)


def seen(site: Site) -> tuple[Any, ...]:
    mine, known = site.elements("5")["Mine"], site.elements("5")["AdcSpectrum"]
    return site.bases("5"), mine.state, mine.rows, mine.trends["n"].value, known.rows


def away(site: Site, folder: Path) -> None:
    (folder / "mine.py").rename(folder.parent / "mine.aside")
    site.settle()
    assert "Mine" not in site.watch.shelf.registry.plots


def ignored_while_away(site: Site, folder: Path) -> list[Path]:
    """The two files of a run, the second ignored when the plug-in was not there any more."""
    paths = take(site.root, raw=False)
    site.settle()
    away(site, folder)
    file_actions.ignore(site.store, EVA, site.file(paths[1].name).id)
    return paths


def back(site: Site, folder: Path) -> None:
    (folder.parent / "mine.aside").rename(folder / "mine.py")
    site.settle(times=8)
    assert "Mine" in site.watch.shelf.registry.plots


def test_a_packet_file_that_took_the_place_of_its_raw_one_meanwhile_is_counted_once(
    tmp_path: Path, folder: Path
) -> None:
    site = Site(tmp_path / "mine", plugins=[folder])
    raw, packets, *_ = take(tmp_path / "taken")
    raw.rename(site.root / raw.name)
    site.settle()
    away(site, folder)
    packets.rename(site.root / packets.name)
    site.settle()
    assert site.states() == {raw.name: "same", packets.name: "done"}
    back(site, folder)
    assert seen(site) == clean(tmp_path / "clean", site, folder)


def test_a_file_that_was_ignored_meanwhile_is_not_in_its_numbers(tmp_path: Path, folder: Path) -> None:
    site = Site(tmp_path / "mine", plugins=[folder])
    first, second = ignored_while_away(site, folder)
    site.settle()
    back(site, folder)
    second.unlink()
    assert seen(site) == clean(tmp_path / "clean", site, folder)
    assert site.elements("5")["Mine"].rows == site.file(first.name).rows_done


def test_a_run_that_was_closed_meanwhile_is_not_read_again_for_it(tmp_path: Path, folder: Path) -> None:
    site = Site(tmp_path / "mine", plugins=[folder])
    _, second = ignored_while_away(site, folder)
    later = DemoRun(seed=8, duration_s=4, start_unix=1_750_000_900).busier(0.1)
    take(site.root, later, number=6, subrun_s=4, raw=False)
    site.settle()
    site.clock.now += 10 * site.settings.ingest.close_run_s
    site.settle(times=6)
    assert site.run("5").closed
    version = site.elements("5")["AdcSpectrum"].version
    back(site, folder)
    second.unlink()
    assert seen(site)[0]["Mine"] == clean(tmp_path / "clean", site, folder)[0]["Mine"]
    assert (site.run("5").closed, site.elements("5")["AdcSpectrum"].version) == (True, version)


def test_the_only_file_of_a_run_that_was_ignored_meanwhile_leaves_nothing(tmp_path: Path, folder: Path) -> None:
    site = Site(tmp_path / "mine", plugins=[folder])
    first, second = take(tmp_path / "taken", raw=False)
    first.rename(site.root / first.name)
    site.settle()
    away(site, folder)
    file_actions.ignore(site.store, EVA, site.file(first.name).id)
    site.settle()
    back(site, folder)
    second.rename(site.root / second.name)
    site.settle()
    assert site.elements("5")["Mine"].rows == site.file(second.name).rows_done
    assert site.elements("5")["Mine"].trends["n"].value == site.file(second.name).rows_done


def test_a_plug_in_that_another_leader_did_not_have_is_right_again_under_the_next(tmp_path: Path, folder: Path) -> None:
    site = Site(tmp_path / "mine", plugins=[folder])
    first, second = take(site.root, raw=False)
    site.settle()
    mine = site.watch.shelf.registry.plots.pop("Mine")  # its process died while it was imported, here alone
    file_actions.ignore(site.store, EVA, site.file(second.name).id)
    site.settle()
    site.watch.shelf.registry.plots["Mine"] = mine
    site.watch.leads = False
    site.settle(times=8)
    second.unlink()
    assert seen(site) == clean(tmp_path / "clean", site, folder)
    assert site.file(first.name).counted


@pytest.mark.parametrize(
    "error", [Stopped("Mine took more than 10 s"), ValueError("it cannot")], ids=["stopped", "raises"]
)
def test_numbers_that_could_not_be_read_while_a_run_was_merged_anew_cost_no_file(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    site = Site(tmp_path / "mine", plugins=[folder])
    taken = take(tmp_path / "taken", DemoRun(seed=5, duration_s=6, start_unix=1_750_000_000).busier(0.1), raw=False)
    first, second, third = (path.rename(site.root / path.name) for path in taken)
    third.rename(taken[2])
    site.settle()
    mine = site.watch.shelf.registry.plots["Mine"].plot

    def fails(self: MergeablePlot, state: State) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(mine, "read_trends", fails)
        file_actions.ignore(site.store, EVA, site.file(second.name).id)
        site.settle()
    second.unlink()
    if isinstance(error, Stopped):
        site.watch._next["housekeeping"] = 0.0
        site.settle()
    else:
        taken[2].rename(third)
        site.settle()
    assert site.elements("5")["Mine"].state is ElementState.OK
    assert seen(site) == clean(tmp_path / "clean", site, folder)
    with site.store.read() as tx:
        assert parts.of_file(tx, site.file(first.name).id)["Mine"].merged


def growing_file_goes_away(site: Site, taken: list[Path], meanwhile: Callable[[], None]) -> None:
    first = taken[0].rename(site.root / taken[0].name)
    site.settle()
    growing = site.root / taken[1].name
    with Writer(taken[1], growing, swmr=True) as writer:
        writer.do("write 500")
        site.settle()
        writer.kill()
    assert site.file(growing.name).rows_done == 500
    growing.unlink()
    meanwhile()
    assert site.states() == {first.name: "done", growing.name: "gone"}
    site.watch._next["housekeeping"] = 0.0
    site.settle()


def test_a_growing_file_that_went_away_while_the_plug_in_was_ended_is_counted_once_when_it_is_back(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: MergeablePlot, state: State) -> Any:
        raise Stopped("Mine took more than 10 s")

    def settle_without(site: Site) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(site.watch.shelf.registry.plots["Mine"].plot, "read_trends", fails)
            site.settle()

    mine, other = (Site(tmp_path / name, plugins=[folder]) for name in ("mine", "other"))
    growing_file_goes_away(mine, take(tmp_path / "taken", raw=False), lambda: settle_without(mine))
    growing_file_goes_away(other, take(tmp_path / "again", raw=False), other.settle)
    assert seen(mine) == seen(other)
    assert seen(mine)[2] > 500


def test_what_waits_for_its_plug_in_goes_on_waiting_while_the_database_is_away(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path / "mine", plugins=[folder])
    first, _ = ignored_while_away(site, folder)
    site.settle()
    (folder.parent / "mine.aside").rename(folder / "mine.py")
    commits = site.watch.taker.commits

    def away_now(*_: Any, **__: Any) -> None:
        raise StoreProblem("the database is away")

    site.watch.shelf.look()
    with monkeypatch.context() as patch:
        patch.setattr(type(commits), "rebuild", away_now)
        with pytest.raises(StoreProblem):
            commits.merge_put_off()
    assert commits.put_off
    commits.merge_put_off()
    assert not commits.put_off
    assert site.elements("5")["Mine"].rows == site.file(first.name).rows_done


def test_a_machine_that_cannot_call_a_plug_in_is_no_fault_of_it(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path / "mine", plugins=[folder])
    site.settle(times=1)
    first, *_ = take(site.root, raw=False)
    mine = site.watch.shelf.registry.plots["Mine"].plot

    def fails(self: MergeablePlot, packets: Any) -> Any:
        raise HostTrouble("no shared memory for a block of 2 bytes: File too large")

    with monkeypatch.context() as patch:
        patch.setattr(mine, "count", fails)
        site.settle()
        file = site.file(first.name)
        assert (file.state, file.counted) == ("waiting", False)
        assert "no shared memory for a block of 2 bytes: File too large" in file.reason
    site.clock.now += 60
    site.settle(times=8)
    assert seen(site) == clean(tmp_path / "clean", site, folder)
