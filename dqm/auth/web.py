"""Signing in and out by a browser, and the look at every request before it is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from flask import Flask, Response, redirect, request
from jinja2 import Environment, FileSystemLoader

from dqm.auth import people, signin
from dqm.auth.door import Door, bearer, check_same_site, cookie_name, refuse_token
from dqm.auth.oidc import NoSignIn, Provider
from dqm.auth.paths import own
from dqm.auth.roles import NotAllowed, NotSignedIn
from dqm.auth.signin import HOUR_S, Origin, Refused
from dqm.store import StoreProblem

SAFE = ("GET", "HEAD", "OPTIONS")
ALWAYS = ("/health", "/ready", "/sign-in", "/sign-in/openid", "/sign-in/openid/back", "/sign-out")
"""What answers also to those who are not signed in; and the assets, in which no data are."""
PRIVATE = ("/_dash-layout", "/_dash-update-component")
OWN = "larboard.own"
"""In the environment of what the site asks itself while it starts; headers cannot put it there."""
AWAY = "larboard_openid"
MEDIA = "application/problem+json"
FIELD_MOST = 1024


def register(server: Flask, door: Door, assets: str) -> None:
    """Puts the door before everything that `server` answers; `assets` is where style and script are served."""
    pages = _Pages(door, assets)
    server.before_request(lambda: _look(door))
    server.after_request(_keep_private)
    server.register_error_handler(NotAllowed, lambda error: _refusal(door, error))
    server.add_url_rule("/sign-in", "sign in", pages.sign_in, methods=["GET", "POST"])
    server.add_url_rule("/sign-in/openid", "sign in elsewhere", pages.away, methods=["GET"])
    server.add_url_rule("/sign-in/openid/back", "back from elsewhere", pages.back, methods=["GET"])
    server.add_url_rule("/sign-out", "sign out", pages.sign_out, methods=["POST"])


def _look(door: Door) -> Response | None:
    """Who may not read gets no further; nor does what the page of another site sends."""
    if request.method not in SAFE and not bearer(request):
        check_same_site(request)
    if request.environ.get(OWN) or request.path in ALWAYS or _is_asset():
        return None
    if request.method not in SAFE and request.path.startswith("/api/"):
        return None  # every route that writes looks for itself, and a token may be for writing alone
    try:
        door.reader(request, "metrics" if request.path == "/metrics" else "read")
    except StoreProblem as problem:
        return _problem(503, str(problem))
    return None


def _is_asset() -> bool:
    """By what answers, not by how the path begins: it may leave the assets again."""
    return request.url_rule is not None and request.url_rule.rule.startswith("/assets/")


def _keep_private(answer: Response) -> Response:
    """What pages are made of has names of people in it: no cache on the way keeps it."""
    if request.path in PRIVATE:
        answer.headers["Cache-Control"] = "private, no-store"
    return answer


def _refusal(door: Door, error: NotAllowed) -> Any:
    """The answer to who is not let in: a page goes to the sign-in, everything else gets a status and the reason."""
    nobody = isinstance(error, NotSignedIn)
    reads = request.method in SAFE
    if not (nobody and reads and not bearer(request)):
        door.refused(request, str(error))
    if nobody and reads and _is_page():
        here = request.full_path.removesuffix("?")
        return redirect(f"{request.script_root}/sign-in?next={quote(request.script_root + here, safe='')}", 302)
    return _problem(401 if nobody else 403, str(error))


def _is_page() -> bool:
    wanted = request.accept_mimetypes
    asked = wanted.accept_html and not request.path.startswith(("/api", "/_dash", "/metrics"))
    return asked and not bearer(request)


def _problem(status: int, detail: str) -> Response:
    content = {"type": "about:blank", "title": {401: "Unauthorized", 403: "Forbidden"}.get(status, "Unavailable")}
    headers = {"Cache-Control": "no-store"} | ({"WWW-Authenticate": "Bearer"} if status == 401 else {})
    body = orjson.dumps({**content, "status": status, "detail": detail})
    return Response(body, status, headers, mimetype=MEDIA)


class _Pages:
    """What a browser is shown and sent when it signs in or out."""

    def __init__(self, door: Door, assets: str):
        self._door = door
        self._assets = assets
        self._provider = Provider(door.settings.auth, door.store)
        loader = FileSystemLoader(Path(__file__).parent / "templates")
        self._template = Environment(loader=loader, autoescape=True).get_template("sign_in.html.j2")

    def sign_in(self) -> Any:
        target = own(request.values.get("next", ""), request.script_root)
        try:
            return self._with_password(target) if request.method == "POST" else self._form(target)
        except StoreProblem as problem:
            return self._page(target, str(problem), 503)

    def _form(self, target: str) -> Any:
        try:
            found = self._door.visitor(request)
        except NotAllowed as refusal:  # a person whom a proxy names, and who may not come in
            return self._page(target, str(refusal), 403)
        return self._page(target, person=found.actor.name if found.account else "")

    def _with_password(self, target: str) -> Any:
        name, password = (request.form.get(field, "")[:FIELD_MOST] for field in ("name", "password"))
        old = request.cookies.get(cookie_name(request), "")
        try:
            shown = signin.with_password(self._door.store, self._door.settings.auth, name, password, _origin(), old)
        except Refused as refused:
            if not refused.wait_s:
                return self._page(target, f"{refused} Try again.", 401, name)
            words = f"Too many attempts failed. Wait {refused.wait_s:.0f} s, then try again."
            page = self._page(target, words, 429, name)
            page.headers["Retry-After"] = str(int(refused.wait_s) + 1)
            return page
        return self._signed_in(shown, target)

    def away(self) -> Any:
        """To the provider."""
        target = own(request.args.get("next", ""), request.script_root)
        if not self._door.settings.auth.oidc_issuer:
            return self._page(target, "OpenID is not set up here.", 404)
        try:
            start = self._provider.start(_back(), target, request.remote_addr or "")
        except (NoSignIn, StoreProblem) as problem:
            return self._page(target, str(problem), 503)
        answer = redirect(start.url, 302)
        answer.headers["Cache-Control"] = "no-store"
        self._set(answer, AWAY, start.cookie, 600)
        return answer

    def back(self) -> Any:
        """From the provider."""
        target = f"{request.script_root}/"
        cookie, old = request.cookies.get(AWAY, ""), request.cookies.get(cookie_name(request), "")
        try:
            shown, target = self._provider.finish(cookie, request.args.to_dict(), _back(), _origin(), old)
            answer = self._signed_in(shown, target)
        except NoSignIn as problem:
            answer = self._page(target, str(problem), 400)
        except StoreProblem as problem:
            answer = self._page(target, str(problem), 503)
        answer.delete_cookie(AWAY, path=request.script_root or "/")
        return answer

    def sign_out(self) -> Any:
        name = cookie_name(request)
        found = self._door.visitor(request)
        refuse_token(found)
        if request.form.get("everywhere") and found.account:
            people.end_sessions(self._door.store, found.actor, found.account.name)
        elif request.cookies.get(name):
            signin.end(self._door.store, request.cookies[name])
        answer = redirect(f"{request.script_root}/sign-in", 303)
        answer.delete_cookie(name, path=request.script_root or "/")
        return answer

    def _signed_in(self, shown: str, target: str) -> Any:
        answer = redirect(target, 303)
        hours = self._door.settings.auth.absolute_h
        self._set(answer, cookie_name(request), shown, int(hours * HOUR_S))
        return answer

    def _set(self, answer: Any, name: str, value: str, seconds: int) -> None:
        """Lax, not Strict: a browser that comes back from the provider, or by a link in a log book, is signed in."""
        answer.set_cookie(
            name, value, max_age=seconds, path=request.script_root or "/", httponly=True, secure=request.is_secure,
            samesite="Lax",
        )  # fmt: skip

    def _page(self, target: str, said: str = "", status: int = 200, name: str = "", person: str = "") -> Response:
        auth = self._door.settings.auth
        try:
            nobody = not self._door.has_people()
        except StoreProblem:
            nobody = False
        text = self._template.render(
            title=self._door.settings.web.title, assets=self._assets, root=request.script_root, target=target, said=said,
            name=name, person=person, openid=auth.oidc_title if auth.oidc_issuer else "", nobody=nobody,
            anonymous=auth.anonymous, wrong=status in (401, 429),
        )  # fmt: skip
        return Response(text, status, {"Cache-Control": "no-store"}, mimetype="text/html")


def _origin() -> Origin:
    return Origin(request.remote_addr or "", request.headers.get("User-Agent", ""))


def _back() -> str:
    return f"{request.scheme}://{request.host}{request.script_root}/sign-in/openid/back"
