"""What a worker of the ingest is given: plots and geometries by the settings; and which executor the settings ask for."""

from __future__ import annotations

from dataclasses import dataclass

from dqm import logs
from dqm.ingest.executors.base import Executor
from dqm.ingest.oneshot import Sources
from dqm.ingest.work import Bench
from dqm.settings import Settings
from plots.discovery import Limits, Shelf


def sources_of(settings: Settings) -> Sources:
    """Where geometries are, by the settings."""
    detector = settings.detector
    return Sources(detector.directories, detector.modules, detector.name)


@dataclass(frozen=True)
class MakeBench:
    """Makes the bench of a worker; it travels to it as the JSON of the settings."""

    settings: str

    @property
    def key(self) -> str:
        return self.settings

    def __call__(self) -> Bench:
        settings = Settings.model_validate_json(self.settings)
        logs.set_up(settings.log.format, settings.log.level)
        shelf = Shelf(settings.plots.paths, Limits.of(settings.plots), settings.plots)

        def plots() -> dict:
            shelf.look()  # what was saved a moment ago is counted with
            return {name: found.plot for name, found in shelf.registry.plots.items()}

        return Bench(sources_of(settings), plots)


def executor_of(settings: Settings) -> Executor | None:
    """The executor that the settings ask for; None for inline, which the watch has itself. Raises what it cannot use."""
    ingest = settings.ingest
    # a worker needs no address of the database, and no password in it
    make = MakeBench(settings.model_dump_json(include={"plots", "detector", "ingest", "log"}))
    if ingest.executor == "processes":
        from dqm.ingest.executors.processes import Processes

        return Processes(make, ingest.workers, ingest.memory_mb)
    if ingest.executor == "dask":
        from dqm.ingest.executors.dask import Dask

        return Dask(make, ingest.scheduler)
    return None
