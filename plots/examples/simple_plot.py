import numpy as np

from plots.base import Plot
from plots.drawing import axes


class LatestData(Plot):
    title = "ADC of the latest 500 data packets"
    fields = ("dataword",)  # columns that the plot needs
    keep = 500

    def __call__(self, packets, fig):  # new packets in, figure updated: the figure is the memory
        if not fig.data:
            fig.add_scatter(y=np.zeros(0, "u1"), mode="markers", name="data packets")
            axes(fig, x="packet [newest is last]", y="dataword [ADC]")
        seen = np.asarray(fig.data[0].y)
        fig.data[0].y = np.append(seen, packets.data["dataword"]).astype("u1")[-self.keep :]
