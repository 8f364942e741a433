"""A synthetic detector that writes files as a DAQ would: made of nothing but a seed."""

from dqm.demo.live import LiveDetector
from dqm.demo.readout import Slice, slices
from dqm.demo.run import DemoRun
from dqm.demo.take import Subrun, Taken, demo_rows, take_run

__all__ = ["DemoRun", "LiveDetector", "Slice", "Subrun", "Taken", "demo_rows", "slices", "take_run"]
