"""A figure before it leaves for a page or a report: no script, no address of another host, no HTML but Plotly's few tags.

Texts and pictures are taken out or made plain, since what is left still shows the data. A figure that cannot be drawn
without another host, such as a map of tiles, is refused with a sentence: a hole where it was would be silently wrong.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson

from plots.harmless_svg import NoPicture, harmless_svg

TAGS = {"b", "i", "em", "strong", "u", "s", "br", "sub", "sup", "span", "extra"}
"""What Plotly renders in a text, but for links; extra is the box beside a hover text."""
STYLE = re.compile(r"(color|font-size|font-weight|font-style)\s*:\s*([#\w.%() ,-]{1,60})", re.I)
IMAGE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*\Z")
SVG = "data:image/svg+xml;base64,"
FETCHES = {
    "choropleth", "scattergeo", "choroplethmap", "choroplethmapbox", "scattermap", "scattermapbox", "densitymap",
    "densitymapbox",
}  # fmt: skip
"""Traces whose map comes from other hosts."""
ADDRESSES = {"source", "src", "href", "url", "target", "accesstoken", "topojsonurl", "plotlyserverurl", "sourcetype"}
DROPPED = re.compile(r"(geo|map|mapbox)\d*|modebar|config")
"""Parts of a layout that only name other hosts or buttons that send to them."""
SUSPICIOUS = re.compile(r"[<\x00-\x08\x0b-\x1f]|:|url\s*\(", re.I)
TAG = re.compile(r"<(/?)([a-zA-Z!?/][^\s<>/]*)([^<>]*)>")
OPEN_TAG = re.compile(r"<(?=[a-zA-Z!?/])(?![^<>]*>)")
GAP = r"[\s\x00-\x20]*"
SCHEMES = re.compile(
    "|".join(GAP.join(word) + GAP + ":" for word in ("javascript", "vbscript", "livescript"))
    + rf"|data{GAP}:{GAP}[\w.+-]+{GAP}/"
    + r"|[a-z0-9+.-]{0,30}:[\\/]{2,}"
    + r"|url\s*\(",
    re.I,
)
DEPTH = 64
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*\Z")


class Harmful(ValueError):
    """A figure that cannot be made harmless; the message says why."""


def harmless(figure: Mapping[str, Any]) -> dict[str, Any]:
    """The figure (an object of data, layout, frames) without anything that could run or fetch. Raises Harmful."""
    kept = {key: figure[key] for key in ("data", "layout", "frames") if key in figure}
    return {key: _clean(value, key, 0) for key, value in kept.items()}


def _clean(value: Any, key: str, depth: int) -> Any:
    if depth > DEPTH:
        raise Harmful(f"the figure is nested more than {DEPTH} deep")
    if isinstance(value, str):
        return _address(value) if _last(key) in ADDRESSES else plain(value)
    if isinstance(value, Mapping):
        return _object(value, depth)
    if isinstance(value, (list, tuple)):
        return [item if type(item) in (int, float) else _clean(item, key, depth + 1) for item in value]
    if isinstance(value, np.ndarray) and value.dtype.kind in "OUSV":
        return [_clean(item, key, depth + 1) for item in value.tolist()]
    return value


def _object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    """An object without what fetches; a typed array, which is most of a figure, as it is."""
    if value.keys() >= {"dtype", "bdata"} and isinstance(value["bdata"], str) and BASE64.match(value["bdata"]):
        return {k: value[k] for k in ("dtype", "bdata", "shape") if k in value}
    kind = value.get("type")
    for given in kind if isinstance(kind, (list, tuple)) else [kind]:
        if isinstance(given, str) and given.lower() in FETCHES:
            raise Harmful(f"a trace of type {plain(given)} fetches its map from other hosts; draw a heat map instead")
    clean: dict[str, Any] = {}
    for key, inner in value.items():
        name = str(key)
        if _last(name) == "type" and name != "type":  # of a button: restyle({"type": ...})
            _object({"type": inner}, depth)
        first = re.split(r"[.\[]", name, maxsplit=1)[0].lower()
        if DROPPED.fullmatch(first) or first in FETCHES:  # the latter of a template
            continue
        kept = _template(inner) if name == "template" else _clean(inner, name, depth + 1)
        if not (_last(name) in ADDRESSES and isinstance(inner, str) and kept == ""):
            clean[plain(name)] = kept
    return clean


def _template(value: Any) -> Any:
    """The same few in all figures: cleaned once."""
    return orjson.loads(
        _clean_template(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS))
    )


@functools.lru_cache(maxsize=16)
def _clean_template(content: bytes) -> bytes:
    return orjson.dumps(_clean(orjson.loads(content), "", DEPTH // 2))


def _last(key: str) -> str:
    """``source`` of ``layout.images[0].source``: buttons name what they change like this."""
    return re.split(r"[.\[\]]+", key.rstrip("]"))[-1].lower()


def _address(value: str) -> str:
    """A picture that is in the figure itself; nothing else is followed."""
    return _svg(value) if value.startswith(SVG) else value if IMAGE.match(value) else ""


def _svg(value: str) -> str:
    """An SVG picture with nothing but harmless parts. Raises Harmful: without it the figure may be empty."""
    try:
        content = harmless_svg(base64.b64decode(value.removeprefix(SVG), validate=True))
    except (binascii.Error, NoPicture) as error:
        raise Harmful(f"a picture in the figure is no SVG that can be shown: {plain(str(error))}") from None
    return SVG + base64.b64encode(content).decode()


def plain(text: str) -> str:
    """A text with Plotly's own tags at most, and without the beginning of any address."""
    if not SUSPICIOUS.search(text):
        return text
    text = "".join(c for c in text if c >= " " or c in "\t\n")
    text = _until_still(text, lambda t: TAG.sub(_tag, SCHEMES.sub("", t)))
    return OPEN_TAG.sub("&lt;", text)


def _until_still(text: str, step: Callable[[str], str], most: int = 8) -> str:
    """What is taken out may let its neighbours meet: until nothing changes, or without any tag or colon at all."""
    for _ in range(most):
        before, text = text, step(text)
        if text == before:
            return text
    return text.replace("<", "&lt;").replace(":", " ").replace("(", " ")


def _tag(found: re.Match[str]) -> str:
    """One of the few tags, with nothing but a harmless style; nothing for any other."""
    slash, name, rest = found[1], found[2].lower(), found[3]
    if name not in TAGS:
        return ""
    styles = STYLE.findall(rest) if name == "span" and not slash and "\\" not in rest and "&" not in rest else []
    allowed = ";".join(f"{key.lower()}:{value.strip()}" for key, value in styles if "url" not in value.lower())
    return f'<{slash}{name} style="{allowed}">' if allowed else f"<{slash}{name}>"
