"""What people do with a file of the ledger: read it again, ignore it, release it. The ingest that leads acts on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dqm.auth.roles import Actor, subsystem_of
from dqm.records import DataFile, FileState
from dqm.store import Store, audit, files
from dqm.views.file_page import NOT_AGAIN, NOT_IGNORED, subject
from dqm.views.queries import NotNow

REASON_MOST = 300


def retry(store: Store, actor: Actor, file_id: int, reason: str = "") -> DataFile | None:
    """Sends a file through all plots again; None when there is no such file. Raises NotNow and NotAllowed."""
    actor.require("shifter")
    return _change(store, actor, file_id, "read again", reason, _retry)


def ignore(store: Store, actor: Actor, file_id: int, reason: str = "") -> DataFile | None:
    """Leaves a file out, and takes what was counted of it out of its run; None, NotNow and NotAllowed as `retry`."""
    actor.require("expert", _subsystem(store, file_id))
    return _change(store, actor, file_id, "ignored", reason, _ignore)


def release(store: Store, actor: Actor, file_id: int, reason: str = "") -> DataFile | None:
    """Sends a file that was ignored, or is in quarantine, through all again; None, NotNow and NotAllowed as `retry`."""
    actor.require("expert", _subsystem(store, file_id))
    return _change(store, actor, file_id, "released", reason, _release)


def _subsystem(store: Store, file_id: int) -> str:
    with store.read() as tx:
        file = files.by_id(tx, file_id)
    return subsystem_of(file.format) if file else "*"


def _change(
    store: Store, actor: Actor, file_id: int, word: str, reason: str, act: Callable[[Any, DataFile, str], None]
) -> DataFile | None:
    reason = " ".join(reason.split())[:REASON_MOST]
    with store.begin() as tx:
        file = files.by_id(tx, file_id)
        if file is None:
            return None
        act(tx, file, f"{actor.name}: {reason}" if reason else actor.name)
        after = files.by_id(tx, file_id)
        assert after is not None
        before = {"state": file.state.value, "rows_done": file.rows_done}
        said = {"state": after.state.value} | ({"reason": reason} if reason else {})
        audit.note(tx, actor.name, word, subject(file_id), before, said)
        return after


def _retry(tx: Any, file: DataFile, who: str) -> None:
    if file.ignored:
        raise NotNow("It is ignored: release it, then it is read again.")
    if file.state in NOT_AGAIN:
        raise NotNow(NOT_AGAIN[file.state])
    files.recount(tx, file.id, f"to be read again, as asked by {who}")


def _ignore(tx: Any, file: DataFile, who: str) -> None:
    if file.ignored:
        raise NotNow("It is ignored already.")
    if file.state in NOT_IGNORED:
        raise NotNow(NOT_IGNORED[file.state])
    said = f"ignored by {who}"
    if file.counted:  # the leader takes it out of its run
        files.update(
            tx, file.id, ignored=said, reason=f"{said}; it is being taken out of its run", next_look=time.time()
        )
        return
    # at the next look the leader notes its content, and forgets what a look before may have counted
    files.update(tx, file.id, ignored=said, state=FileState.IGNORED, reason=said, next_look=time.time())


def _release(tx: Any, file: DataFile, who: str) -> None:
    if file.ignored:
        files.update(tx, file.id, ignored="", ignored_content="")
    elif file.state is not FileState.QUARANTINED:
        raise NotNow(f"It is {file.state.value}, neither ignored by anybody nor in quarantine.")
    files.recount(tx, file.id, f"released by {who}; to be read again")
