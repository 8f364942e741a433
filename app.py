"""The site: wiring only. ``create_app(settings)`` makes it; ``server`` is the WSGI application, made on first access."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dash import Dash

    from dqm.settings import Settings


def create_app(settings: Settings | None = None) -> Dash:
    """The Dash app over `settings` (default: those of larboard.toml and LARBOARD_*)."""
    from dash import Dash

    from dqm.settings import load_settings
    from dqm.views.plot_list import plot_list
    from layouts import shell
    from plots.discovery import discover

    settings = settings or load_settings()
    # assets are those beside this file, wherever it was started from; nothing comes from a CDN
    app = Dash("app", title="Larboard", serve_locally=True, update_title="", assets_ignore=r"report\.js")
    shell.register(app, lambda: plot_list(discover(settings.plots.paths)))
    return app


def __getattr__(name: str) -> Any:
    if name == "server":
        value = create_app().server
        globals()["server"] = value
        return value
    raise AttributeError(name)


if __name__ == "__main__":
    create_app().run(host="127.0.0.1", port=8050)
