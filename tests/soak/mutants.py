"""An ingest with a fault built in: what the harness must find, or it would find nothing. `python -c CODE % name`.

They change the store and the states, which every way of counting goes through.
"""

from __future__ import annotations

import os
import signal
from typing import Any

CODE = "import tests.soak.mutants as m; m.break_it({name!r}); from dqm.cli import main; main()"


def twice() -> None:
    """Every fifth block is added a second time."""
    from plots.state import State

    add, calls = State.add, [0]

    def adds(self: Any, counted: Any) -> Any:
        calls[0] += 1
        if calls[0] % 5 == 0:
            add(self, counted)
        return add(self, counted)

    State.add = adds  # type: ignore[method-assign]


def cursor_first() -> None:
    """The cursor of a plot is committed before its run, and now and then the process dies between the two."""
    from dqm.store import parts

    save, calls = parts.save, [0]

    def saves(tx: Any, part: Any) -> None:
        save(tx, part)
        calls[0] += 1
        if calls[0] % 25 == 0:
            tx.exec_driver_sql("COMMIT")
            os.kill(os.getpid(), signal.SIGKILL)

    parts.save = saves


def loses_a_state() -> None:
    """Now and then a state is named that was never written."""
    from dqm.store.states import FileStates, address_of

    put, calls = FileStates.put, [0]

    def puts(self: Any, content: bytes) -> str:
        calls[0] += 1
        return address_of(content) if calls[0] % 11 == 10 else put(self, content)

    FileStates.put = puts  # type: ignore[method-assign]


MUTANTS = {mutant.__name__: mutant for mutant in (twice, cursor_first, loses_a_state)}


def break_it(name: str) -> None:
    MUTANTS[name]()
