"""What is known, on disk: runs, files, elements, trends, notices. SQLite (WAL) by default, PostgreSQL by URL.

One file per noun, one verb per function; each takes the connection of a transaction: ``with store.begin() as tx`` to
write, ``with store.read() as tx`` to read.
"""

from dqm.store.database import OldSchema, Store, StoreProblem, open_store

__all__ = ["OldSchema", "Store", "StoreProblem", "open_store"]
