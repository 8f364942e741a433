"""What the demo detector shall do: all its parameters, in one frozen record."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

PACKETS_PER_SECOND = 30_000
"""About what a run with default rates gives, all packet types together; a test holds it to 5 %."""


@dataclass(frozen=True)
class DemoRun:
    """A run of the demo detector. The same record gives the same packets; the default rates about 30,000 a second.

    Rates are those of the whole detector. The run ends after `duration_s`, or with the last whole message within
    `packets` rows, whichever comes first.
    """

    seed: int = 1
    duration_s: float = 8.0
    start_unix: int = 1_720_000_000
    packets: int | None = None

    cosmic_hz: float = 100.0
    pps_cosmics: int = 0
    """Cosmics besides, 20 to 180 us before each PPS: their hits are made before the reset and read out after it."""
    spill_period_s: float = 1.2
    first_spill_s: float = 0.31
    tracks_per_spill: float = 20.0
    ar39_hz: float = 11_400.0
    hot_pixel_hz: tuple[float, ...] = (900.0, 400.0, 250.0, 120.0, 60.0)
    hot_burst_fraction: float = 0.3
    """Share of the hits of hot pixels that come in bursts, which fill the channel's FIFO."""

    dead_chips: int = 1
    disabled_fraction: float = 0.005
    """Share of the channels of living chips that are masked in their configuration and give nothing."""
    lifetime_us: float = 2200.0
    """Electron lifetime: charge decreases along the drift."""

    parity_error_fraction: float = 4e-4
    """Share of the data words that get one bit flipped on their way, whichever bit it is."""
    message_s: float = 0.02
    heartbeat_s: float | None = 0.5
    trigger_io_group: int = 1
    clock_ppm: tuple[float, ...] = (0.3, 2.5, 0.0, 0.7)
    """How much too fast the clock of each io_group runs, in turn: 2.5 ppm is 25 ticks too many at each PPS."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, expected 0 or more")
        if not self.duration_s > 0:
            raise ValueError(f"duration_s is {self.duration_s}, expected more than 0")
        if self.duration_s == math.inf and self.packets is None:
            raise ValueError("duration_s is infinite and packets is None: the run would never end")
        if self.packets is not None and self.packets < 1:
            raise ValueError(f"packets is {self.packets}, expected at least 1 or None")
        if not 0 < self.message_s <= 1 or abs(1 / self.message_s - round(1 / self.message_s)) > 1e-9:
            raise ValueError(
                f"message_s is {self.message_s}, expected a whole number of messages in a second, such as 0.02"
            )
        if self.spill_period_s < 0.01:
            raise ValueError(f"spill_period_s is {self.spill_period_s}, expected at least 0.01")

    @classmethod
    def of_packets(cls, packets: int, run: DemoRun | None = None, duration_s: float | None = None) -> DemoRun:
        """`run` (None: default rates) made so long that it gives `packets` rows, or up to a message (200 rows) fewer.

        With `duration_s` the rates are scaled so that the rows come in about that time.
        """
        run = run or cls()
        if duration_s is not None:
            run = run.busier(packets / (PACKETS_PER_SECOND * duration_s))
        return replace(run, packets=packets, duration_s=math.inf)

    def busier(self, factor: float) -> DemoRun:
        """This run with all rates times `factor`."""
        return replace(
            self,
            cosmic_hz=self.cosmic_hz * factor,
            tracks_per_spill=self.tracks_per_spill * factor,
            ar39_hz=self.ar39_hz * factor,
            hot_pixel_hz=tuple(rate * factor for rate in self.hot_pixel_hz),
        )

    @property
    def messages_per_second(self) -> int:
        return round(1 / self.message_s)
