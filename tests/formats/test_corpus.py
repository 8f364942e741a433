"""Every bad file of the corpus has a state and a reason, in a process with limits of time and memory."""

from __future__ import annotations

import re

import pytest

from tests.conftest import THOROUGH
from tests.formats import corpus, limited
from tests.formats.good_files import FORMATS

# cases whose answer is known: state, and words of the reason
KNOWN = {
    "an external link": ("quarantined", "external link to another file, which is not followed"),
    "an external link to this host": ("quarantined", "external link to another file, which is not followed"),
    "a soft link to itself": ("quarantined", "leads in a circle"),
    "a good soft link": ("ok", ""),
    "a virtual dataset of another file": ("quarantined", "in other files, which are not followed"),
    "values in another file": ("quarantined", "in other files, which are not followed"),
    "a bomb of zeros": ("partial", "expands to more than the|is not stored as it should be|are stored of its"),
    "deflated twice": ("quarantined", "is compressed 2 times over, expected once"),
    "an unknown filter": ("quarantined", "is compressed by filter 399, which is not known here"),
    "a chunk of gigabytes": ("quarantined", "has chunks of"),
    "rows of a megabyte": ("quarantined", "has rows of 1,0"),
}


def answers(form: str) -> dict[str, limited.Outcome]:
    outcomes = limited.run("tests.formats.corpus", "inspected", corpus.cases(form), seconds=60)
    return {outcome.name: outcome for outcome in outcomes}


@pytest.mark.parametrize("form", [*FORMATS, "foreign"])
def test_every_damaged_file_has_a_state_and_a_reason(form: str) -> None:
    found = answers(form)
    assert len(found) == len(corpus.cases(form)) >= (40 if form != "foreign" else 15)
    wrong = {
        name: one.end or one.value["complaint"] for name, one in found.items() if one.end or one.value["complaint"]
    }
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())
    for case, (state, words) in KNOWN.items():
        one = found.get(f"{form}: {case}")
        if one is not None:
            assert one.value["state"] == state, (case, one.value)
            assert re.search(words, one.value["reason"]), (case, one.value)


WATCHED = [*FORMATS, "foreign"] if THOROUGH > 1 else ["raw", "packets 2.4", "flow", "sim", "foreign"]
"""What the watch is given: one form of each reader; in `make soak` every form that there is."""


@pytest.mark.parametrize("form", WATCHED)
def test_the_watch_gives_each_a_state_and_a_reason_and_counts_the_good_file_among_them(form: str) -> None:
    (outcome,) = limited.run("tests.formats.corpus", "watched", [form], seconds=600, megabytes=500)
    assert outcome.end == ""
    assert not outcome.value, "\n".join(f"{name}: {what}" for name, what in outcome.value.items())


def test_a_case_that_crashes_hangs_or_takes_memory_is_named_and_the_next_ones_run() -> None:
    names = ["well", "crash", "well", "hang", "memory", "raise", "well"]
    ends = [
        outcome.end for outcome in limited.run("tests.formats.test_corpus", "acted", names, seconds=2, megabytes=50)
    ]
    assert ends[0] == ends[2] == ends[6] == ""
    assert ends[1] == "killed by SIGABRT"
    assert ends[3] == "took more than 2 s"
    assert ends[4].startswith("used ")
    assert ends[5] == "ZeroDivisionError: of all things"


def acted(name: str) -> str:
    """What a case may do to its process."""
    import os
    import time

    if name == "crash":
        os.abort()
    if name == "hang":
        time.sleep(60)
    if name == "memory":
        return str(len(bytearray(b"x") * (200 << 20)))
    if name == "raise":
        raise ZeroDivisionError("of all things")
    return name
