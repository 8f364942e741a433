"""`python -m tests.soak`: kills, and says in the end what was lost. Exit code 0 when nothing was."""

from __future__ import annotations

import argparse
import secrets
import sys

from tests.soak.harness import soak


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    asked.add_argument("--kills", type=int, default=200)
    asked.add_argument("--engine", choices=["sqlite", "postgresql", "both"], default="both")
    asked.add_argument(
        "--seed", type=int, default=None, help="says what arrives and what is killed; drawn when not given"
    )
    asked.add_argument("--keep", action="store_true", help="leave the folder with data, store and logs")
    asked.add_argument("--folder", default=None)
    options = asked.parse_args()
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    engines = ["sqlite", "postgresql"] if options.engine == "both" else [options.engine]
    from pathlib import Path

    failed = 0
    for engine in engines:
        print(f"{options.kills} kills, {engine}, --seed {seed}", flush=True)
        result = soak(
            options.kills, seed, engine, say=lambda text: print(text, flush=True), keep=options.keep,
            folder=Path(options.folder) / engine if options.folder else None,
        )  # fmt: skip
        for problem in result.problems:
            print(f"  {problem}", flush=True)
        failed += bool(result.problems)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
