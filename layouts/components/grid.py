"""Long tables: the one place that says how the grid is set up. Its rows are fetched as they come into view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dash_ag_grid

BLOCK = 100
"""Rows that are fetched at once."""

# all colours are those of the page, which change with the theme by themselves
THEME = {
    "backgroundColor": "var(--ground)",
    "foregroundColor": "var(--text)",
    "textColor": "var(--text)",
    "headerBackgroundColor": "var(--panel)",
    "headerTextColor": "var(--weak)",
    "borderColor": "var(--line)",
    "accentColor": "var(--accent)",
    "browserColorScheme": "inherit",
    "fontFamily": "inherit",
    "fontSize": "13px",
    "headerFontWeight": "500",
    "spacing": "6px",
    "wrapperBorderRadius": "6px",
}
_PARAMS = ", ".join(f"{name}: '{value}'" for name, value in THEME.items())
OPTIONS: dict[str, Any] = {
    "theme": {"function": f"themeQuartz.withParams({{{_PARAMS}}})"},
    "cacheBlockSize": BLOCK,
    # answers carry no name of the question: one at a time
    "maxConcurrentDatasourceRequests": 1,
    "infiniteInitialRowCount": 1,
    "ensureDomOrder": True,
    "suppressDragLeaveHidesColumns": True,
    "enableCellTextSelection": True,
    "animateRows": False,
    "multiSortKey": "ctrl",
}


def long_table(
    id: str, columns: list[dict[str, Any]], order: Sequence[tuple[str, bool]], row_id: str, **options: Any
) -> dash_ag_grid.AgGrid:
    """A table whose rows a callback gives (`getRowsRequest` to `getRowsResponse`), sorted by `order` at first.

    `row_id` is the field that tells rows apart; it holds text.
    """
    places = {name: (place, "desc" if descending else "asc") for place, (name, descending) in enumerate(order)}
    for column in columns:
        if column["field"] in places:
            column["sortIndex"], column["sort"] = places[column["field"]]
    listeners = options.pop("listeners", {})
    return dash_ag_grid.AgGrid(
        id=id,
        rowModelType="infinite",
        columnDefs=columns,
        defaultColDef={"sortable": False, "resizable": True, "suppressMovable": True, "minWidth": 60},
        getRowId=f"params.data.{row_id}",
        dashGridOptions={**OPTIONS, **options},
        eventListeners=listeners,
        className="long-table",
        style={"height": "100%", "width": "100%"},
    )


def column(field: str, title: str, **options: Any) -> dict[str, Any]:
    """A column that the database can sort by."""
    return {"field": field, "headerName": title, "sortable": True, "sortingOrder": ["desc", "asc", None], **options}


def order_of(request: dict[str, Any]) -> tuple[tuple[str, bool], ...]:
    """(column, descending) pairs of what a table asks for."""
    return tuple((by["colId"], by["sort"] == "desc") for by in request.get("sortModel") or ())
