"""An SVG picture before it leaves for a page: shapes, letters and pictures in it, and nothing that runs or fetches.

A browser runs no script of an SVG that is shown as a picture, but a picture may be saved and opened by itself. Only what
matplotlib draws with is kept, by name; whatever else there is goes, with all that is in it.
"""

from __future__ import annotations

import re
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

SHAPES = {"path", "rect", "circle", "ellipse", "line", "polyline", "polygon"}
ELEMENTS = SHAPES | {
    "svg", "g", "defs", "use", "clipPath", "image", "pattern", "linearGradient", "radialGradient", "stop", "text", "tspan",
}  # fmt: skip
ATTRIBUTES = {
    "id", "d", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "fx", "fy", "dx", "dy", "width",
    "height", "points", "viewBox", "preserveAspectRatio", "transform", "style", "fill", "fill-opacity", "fill-rule",
    "stroke", "stroke-width", "stroke-opacity", "stroke-linejoin", "stroke-linecap", "stroke-dasharray",
    "stroke-dashoffset", "stroke-miterlimit", "opacity", "clip-path", "clip-rule", "clipPathUnits", "patternUnits",
    "patternContentUnits", "patternTransform", "gradientUnits", "gradientTransform", "spreadMethod", "offset",
    "stop-color", "stop-opacity", "font-family", "font-size", "font-style", "font-weight", "text-anchor",
    "dominant-baseline", "image-rendering",
}  # fmt: skip
WITHIN = re.compile(r"url\(#[\w.-]+\)")
"""A reference to another part of the same picture."""
SUSPICIOUS = re.compile(r"url|image|src|expression|import|script|[\\@<&{}]|//", re.I)
PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*\Z")
MOST_BYTES = 4 << 20
ROOT = {
    "xmlns": "http://www.w3.org/2000/svg", "xmlns:xlink": "http://www.w3.org/1999/xlink",
    "stroke-linejoin": "round", "stroke-linecap": "butt",
}  # fmt: skip
"""Of the first element; how lines are joined stands in the style sheet of matplotlib, which goes."""


class NoPicture(ValueError):
    """Not an SVG that can be shown; the message says why."""


def harmless_svg(content: bytes) -> bytes:
    """The picture made of what is known to be harmless in it. Raises NoPicture."""
    if len(content) > MOST_BYTES:
        raise NoPicture(f"it has {len(content) >> 20} MB, at most {MOST_BYTES >> 20} are allowed")
    return _Copy().made_of(content)


def _may_stay(key: str, value: str) -> bool:
    return key in ATTRIBUTES and not SUSPICIOUS.search(WITHIN.sub("", value).replace("image-rendering", ""))


class _Copy:
    """Writes elements and attributes that are known, as they come."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.leaving_out = 0
        self.targets: set[str] = set()
        """Shapes so far: a `use` of anything else might use others in turn, without end."""
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._entity

    def made_of(self, content: bytes) -> bytes:
        try:
            self.parser.Parse(content, True)
        except expat.ExpatError as error:
            raise NoPicture(str(error)) from None
        return "".join(self.parts).encode()

    def _entity(self, *_: object) -> None:
        raise NoPicture("it declares entities")

    def _start(self, name: str, given: dict[str, str]) -> None:
        if not self.parts and name != "svg":
            raise NoPicture("its first element is not svg")
        refers = name in ("use", "image")
        href = given.get("href", given.get("xlink:href", "")) if refers else ""
        if self.leaving_out or name not in ELEMENTS or (refers and not self._may_refer(name, href)):
            self.leaving_out += 1
            return
        kept = {key: value for key, value in given.items() if _may_stay(key, value)}
        if not self.parts:
            kept = ROOT | {key: value for key, value in kept.items() if key not in ROOT}
        if refers:
            kept["xlink:href"] = href
        self.parts += [f"<{name}", *(f" {key}={quoteattr(value)}" for key, value in kept.items()), ">"]
        if name in SHAPES and "id" in kept:
            self.targets.add(kept["id"])

    def _may_refer(self, name: str, href: str) -> bool:
        return href[:1] == "#" and href[1:] in self.targets if name == "use" else PICTURE.match(href) is not None

    def _end(self, name: str) -> None:
        if self.leaving_out:
            self.leaving_out -= 1
        else:
            self.parts.append(f"</{name}>")

    def _text(self, text: str) -> None:
        if not self.leaving_out:
            self.parts.append(escape(text))
