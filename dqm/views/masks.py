"""Masks by their address, as links name them."""

from __future__ import annotations

import re
import time

from dqm.masks import Mask, read_mask
from dqm.store import StoreProblem, masks
from dqm.views.site import Site

ADDRESS = re.compile(r"[0-9a-f]{24}")
DAY_S = 86400


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
    if _used(site, address):
        return known
    with site.states_lock:
        site.masks.pop(address, None)
    return None


def _used(site: Site, address: str) -> bool:
    """Notes once a day that somebody looks at a mask; False when it was dropped meanwhile."""
    key = _used_key(address)
    if site.cache.get(key):
        return True
    try:
        with site.store.begin(wait=False) as tx:
            there = masks.use(tx, address, time.time())
    except StoreProblem:  # others write: the next look notes it
        return True
    if there:
        site.cache.set(key, True, expire=DAY_S)
    return there


def was_saved(site: Site, mask: Mask) -> None:
    """Keeps a mask that was saved right now at hand; that somebody looks at it is noted with it."""
    keep(site, mask)
    site.cache.set(_used_key(mask.address), True, expire=DAY_S)


def _used_key(address: str) -> tuple[str, str]:
    return ("mask used", address)


def keep(site: Site, mask: Mask) -> None:
    """Keeps a mask at hand, for a while."""
    with site.states_lock:
        site.masks[mask.address] = mask


def unknown_words(address: str) -> str:
    shown = address[:40] or "without an address"
    gone = "nobody used it for so long that it was dropped"
    return f"There is no mask {shown}: its link was cut, it is of another site, or {gone}."
