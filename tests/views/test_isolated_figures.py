"""Figures of plug-ins on the web: drawn in their processes, within the limit; no tile waits for another plug-in."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator

import pytest

from dqm.store import plugins
from dqm.views.board import board
from dqm.views.elements import NoFigure, figure
from dqm.views.plot_list import plot_page
from dqm.views.site import Site, open_site
from plots.isolation import host
from tests.ingest.watching import Site as Ingest
from tests.ingest.watching import take

TEXT = """
import os, time
import numpy as np
from plots.base import MergeablePlot
class {name}(MergeablePlot):
    title = "{name}"
    def count(self, packets):
        return {{"n": np.array([len(packets)])}}
    def draw(self, state, fig):
        {draw}
        fig.add_bar(y=state["n"], name="<a href='http://evil.example/'>bars</a>")
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site over a run that a good plug-in and one whose drawing hangs have counted."""
    folder = tmp_path_factory.mktemp("site")
    plugin_folder = folder / "plugins"
    plugin_folder.mkdir()
    (plugin_folder / "hangs.py").write_text(TEXT.format(name="Hangs", draw="time.sleep(3600)"))
    (plugin_folder / "works.py").write_text(TEXT.format(name="Works", draw="pass"))
    ingest = Ingest(folder, plugins=[plugin_folder])
    shutil.copy2(take(folder / "taken", raw=False)[0], ingest.root)
    ingest.settle()
    ingest.settings.plots.block_s = 12.0
    site = open_site(ingest.settings, ingest.store)
    yield site
    site.close()


def process_of(site: Site, plot: str) -> host.Child | None:
    return site.registry.plots[plot].plot.plugin._child  # type: ignore[attr-defined]


def test_a_hanging_drawing_holds_up_no_other_tile_and_is_broken_in_a_sentence(filled: Site) -> None:
    said: list[NoFigure] = []

    def ask() -> None:
        try:
            figure(filled, "5", "Hangs")
        except NoFigure as error:
            said.append(error)

    assert filled.registry.plots.keys() >= {"Hangs", "Works"}
    viewers = [threading.Thread(target=ask) for _ in range(3)]
    for viewer in viewers:
        viewer.start()
    drawn = json.loads(figure(filled, "5", "Works").content)
    assert figure(filled, "5", "AdcSpectrum").content
    assert all(viewer.is_alive() for viewer in viewers), "the others were drawn while it hung"
    assert drawn["data"][0]["name"] == "bars"
    for viewer in viewers:
        viewer.join(60)
    assert len(said) == 3
    for error in said:
        assert error.state == "broken"
        assert "Stopped: Hangs took more than 12 s to draw its figure" in error.reason
    assert "hangs.py" in next(error.traceback for error in said if error.traceback)
    assert process_of(filled, "Hangs") is None


def test_a_plot_that_rests_in_ingest_says_so_on_page_board_and_tile(filled: Site) -> None:
    with filled.store.begin() as tx:
        plugins.set_rest(tx, "Works", plugins.Rest(2, 4_000_000_000.0))
    words = "stopped 2 times in a row for going over a limit; it is tried again at 2096-10-02 07:06:40 UTC"
    entry = next(entry for entry in plot_page(filled).entries if entry.plot.name == "Works")
    assert entry.rest == words
    assert words in [line.words for line in board(filled).lines]
    with pytest.raises(NoFigure, match="no run 6"):
        figure(filled, "6", "Works")
    with filled.store.begin() as tx:
        plugins.set_rest(tx, "Works", plugins.Rest())
