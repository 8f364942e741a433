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
    """The cursor is committed before the states, and now and then the process dies between the two."""
    from dqm.store import files

    update, calls = files.update, [0]

    def updates(tx: Any, file_id: int, **values: Any) -> None:
        update(tx, file_id, **values)
        if values.get("progress") and values.get("rows_done"):
            tx.exec_driver_sql("COMMIT")
            calls[0] += 1
            if calls[0] % 4 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            tx.exec_driver_sql("BEGIN IMMEDIATE")

    files.update = updates


def loses_a_state() -> None:
    """Now and then a state is named that was never written."""
    from dqm.store.states import FileStates, address_of

    put, calls = FileStates._put, [0]

    def puts(self: Any, content: bytes) -> str:
        calls[0] += 1
        return address_of(content) if calls[0] % 40 == 39 else put(self, content)

    FileStates._put = puts  # type: ignore[method-assign]


MUTANTS = {mutant.__name__: mutant for mutant in (twice, cursor_first, loses_a_state)}


def break_it(name: str) -> None:
    MUTANTS[name]()
