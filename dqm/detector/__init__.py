"""Where a channel is: io_group, io_channel, chip and channel to tile, pixel and position."""

from dqm.detector.detector import Detector, PixelTable
from dqm.detector.library import Library, Match, NoGeometry, find_geometry
from dqm.detector.synthetic import demo_detector

__all__ = ["Detector", "Library", "Match", "NoGeometry", "PixelTable", "demo_detector", "find_geometry"]
