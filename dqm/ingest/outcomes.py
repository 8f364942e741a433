"""What the ledger says of a file after a pass over it."""

from __future__ import annotations

from typing import Any

from dqm.formats.reader import Cursor
from dqm.ingest.drafts import Counted
from dqm.records import FINISHED, FileState

GROWING_LOOK_S = 5.0


def still(counting: Counted, state: FileState, now: float, settle_s: float) -> dict[str, Any]:
    """What the ledger says of a file that is not at its end."""
    file, reading = counting.file, counting.reading
    if file.state in FINISHED or counting.scan is None:  # plots that lag behind do not move the file itself
        return {}
    quiet = file.attempts + 1 if reading.cursor.row == file.rows_done else 0
    look = settle_s if reading.closed else GROWING_LOOK_S * min(1 + quiet, 12)
    reason = "is being written"
    if reading.look.provisional:
        reason = "is being written without SWMR: shown provisionally, counted anew when it is closed"
    values = {"state": state, "reason": reason if state is FileState.GROWING else "", "next_look": now + look}
    return values | {"attempts": quiet, "progress": _progress(counting), "faults": reading.faults}


def done(counting: Counted, abandoned: bool, now: float, geometry: str) -> dict[str, Any]:
    """What the ledger says of a file that is read to its end; `geometry` is the one of the settings, or "auto"."""
    file, reading, scan = counting.file, counting.reading, counting.scan
    if scan is None:  # only plots that had not seen it
        return {"next_look": None}
    faults = [*reading.faults, *scan.faults]
    fit = reading.look.fit
    if fit.geometry is None and (scan.valid_data or geometry != "auto"):
        faults.append(fit.reason)
    if abandoned:
        faults.insert(0, "its writer never closed it, and it does not grow: counted as far as it goes")
    state = FileState.PARTIAL if (reading.damaged and reading.closed) or abandoned else FileState.DONE
    return {
        "state": state,
        "reason": "; ".join(faults),
        "faults": faults,
        "identity": reading.look.identity,
        "rows": scan.rows,
        "next_look": None,
        "attempts": 0,
        "done": file.done or now,
        "progress": _progress(counting),
    }


def is_abandoned(counting: Counted, start: Cursor) -> bool:
    """Whether a file that was never closed has been still for so long that nothing more is expected of it."""
    file, reading = counting.file, counting.reading
    return (
        reading.last and reading.cursor.row == start.row and not reading.closed and not reading.look.provisional
        and file.state not in FINISHED
    )  # fmt: skip


def _progress(counting: Counted) -> dict[str, Any] | None:
    if counting.scan is None:
        return None
    reading = counting.reading
    kept = {"faults": reading.faults, "damaged": True} if reading.damaged else {}
    return {"cursor": reading.cursor.to_json(), "scan": counting.scan_json, **kept}
