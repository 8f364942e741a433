"""Files that people ignore: taken out of their runs by the leader, and left alone until they are released."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from dqm.formats.hdf5 import UnreadableFile, check_regular
from dqm.ingest.commit import CannotRecount, Committer
from dqm.ingest.merging import StatesDropped
from dqm.records import DataFile, FileState
from dqm.store import files, parts, trends

PIECE = 1 << 16


def leave_out(commits: Committer, file: DataFile) -> None:
    """Nothing of an ignored file is counted any more; one that is left out already only says whether it changed."""
    content = content_of(Path(file.path))
    try:
        _take_out(commits, file, content)
    except StatesDropped:
        _count_the_others_anew(commits, file, content)


def _take_out(commits: Committer, file: DataFile, content: str) -> None:
    with commits.begin() as tx:
        had_parts = bool(parts.of_file(tx, file.id))
        _mark(commits, tx, file, content)
        if file.run_id is not None and (file.counted or had_parts):
            commits.rebuild(tx, file.run_id)


def _mark(commits: Committer, tx: Any, file: DataFile, content: str) -> None:
    """The row of an ignored file; its copies, and other forms of its datum, may be counted in its place."""
    known = file.ignored_content or content
    changed = "; its content has changed since" if content and content != known else ""
    parts.forget(tx, file.id)
    trends.forget(tx, file.id)
    files.update(
        tx, file.id, state=FileState.IGNORED, reason=file.ignored + changed, ignored_content=known, counted=False,
        rows_done=0, progress=None, identity=None, done=None, next_look=None, same_as=None,
    )  # fmt: skip
    for other in files.same_as(tx, file.id):
        files.recount(tx, other.id, "the file that its data were counted from is ignored")
        commits.disturbed(other.id)


def _count_the_others_anew(commits: Committer, file: DataFile, content: str) -> None:
    """Of a closed run only the sum is kept: without this file it is made again from the other files."""
    assert file.run_id is not None
    try:
        commits.recount_run(file.run_id)
    except CannotRecount as error:
        reason = f"cannot be ignored, what was counted of it stays: {error}"
        with commits.begin() as tx:
            files.update(tx, file.id, ignored="", ignored_content="", reason=reason, next_look=None)
        return
    with commits.begin() as tx:
        _mark(commits, tx, file, content)


def content_of(path: Path) -> str:
    """By which the content of any file is told, readable or not: its size, and its first, middle and last 64 KiB."""
    try:
        size = check_regular(path)
        digest = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            for at in (0, size // 2, max(size - PIECE, 0)):
                digest.update(os.pread(file.fileno(), PIECE, at))
    except (UnreadableFile, OSError):
        return ""
    return digest.hexdigest()[:32]
