"""What is fixed for a whole run: channels alive, hot and dead, their pedestals, and the chip configurations."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass

import numpy as np

from dqm.demo.run import DemoRun
from dqm.detector import Detector

# second word of the seed of each random stream; the seconds of a run have streams 1 and 2
FIXED_STREAM = 0
PEDESTAL_COUNTS = 24.0
PEDESTAL_SPREAD = 2.0
THRESHOLD_GLOBAL = 38
SETTINGS = {
    "threshold_global": THRESHOLD_GLOBAL, "csa_gain": 0, "vref_dac": 223, "vcm_dac": 68, "ibias_csa": 8, "ibias_comp": 8,
    "ref_current_trim": 16, "adc_hold_delay": 15, "enable_periodic_reset": 1, "periodic_reset_cycles": 4096,
    "enable_hit_veto": 1, "mark_first_packet": 1,
}  # fmt: skip
"""What is the same on every chip of the demo detector."""
TRIM_DAC = (10, 22)
CHANNELS = 64
CONFIG_NAME = "demo/asic_configs/config_{}-{}-{}.json"


@dataclass(frozen=True)
class Channels:
    """State of the channels of a detector in one run; pixels are indices into its pixel table."""

    detector: Detector
    chip: np.ndarray
    """Dense chip index of each pixel, shape (n_pixel,)."""
    dead_chips: np.ndarray
    disabled: np.ndarray
    """Masked pixels on living chips."""
    hot: np.ndarray
    """Hot pixels, in the order of DemoRun.hot_pixel_hz."""
    alive: np.ndarray
    """Whether each pixel can give a hit, shape (n_pixel,), bool."""
    pedestal: np.ndarray
    """Pedestal of each pixel [counts], shape (n_pixel,)."""
    trim: np.ndarray
    """pixel_trim_dac of each pixel, shape (n_pixel,)."""

    @classmethod
    def of(cls, run: DemoRun, detector: Detector) -> Channels:
        rng = np.random.default_rng([run.seed, 0, FIXED_STREAM])
        table = detector.pixels
        key = table.tile.astype(np.int64) << 8 | table.chip_id
        names, chip = np.unique(key, return_inverse=True)
        dead = np.sort(rng.choice(len(names), run.dead_chips, replace=False))
        living = np.flatnonzero(~np.isin(chip, dead))
        disabled = np.sort(rng.choice(living, round(run.disabled_fraction * len(living)), replace=False))
        alive = np.zeros(len(table), bool)
        alive[living] = True
        alive[disabled] = False
        hot = rng.choice(np.flatnonzero(alive), len(run.hot_pixel_hz), replace=False)
        pedestal = rng.normal(PEDESTAL_COUNTS, PEDESTAL_SPREAD, len(table))
        trim = rng.integers(*TRIM_DAC, len(table))
        return cls(detector, chip, dead, disabled, hot, alive, pedestal, trim)

    def chip_labels(self, chips: np.ndarray) -> list[str]:
        """``io_group-io_channel-chip`` of chip indices."""
        first = [int(np.argmax(self.chip == chip)) for chip in chips]
        return [label.rpartition("-")[0] for label in self.detector.labels(np.array(first, np.intp))]


def daq_configs(channels: Channels) -> bytes:
    """The configurations of all living chips as a tar archive, the same bytes for the same channels."""
    table = channels.detector.pixels
    n_chips = int(channels.chip.max()) + 1
    masks = np.ones((n_chips, CHANNELS), np.uint8)  # a channel without a pixel is masked
    masks[channels.chip, table.channel_id] = ~channels.alive
    trims = np.full((n_chips, CHANNELS), 31, np.uint8)
    trims[channels.chip, table.channel_id] = channels.trim
    _, first = np.unique(channels.chip, return_index=True)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        # a dead chip does not answer, so it has no configuration
        for chip in np.setdiff1d(np.arange(n_chips), channels.dead_chips).tolist():
            pixel = first[chip]
            config = {
                "channel_mask": masks[chip].tolist(),
                "pixel_trim_dac": trims[chip].tolist(),
                **SETTINGS,
            }
            content = json.dumps(config, separators=(",", ":")).encode()
            name = CONFIG_NAME.format(table.io_group[pixel], table.io_channel[pixel], table.chip_id[pixel])
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()
