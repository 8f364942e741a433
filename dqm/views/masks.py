"""Masks by their address, as links name them."""

from __future__ import annotations

import re

from dqm.masks import Mask, read_mask
from dqm.store import masks
from dqm.views.site import Site

ADDRESS = re.compile(r"[0-9a-f]{24}")


def find(site: Site, address: str) -> Mask | None:
    """The mask of an address; None when there is none."""
    if not ADDRESS.fullmatch(address):
        return None
    with site.states_lock:
        known: Mask | None = site.masks.get(address)
    if known is None:
        with site.store.read() as tx:
            content = masks.content(tx, address)
        if content is None:
            return None
        known = read_mask(content)[0]
        keep(site, known)
    return known


def keep(site: Site, mask: Mask) -> None:
    """Keeps a mask at hand, for a while."""
    with site.states_lock:
        site.masks[mask.address] = mask


def unknown_words(address: str) -> str:
    return f"There is no mask {address[:40] or 'without an address'}: its link was cut, or it is of another site."
