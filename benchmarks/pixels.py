"""The map of 337,600 pixels and the biography of a channel: ``make bench``.

A geometry of the shape of the 2x2 (64 tiles; 48 of 4,900 pixels, 16 of 6,400) and 50 runs with a map each are made;
`larboard serve` is a process of its own, pages are in Chromium. Printed, each as the median of several:

- the detector from the navigation to the painted map, in a browser that was there before, and how long painting it took;
- from the page of the run, and one level down: from the click to the painted map;
- the server: the values of all pixels, when they are at hand and when a commit has changed them;
- a channel over 50 runs: the first time, and once each state was read.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from benchmarks.site import FIRST_VIEWPORT, larboard, visits, wait_until
from dqm.detector import Detector, Library
from dqm.records import Element, ElementState
from dqm.store import Store, elements, files, geometries, open_store, runs
from plots.base import LiveTime, State
from plots.pixel_map import PixelMap
from tests.browser.conftest import ARGUMENTS, chromium_path
from tests.postgresql import free_port

RUNS = 50
LIMIT_S = 0.5
DETECTOR = """\
drift_length: 30.27225
tpc_offsets: [[33.5, 0.0, 33.5], [33.5, 0.0, -33.5], [-33.5, 0.0, 33.5], [-33.5, 0.0, -33.5]]
module_to_io_groups: {1: [1, 2], 2: [3, 4], 3: [5, 6], 4: [7, 8]}
"""


def layout_yaml(chips: int, rows: int, columns: int, across: int, pitch_mm: float) -> str:
    """The tile layout of a module: 2 planes of 8 tiles, each `across` chips wide, a chip `columns` x `rows` pixels."""
    lines = ["multitile_layout_version: 0.0.1", f"pixel_pitch: {pitch_mm}", "chip_channel_to_position:"]
    for chip in range(chips):
        for pad in range(rows * columns):
            x, y = chip % across * columns + pad % columns, chip // across * rows + pad // columns
            lines.append(f"  {(11 + chip) * 1000 + pad}: [{x}, {y}]")
    lines.append("tile_chip_to_io:")
    for tile in range(16):
        plane, place = divmod(tile, 8)
        io = ", ".join(
            f"{11 + chip}: {1000 * (plane + 1) + 4 * place + 1 + chip * 4 // chips}" for chip in range(chips)
        )
        lines.append(f"  {tile + 1}: {{{io}}}")
    half = across * columns * pitch_mm / 2
    for name in ("tile_positions", "tile_orientations"):
        lines.append(f"{name}:")
        for tile in range(16):
            plane, place = divmod(tile, 8)
            at = [(-1, 1)[plane] * 304.0, (place // 2 * 2 - 3) * half, (place % 2 * 2 - 1) * half]
            lines.append(f"  {tile + 1}: {at if name == 'tile_positions' else [(-1, 1)[plane], 1, (-1, 1)[plane]]}")
    return "\n".join(lines) + "\n"


def shape_of_the_2x2(folder: Path) -> Detector:
    """A geometry of 337,600 pixels in files of `folder`."""
    folder.mkdir(parents=True)
    for module in range(4):
        # as at the 2x2 the third module has finer pixels
        layout = layout_yaml(160, 5, 8, 10, 3.8) if module == 2 else layout_yaml(100, 7, 7, 10, 4.434)
        (folder / f"multi_tile_layout-1.0.0_mod{module}_bench.yaml").write_text(layout)
    (folder / "shape.yaml").write_text(DETECTOR)
    return Library([folder]).get("shape")


def counted(detector: Detector, seed: int, mean: float = 30.0) -> State:
    """What PixelMap counts of a run of 100 s."""
    random, n = np.random.default_rng(seed), len(detector.pixels)
    state = PixelMap().start(detector)
    packets = random.poisson(mean * random.gamma(4, 0.25, n))
    packets[random.integers(0, n, 300)] = 0
    adc = packets * 40 + random.integers(-8, 9, n) * packets
    squares = adc**2 // np.maximum(packets, 1) + 80 * packets
    live = LiveTime({group: np.array([[0, 1_000_000_000]]) for group in detector.io_groups})
    state |= {"packets": packets, "adc": adc, "adc_squared": squares, "live": live}
    return state


def put_map(store: Store, detector: Detector, directory: Path, run: int, state: State) -> None:
    """A closed run with a map and nothing else."""
    now = time.time()
    with store.begin() as tx:
        run_id = runs.ensure(tx, str(run), run, "physics", [])
        geometries.note(tx, detector.geometry_id, detector.name, str(directory))
        if runs.by_id(tx, run_id).files == 0:
            file_id = files.add(tx, f"/nowhere/{run}.h5", "/nowhere", 1, 1, "", now)
            done = {"state": "done", "counted": True, "rows": 1000, "rows_done": 1000, "done": now, "next_look": None}
            start = now - 600 * (100 - run)
            files.update(tx, file_id, run_id=run_id, start=start, end=start + 100, **done)
            runs.recount(tx, run_id)
            runs.close(tx, run_id)
        element = Element(
            run_id, str(run), "PixelMap", PixelMap.version, detector.geometry_id, 0, store.states.put(state.to_bytes()),
            True, 1000, ElementState.OK, "", "", False, {}, now,
        )  # fmt: skip
        before = elements.get(tx, run_id, "PixelMap")
        elements.save(tx, replace(element, version=before.version if before else 0))


def painted(page: Page) -> None:
    page.wait_for_function("() => document.querySelector('.pixels[data-painted]')", polling=10)


def paint_ms(page: Page) -> float:
    return float(page.locator(".pixels").get_attribute("data-paint-ms") or "nan")


def from_the_run(page: Page, address: str, number: int) -> list[float]:
    """Seconds from a click on the page of the run to the painted detector: nothing of it is in the page yet."""
    taken = []
    for _ in range(number + 2):
        page.goto(f"{address}/runs/{RUNS}")
        link = page.locator("#to-pixels")
        link.wait_for()
        page.wait_for_function(FIRST_VIEWPORT)  # a click while Plotly begins waits for it
        begun = time.monotonic()
        link.click()
        painted(page)
        taken.append(time.monotonic() - begun)
    return taken[2:]


def clicks(page: Page, address: str, number: int) -> list[float]:
    """Seconds from a click on the detector to the painted io_group."""
    taken = []
    for place in range(number + 2):
        page.goto(f"{address}/runs/{RUNS}/detector")
        painted(page)
        box = page.locator(".pixels canvas").bounding_box()
        assert box
        begun = time.monotonic()
        page.mouse.click(box["x"] + 40 + place, box["y"] + 60)
        page.wait_for_selector(".pixels[data-level='io_group'][data-painted]")
        taken.append(time.monotonic() - begun)
    return taken[2:]


def seconds(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def get(url: str) -> int:
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return len(answer.read())


def lives(folder: Path, store: Store) -> tuple[float, float]:
    """Seconds for the biography of a channel over all runs: of states that nobody has read, and again."""
    from dqm.settings import DataSettings, DetectorSettings, Settings
    from dqm.views.channel_page import Wanted, life
    from dqm.views.site import open_site

    settings = Settings(
        data=DataSettings(directory=folder / "other"), detector=DetectorSettings(directories=[folder / "geometry"])
    )
    site = open_site(settings, store)
    life(site, Wanted("1-1-11-0", str(RUNS), 1))  # the geometry is read
    asked = Wanted("8-32-110-48", str(RUNS), RUNS)
    found = seconds(lambda: life(site, asked)), seconds(lambda: life(site, asked))
    site.cache.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7)
    number = parser.parse_args().times
    folder = Path(tempfile.mkdtemp(prefix="larboard-bench-"))
    port = free_port()
    detector = shape_of_the_2x2(folder / "geometry")
    (folder / "larboard.toml").write_text(
        f'[data]\ndirectory = "state"\n[ingest]\nroots = ["data"]\n[web]\nport = {port}\n'
        '[detector]\ndirectories = ["geometry"]\n',
        encoding="utf-8",
    )
    (folder / "state").mkdir()
    store = open_store(f"sqlite:///{folder}/state/larboard.sqlite", folder / "state/states")
    for run in range(1, RUNS + 1):
        put_map(store, detector, folder / "geometry", run, counted(detector, run))
    address = f"http://127.0.0.1:{port}"
    values = f"{address}/api/v1/runs/{RUNS}/pixels?value=rate"
    painting: list[float] = []

    def ready(page: Page) -> None:
        painted(page)
        painting.append(paint_ms(page))

    with larboard("serve", folder), sync_playwright() as playwright:
        wait_until(lambda: get(f"{address}/ready"))
        whole = visits(playwright, f"{address}/runs/{RUNS}/detector", ready, number + 2)
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        within, down = from_the_run(page, address, number), clicks(page, address, number)
        browser.close()
        warm = [seconds(lambda: get(values)) for _ in range(4 * number)][-number:]
        changed = []
        for _ in range(number):
            put_map(store, detector, folder / "geometry", RUNS, counted(detector, RUNS))
            time.sleep(0.5)  # the notice is told
            changed.append(seconds(lambda: get(values)))
        size = get(values)
    first, again = lives(folder, store)
    store.close()
    n = f"{len(detector.pixels):,} pixels"
    print(f"map of {n}, visits after the second, each in a new tab: painted {np.median(whole[2:]):.2f} s after the"
          f" navigation (worst {max(whole[2:]):.2f}), of which painting {np.median(painting[2:]):.0f} ms;"
          f" first visit of a new browser {whole[0]:.2f} s")  # fmt: skip
    print(f"  from the page of the run: painted {np.median(within):.2f} s after the click (worst {max(within):.2f})")
    print(f"  one level down: painted {np.median(down):.2f} s after the click (worst {max(down):.2f};"
          f" at most {LIMIT_S:g})")  # fmt: skip
    print(f"  the server: {size / 1e6:.2f} MB in {np.median(warm) * 1e3:.0f} ms, in {np.median(changed) * 1e3:.0f} ms after"
          " a commit")  # fmt: skip
    print(f"one channel in {RUNS} runs: {first:.2f} s ({first / RUNS * 1e3:.1f} ms a run), again {again * 1e3:.0f} ms")
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
