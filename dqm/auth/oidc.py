"""Signing in with OpenID Connect: authorization code with PKCE, state and nonce.

What must come back with the browser lies in the database, by a hash of a cookie of that browser alone: an answer that was
begun elsewhere, or comes twice, is refused.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dqm.auth import claims, secret, signin
from dqm.auth.door import first_time, follow
from dqm.auth.proxies import network_of
from dqm.auth.roles import NotSignedIn
from dqm.auth.signin import Origin
from dqm.records import Handshake
from dqm.settings import AuthSettings
from dqm.store import Store, accounts, handshakes

log = logging.getLogger("larboard.auth")

TIMEOUT_S = 10
ABOUT_TIMEOUT_S = 3
"""The keys of the provider are asked for before anybody is known: a thread is not held for long."""
FAILED_S = 10
"""For so long a provider that could not be reached is not asked again."""
WAITING = 4
"""So many wait while one asks."""
BEGUN = 30
"""So many sign-ins one address may begin within AWAY_S."""
AWAY_S = 600
"""Whoever stays longer at the provider begins anew."""
KNOWN_S = 3600
"""For so long what the provider says of itself is believed without asking again."""
LEEWAY_S = 60
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""With a key that only the provider has; never none, never a secret that both know."""


class NoSignIn(Exception):
    """It did not work; the message is for the person, the log says more."""


@dataclass(frozen=True)
class Start:
    """Where to send the browser, and what its cookie must hold until it is back."""

    url: str
    cookie: str


class Provider:
    """The OpenID provider of the settings."""

    def __init__(self, settings: AuthSettings, store: Store):
        self._settings = settings
        self._store = store
        self._known: tuple[float, dict[str, Any]] = (0.0, {})
        self._failed = -float("inf")
        self._one, self._counting = threading.Lock(), threading.Lock()
        self._waiting = threading.BoundedSemaphore(WAITING)
        self._begun: list[tuple[float, str]] = []

    def start(self, back: str, target: str, address: str = "") -> Start:
        """Begins a sign-in that returns to the address `back`, and from there to the page `target`. Raises NoSignIn."""
        self._count(network_of(address))
        about = self._about()
        shown, verifier, nonce = secret.new(), secret.new() + secret.new(), secret.new()
        with self._client(back) as client:
            url, state = client.create_authorization_url(
                about["authorization_endpoint"], code_verifier=verifier, nonce=nonce
            )
        now = time.time()
        with self._store.begin() as tx:
            handshakes.prune(tx, now - AWAY_S)
            handshakes.begin(tx, secret.kept(shown), Handshake(state, nonce, verifier, target, now))
        return Start(url, shown)

    def _count(self, address: str) -> None:
        """Raises NoSignIn for an address that begins one sign-in after the other."""
        now = time.monotonic()
        with self._counting:
            self._begun = [(at, of) for at, of in self._begun if now - at < AWAY_S]
            if sum(of == address for _, of in self._begun) >= BEGUN:
                raise NoSignIn("Too many sign-ins were begun from your address; try again later.")
            self._begun.append((now, address))

    def finish(self, cookie: str, query: dict[str, str], back: str, origin: Origin, old: str = "") -> tuple[str, str]:
        """What the cookie of the session must hold, and the page to go to. Raises NoSignIn."""
        with self._store.begin() as tx:
            handshake = handshakes.take(tx, secret.kept(cookie)) if cookie else None
        if handshake is None or time.time() - handshake.begun > AWAY_S:
            raise NoSignIn("This sign-in was not begun in this browser, or too long ago. Begin anew.")
        if not hmac.compare_digest(handshake.state.encode(), query.get("state", "").encode("utf-8", "replace")):
            raise NoSignIn("The answer belongs to another sign-in. Begin anew.")
        if "code" not in query:
            log.warning("OpenID: the provider refused: %.200s", query.get("error", "no code"))
            raise NoSignIn(f"{self._settings.oidc_title} did not sign you in.")
        said = self._claims(handshake, query["code"], back)
        return self._session(said, origin, old), handshake.target

    def _session(self, said: dict[str, Any], origin: Origin, old: str) -> str:
        settings = self._settings
        standing = claims.standing_of(claims.groups_of(said, settings.oidc_groups), settings)
        name = claims.name_of(said, settings.oidc_name)
        if standing is None:
            raise NoSignIn(f"{name} is in no group that may come in here.")
        identity = f"{settings.oidc_issuer} {said['sub']}"
        with self._store.begin() as tx:
            account = accounts.identified(tx, identity)
            try:
                number = account.id if account else first_time(tx, _free(tx, name), standing, "openid", identity)
            except NotSignedIn as refusal:
                raise NoSignIn(str(refusal)) from None
            account = follow(tx, number, standing, bool(settings.roles))
            if not account.disabled:
                return signin.begin(tx, settings, account, "openid", origin, old)
        raise NoSignIn(f"The account {account.name} is disabled.")

    # what the provider says

    def _claims(self, handshake: Handshake, code: str, back: str) -> dict[str, Any]:
        """Who it is, by a token that the provider signed for this site and this sign-in."""
        from authlib.common.errors import AuthlibBaseError
        from joserfc.errors import JoseError
        from requests import RequestException

        about = self._about()
        try:
            with self._client(back) as client:
                token = client.fetch_token(
                    about["token_endpoint"], code=code, grant_type="authorization_code",
                    code_verifier=handshake.verifier, timeout=TIMEOUT_S,
                )  # fmt: skip
                said = self._checked(token, handshake.nonce, about)
                return said | self._more(client, about, said["sub"])
        except (AuthlibBaseError, JoseError, RequestException, ValueError, KeyError, TypeError) as error:
            log.warning("OpenID: the answer is refused: %s: %.200s", type(error).__name__, error)
            raise NoSignIn(f"The answer of {self._settings.oidc_title} was not accepted. Begin anew.") from None

    def _checked(self, token: dict[str, Any], nonce: str, about: dict[str, Any]) -> dict[str, Any]:
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError

        offered = about.get("id_token_signing_alg_values_supported") or ["RS256"]
        allowed = [name for name in ALGORITHMS if name in offered]
        try:
            decoded = jwt.decode(token["id_token"], self._keys(about), algorithms=allowed)
        except InvalidKeyIdError:  # the provider has new keys
            about = self._about(anew=True)
            decoded = jwt.decode(token["id_token"], self._keys(about), algorithms=allowed)
        wanted = {
            "iss": {"essential": True, "value": self._settings.oidc_issuer},
            "aud": {"essential": True, "value": self._settings.oidc_client},
            "sub": {"essential": True},
        }
        given = {"nonce": nonce, "client_id": self._settings.oidc_client, "access_token": token.get("access_token")}
        said = CodeIDToken(decoded.claims, decoded.header, wanted, given)
        said.validate(leeway=LEEWAY_S)
        if not isinstance(said["sub"], str) or not said["sub"]:
            raise ValueError("no subject")
        return dict(said)

    def _more(self, client: Any, about: dict[str, Any], sub: str) -> dict[str, Any]:
        """What the provider says only when it is asked; of the same person, or not at all."""
        if "userinfo_endpoint" not in about:
            return {}
        answer = client.get(about["userinfo_endpoint"], timeout=TIMEOUT_S)
        answer.raise_for_status()
        more = answer.json()
        if more.get("sub") != sub:
            raise ValueError("userinfo is of somebody else")
        return {name: value for name, value in more.items() if name not in ("iss", "aud", "sub", "nonce", "exp")}

    def _about(self, anew: bool = False) -> dict[str, Any]:
        """What the provider says of itself, with its keys."""
        at, about = self._known
        if about and not anew and time.time() - at < KNOWN_S:
            return about
        if not self._waiting.acquire(blocking=False):
            raise self._unreachable()
        try:
            with self._one:
                if self._known[0] > at:  # somebody asked while this one waited
                    return self._known[1]
                if time.monotonic() - self._failed < FAILED_S:
                    raise self._unreachable()
                return self._asked()
        finally:
            self._waiting.release()

    def _unreachable(self) -> NoSignIn:
        return NoSignIn(f"{self._settings.oidc_title} cannot be reached; try again, or sign in otherwise.")

    def _asked(self) -> dict[str, Any]:
        """What the provider says now."""
        from requests import RequestException, Session

        issuer = self._settings.oidc_issuer
        try:
            with Session() as session:
                about = self._get(session, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if about.get("issuer") != issuer:
                    raise ValueError(f"it calls itself {about.get('issuer')!r}")
                about["jwks"] = self._get(session, about["jwks_uri"])
        except (RequestException, ValueError, KeyError, AttributeError) as error:
            log.error("OpenID: setting auth.oidc_issuer, %s: %.200s", issuer, error)
            self._failed = time.monotonic()
            raise self._unreachable() from None
        self._known = (time.time(), about)
        return about

    def _get(self, session: Any, url: str) -> Any:
        if urlsplit(url).scheme != urlsplit(self._settings.oidc_issuer).scheme:
            raise ValueError(f"{url} is not as safe as the issuer")
        answer = session.get(url, timeout=ABOUT_TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()

    def _keys(self, about: dict[str, Any]) -> Any:
        from joserfc.jwk import KeySet

        return KeySet.import_key_set(about["jwks"])

    def _client(self, back: str) -> Any:
        from authlib.integrations.requests_client import OAuth2Session

        settings = self._settings
        return OAuth2Session(
            settings.oidc_client,
            self._secret(),
            scope=" ".join(settings.oidc_scopes),
            redirect_uri=back,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if settings.oidc_secret_file else "none",
        )

    def _secret(self) -> str | None:
        path = self._settings.oidc_secret_file
        if path is None:
            return None
        try:
            if path.stat().st_mode & 0o007:
                log.warning("setting auth.oidc_secret_file: everybody on this host can read %s", path)
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            log.error("setting auth.oidc_secret_file: %s", error)
            raise NoSignIn(
                f"{self._settings.oidc_title} is not set up completely; tell whoever runs this site."
            ) from None


def _free(tx: Any, name: str) -> str:
    """A name that nobody has: who comes from elsewhere takes no account that is there."""
    if not accounts.named(tx, name):
        return name
    return next(other for n in range(2, 10_000) if not accounts.named(tx, other := f"{name[:58]}-{n}"))
