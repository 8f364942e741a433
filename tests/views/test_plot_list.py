"""What plots there are: on this host, in ingest, and what they do not agree about."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from dqm.records import Plugin
from dqm.settings import DataSettings, PlotSettings, Settings
from dqm.store import open_store, plugins
from dqm.views.plot_list import Entry, plot_list, plot_page
from dqm.views.site import Site, open_site

SLOW = """
from plots.base import Plot
open("{gate}").read()  # a pipe: until its other end is closed
class Slow(Plot):
    title = "Slow to import"
    def __call__(self, packets, fig): ...
"""


class Watched:
    """A lock that tells when somebody wants it."""

    def __init__(self, inner: Any):
        self.inner, self.wanted = inner, threading.Event()

    def acquire(self, timeout: float) -> bool:
        self.wanted.set()
        return self.inner.acquire(timeout=timeout)

    def release(self) -> None:
        self.inner.release()


def entry_of(site: Site, name: str) -> Entry:
    return next(entry for entry in plot_page(site).entries if entry.plot.name == name)


def test_each_plot_is_described_with_its_trends_and_limits(site: Site) -> None:
    rate = entry_of(site, "PacketRate")
    assert rate.plot.title == "Packet rate by type"
    assert (rate.origin, rate.kind, rate.group) == ("built-in", "all files of a run together", "Rates")
    limits = {trend.name: (trend.unit, trend.limits) for trend in rate.trends}
    assert limits["data_rate_hz"] == ("Hz", "suspect above 200 k, bad above 2 M")
    assert limits["packets"] == ("packets", "")
    assert rate.plot.trends == {trend.name: trend.unit for trend in rate.trends}
    assert len(plot_list(site.registry).plots) == len(plot_page(site).entries)


def test_before_any_ingest_nothing_is_compared(site: Site) -> None:
    page = plot_page(site)
    assert not page.counted
    assert len(page.notes) == 1
    assert not any(entry.difference for entry in page.entries)


def test_costs_are_shares_and_those_that_fail_stand_first(site: Site) -> None:
    with site.store.begin() as tx:
        plugins.found(tx, [Plugin(name, "built-in", name, "", "") for name in ("PacketRate", "AdcSpectrum")])
        plugins.cost(tx, "PacketRate", 10, 1_000_000, 3.0)
        plugins.cost(tx, "AdcSpectrum", 10, 1_000_000, 1.0, "MemoryError")
    rate = entry_of(site, "PacketRate")
    assert (rate.us_per_packet, rate.share, rate.packets) == (3.0, 0.75, 1_000_000)
    first = plot_page(site).entries[0]
    assert (first.plot.name, first.failures, first.last_failure) == ("AdcSpectrum", 1, "MemoryError")
    assert entry_of(site, "SyncDt").difference == "ingest has not found it: it is not counted"
    assert "SyncDt" in plot_page(site).notes[0]


def test_what_only_ingest_has_and_what_is_broken_where_is_said(site: Site, tmp_path: Path) -> None:
    here = tmp_path / "plugins" / "bad.py"
    here.write_text("1/0")
    with site.store.begin() as tx:
        broken = [
            Plugin("bad", str(here), "", "ZeroDivisionError", "Traceback"),
            Plugin("other", "/x.py", "", "SyntaxError", ""),
        ]
        plugins.found(tx, [Plugin("Elsewhere", "/y.py", "Elsewhere", "", ""), *broken])
    page = plot_page(site)
    assert [(fault.name, fault.where) for fault in page.faults] == [
        ("bad", "here and in ingest"),
        ("other", "in ingest"),
    ]
    assert page.faults[0].reason == "ZeroDivisionError: division by zero"
    assert [plugin.name for plugin in page.missing] == ["Elsewhere"]
    assert "cannot draw them: Elsewhere" in page.notes[-1]


def test_a_plug_in_that_fails_on_empty_input_is_listed_without_trends(site: Site, tmp_path: Path) -> None:
    (tmp_path / "plugins" / "fails.py").write_text(
        "from plots.base import MergeablePlot\nclass Fails(MergeablePlot):\n    title = 'x'\n"
        "    def count(self, packets): raise ValueError('no')\n    def draw(self, state, fig): ...\n"
    )
    assert entry_of(site, "Fails").trends == ()


def test_a_page_that_asks_while_a_plug_in_is_imported_has_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dqm.views.site.PATIENCE_S", 60.0)  # however busy the machine is
    folder = tmp_path / "plugins"
    folder.mkdir()
    settings = Settings(data=DataSettings(directory=tmp_path), plots=PlotSettings(paths=[folder]))
    store = open_store(f"sqlite:///{tmp_path / 'larboard.sqlite'}", tmp_path / "states")
    site = open_site(settings, store)
    assert "Slow" not in site.registry.plots
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (folder / "slow.py").write_text(SLOW.format(gate=gate))
    had: list[bool] = []

    def ask() -> None:
        had.append("Slow" in site.registry.plots)

    first, second = threading.Thread(target=ask), threading.Thread(target=ask)
    first.start()
    with gate.open("w"):  # opens once the plug-in is being imported
        site._look = lock = Watched(site._look)  # type: ignore[assignment]
        second.start()
        assert lock.wanted.wait(20)
    first.join()
    second.join()
    assert had == [True, True]
    site.close()
