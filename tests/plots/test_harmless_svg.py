"""An SVG picture in a figure carries no script and no address, and still shows what matplotlib drew."""

from __future__ import annotations

import base64
import io
import json
import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from dqm.views.export import figure_json
from plots.harmless import Harmful
from plots.harmless_svg import ATTRIBUTES, ELEMENTS, MOST_BYTES, NoPicture, harmless_svg

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)
HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'


def cleaned(inner: str) -> str:
    return harmless_svg(f"{HEAD}{inner}</svg>".encode()).decode()


def assert_harmless(svg: str) -> None:
    targets = {
        element.get("id")
        for element in ElementTree.fromstring(svg).iter()
        if element.tag in (f"{SVG}path", f"{SVG}rect")
    }
    for element in ElementTree.fromstring(svg).iter():
        assert element.tag.removeprefix(SVG) in ELEMENTS
        for key, value in element.attrib.items():
            if key == HREF:
                assert value.startswith("data:image/png;base64,") or value[1:] in targets
                continue
            assert key in ATTRIBUTES
            assert not re.search(r"url\((?!#)|//|javascript|@|\\|expression", value, re.I)


def drawn() -> bytes:
    with matplotlib.rc_context({"svg.hashsalt": "x"}):
        figure = Figure(figsize=(6, 4))
        axes = figure.subplots(1, 3)
        axes[0].plot([1, 2, 3], "o-", label="a & <b>")
        axes[0].legend()
        axes[1].bar([1, 2], [3, 4], hatch="//")
        figure.colorbar(axes[2].imshow(np.arange(16).reshape(4, 4)), ax=axes[2])
        target = io.BytesIO()
        figure.savefig(target, format="svg")
    return target.getvalue()


def test_what_matplotlib_draws_stays() -> None:
    before = drawn()
    after = harmless_svg(before)
    assert_harmless(after.decode())
    for name in (b"<path", b"<use", b"<image", b"<clipPath", b"<pattern", b"clip-path=", b"transform="):
        assert after.count(name) == before.count(name) > 0, name
    assert b"<metadata" in before
    assert b"<metadata" not in after
    assert harmless_svg(after) == after


@pytest.mark.parametrize(
    "inner",
    [
        "<script>alert(1)</script>", "<SCRIPT>alert(1)</SCRIPT>", '<script href="http://e.example/x.js"/>',
        '<x:script xmlns:x="http://www.w3.org/2000/svg">alert(1)</x:script>', '<g onload="alert(1)" onclick="alert(1)"/>',
        "<foreignObject><iframe xmlns='http://www.w3.org/1999/xhtml' src='http://e.example'/></foreignObject>",
        '<a href="javascript:alert(1)"><text>click</text></a>', '<image href="http://e.example/x.png"/>',
        f'<image xlink:href="{PIXEL}" href="http://e.example/x.png"/>', '<use href="http://e.example/x.svg#a"/>',
        '<image href="data:image/svg+xml;base64,PHN2Zy8+"/>', "<style>@import url(http://e.example/x.css);</style>",
        '<rect style="fill:url(http://e.example/x)"/>', '<rect fill="url(//e.example/x)"/>',
        '<rect style="fill:u\\72l(x)"/>',
        '<animate attributeName="href" to="javascript:alert(1)"/>', '<set attributeName="onload" to="alert(1)"/>',
        '<feImage href="http://e.example/x"/>', '<?xml-stylesheet href="http://e.example/x.css"?>',
        "<!-- http://e.example -->",
        '<rect width="1" xml:base="http://e.example/"/>', '<text style="font-family:x;src:url(http://e.example/f)">t</text>',
    ],
)  # fmt: skip
def test_nothing_runs_and_nothing_is_fetched(inner: str) -> None:
    svg = cleaned(f"{inner}<path id='after' d='M0 0'/>")
    assert_harmless(svg)
    assert "e.example" not in svg
    assert "alert" not in svg
    assert 'id="after"' in svg, "what follows stays"


def test_one_shape_may_be_used_many_times_but_no_use_of_uses() -> None:
    svg = cleaned("<defs><path id='a' d='M0 0'/><g id='b'><use href='#a'/><use href='#a'/></g></defs><use href='#b'/>")
    assert svg.count("<use") == 2


pieces = st.lists(
    st.sampled_from(
        [
            "<g>", "</g>", "<script>", "</script>", "<rect ", "x='1' ", "style='fill:red;", "url(http://e)", "' ", "/>", ">",
            "<use href='#a'/>", "<path id='a'/>", "text", "&lt;", "&amp;", "<a href='javascript:x'>", "</a>",
            "<![CDATA[<script>]]>",
            "onload='x' ", "xlink:href='http://e' ", "<image ", f"href='{PIXEL}' ", "<!--", "-->", "<svg>", "</svg>",
        ]
    ),
    max_size=14,
).map("".join)  # fmt: skip


@given(pieces)
def test_whatever_comes_is_refused_or_harmless(inner: str) -> None:
    try:
        svg = cleaned(inner)
    except NoPicture:
        return
    assert_harmless(svg)
    assert harmless_svg(svg.encode()).decode() == svg


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html/>", "its first element is not svg"),
        (b"<svg", "unclosed token"),
        (b"", "no element found"),
        (b'<!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>', "it declares entities"),
        (b"<svg>" + bytes(MOST_BYTES), "it has 4 MB, at most 4 are allowed"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(NoPicture, match=reason):
        harmless_svg(content)


def with_picture(content: bytes) -> go.Figure:
    source = f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}"
    return go.Figure(layout={"images": [{"source": source}]})


def test_a_picture_in_a_figure_is_made_harmless_on_its_way_out() -> None:
    (image,) = json.loads(figure_json(with_picture(f"{HEAD}<script>x</script><path d='M0 0'/></svg>".encode())))[
        "layout"
    ]["images"]
    inner = base64.b64decode(image["source"].partition(",")[2]).decode()
    assert "<path" in inner
    assert "script" not in inner


def test_a_figure_whose_picture_cannot_be_read_is_refused_with_a_sentence() -> None:
    with pytest.raises(
        Harmful, match="a picture in the figure is no SVG that can be shown: its first element is not svg"
    ):
        figure_json(with_picture(b"<html/>"))
    broken = go.Figure(layout={"images": [{"source": "data:image/svg+xml;base64,###"}]})
    with pytest.raises(Harmful, match="is no SVG that can be shown"):
        figure_json(broken)


def test_an_svg_that_is_not_in_base64_goes() -> None:
    figure = go.Figure(layout={"images": [{"source": "data:image/svg+xml,<svg onload='x'/>"}]})
    assert "source" not in json.loads(figure_json(figure))["layout"]["images"][0]
