"""What if: the panel in which channels are left out of a run. assets/masks.js does what its buttons say."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from dash import html

from dqm.masks import Mask
from dqm.views.run_page import RunPage, Tile
from dqm.views.words import number
from layouts.components.asked import notes
from layouts.components.person import needs
from layouts.components.words import extra

CHIPS_SHOWN = 60
CHANNELS_NAMED = 12
PANEL = "what-if"
MAKES = ("add", "hot", "paste", "select")
"""What makes another mask, which not everybody may."""


def asked_mask(query: dict[str, str]) -> str:
    """The address of the mask that a URL asks for."""
    return query.get("mask", "")[:40]


def mask_panel(page: RunPage, look: tuple[str, ...] = ()) -> html.Details:
    """Folded until a mask is there; `look`: chips whose channels are wanted though none is left out."""
    mask = page.mask
    summary: list[Any] = [html.B("What if"), " channels were left out?"]
    if mask:
        summary += [" ", html.B("MASKED", className="state masked"), f" {amount(mask)}"]
    inside = html.Div(
        [
            *notes([page.mask_said] if page.mask_said else []),
            _add(),
            html.Div(_done(mask), className="acts"),
            html.P(id="what-if-said", role="status", **extra(data_own="yes")),
            _chips(mask, look),
            _paste(),
        ],
        className="inside",
    )
    opened = {"data_opens": "yes"} if page.mask_key else {}
    attributes = extra(data_run=page.run.key, data_mask=mask.address, **opened)
    return html.Details([html.Summary(summary), inside], id=PANEL, className="panel", **attributes)


def amount(mask: Mask) -> str:
    """``1,000 channels of 42 chips``."""
    channels, chips = len(mask), len(mask.by_chip)
    return (
        f"{number(channels)} channel{'s' if channels != 1 else ''} of {number(chips)} chip{'s' if chips != 1 else ''}"
    )


def mask_words(tile: Tile, mask: Mask) -> list[Any]:
    """How a plot stands to the mask of the page, in a line."""
    if tile.without is None:
        return []
    word = "MASKED" if tile.without.masked else "UNMASKED"
    said = f" {amount(mask)} left out" if tile.without.masked else ""
    why = f"{', ' if said else ' '}{tile.without.words}" if tile.without.words else ""
    coming = extra(data_coming="yes") if tile.without.coming else {}
    return [html.P([html.B(word, className=f"state {word.lower()}"), said, why], className="mask-words", **coming)]


def _button(text: str, act: str, **attributes: Any) -> html.Button:
    rights = needs("shifter") if act in MAKES else {}
    return html.Button(text, type="button", **extra(data_what_if=act, **attributes), **rights)


def _add() -> html.Div:
    name = html.Label(
        [
            html.Span("Chip or channel"),
            html.Span(
                className="typed", **extra(data_own="yes", data_input="what-if-name", data_hint="1-5-42 or 1-5-42-7")
            ),
        ],
        className="field",
    )
    select = html.Span(
        [
            html.Span("Mark on maps and bars", className="weak"),
            _button("box", "select", data_way="select", aria_pressed="false"),
            _button("lasso", "select", data_way="lasso", aria_pressed="false"),
        ],
        className="acts",
        **extra(role="group", aria_label="Mark channels on maps and bars to leave them out"),
    )
    return html.Div(
        [
            name,
            _button("Leave out", "add"),
            _button("Show its channels", "look"),
            select,
            _button("Hot pixels of this run", "hot"),
        ],
        className="acts",
    )


def _done(mask: Mask) -> list[Any]:
    off = {} if mask else extra(aria_disabled="true")
    parts: list[Any] = [
        _button("Undo", "undo"),
        html.Button("Clear", type="button", **extra(data_what_if="clear"), **off),
        html.Button("Copy link", type="button", **extra(data_what_if="copy"), **off),
    ]
    for text, ending in (("Export JSON", ""), ("Export CSV", "/csv")):
        if mask:
            href = f"/api/v1/masks/{quote(mask.address)}{ending}"
            parts.append(html.A(text, href=href, className="button", **extra(data_export="yes"), download=""))
        else:
            parts.append(html.Span(text, className="button off", **extra(aria_disabled="true")))
    return parts


def _chips(mask: Mask, look: tuple[str, ...]) -> Any:
    by_chip = {**{chip: [] for chip in look}, **mask.by_chip}
    if not by_chip:
        return html.P(
            "Nothing is left out. Name a chip, mark channels on a map, or take the hot pixels: maps, rates and their "
            "numbers are drawn at once as if these channels had sent nothing. Nothing that is kept changes.",
            className="weak",
        )
    rows: list[Any] = [_chip(chip, channels) for chip, channels in list(by_chip.items())[:CHIPS_SHOWN]]
    more = len(by_chip) - CHIPS_SHOWN
    if more > 0:
        rows.append(html.P(f"and {number(more)} more chips: they are all in the export", className="weak"))
    head = html.P(
        "Ticked channels are counted; untick to leave out. A channel that is left out counts as silent.",
        className="weak",
    )
    return html.Div([head, html.Div(rows, className="chips")])


def _chip(chip: str, channels: list[int]) -> html.Details:
    named = ", ".join(map(str, channels[:CHANNELS_NAMED])) + (" ..." if len(channels) > CHANNELS_NAMED else "")
    words = f" {len(channels)} left out: {named}" if channels else " all counted"
    ticks = html.Div(className="ticks", **extra(data_own="yes", data_chip=chip, data_out=",".join(map(str, channels))))
    return html.Details([html.Summary([html.B(f"chip {chip}"), words]), ticks], id=f"chip-{chip}")


def _paste() -> html.Details:
    place = html.Div(className="pasted", **extra(data_own="yes", data_textarea="what-if-json"))
    how = html.P(
        ["The disabled-channel JSON of LArPix: ", html.Code('{"1-5-42": [7, 8]}'), ". It takes the place of the mask."]
    )
    return html.Details([html.Summary("Paste JSON"), how, place, _button("Use it", "paste")], id="what-if-paste")
