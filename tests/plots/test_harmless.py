"""A figure from any plot carries no script, no address of another host, and no HTML but Plotly's few tags."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqm.views.export import figure_json
from plots.harmless import TAGS, Harmful, harmless, plain

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)
PIECES = [
    "<script>", "</script>", "<a href='http://evil.example/'>", "</a>", "<img src=x onerror=", "alert(1)", ">", "<",
    "javascript:", "java\tscript:", "JaVaScRiPt\n:", "data:text/html,", "data:text/html;base64,", "//evil.example",
    "https://evil.example/x.png", "http:\\\\evil.example", "<b>", "</b>", "<br>", "</span>", "url(", "<scr", "ipt>",
    "<span style='fill:url(http://e.example/)'>", "<span style=\"color:red\" onclick='x()'>", "<svg/onload=x>", "<?x",
    "&lt;script&gt;", "<!--", "-->", "vbscript:", "\0", "\x1b[31m", "dataword [ADC]", "10:20:30", "a < b", "µs", "(",
    ")", "ftp://h", "java", "script", ":", "htt", "p://", "<a", " href=", "<SUB>", "<sub onclick=1>", "expression(",
]  # fmt: skip
FORBIDDEN = re.compile(r"java\s*script\s*:|vbscript:|data:\s*text/html|[a-z][a-z0-9+.-]*:[\\/]{2}|url\s*\(", re.I)
TAG = re.compile(r"</?([a-zA-Z!?][^\s<>/]*)([^<>]*)>?")

texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [s for key, inner in value.items() for s in [key, *strings(inner)]]
    if isinstance(value, list):
        return [s for inner in value for s in strings(inner)]
    return [value] if isinstance(value, str) else []


def assert_harmless(content: dict) -> None:
    for text in strings(content):
        if text.startswith("data:image/png;base64,"):
            continue
        assert not FORBIDDEN.search(text), text
        for tag, rest in TAG.findall(text):
            assert tag.lower() in TAGS, text
            assert re.fullmatch(r"|\s*style=\"[\w:;#.%() ,-]*\"", rest), text


@given(texts)
def test_no_text_keeps_a_script_an_address_or_a_strange_tag(text: str) -> None:
    assert_harmless({"text": plain(text)})


@given(texts)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert plain(plain(text)) == plain(text)


nasty = st.recursive(
    st.one_of(texts, st.integers(-5, 5), st.none(), st.booleans(), st.just(PIXEL)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                st.sampled_from(
                    ["text", "source", "title", "images", "config", "mapbox", "href", "args", "images[0].source", "geo",
                     "template", "meta", "customdata", "name", "topojsonURL", "modebar", "hovertemplate", "style"]
                ),
                texts,
            ),
            inner, max_size=5,
        ),
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.lists(st.dictionaries(st.text(max_size=5), nasty, max_size=4), max_size=3), nasty, nasty)
def test_no_object_keeps_anything_either(data: list, layout: Any, config: Any) -> None:
    content = harmless({"data": data, "layout": {"x": layout}, "config": config, "script": "<script>"})
    assert content.keys() <= {"data", "layout", "frames"}
    assert_harmless(content)
    json.dumps(content)


@pytest.mark.parametrize(
    "text",
    ["ADC spectrum", "time (UTC), first and last second are not whole", "10:20:30", "2025-06-15 15:06:40", "a < b and c > d",
     "rate [Hz] <5", "x<br>y", "H<sub>2</sub>O", "<b>bold</b> <i>too</i>", "p < 0.05", "io_group 1 & 2",
     '<span style="color:red">red</span>', "ratio 1:2", "drift µs"],
)  # fmt: skip
def test_what_plots_write_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_a_hover_template_keeps_its_places() -> None:
    assert plain("%{y:.3f} Hz at %{x|%H:%M:%S}<extra></extra>") == "%{y:.3f} Hz at %{x|%H:%M:%S}<extra></extra>"


def test_the_numbers_of_a_figure_stay_as_they_are() -> None:
    figure = go.Figure(go.Heatmap(z=np.arange(12, dtype=np.uint8).reshape(3, 4), x=["a", "b", "c", "d"]))
    plainly = json.loads(figure.to_json(engine="orjson"))
    cleaned = json.loads(figure_json(figure))
    assert cleaned["data"] == plainly["data"]


def test_pictures_inside_the_figure_stay_and_others_go() -> None:
    figure = go.Figure(layout={"images": [{"source": PIXEL}, {"source": "https://evil.example/x.png"}]})
    first, second = json.loads(figure_json(figure))["layout"]["images"]
    assert first["source"] == PIXEL
    assert "source" not in second


@pytest.mark.parametrize("kind", ["scattergeo", "choropleth", "scattermap", "choroplethmap", "densitymap"])
def test_a_map_that_needs_another_host_is_refused_with_a_sentence(kind: str) -> None:
    with pytest.raises(
        Harmful, match=f"a trace of type {kind} fetches its map from other hosts; draw a heat map instead"
    ):
        harmless({"data": [{"type": kind}]})


@pytest.mark.parametrize("args", [{"type": "scattergeo"}, {"data[0].type": ["bar", "choropleth"]}])
def test_no_button_makes_such_a_map(args: dict) -> None:
    menu = {"type": "buttons", "buttons": [{"method": "restyle", "args": [args]}]}
    with pytest.raises(Harmful):
        harmless({"data": [], "layout": {"updatemenus": [menu]}})


def test_no_button_sends_data_or_changes_a_picture() -> None:
    buttons = [
        {"method": "relayout", "args": [{"images[0].source": "https://evil.example/x.png", "mapbox.style": "x"}]}
    ]
    figure = {"data": [], "layout": {"updatemenus": [{"buttons": buttons}], "modebar": {"add": ["sendDataToCloud"]}}}
    cleaned = harmless(figure)["layout"]
    assert cleaned["updatemenus"][0]["buttons"][0]["args"] == [{}]
    assert "modebar" not in cleaned


def test_a_figure_that_is_nested_without_end_is_refused() -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    with pytest.raises(Harmful, match="nested more than"):
        harmless({"layout": {"x": deep}})
