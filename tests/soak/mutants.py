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

    save, calls = parts.save_all, [0]

    def saves(tx: Any, some: Any) -> None:
        save(tx, some)
        calls[0] += 1
        if calls[0] % 3 == 0:
            tx.exec_driver_sql("COMMIT")
            os.kill(os.getpid(), signal.SIGKILL)

    parts.save_all = saves


def loses_a_state() -> None:
    """Now and then a state is named that was never written."""
    from dqm.store.states import FileStates, address_of

    put, calls = FileStates.put_all, [0]

    def puts(self: Any, contents: Any) -> list[str]:
        calls[0] += len(contents)
        lost = calls[0] % 11 < len(contents)
        put(self, list(contents)[1:] if lost else contents)
        return [address_of(content) for content in contents]

    FileStates.put_all = puts  # type: ignore[method-assign]


MUTANTS = {mutant.__name__: mutant for mutant in (twice, cursor_first, loses_a_state)}


def break_it(name: str) -> None:
    MUTANTS[name]()
