"""A figure from a hostile plot, drawn by Plotly in a real browser: nothing runs, nothing is fetched from elsewhere."""

from __future__ import annotations

import json

import plotly.graph_objects as go
import plotly.offline
import pytest
from playwright.sync_api import Browser

from dqm.views.export import figure_json

pytestmark = pytest.mark.browser

RUNS = "parent.ran = window.ran = true"
TEXTS = [
    f"<a href=\"javascript:{RUNS}\" onmouseover='{RUNS}'>link</a>",
    f"<img src=x onerror='{RUNS}'>",
    f"<svg onload='{RUNS}'></svg>",
    f"<script>{RUNS}</script>",
    '<a href="http://evil.example/" target="_top">other host</a>',
    "<span style=\"fill:url('http://evil.example/fill')\">filled</span>",
    "<span style=\"background-image:url('http://evil.example/background')\">b</span>",
]


def hostile() -> go.Figure:
    figure = go.Figure()
    for text in TEXTS:
        figure.add_scatter(x=[1, 2], y=[1, 2], text=[text, text], mode="markers+text", name=text, hovertemplate=text)
        figure.add_annotation(x=1, y=1, text=text, hovertext=text)
    figure.add_table(header={"values": TEXTS}, cells={"values": [TEXTS]})
    figure.add_layout_image(source="http://evil.example/picture.png", x=0, y=1, sizex=1, sizey=1)
    figure.add_layout_image(source=f"data:text/html,<script>{RUNS}</script>", x=0, y=1, sizex=1, sizey=1)
    figure.add_trace(go.Image(source="https://evil.example/image.png"))
    figure.update_layout(
        title={"text": TEXTS[0]}, xaxis={"title": {"text": TEXTS[1]}}, map={"style": "http://evil.example/style"},
        updatemenus=[{"buttons": [{"label": TEXTS[0], "method": "relayout", "args": [{"images[0].source": "http://evil.example/b"}]}]}],
        modebar={"add": ["sendDataToCloud"]},
    )  # fmt: skip
    return figure


def asked_for(chromium: Browser, figure: str) -> tuple[list[str], bool, int]:
    """What a page with this figure asks the network for, whether a script ran, and how many links it has."""
    context = chromium.new_context(viewport={"width": 900, "height": 700})
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if not request.url.startswith("data:image/") else None)
    page.route("**/*", lambda route: route.abort())
    page.set_content(f"<div id=figure></div><script>{plotly.offline.get_plotlyjs()}</script>")
    page.evaluate(
        "([figure]) => Plotly.newPlot('figure', figure.data, figure.layout, {displaylogo: false})", [json.loads(figure)]
    )
    page.mouse.move(450, 350)
    page.evaluate("() => document.querySelectorAll('a').forEach(a => a.dispatchEvent(new MouseEvent('mouseover')))")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    result = (
        [url for url in asked if "evil" in url or not url.startswith(("data:", "blob:", "about:"))],
        bool(page.evaluate("() => Boolean(window.ran)")),
        page.locator("#figure a[href], #figure a[*|href]").count(),
    )
    context.close()
    return result


def test_a_hostile_figure_neither_runs_nor_fetches_nor_links_anywhere(chromium: Browser) -> None:
    assert asked_for(chromium, figure_json(hostile())) == ([], False, 0)


def test_the_same_figure_as_it_was_made_does_so_this_test_can_fail(chromium: Browser) -> None:
    asked, _, links = asked_for(chromium, hostile().to_json())
    assert asked
    assert links
