"""Cursors: where a page ended, and of which list, as a word that means nothing to whoever passes it on."""

from __future__ import annotations

import base64
import binascii
import zlib

import orjson

from dqm.api.models import LARGEST, Listed
from dqm.api.problems import bad_request, wrong
from dqm.views.queries import Place


def cursor_to(place: Place | None, query: Listed) -> str | None:
    if place is None:
        return None
    content = orjson.dumps([place.offset, place.last, _list_of(query)])
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def place_of(query: Listed) -> Place | None:
    """Where `query` wants to go on. Raises Problem when its cursor is none, or one of another list."""
    if not query.cursor:
        return None
    text = query.cursor
    try:
        offset, last, of = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
        right = all(isinstance(n, int) and 0 <= n <= LARGEST for n in (offset, last))
    except (ValueError, TypeError, binascii.Error):
        right, of = False, None
    if not right:
        raise bad_request([wrong("cursor", "`next` of the page before", text)])
    if of != _list_of(query):
        raise bad_request([wrong("cursor", "`next` of a page of the same search in the same order", text)])
    return Place(offset, last)


def _list_of(query: Listed) -> int:
    asked = query.model_dump(exclude={"cursor", "limit"}, mode="json")
    return zlib.crc32(orjson.dumps([type(query).__name__, asked], option=orjson.OPT_SORT_KEYS))
