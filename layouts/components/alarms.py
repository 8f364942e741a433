"""Alarms of the monitor as pages show them: what is wrong, since when, what to do, and who has seen it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html

from dqm.records import Alarm
from dqm.views.alarm_list import kind_of
from layouts.components.person import needs
from layouts.components.words import age, duration, extra, mark, moment


def alarm_list(alarms: Sequence[Alarm], contact: str = "") -> Any:
    """Open alarms, each with its button; or that there are none."""
    if not alarms:
        return html.P([mark("good", "none"), " The monitor sees everything and keeps up."])
    call = html.P([html.Span("Call: ", className="weak"), html.B(contact)]) if contact else None
    return html.Div([html.Ul([alarm_line(alarm) for alarm in alarms], className="lines"), call])


def alarm_line(alarm: Alarm) -> html.Li:
    kind = kind_of(alarm)
    state = "broken" if kind.blind else alarm.severity
    word = "BLIND" if kind.blind else None
    key = str(alarm.id) if alarm.id else alarm.kind
    if alarm.acknowledged_at is not None:
        seen: Any = html.Span([f"Seen by {alarm.acknowledged_by}, ", age(alarm.acknowledged_at), "."], className="weak")
    else:
        attributes = extra(data_acknowledge=key, title="I have seen it and care (a)") | needs("shifter")
        seen = html.Button("Acknowledge", **attributes)
    return html.Li(
        [
            mark(state, word),
            html.Div(
                [
                    html.B(kind.title),
                    html.Span([" for ", age(alarm.since, ago=False), " (since ", moment(alarm.since), ")"]),
                    html.P(f"{alarm.reason}."),
                    html.P([html.Span("Do: ", className="weak"), f"{kind.advice}."]),
                    html.P([seen, html.Span("", className="said-of-it", role="status")]),
                ]
            ),
        ],
        className=f"line alarm {state}",
        id=f"alarm-{key}",
    )


def ended_list(alarms: Sequence[Alarm]) -> html.Div:
    """Alarms that are over, as a table."""
    titles = ("Since", "For", "What", "Why", "Seen by")
    head = html.Thead(html.Tr([html.Th(title, scope="col") for title in titles]))
    rows = [
        html.Tr(
            [
                html.Td(moment(alarm.since)),
                html.Td(duration(alarm.since, alarm.ended)),
                html.Td(kind_of(alarm).title),
                html.Td(alarm.reason, className="said"),
                html.Td(alarm.acknowledged_by or "–"),
            ]
        )
        for alarm in alarms
    ]
    return html.Div(html.Table([head, html.Tbody(rows)], className="numbers wide"), className="scroll")
