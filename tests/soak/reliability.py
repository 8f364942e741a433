"""The figures of docs/reliability.md: each part of the long run writes its own line, and nobody else."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "reliability.md"
BEGIN, END = "<!-- figures of the long run: written by `make soak` -->", "<!-- end of the figures -->"


def write(part: str, injected: str, survived: str, lost: str, document: Path = DOCUMENT) -> None:
    """Puts the line of `part` between the markers, in the place of the one that was there."""
    text = document.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    lines, after = rest.split(END)
    line = f"| {part} | {injected} | {survived} | {lost} | {where()} |"
    kept = [old for old in lines.strip().splitlines() if not old.startswith(f"| {part} |")]
    document.write_text(f"{before}{BEGIN}\n" + "\n".join([*kept, line]) + f"\n{END}{after}", encoding="utf-8")


def where() -> str:
    """When, of what, on what."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {memory:.0f} GB"
    return f"{datetime.now(UTC):%Y-%m-%d}, {version()}, {machine}"


def version() -> str:
    """The commit, or the version of an unpacked archive."""
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True)
    if asked.returncode == 0:
        return asked.stdout.strip()
    found = re.search(r'"([^"]+)"', (REPOSITORY / "dqm/__init__.py").read_text())
    return found[1] if found else "unknown"
