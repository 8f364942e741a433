"""The site below a path of a host that has others (``web.prefix``), whether or not the proxy cuts that path off."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from dqm.edge.refusals import Refusal


def apply(environ: dict[str, Any], prefix: str) -> Refusal | None:
    """Moves the prefix from the path to the script name; a redirect when the slash behind it is missing."""
    if not prefix:
        return None
    path = environ.get("PATH_INFO", "")
    environ["SCRIPT_NAME"] = prefix
    if path.startswith(f"{prefix}/"):
        environ["PATH_INFO"] = path[len(prefix) :]
    elif path in ("", prefix):
        query = environ.get("QUERY_STRING", "")
        where = quote(f"{prefix}/") + (f"?{query}" if query else "")
        return Refusal(308, f"The site begins at {where}.", (("Location", where),))
    return None
