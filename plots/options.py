"""What the settings say to built-in plots: which triggers count, and how ADC counts become charge."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from dqm.detector.pedestals import Pedestals
    from plots.base import Plot


@dataclass(frozen=True)
class Calibration:
    """What turns ADC counts into charge. Defaults are those of the 2x2."""

    v_ref_mv: float = 1568.0
    v_cm_mv: float = 478.1
    gain_mv_per_ke: float = 4.522
    pedestal_mv: float = 580.0
    """Of channels that the file does not have, or of all without one."""
    pedestals: Pedestals | None = field(default=None, compare=False, repr=False)

    def electrons(self, packets: Any) -> tuple[np.ndarray, np.ndarray]:
        """Charge of each packet [e-], rounded, int64, and whether its pedestal was measured; each shape (n,)."""
        pedestal, known = np.full(len(packets), self.pedestal_mv), np.zeros(len(packets), bool)
        if self.pedestals is not None:
            pedestal, known = self.pedestals.of(packets, self.pedestal_mv)
        mv = packets["dataword"] / 256 * (self.v_ref_mv - self.v_cm_mv) + self.v_cm_mv - pedestal
        return np.rint(mv / self.gain_mv_per_ke * 1000).astype(np.int64), known


@dataclass(frozen=True)
class Options:
    """The settings of built-in plots, with what was read because of them."""

    trigger_io_group: int = 0
    """Whose trigger words count; 0: those of all io_groups, each trigger once."""
    trigger_bit: int = 1
    calibration: Calibration = field(default_factory=Calibration)
    pedestals: str = ""
    """Fingerprint of the pedestal file; empty without one."""
    problem: str = ""
    """Why there is no charge, in a sentence."""
    without: frozenset[str] = frozenset()
    """Built-in plots that are not run."""

    @classmethod
    def of(cls, settings: Any) -> Options:
        """The options that settings with fields of these names set; reads the pedestal file."""
        names = ("v_ref_mv", "v_cm_mv", "gain_mv_per_ke", "pedestal_mv")
        constants = {name: getattr(settings, name) for name in names}
        path, digest, problem, pedestals = settings.pedestal_file, "", "", None
        if path is not None:
            from dqm.detector.pedestals import BadPedestals, load_pedestals  # plug-in processes start without it

            try:
                pedestals, digest = load_pedestals(Path(path), settings.pedestal_keys)
                digest = f"{settings.pedestal_keys} {digest}"
            except BadPedestals as error:
                problem = f"{error} (plots.pedestal_file)"
        calibration = Calibration(**constants, pedestals=pedestals)
        without = frozenset(settings.without)
        return cls(settings.trigger_io_group, settings.trigger_bit, calibration, digest, problem, without)

    def version_of(self, names: tuple[str, ...], version: int) -> int:
        """The version of a plot whose numbers depend on the options `names`: its own for the defaults, else a large one."""
        default = Options()
        if all(getattr(self, name) == getattr(default, name) for name in names):
            return version
        text = repr([getattr(self, name) for name in names])
        return version + 1000 * (1 + int(hashlib.sha256(text.encode()).hexdigest()[:5], 16))


def configured(plot: type[Plot], options: Options) -> type[Plot]:
    """The plot class with its options: counted by others its numbers are of another version."""
    if not plot.uses:
        return plot
    mine = {
        "__module__": plot.__module__, "__doc__": plot.__doc__, "options": options,
        "version": options.version_of(plot.uses, plot.version),
        "unable": options.problem if "problem" in plot.uses else "",
    }  # fmt: skip
    return type(plot.__name__, (plot,), mine)
