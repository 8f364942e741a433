"""A real OpenID provider in a process of its own, made with Authlib's server: it checks client and PKCE, and each code once.

``python -m tests.auth.provider PORT`` listens on 127.0.0.1. Whom it signs in, and what it gets wrong on purpose, is told
by ``PUT /next``; what it was asked is told by ``GET /seen``. The one person who owns its page consents by asking.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Flask, Response, jsonify, request
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "larboard", "the client's secret"
KEY, OTHER_KEY = (RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}) for kid in ("one", "one"))


class Client:
    """The site, as the provider knows it."""

    client_id = CLIENT
    redirect_uris: list[str] = []

    def get_client_id(self) -> str:
        return CLIENT

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uris[0]

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, uri: str) -> bool:
        return uri.startswith("http://") and uri.endswith("/sign-in/openid/back")

    def check_client_secret(self, secret: str) -> bool:
        return secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, kind: str) -> bool:
        return kind == "code"

    def check_grant_type(self, kind: str) -> bool:
        return kind == "authorization_code"


class Code:
    """An authorization code, and what it was given for."""

    def __init__(self, code: str, asked: Any):
        data = asked.payload.data
        self.code, self.redirect_uri, self.scope = code, data["redirect_uri"], data.get("scope", "")
        self.nonce, self.auth_time = data.get("nonce"), int(time.time())
        self.code_challenge, self.code_challenge_method = data.get("code_challenge"), data.get("code_challenge_method")

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


def provider(port: int) -> Flask:
    server = Flask("provider")
    issuer = f"http://127.0.0.1:{port}"
    state: dict[str, Any] = {"person": {"sub": "1"}, "wrong": "", "codes": {}, "seen": [], "nonce": None}

    class Grant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]

        def save_authorization_code(self, code: str, request: Any) -> None:
            state["codes"][code] = Code(code, request)

        def query_authorization_code(self, code: str, client: Any) -> Any:
            return state["codes"].get(code)

        def delete_authorization_code(self, authorization_code: Any) -> None:
            state["nonce"] = authorization_code.nonce
            del state["codes"][authorization_code.code]

        def authenticate_user(self, authorization_code: Any) -> Any:
            return state["person"]["sub"]

    authorization = AuthorizationServer(server, query_client=lambda name: Client() if name == CLIENT else None,
                                        save_token=lambda token, request: None)  # fmt: skip
    authorization.register_grant(Grant, [CodeChallenge(required=True)])

    @server.get("/.well-known/openid-configuration")
    def about() -> Any:
        return jsonify(
            issuer=issuer if state["wrong"] != "metadata" else "http://127.0.0.1:1",
            authorization_endpoint=f"{issuer}/authorize",
            token_endpoint=f"{issuer}/token",
            userinfo_endpoint=f"{issuer}/userinfo",
            jwks_uri=f"{issuer}/keys",
            id_token_signing_alg_values_supported=["RS256", "HS256", "none"],
        )

    @server.get("/keys")
    def keys() -> Any:
        return jsonify(keys=[KEY.as_dict(private=False)])

    @server.get("/authorize")
    def authorize() -> Any:
        state["seen"].append(request.args.to_dict())
        if state["wrong"] == "refuses":
            back = request.args["redirect_uri"]
            return Response(
                status=302, headers={"Location": f"{back}?error=access_denied&state={request.args['state']}"}
            )
        grant = authorization.get_consent_grant(end_user=state["person"]["sub"])
        return authorization.create_authorization_response(grant_user=state["person"]["sub"], grant=grant)

    @server.post("/token")
    def token() -> Any:
        state["seen"].append(request.form.to_dict())
        answer = authorization.create_token_response()
        if answer.status_code != 200:
            return answer
        body = answer.get_json()
        body["id_token"] = id_token(state, issuer)
        return jsonify(body)

    @server.get("/userinfo")
    def userinfo() -> Any:
        person = {**state["person"]}
        if state["wrong"] == "userinfo":
            person["sub"] = "somebody-else"
        return jsonify(person)

    @server.put("/next")
    def following() -> Any:
        state.update(request.get_json())
        return jsonify({})

    @server.get("/seen")
    def seen() -> Any:
        return jsonify(state["seen"])

    return server


def id_token(state: dict[str, Any], issuer: str) -> str:
    now, wrong = int(time.time()), state["wrong"]
    said = {
        "iss": issuer,
        "sub": state["person"]["sub"],
        "aud": CLIENT,
        "iat": now,
        "exp": now + 300,
        "nonce": state["nonce"],
    }
    said |= {
        "nonce": {"nonce": "another"},
        "no nonce": {"nonce": None},
        "issuer": {"iss": "https://evil.example"},
        "audience": {"aud": "another-client"},
        "expired": {"exp": now - 3600, "iat": now - 7200},
        "no subject": {"sub": ""},
    }.get(wrong, {})
    said = {name: value for name, value in said.items() if value is not None}
    if wrong == "key":
        return jwt.encode({"alg": "RS256", "kid": "one"}, said, OTHER_KEY)
    if wrong == "shared secret":
        from joserfc.jwk import OctKey

        return jwt.encode({"alg": "HS256"}, said, OctKey.import_key(SECRET * 3), algorithms=["HS256"])
    if wrong == "unsigned":
        import base64
        import json

        parts = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
            for part in ({"alg": "none"}, said)
        ]
        return ".".join([*parts, ""])
    return jwt.encode({"alg": "RS256", "kid": "one"}, said, KEY)


if __name__ == "__main__":
    number = int(sys.argv[1])
    provider(number).run(host="127.0.0.1", port=number)
