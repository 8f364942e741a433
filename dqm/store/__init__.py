"""What is known, on disk: runs, files, elements, trends, notices. SQLite (WAL) by default, PostgreSQL by URL.

One file per noun, one verb per function; each takes the connection of a transaction: ``with store.begin() as tx`` to
write, ``with store.read() as tx`` to read.
"""

from dqm.store.database import Store, open_store
from dqm.store.problems import OldSchema, StoreProblem

__all__ = ["OldSchema", "Store", "StoreProblem", "open_store"]
