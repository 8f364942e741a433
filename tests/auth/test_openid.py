"""Signing in with OpenID Connect, against a provider that is a process of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask.testing import FlaskClient

from dqm.auth import people
from dqm.auth.oidc import BEGUN, WAITING, NoSignIn, Provider
from dqm.auth.roles import LOCAL_ADMIN
from dqm.records import Account
from dqm.store import accounts
from dqm.views.site import Site
from tests.auth.conftest import House, opened
from tests.auth.provider import SECRET
from tests.conftest import REPOSITORY
from tests.postgresql import free_port

ADA = {"sub": "a-1", "preferred_username": "ada.l", "email": "ada@example.org", "groups": ["dune", "shift"]}


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "tests.auth.provider", str(port)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while time.monotonic() < until:
        try:
            requests.get(f"{url}/keys", timeout=5)
            break
        except requests.ConnectionError:
            assert process.poll() is None, "the provider has ended"
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture
def house(site: Site, provider: str, tmp_path: Any) -> House:
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    auth = site.settings.auth
    auth.oidc_issuer, auth.oidc_client, auth.oidc_secret_file = provider, "larboard", secret
    tell(provider, person=ADA, wrong="")
    return opened(site)


def tell(provider: str, **what: Any) -> None:
    requests.put(f"{provider}/next", json=what, timeout=10).raise_for_status()


def through(client: FlaskClient, target: str = "/runs/7") -> Any:
    """The whole way of a browser: to the provider, and back."""
    away = client.get("/sign-in/openid", query_string={"next": target})
    assert away.status_code == 302, away.text
    there = requests.get(away.headers["Location"], allow_redirects=False, timeout=10)
    assert there.status_code == 302, there.text
    back = urlsplit(there.headers["Location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == "http://localhost/sign-in/openid/back"
    return client.get(f"{back.path}?{back.query}")


def account(house: House, name: str) -> Account | None:
    with house.site.store.read() as tx:
        return accounts.named(tx, name)


def test_who_the_provider_knows_is_signed_in_and_is_where_he_wanted_to_be(house: House, provider: str) -> None:
    client = house.visitor()
    done = through(client, "/runs/7?x=1")
    assert (done.status_code, done.headers["Location"]) == (303, "/runs/7?x=1")
    found = account(house, "ada.l")
    assert found
    assert (found.role, found.identity, found.password) == ("viewer", f"{provider} a-1", None)
    assert client.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == 403
    assert [row.action for row in house.audit(actor="ada.l")] == ["refused", "sign in", "add account"]
    assert house.audit(action="sign in")[0].after == {"way": "openid", "address": "192.0.2.7"}


def test_the_provider_is_asked_with_pkce_state_and_nonce_and_told_the_verifier(house: House, provider: str) -> None:
    through(house.visitor())
    asked, told = requests.get(f"{provider}/seen", timeout=10).json()[-2:]
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert len(asked["state"]) >= 30
    assert len(asked["nonce"]) >= 40
    assert len(told["code_verifier"]) >= 43
    assert "client_secret" not in {**asked, **told}


def test_groups_give_roles_at_every_sign_in(house: House, provider: str) -> None:
    auth = house.site.settings.auth
    auth.roles = {"shift": "shifter", "charge": "expert:charge", "light": "expert:light", "chiefs": "manager"}
    roles = []
    for groups in (["shift"], ["charge", "shift", "light"], ["chiefs", "charge"], [], "shift", {"no": "list"}):
        tell(provider, person={**ADA, "groups": groups})
        through(house.visitor())
        found = account(house, "ada.l")
        assert found
        roles.append((found.role, found.subsystems))
    assert roles == [
        ("shifter", ("*",)), ("expert", ("charge", "light")), ("manager", ("*",)), ("viewer", ("*",)), ("shifter", ("*",)),
        ("viewer", ("*",)),
    ]  # fmt: skip
    assert len(house.audit(action="change role")) == 5


def test_without_roles_of_groups_an_admin_gives_the_role_and_it_stays(house: House) -> None:
    through(house.visitor())
    people.set_role(house.site.store, LOCAL_ADMIN, "ada.l", "expert")
    client = house.visitor()
    through(client)
    assert client.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == 200


def test_who_is_in_no_group_can_be_kept_out(house: House) -> None:
    auth = house.site.settings.auth
    auth.roles, auth.default_role = {"shift": "shifter"}, ""
    assert through(house.visitor()).status_code == 303
    auth.roles = {"others": "shifter"}
    done = through(house.visitor())
    assert done.status_code == 400
    assert "in no group" in done.text


def test_a_name_of_the_provider_takes_no_account_that_is_there(house: House, provider: str) -> None:
    tell(provider, person={"sub": "evil", "preferred_username": "ADA", "groups": []})
    client = house.visitor()
    assert through(client).status_code == 303
    found = account(house, "ADA-2")
    assert found
    assert found.role == "viewer"
    assert client.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == 403
    ada = account(house, "ada")
    assert ada
    assert (ada.role, ada.identity) == ("admin", None)


@pytest.mark.parametrize("name", ["anonymous", "admin@127.0.0.1", "\uff41nonymous"])
def test_a_name_of_larboard_itself_is_refused(house: House, provider: str, name: str) -> None:
    tell(provider, person=ADA | {"preferred_username": name})
    done = through(house.visitor())
    assert (done.status_code, "is kept for Larboard itself" in done.text) == (400, True)
    assert account(house, "anonymous") is None


def test_a_disabled_account_stays_out(house: House) -> None:
    through(house.visitor())
    people.disable(house.site.store, LOCAL_ADMIN, "ada.l")
    client = house.visitor()
    done = through(client)
    assert (done.status_code, "is disabled" in done.text) == (400, True)
    assert client.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        "nonce",
        "no nonce",
        "issuer",
        "audience",
        "expired",
        "no subject",
        "key",
        "shared secret",
        "unsigned",
        "userinfo",
    ],
)
def test_an_answer_that_is_not_for_this_sign_in_is_refused(
    house: House, provider: str, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    tell(provider, wrong=wrong)
    client = house.visitor()
    done = through(client)
    assert done.status_code == 400
    assert "was not accepted" in done.text
    assert account(house, "ada.l") is None
    assert client.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == 401
    assert "OpenID: the answer is refused" in caplog.text
    assert SECRET not in caplog.text


def test_a_provider_that_says_no_or_is_not_there_is_a_sentence(house: House, provider: str) -> None:
    tell(provider, wrong="refuses")
    done = through(house.visitor())
    assert (done.status_code, "did not sign you in" in done.text) == (400, True)
    tell(provider, wrong="metadata")
    fresh = opened_again(house)
    done = fresh.get("/sign-in/openid")
    assert (done.status_code, "cannot be reached" in done.text) == (503, True)


def test_one_asks_a_provider_that_hangs_the_others_are_told_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, answer, asked = threading.Event(), threading.Event(), []
    provider = Provider(house.site.settings.auth, house.site.store)

    def hang(self: Provider, session: Any, url: str) -> Any:
        asked.append(url)
        there.set()
        answer.wait(30)
        raise ValueError("nothing")

    def once(_: int) -> str:
        with pytest.raises(NoSignIn) as refused:
            provider.start("http://localhost/back", "/")
        return str(refused.value)

    monkeypatch.setattr(Provider, "_get", hang)
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(once, 0)
        there.wait(30)
        others = [pool.submit(once, number) for number in range(10)]
        # so many may wait for the first, all others have their answer while it hangs
        done = [one for _, one in zip(range(10 - (WAITING - 1)), as_completed(others, 30), strict=False)]
        assert len(done) == 10 - (WAITING - 1)
        assert not first.done()
        answer.set()
        said = {first.result(), *[one.result() for one in others]}
    assert len(said) == 1
    assert once(0) in said
    assert len(asked) == 1  # also of those that waited, and of who came then: it is not asked again for a while


def test_one_address_does_not_begin_one_sign_in_after_the_other(house: House) -> None:
    statuses = [house.visitor().get("/sign-in/openid").status_code for _ in range(BEGUN + 2)]
    assert statuses == [302] * BEGUN + [503] * 2
    assert house.visitor("198.51.100.9").get("/sign-in/openid").status_code == 302


def opened_again(house: House) -> FlaskClient:
    """Another process of the site, which has not asked the provider yet."""
    from flask import Flask

    from dqm.auth.web import register

    server = Flask("another")
    register(server, house.site.auth, "/assets/")
    return server.test_client()


def test_an_answer_that_another_browser_began_is_refused(house: House) -> None:
    """Login CSRF: eve sends ada the end of her own sign-in."""
    eve, ada = house.visitor(), house.visitor()
    away = eve.get("/sign-in/openid")
    there = requests.get(away.headers["Location"], allow_redirects=False, timeout=10)
    back = urlsplit(there.headers["Location"])
    assert ada.get(f"{back.path}?{back.query}").status_code == 400
    ada.get("/sign-in/openid")  # also when hers was begun too
    assert ada.get(f"{back.path}?{back.query}").status_code == 400
    assert eve.get(f"{back.path}?{back.query}").status_code == 303
    assert eve.get(f"{back.path}?{back.query}").status_code == 400  # once is enough


def test_a_state_that_was_changed_on_the_way_is_refused(house: House) -> None:
    client = house.visitor()
    away = client.get("/sign-in/openid")
    there = requests.get(away.headers["Location"], allow_redirects=False, timeout=10)
    code = parse_qs(urlsplit(there.headers["Location"]).query)["code"][0]
    assert client.get(f"/sign-in/openid/back?code={code}&state=x").status_code == 400
    assert client.get("/sign-in/openid/back").status_code == 400


def test_a_session_by_the_provider_is_a_new_one_and_the_sign_in_page_offers_it(house: House) -> None:
    client = house.visitor()
    client.set_cookie("larboard_session", "chosen-by-eve")
    through(client)
    cookie = client.get_cookie("larboard_session")
    assert cookie
    assert cookie.value != "chosen-by-eve"
    assert client.get_cookie("larboard_openid") is None
    assert "Sign in with OpenID" in house.visitor().get("/sign-in").text
