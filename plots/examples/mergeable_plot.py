from plots.base import MergeablePlot, Trend, tally
from plots.drawing import axes, steps


class PacketsPerChip(MergeablePlot):
    title = "Data packets of each chip"
    fields = ("chip_id",)  # columns that the plot needs

    def count(self, packets):  # integers that add: called for each block of new packets, which may be empty
        return {"per_chip": tally((256,), packets.data["chip_id"])}

    def draw(self, state, fig):  # shows the sum in an empty Plotly figure
        steps(fig, list(range(256)), state["per_chip"], "all io_groups", "#0072B2")
        axes(fig, x="chip id [number]", y="data packets")

    def trends(self, state):  # numbers to follow over time, with their limits: (low, high)
        busiest = state["per_chip"].max()
        return {"busiest_chip_packets": Trend(busiest, "packets", warn=(None, 1_000_000))}
