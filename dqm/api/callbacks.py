"""What comes to Dash's own endpoint and is none of what our pages send: a problem, as the API has it, and no failure.

A page of ours sends only what its callbacks can take. What else comes, such as a list for a filter, an output that there is
not or JSON of a thousand levels, ends in one of `ERRORS` somewhere in Dash or in a callback.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from flask import Flask, request
from werkzeug.exceptions import BadRequest, HTTPException

from dqm.api.problems import Problem

log = logging.getLogger("larboard.callbacks")

PATH = "/_dash-update-component"
ERRORS = (TypeError, AttributeError, LookupError, ValueError, OverflowError, RecursionError, BadRequest)
SAID_S = 60.0
"""A traceback of the same place is in the log once in so long: nobody fills it, and a fault of ours is still found."""


def register(server: Flask) -> None:
    """Answers 400 for what no callback can take."""
    said: dict[str, float] = {}
    lock = threading.Lock()

    def is_new(place: str) -> bool:
        now = time.monotonic()
        with lock:
            for old in [one for one, at in said.items() if now - at > SAID_S]:
                del said[old]
            if place in said:
                return False
            said[place] = now
            return True

    def refuse(error: Exception) -> Any:
        if request.path != PATH:
            if isinstance(error, HTTPException):
                return error
            raise error
        place = f"{type(error).__name__} at {_place(error)}"
        if is_new(place):
            log.warning("a callback cannot take what was sent: %s", place, exc_info=error)
        return Problem(400, "This is nothing that a page of Larboard sends; load the page anew.").response()

    for kind in ERRORS:
        server.register_error_handler(kind, refuse)


def _place(error: BaseException) -> str:
    """File and line where it came up."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
