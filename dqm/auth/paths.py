"""Where a browser may be sent after it signed in: to a page of this site, and nowhere else."""

from __future__ import annotations

from urllib.parse import urlsplit


def own(path: str, root: str = "") -> str:
    """`path` when it is one of this site, whose paths begin with `root`; else the first page."""
    first = f"{root}/"
    if not path.startswith("/") or path.startswith("//") or "\\" in path:
        return first
    if any(ord(c) <= 32 or ord(c) == 127 for c in path):  # browsers take out tabs and line ends, then look again
        return first
    try:
        parts = urlsplit(path)
    except ValueError:
        return first
    if parts.scheme or parts.netloc or not parts.path.startswith(first) or ".." in parts.path.split("/"):
        return first
    return path
