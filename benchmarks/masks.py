"""What if 1,000 channels were left out of a run: ``make bench``, or ``python -m benchmarks.masks``.

Real parts: a run of the 2x2 detector of the samples (337,600 pixels; without samples the demo detector of 78,400), counted
by all plots, served by `larboard serve` in a process of its own, and the run page and the enlarged map in Chromium. Printed:

- by the server alone: seconds for the mask to be made, for each figure that follows it and for the page's numbers;
- in the browser: from the change of the mask to the last figure in view drawn and the last word on the page right, on the
  run page at its top, with the map in view, and on the page of the enlarged map.

Each mask is another one, so that nothing is taken from a cache but the sums of the run; the very first mask of a run, for
which these are read, is printed by itself.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright

from benchmarks.site import ask, larboard, wait_until
from dqm.demo import DemoRun, take_run
from dqm.detector import Detector, demo_detector
from dqm.ingest.oneshot import Sources, process
from dqm.store import open_store
from plots.discovery import discover
from tests.browser.conftest import ARGUMENTS, chromium_path
from tests.conftest import SAMPLES
from tests.filling import put
from tests.postgresql import free_port

CHANNELS = 1000
LIMIT_S = 0.5
RUN = 7
AT_ONCE = ("ChipRate", "HotPixels", "SilentChannels", "AdcMeans", "PixelMap")
WATCH = """() => {
  window.maskBench = { done: 0 };
  const look = () => {
    const panel = document.getElementById("what-if");
    const inView = [...document.querySelectorAll("#content [data-figure][data-at-once]")]
      .filter(f => { const b = f.getBoundingClientRect(); return b.height && b.bottom > 0 && b.top < innerHeight; });
    const mask = new URLSearchParams(location.search).get("mask") || "";
    const right = panel && mask && mask !== window.maskBench.before && panel.dataset.mask === mask
      && [...document.querySelectorAll(".mask-words")].length && document.body.dataset.benchWords === mask
      && inView.every(f => f.dataset.figure.includes(mask) && f.dataset.drawn);
    if (right && !window.maskBench.done) window.maskBench.done = performance.now();
    requestAnimationFrame(look);
  };
  new MutationObserver(() => {
    const link = document.querySelector("#what-if [data-export]");
    if (link) document.body.dataset.benchWords = (/masks\\/(\\w+)/.exec(link.getAttribute("href")) || [])[1] || "";
  }).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["href"] });
  look();
}"""


def detector() -> tuple[Detector, Path | None]:
    folder = SAMPLES / "geometry"
    if not folder.is_dir():
        return demo_detector(), None
    from dqm.detector import Library

    library = Library([folder])
    return max((library.get(name) for name in library.names), key=lambda known: len(known.pixels)), folder


def chips_of(where: Detector, seed: int) -> dict[str, list[int]]:
    """1,000 channels of the detector, anywhere."""
    chosen = np.random.default_rng(seed).choice(len(where.pixels), CHANNELS, replace=False)
    chips: dict[str, list[int]] = {}
    for label in where.labels(np.sort(chosen)):
        chip, _, channel = label.rpartition("-")
        chips.setdefault(chip, []).append(int(channel))
    return chips


def make(address: str, chips: dict[str, list[int]]) -> str:
    body = json.dumps({"run": str(RUN), "leave_out": chips}).encode()
    wanted = urllib.request.Request(f"{address}/api/v1/masks", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(wanted, timeout=20) as answer:
        return json.load(answer)["mask"]


def by_the_server(address: str, where: Detector, masks: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {}
    for seed in range(masks):
        begun = time.perf_counter()
        mask = make(address, chips_of(where, seed))
        taken.setdefault("making the mask", []).append(time.perf_counter() - begun)
        for plot in AT_ONCE:
            begun = time.perf_counter()
            ask(f"{address}/api/v1/runs/{RUN}/elements/{plot}/figure?mask={mask}")
            taken.setdefault(f"figure {plot}", []).append(time.perf_counter() - begun)
    return taken


def in_the_browser(page: Page, where: Detector, masks: int, first: int) -> list[float]:
    """Seconds from each change to the page that shows it."""
    page.evaluate(WATCH)
    seconds = []
    for seed in range(first, first + masks):
        page.wait_for_timeout(1500)
        took = page.evaluate(
            """async (text) => {
              const field = document.querySelector("#what-if textarea");
              field.value = text;
              window.maskBench.before = new URLSearchParams(location.search).get("mask") || "";
              window.maskBench.done = 0;
              const begun = performance.now();
              document.querySelector("[data-what-if=paste]").click();
              while (!window.maskBench.done && performance.now() - begun < 20000) await new Promise(requestAnimationFrame);
              return window.maskBench.done ? window.maskBench.done - begun : NaN;
            }""",
            json.dumps(chips_of(where, seed)),
        )
        seconds.append(took / 1000)
    return seconds


def say(what: str, seconds: list[float]) -> None:
    first, later = seconds[0], np.array(seconds[1:])
    print(f"  {what}: median {np.median(later):.3f} s, worst {later.max():.3f} s; the first {first:.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--masks", type=int, default=8, help="of each measurement")
    asked = parser.parse_args()
    where, geometries = detector()
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        taken = take_run(
            DemoRun(seed=1, duration_s=20, start_unix=int(time.time()) - 20),
            folder / "raw",
            RUN,
            raw=False,
            detector=where,
        )
        assert taken.packets
        report = process(
            taken.packets,
            [found.plot for found in discover().plots.values()],
            Sources([geometries] if geometries else []),
        )
        assert report.detector is where or report.detector
        store = open_store(f"sqlite:///{folder / 'larboard.sqlite'}", folder / "states")
        put(store, report, RUN)
        store.close()
        directories = f'directories = ["{geometries}"]' if geometries else ""
        (folder / "larboard.toml").write_text(
            f'[data]\ndirectory = "{folder}"\n[detector]\n{directories}\n[web]\nport = {port}\nrecount_s = 0\n'
        )
        address = f"http://127.0.0.1:{port}"
        with larboard("serve", folder), sync_playwright() as playwright:
            wait_until(lambda: ask(f"{address}/api/v1/runs/{RUN}"))
            print(
                f"{CHANNELS:,} channels left out of a run of {report.rows:,} packets, {len(report.detector.pixels):,} pixels"
                f" (load of the machine {psutil.getloadavg()[0]:.1f}); the goal is {LIMIT_S:g} s:"
            )
            for what, seconds in by_the_server(address, where, asked.masks).items():
                say(what, seconds)
            browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1920, "height": 1080})
            for place, (what, url, plot) in enumerate(
                (
                    ("run page, at its top", f"/runs/{RUN}", ""),
                    ("run page, the map in view", f"/runs/{RUN}", "PixelMap"),
                    ("enlarged map", f"/runs/{RUN}/PixelMap", ""),
                )
            ):
                page.goto(address + url)
                page.locator("#what-if > summary").click()
                page.locator("#what-if textarea").wait_for(state="attached")
                for _ in range(3):  # tiles above it may still grow
                    if plot:
                        page.locator(f"#tile-{plot}").evaluate("it => it.scrollIntoView({block: 'center'})")
                    page.wait_for_timeout(1000)
                say(f"browser: {what}", in_the_browser(page, where, asked.masks, 100 * (place + 1)))
            browser.close()


if __name__ == "__main__":
    main()
