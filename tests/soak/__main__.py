"""The long run: `python -m tests.soak`. Kills and faults on each engine, a backlog, the fuzz of readers and of the API.

Prints one line for each part at the end; with --write the figures go to docs/reliability.md. Exit code 0 when nothing was
lost, nothing counted twice, nothing stuck and nothing crashed.
"""

from __future__ import annotations

import argparse
import importlib.util
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY
from tests.soak import backlog, reliability
from tests.soak.harness import Result, soak

ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


@dataclass
class Outcome:
    """One part: a sentence, and what it found wrong."""

    part: str
    sentence: str
    problems: list[str]


def main() -> int:
    options = _options()
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    print(f"--seed {seed}", flush=True)
    outcomes = [part(options, seed) for name, part in PARTS.items() if name in options.parts.split(",")]
    print()
    for outcome in outcomes:
        print(f"{outcome.part}: {outcome.sentence}")
        for problem in outcome.problems:
            print(f"  {problem}")
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def _options() -> Any:
    asked = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    asked.add_argument("--parts", default=",".join(PARTS), help="which, separated by commas")
    asked.add_argument("--seed", type=int, default=None, help="what arrives and what is killed; drawn when not given")
    asked.add_argument("--engine", choices=[*ENGINES, "both"], default="both")
    asked.add_argument("--kills", type=int, default=200, help="on each engine")
    asked.add_argument(
        "--fault-every", type=int, default=10, help="after so many kills something else goes wrong; 0: never"
    )
    asked.add_argument("--files", type=int, default=10_000, help="of the backlog")
    asked.add_argument("--cases", type=int, default=100_000, help="of the fuzz of each reader")
    asked.add_argument("--examples", type=int, default=2000, help="of the fuzz of each operation of the API")
    asked.add_argument("--write", action="store_true", help="write the figures to docs/reliability.md")
    asked.add_argument("--keep", action="store_true", help="leave the folder with data, store and logs")
    asked.add_argument("--folder", type=Path, default=None)
    return asked.parse_args()


def _kills(options: Any, seed: int) -> Outcome:
    engines = ENGINES if options.engine == "both" else [options.engine]
    results = [_kills_on(engine, options, seed) for engine in engines]
    sentences = "; ".join(result.summary() for result in results)
    return Outcome("kills", sentences, [problem for result in results for problem in result.problems])


def _kills_on(engine: str, options: Any, seed: int) -> Result:
    print(f"{options.kills} kills on {ENGINES[engine]}, --seed {seed}", flush=True)
    folder = options.folder / engine if options.folder else None
    result = soak(
        options.kills, seed, engine, folder=folder, keep=options.keep, fault_every=options.fault_every, every_way=True,
        retries=True, say=lambda text: print(text, flush=True),
    )  # fmt: skip
    if options.write:
        faults = sum(result.faults.values())
        kinds = (
            f" and {faults} faults ({', '.join(f'{n} x {name}' for name, n in result.faults.items())})"
            if faults
            else ""
        )
        injected = f"{result.killed} x SIGKILL{kinds}"
        survived = f"{result.killed + faults}" if not result.problems else f"{len(result.problems)} findings"
        lost = (
            f"0 lost, 0 twice of {result.packets:,} packets in {result.files} files that came in {len(result.ways)} ways; "
            f"0 of {result.notices} notices, 0 of {result.changes} changes"
        )
        reliability.write(
            f"kill -9, {ENGINES[engine]}", injected, survived, lost if not result.problems else "see findings"
        )
    return result


def _backlog(options: Any, seed: int) -> Outcome:
    result = backlog.work_off(options.files)
    if options.write:
        rates = f"{min(result.tenths, default=0):.1f} to {max(result.tenths, default=0):.1f} files/s in each tenth"
        late = (
            f"one that came meanwhile after {result.late_s:.1f} s"
            if result.late_s is not None
            else "the late one never"
        )
        lost = f"{len(result.problems)}; {rates}; {late}"
        reliability.write(
            "backlog at the start", f"{result.files:,} files", "all" if not result.problems else "not all", lost
        )
    return Outcome("backlog", result.summary(), result.problems)


def _module(part: str, module: str, arguments: Callable[[Any], list[str]], injected: Callable[[Any], str]) -> Any:
    """A part that is a program of its own; its last line is its summary."""

    def run(options: Any, seed: int) -> Outcome:
        if importlib.util.find_spec(module) is None:
            return Outcome(part, "is not in this tree", [])
        command = [sys.executable, "-m", module, *arguments(options), "--seed", str(seed)]
        done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lines = [line for line in done.stdout.splitlines() if line.strip()] or ["without a word"]
        problems = lines[-30:] if done.returncode else []
        if options.write:
            reliability.write(
                part, injected(options), "all" if not problems else "not all", lines[-1].replace("|", "/")
            )
        return Outcome(part, lines[-1], problems)

    return run


PARTS: dict[str, Callable[[Any, int], Outcome]] = {
    "kills": _kills,
    "backlog": _backlog,
    "readers": _module(
        "fuzz of the readers", "tests.soak.fuzz", lambda o: ["--cases", str(o.cases)], lambda o: f"{o.cases:,} for each"
    ),
    "api": _module(
        "fuzz of the API", "tests.soak.api_fuzz", lambda o: ["--examples", str(o.examples)],
        lambda o: f"{o.examples:,} requests for each operation",
    ),
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
