"""Channels that are left out, to see what a run is like without them."""

from dqm.masks.mask import MOST, NOTHING, Mask, NoMask, read_mask

__all__ = ["MOST", "NOTHING", "Mask", "NoMask", "read_mask"]
