"""The picture of sync intervals."""

from __future__ import annotations

from plots.sync_dt import SyncDt


def test_words_of_limits_on_both_sides_of_zero_stand_outside_their_lines() -> None:
    notes = {note.text: note.xanchor for note in SyncDt().figure(SyncDt().start()).layout.annotations}
    sides = {text: side for text, side in notes.items() if "suspect" in text or "bad" in text}
    assert sides == {"suspect -10": "right", "suspect +10": "left", "bad -100": "right", "bad +100": "left"}
