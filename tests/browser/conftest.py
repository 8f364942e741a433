"""A real Chromium (Debian's package), without a network, and pages that must not complain."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

# how fast a page is, benchmarks say; here it may take its time, on a machine with other work too
expect.set_options(timeout=30_000)

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_path() -> str:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell")
    assert path, "no chromium: `make browser` installs it"
    return path


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page that fails its test when it logs an error or asks the network for anything but 127.0.0.1."""
    context = chromium.new_context(viewport={"width": 1366, "height": 768}, color_scheme="light")
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: complaints.append(request.url) if not is_local(request.url) else None)
    yield page
    context.close()
    assert complaints == []


def is_local(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:", "http://127.0.0.1"))


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a good file, of one without a geometry, of a broken one, with a broken plot, under nasty names."""
    from dqm.demo import DemoRun, take_run
    from dqm.formats.writers import PacketWriter
    from dqm.ingest.oneshot import Sources, process
    from dqm.views.report import ReportWriter
    from plots.discovery import Broken, discover
    from tests.conftest import packets_of

    folder = tmp_path_factory.mktemp("report")
    taken = take_run(DemoRun(duration_s=3), folder, raw=False)
    assert taken.packets
    nasty = folder / "<img src=x onerror=alert(1)>.h5"
    with PacketWriter(nasty) as writer:
        writer.write(packets_of(50, io_group=99, valid_parity=1))
    (folder / "empty.h5").touch()
    paths = [taken.packets, nasty, folder / "empty.h5"]
    writer = ReportWriter(folder / "report.html", paths)
    for path in paths:
        made = process(path, [found.plot for found in discover().plots.values()], Sources())
        if path is nasty:
            made.elements[0].fail("drawing", ValueError("</script><script>alert(2)</script>"))
        writer.add(made)
    writer.close([Broken("bad", "plugins/bad.py", "ImportError: no such library", "Traceback ...")])
    return folder / "report.html"
