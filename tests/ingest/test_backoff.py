"""A plug-in over a limit rests, longer each time, and is then given what it missed; the others never wait for it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dqm.auth.roles import Actor, NotAllowed
from dqm.ingest import backoff
from dqm.ingest.oneshot import Sources
from dqm.ingest.service import Watch
from dqm.records import GIVE_UP, REST_S, ElementState, Part, Plugin
from dqm.results import Element
from dqm.store import parts, plugins
from dqm.views.plot_list import NotResting, rest_words, retry_plot
from plots.base import Plot
from plots.discovery import Limits, Shelf
from tests.ingest.watching import Site, take

EXPERT = Actor("ann", "expert")
TEXT = """
import os
import numpy as np
from plots.base import MergeablePlot
class Mine(MergeablePlot):
    title = "mine"
    def count(self, packets):
        if len(packets) and {when}:
            os._exit(3)
        return {{"n": np.array([len(packets)])}}
    def draw(self, state, fig): fig.add_bar(y=state["n"])
"""


class Watched(Site):
    """A site whose plug-ins are not left alone by the process too: the clock of the test decides alone."""

    def new_watch(self) -> Watch:
        self.clock.now += 20
        shelf = Shelf(self.settings.plots.paths, Limits(rest_s=0.0))
        return Watch(self.store, self.settings, Sources(), shelf, self.clock)

    def plugin(self, name: str = "Mine") -> Plugin:
        with self.store.read() as tx:
            return next(row for row in plugins.listed(tx) if row.name == name)

    def part(self, file: str, plot: str = "Mine") -> Part | None:
        with self.store.read() as tx:
            return parts.of_file(tx, self.file(file).id).get(plot)

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.settle()


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two packet files of a run."""
    return take(tmp_path_factory.mktemp("taken"), raw=False)


def watched(tmp_path: Path, when: str) -> Watched:
    folder = tmp_path / "plugins"
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(TEXT.format(when=when))
    return Watched(tmp_path, plugins=[folder])


def bring(site: Site, path: Path) -> str:
    shutil.copy2(path, site.root / path.name)
    return path.name


def test_a_stopped_plug_in_rests_and_is_given_no_file_and_then_what_it_missed(
    tmp_path: Path, taken: list[Path]
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    site = watched(tmp_path, when=f"os.path.exists({str(broken)!r})")
    first = bring(site, taken[0])
    site.settle()
    stopped = site.part(first)
    assert stopped is not None
    assert stopped.state is ElementState.BROKEN
    assert "Stopped: Mine ended its process (exit code 3) for a block of" in stopped.reason
    assert site.elements("5")["AdcSpectrum"].state is ElementState.OK, "the others went on"
    plugin = site.plugin()
    assert (plugin.stops, plugin.failures) == (1, 1)
    assert plugin.until is not None
    second = bring(site, taken[1])
    site.settle()
    assert site.part(second) is None, "it was given no file while it rested"
    assert site.states()[second] == "done", "which kept the file from nothing"
    broken.unlink()
    site.pass_time(REST_S[0])
    for name in (first, second):
        part = site.part(name)
        assert part is not None
        assert (part.state, part.complete) == (ElementState.OK, True)
    assert site.elements("5")["Mine"].state is ElementState.OK
    assert site.elements("5")["Mine"].rows == site.elements("5")["AdcSpectrum"].rows
    assert (site.plugin().stops, site.plugin().until) == (0, None)


def test_a_pass_that_ends_between_the_rest_and_the_waking_loses_no_file(tmp_path: Path, taken: list[Path]) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    site = watched(tmp_path, when=f"os.path.exists({str(broken)!r})")
    first = bring(site, taken[0])
    site.settle()
    broken.unlink()
    stopped = site.part(first)
    assert stopped is not None
    site.clock.now += REST_S[0]
    well = replace(stopped, file_id=100, state=ElementState.OK)
    with site.store.begin() as tx:
        backoff.note(tx, Element(Plot), well, site.clock.now)  # of a file that another worker had meanwhile
    site.pass_time(1)
    part = site.part(first)
    assert part is not None
    assert (part.state, part.complete) == (ElementState.OK, True)
    assert site.plugin().stops == 0


def test_an_import_that_fails_for_a_while_does_not_lose_the_files_that_are_to_be_tried_again(
    tmp_path: Path, taken: list[Path]
) -> None:
    broken, gone = tmp_path / "broken", tmp_path / "gone"
    broken.touch()
    site = watched(tmp_path, when=f"os.path.exists({str(broken)!r})")
    plugin = tmp_path / "plugins" / "mine.py"
    plugin.write_text(
        plugin.read_text().replace("import os\n", f"import os\nif os.path.exists({str(gone)!r}): os._exit(3)\n")
    )
    first = bring(site, taken[0])
    site.settle()
    stopped = site.part(first)
    assert stopped is not None
    assert stopped.state is ElementState.BROKEN
    gone.touch()
    site.watch = site.new_watch()
    site.settle()
    assert "mine" in {fault.name for fault in site.watch.shelf.registry.broken}
    gone.unlink()
    broken.unlink()
    site.watch = site.new_watch()
    site.settle()
    part = site.part(first)
    assert part is not None
    assert (part.state, part.complete) == (ElementState.OK, True)


def test_it_rests_longer_each_time_and_in_the_end_for_good(tmp_path: Path, taken: list[Path]) -> None:
    site = watched(tmp_path, when="True")
    bring(site, taken[0])
    site.settle()
    part = site.part(taken[0].name)
    assert part is not None
    element = Element(Plot, broken="counting rows from 0: Stopped: Mine took more than 10 s")
    waited = []
    now = site.clock.now
    with site.store.begin() as tx:
        plugins.set_rest(tx, "Mine", plugins.Rest())
        for file_id in range(100, 100 + GIVE_UP):
            backoff.note(tx, element, replace(part, file_id=file_id), now)
            backoff.note(tx, element, replace(part, file_id=file_id), now)  # another worker met it at that moment
            rest = plugins.rest(tx, "Mine")
            assert rest.lasts(now)
            if rest.until is not None:
                waited.append(rest.until - now)
                now = rest.until
                site.watch.backoff.wake(tx, ["Mine"])
                assert not plugins.rest(tx, "Mine").lasts(now)
    assert tuple(waited) == REST_S
    assert site.plugin().stops == GIVE_UP
    site.pass_time(10 * REST_S[-1])
    assert site.plugin().stops == GIVE_UP
    assert "stays stopped until its file changes or `larboard plots retry Mine`" in rest_words(site.plugin())


def test_a_restart_does_not_forget_the_rest(tmp_path: Path, taken: list[Path]) -> None:
    site = watched(tmp_path, when="True")
    bring(site, taken[0])
    site.settle()
    until = site.plugin().until
    site.watch = site.new_watch()
    second = bring(site, taken[1])
    site.settle()
    assert site.plugin().until == until
    assert site.part(second) is None


def test_a_changed_file_ends_the_rest_also_when_it_changed_while_nothing_ran(tmp_path: Path, taken: list[Path]) -> None:
    site = watched(tmp_path, when="True")
    name = bring(site, taken[0])
    site.settle()
    assert site.plugin().rests
    (tmp_path / "plugins" / "mine.py").write_text(TEXT.format(when="False"))
    site.watch = site.new_watch()
    site.settle()
    assert not site.plugin().rests
    part = site.part(name)
    assert part is not None
    assert part.state is ElementState.OK
    assert site.elements("5")["Mine"].state is ElementState.OK


def test_one_file_that_stops_it_does_not_keep_it_from_the_others(tmp_path: Path, taken: list[Path]) -> None:
    """The newest is tried first each time; twice is enough."""
    times = tmp_path / "times"
    site = watched(
        tmp_path, when=f"int(packets['unix_time'].max()) >= 1_750_000_003 and open({str(times)!r}, 'a').write('x')"
    )
    names = [bring(site, path) for path in taken]
    site.settle()
    for _ in range(6):
        site.pass_time(REST_S[2])
    states = {name: part.state for name in names if (part := site.part(name))}
    assert states == {names[0]: ElementState.OK, names[1]: ElementState.BROKEN}
    assert times.read_text() == "xx"
    assert site.plugin().stops < GIVE_UP


def test_an_exception_is_no_reason_to_rest(tmp_path: Path, taken: list[Path]) -> None:
    site = watched(tmp_path, when="1 / 0")
    bring(site, taken[0])
    site.settle()
    assert site.elements("5")["Mine"].state is ElementState.BROKEN
    assert "ZeroDivisionError" in site.elements("5")["Mine"].reason
    assert site.plugin().failures == 1
    assert not site.plugin().rests


def test_an_expert_may_have_it_tried_again(tmp_path: Path, taken: list[Path]) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    site = watched(tmp_path, when=f"os.path.exists({str(broken)!r})")
    name = bring(site, taken[0])
    site.settle()
    with site.store.begin() as tx:
        plugins.set_rest(tx, "Mine", plugins.Rest(GIVE_UP))
    broken.unlink()
    with pytest.raises(NotAllowed):
        retry_plot(site.store, Actor("bob", "shifter"), "Mine", site.clock.now)
    an_expert_retries_it(site, name)
    with pytest.raises(NotResting, match="no plot Nothing"):
        retry_plot(site.store, EXPERT, "Nothing", site.clock.now)


def an_expert_retries_it(site: Watched, file: str) -> None:
    """By that the file is counted for the plug-in, and there is nothing more to retry."""
    assert retry_plot(site.store, EXPERT, "Mine", site.clock.now) == "Mine is tried again now"
    site.pass_time(2)
    part = site.part(file)
    assert part is not None
    assert part.state is ElementState.OK
    with pytest.raises(NotResting, match="Mine does not rest"):
        retry_plot(site.store, EXPERT, "Mine", site.clock.now)


def test_an_expert_brings_back_the_files_that_it_was_ended_on_too_often(tmp_path: Path, taken: list[Path]) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    site = watched(tmp_path, when=f"os.path.exists({str(broken)!r})")
    name = bring(site, taken[0])
    site.settle()
    site.pass_time(REST_S[0])
    broken.unlink()
    second = bring(site, taken[1])
    site.pass_time(REST_S[1])
    left_out, other = site.part(name), site.part(second)
    assert left_out is not None
    assert other is not None
    assert (left_out.state, other.state) == (ElementState.BROKEN, ElementState.OK)
    assert not site.plugin().rests
    an_expert_retries_it(site, name)


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (Plugin("A", "a.py", "", "", ""), ""),
        (Plugin("A", "a.py", "", "", "", stops=2), ""),
        (
            Plugin("A", "a.py", "", "", "", stops=1, until=1_750_000_000.0),
            "stopped once for going over a limit; it is tried again at 2025-06-15 15:06:40 UTC",
        ),
        (Plugin("A", "a.py", "", "", "", stops=3, until=1_750_000_000.0), "stopped 3 times in a row"),
        (Plugin("A", "a.py", "", "", "", stops=GIVE_UP), "it stays stopped until its file changes"),
    ],
)
def test_the_rest_in_words(plugin: Plugin, words: str) -> None:
    assert rest_words(plugin).startswith(words) or words in rest_words(plugin)
    assert bool(rest_words(plugin)) == bool(words)
