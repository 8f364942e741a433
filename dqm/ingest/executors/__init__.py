"""Where the tasks of the ingest are done: in its own process, in a pool of processes, on a Dask cluster."""

from dqm.ingest.executors.base import Away, Executor, Lost, TooLong, WorkerTrouble
from dqm.ingest.executors.inline import Inline

__all__ = ["Away", "Executor", "Inline", "Lost", "TooLong", "WorkerTrouble"]
