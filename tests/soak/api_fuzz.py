"""The API asked with whatever its OpenAPI document allows and forbids: ``python -m tests.soak.api_fuzz --examples 2000``.

No answer may be a 5xx, and each is as the document says: its status, its type, its content. The site under it is a whole
one (`create_app`, edge included) over a store with runs, and everything is sent to it by WSGI.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

CHECKS = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
)
ENDLESS = "/api/v1/events"
"""Its answers do not end by themselves: tests/api/test_events.py has it."""
KNOWN = {"run": ["7", "8", "latest"], "file": ["1", "2"], "plot": ["AdcSpectrum", "PixelMap", "SyncDt"],
         "name": ["AdcSpectrum.mean", "PacketRate.packets"], "pixel": ["1-1-11-0"], "where": ["io_group:1"]}  # fmt: skip
"""What there is: runs, files, plots, trends."""
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


@dataclass
class Fuzzed:
    """What was asked and answered."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(operation, status) -> answers"""
    failures: list[str] = field(default_factory=list)

    @property
    def asked(self) -> int:
        return sum(self.statuses.values())


def fuzz(app: Any, examples: int, seed: int, say: Callable[[str], None] = lambda _: None) -> Fuzzed:
    """Asks each operation of the WSGI application `app` so often with what fits its document, and with what does not."""
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", _at_the_host_itself(app)).exclude(path=ENDLESS)
    found = Fuzzed()
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in MODES:
            try:
                strategy = operation.as_strategy(generation_mode=mode)
                _ask(strategy, found, operation.label, examples, seed)
            except (Exception, BaseExceptionGroup) as error:  # what is found is told with all the rest
                if type(error).__name__ not in (
                    "Unsatisfiable",
                    "SkipTest",
                ):  # nothing can be wrong where nothing is taken
                    found.failures.append(f"{operation.label}: {_words(error)}")
        say(
            f"{operation.label}: {sum(n for (label, _), n in found.statuses.items() if label == operation.label)} answers"
        )
    return found


def _at_the_host_itself(app: Any) -> Any:
    """Asked by the local admin: what writes is reached, too."""

    def local(environ: dict[str, Any], start: Any) -> Any:
        return app({**environ, "REMOTE_ADDR": "127.0.0.1"}, start)

    return local


def _ask(strategy: Any, found: Fuzzed, label: str, examples: int, seed: int) -> None:
    quiet = [HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large]

    @seeded(seed)
    @settings(
        max_examples=examples, database=None, deadline=None, suppress_health_check=quiet,
        phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(strategy, st.randoms(use_true_random=False))
    def ask(case: Any, random: Any) -> None:
        for part in (case.path_parameters, case.query):
            for name in KNOWN.keys() & (part or {}).keys():
                if random.random() < 0.7:  # else nearly nothing that is asked for would be there
                    part[name] = random.choice(KNOWN[name])
        answer = case.call(headers={"Accept-Encoding": "identity"})
        found.statuses[label, answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    ask()


def _words(error: BaseException) -> str:
    parts = getattr(error, "exceptions", ())
    return " | ".join(map(_words, parts)) if parts else " ".join(f"{type(error).__name__}: {error}".split())[:1500]


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.soak.api_fuzz", description=__doc__)
    asked.add_argument("--examples", type=int, default=2000, help="of each operation, fitting and not")
    asked.add_argument("--seed", type=int, default=None)
    options = asked.parse_args()
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    from app import create_app, warm
    from dqm.settings import DataSettings, Settings
    from dqm.store import open_store
    from tests.filling import fill

    with tempfile.TemporaryDirectory(prefix="larboard-fuzz-") as name:
        folder = Path(name)
        store = open_store(f"sqlite:///{folder}/larboard.sqlite", folder / "states")
        for run in (7, 8):
            fill(store, folder / "raw", run=run)
        app = create_app(Settings(data=DataSettings(directory=folder)), store)
        warm(app)
        found = fuzz(app.server, options.examples, seed, lambda text: print(f"  {text}", flush=True))
        app.server.config["LARBOARD_SITE"].close()
    kinds: Counter[int] = Counter()
    for (_, status), number in found.statuses.items():
        kinds[status] += number
    print(f"API fuzzed: {found.asked:,} answers, --seed {seed}: {dict(sorted(kinds.items()))}")
    for failure in found.failures:
        print(f"  {failure}")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
