"""The site: wiring only. ``create_app(settings)`` makes it; ``server`` is the WSGI application, made on first access."""

from __future__ import annotations

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

    from dqm.api import register as register_api
    from dqm.auth.web import register as register_auth
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
        compress=True,
        suppress_callback_exceptions=True,  # the parts of a page are not there while another one is shown
        update_title="",
    )
    # a compressor waits for a block to be full, and a notice must not wait
    app.server.config["COMPRESS_STREAMS"] = False
    register_auth(app.server, site.auth, app.get_asset_url(""))
    register_api(app.server, site)
    shell.register(app, site)
    secure(app)
    app.server.config["LARBOARD_SITE"] = site
    return app


def secure(app: Dash) -> None:
    """Headers that keep a page to its own host. Plotly's WebGL and Dash need eval and inline styles; scripts are known
    by their hash.
    """
    policy: list[str] = []

    @app.server.after_request
    def add_headers(response: Any) -> Any:
        if not policy:  # hashes are complete once all callbacks are registered
            policy.append(content_policy(app.csp_hashes()))
        for name, value in {**HEADERS, "Content-Security-Policy": policy[0]}.items():
            response.headers.setdefault(name, value)
        return response


HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def content_policy(hashes: Any) -> str:
    """The Content-Security-Policy, with the hashes of Dash's inline scripts."""
    rules = {
        "default-src": "'self'",
        "script-src": f"'self' 'unsafe-eval' {' '.join(dict.fromkeys(hashes))}",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def warm(app: Dash) -> None:
    """Asks for the first things a browser asks for, so that no browser is the first: Dash 4.4.1 sets itself up at the
    first request, and two first requests at once give a blank page.
    """
    client = app.server.test_client()
    for path in WARM_UP:
        client.get(path)


def __getattr__(name: str) -> Any:
    if name == "server":
        app = create_app()
        warm(app)
        globals()["server"] = app.server
        return app.server
    raise AttributeError(name)


if __name__ == "__main__":
    create_app().run(host="127.0.0.1", port=8050)
