"""ADC spectrum of each io_group. The file to copy for a plot of your own."""

import numpy as np

from plots.base import DATA, MergeablePlot, Trend, tally
from plots.drawing import axes, colour, number_in, steps


class AdcSpectrum(MergeablePlot):
    title = "ADC spectrum"
    group = "Charge"
    fields = ("io_group", "dataword")
    log_switch = True

    def count(self, packets):
        data = packets.data  # type 0 with valid parity
        return {"adc": tally((256, 256), data["io_group"], data["dataword"])}  # [io_group, ADC]

    def draw(self, state, fig):
        for io_group in np.flatnonzero(state["adc"].any(axis=1)):
            steps(fig, np.arange(256), state["adc"][io_group], f"io_group {io_group}", colour(io_group))
        axes(fig, x="dataword [ADC]", y="packets per ADC count")

    def rows_behind(self, clicked):  # a click on a bin shows the packets in it
        group = number_in(clicked.name)
        return None if group is None else {**DATA, "io_group": (group, group), "dataword": (clicked.low, clicked.low)}

    def trends(self, state):
        counts = state["adc"].sum(axis=0)
        mean, rms = mean_and_rms(counts, np.arange(256))
        return {
            "mean_adc": Trend(mean, "ADC", range=(0, 255), warn=(5, 200), alarm=(None, 250), reason="no data packets"),
            "rms_adc": Trend(rms, "ADC", range=(0, 128), alarm=(None, 127), reason="no data packets"),
        }


def mean_and_rms(counts, values):
    """Mean and standard deviation of integer `values` occurring `counts` times; (None, None) when there are none."""
    n, total, squares = (int((counts * values**power).sum()) for power in (0, 1, 2))
    return (total / n, (n * squares - total**2) ** 0.5 / n) if n else (None, None)
