"""The site: wiring only. ``create_app(settings)`` makes it; ``server`` is the WSGI application, made on first access."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dash import Dash

    from dqm.settings import Settings
    from dqm.store import Store

ASSETS = Path(__file__).parent / "assets"
WARM_UP = ("/", "/_dash-layout", "/_dash-dependencies")


def create_app(settings: Settings | None = None, store: Store | None = None) -> Dash:
    """The Dash app over `settings` (default: those of larboard.toml and LARBOARD_*) and their store.

    Raises StoreProblem when the database cannot be used.
    """
    from dash import Dash

    from dqm.api import callbacks
    from dqm.api import register as register_api
    from dqm.auth.web import register as register_auth
    from dqm.edge import Edge
    from dqm.edge.policy import content_policy
    from dqm.settings import load_settings, store_url
    from dqm.store import open_store
    from dqm.views.site import open_site
    from layouts import shell

    settings = settings or load_settings()
    store = store or open_store(store_url(settings), settings.data.directory / "states")
    site = open_site(settings, store)
    # the assets are those beside this file, wherever it was started from; nothing comes from a CDN
    app = Dash(
        "app",
        title=settings.web.title,
        assets_folder=str(ASSETS),
        assets_ignore=shell.NOT_LOADED,
        serve_locally=True,
        requests_pathname_prefix=f"{settings.web.prefix}/",  # as browsers see it; Edge takes it off
        routes_pathname_prefix="/",
        compress=True,
        suppress_callback_exceptions=True,  # the parts of a page are not there while another one is shown
        update_title="",
    )
    # a compressor waits for a block to be full, and a notice must not wait
    app.server.config["COMPRESS_STREAMS"] = False
    register_auth(app.server, site.auth, app.get_asset_url(""))
    register_api(app.server, site)
    callbacks.register(app.server)
    shell.register(app, site)
    app.server.config["SESSION_COOKIE_PATH"] = settings.web.prefix or "/"
    # hashes are complete once all callbacks are registered
    policy = functools.cache(lambda: content_policy(app.csp_hashes()))
    app.server.wsgi_app = Edge(app.server.wsgi_app, settings.web, policy)
    app.server.config["LARBOARD_SITE"] = site
    return app


def warm(app: Dash) -> None:
    """Asks for the first things a browser asks for, so that no browser is the first: Dash 4.4.1 sets itself up at the
    first request, and two first requests at once give a blank page.
    """
    client = app.server.test_client()
    for path in WARM_UP:
        client.get(path, environ_overrides={"larboard.own": True})  # no visitor can put this into a request


def __getattr__(name: str) -> Any:
    if name == "server":
        app = create_app()
        warm(app)
        globals()["server"] = app.server
        return app.server
    raise AttributeError(name)


if __name__ == "__main__":
    create_app().run(host="127.0.0.1", port=8050)
