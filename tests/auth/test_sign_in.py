"""Signing in with a name and a password: what is let in, what is refused, what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqm.auth import passwords, people, secret, signin
from dqm.auth.paths import own
from dqm.auth.roles import LOCAL_ADMIN
from dqm.store import accounts, sessions
from tests.auth.conftest import GOOD, House

COOKIE = "larboard_session"


def test_who_has_an_account_signs_in_and_out(house: House) -> None:
    client = house.signed_in("ADA")
    assert client.patch("/api/v1/runs/7", json={"comment": "seen"}).status_code == 200
    assert client.post("/sign-out").status_code == 303
    assert client.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == 401
    assert [row.action for row in house.audit(actor="ada")] == ["sign out", "edit run", "sign in"]


def test_the_cookie_is_for_this_site_alone_and_the_store_has_only_a_hash_of_it(house: House) -> None:
    client = house.visitor()
    for scheme, secure in (("http", False), ("https", True)):
        done = client.post("/sign-in", data={"name": "ada", "password": GOOD}, base_url=f"{scheme}://site.example")
        cookie = done.headers["Set-Cookie"]
        assert all(word in cookie for word in ("HttpOnly", "SameSite=Lax", "Path=/"))
        assert ("Secure" in cookie) is secure
    shown = client.get_cookie(COOKIE, domain="site.example")
    assert shown is not None
    with house.site.store.read() as tx:
        assert sessions.get(tx, shown.value) is None
        assert sessions.get(tx, secret.kept(shown.value)) is not None
        kept = accounts.named(tx, "ada")
    assert kept is not None
    assert kept.password is not None
    assert kept.password.startswith("$argon2id$")


def test_a_sign_in_makes_a_new_session_and_ends_the_one_before(house: House) -> None:
    client = house.signed_in("ada")
    first = client.get_cookie(COOKIE)
    client.post("/sign-in", data={"name": "ada", "password": GOOD})
    second = client.get_cookie(COOKIE)
    assert first
    assert second
    assert first.value != second.value
    client.set_cookie(COOKIE, first.value)
    assert client.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == 401


def test_a_session_that_somebody_else_has_set_is_not_taken_over(house: House) -> None:
    client = house.visitor()
    client.set_cookie(COOKIE, "chosen-by-eve")
    client.post("/sign-in", data={"name": "ada", "password": GOOD})
    cookie = client.get_cookie(COOKIE)
    assert cookie
    assert cookie.value != "chosen-by-eve"


def test_a_session_ends_when_it_is_not_used_and_when_it_is_too_old(
    house: House, clock: Callable[[float], None]
) -> None:
    client = house.signed_in("ada")
    for _ in range(3):
        clock(11 * 3600)
        assert client.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == 200
    clock(13 * 3600)
    assert client.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == 401
    again = house.signed_in("ada")
    for _ in range(16):
        clock(10 * 3600)
        assert again.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == 200
    clock(9 * 3600)
    assert again.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == 401


def test_signing_out_everywhere_ends_every_session_of_the_person_and_of_nobody_else(house: House) -> None:
    house.add("bob", "expert")
    here, there, bob = house.signed_in("ada"), house.signed_in("ada"), house.signed_in("bob")
    assert here.post("/sign-out", data={"everywhere": "yes"}).status_code == 303
    for client, status in ((here, 401), (there, 401), (bob, 200)):
        assert client.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == status


def test_another_password_signs_out_and_a_disabled_account_is_out_at_once(house: House) -> None:
    house.add("bob", "expert")
    client = house.signed_in("bob")
    people.set_password(house.site.store, LOCAL_ADMIN, "bob", "battery staple correct")
    assert client.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == 401
    client = house.signed_in("bob", "battery staple correct")
    people.disable(house.site.store, LOCAL_ADMIN, "bob")
    assert client.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == 401
    assert client.post("/sign-in", data={"name": "bob", "password": "battery staple correct"}).status_code == 401
    people.enable(house.site.store, LOCAL_ADMIN, "bob")
    assert client.post("/sign-in", data={"name": "bob", "password": "battery staple correct"}).status_code == 303


# who is there is not told ---------------------------------------------------------------------------------------------


def answers(house: House, name: str) -> tuple[int, str]:
    done = house.visitor().post("/sign-in", data={"name": name, "password": "wrong wrong wrong"})
    return done.status_code, done.text.replace(name, "NAME")


def test_a_name_that_nobody_has_gets_the_same_answer(house: House) -> None:
    house.add("byproxy", "viewer", password=None)
    house.add("gone", "viewer")
    people.disable(house.site.store, LOCAL_ADMIN, "gone")
    assert answers(house, "ada") == answers(house, "nobody") == answers(house, "byproxy") == answers(house, "gone")
    assert answers(house, "ada")[0] == 401
    reasons = {row.after["reason"] for row in house.audit(action="sign-in failed")}
    assert reasons == {"wrong password", "no such account", "has no password"}


def test_a_name_that_nobody_has_costs_a_hash_all_the_same(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    real = passwords._hasher()

    class Counting:
        def verify(self, kept: str, word: str) -> bool:
            compared.append(kept)
            return real.verify(kept, word)

        hash = staticmethod(real.hash)
        check_needs_rehash = staticmethod(real.check_needs_rehash)

    monkeypatch.setattr(passwords, "_hasher", Counting)
    for name in ("ada", "nobody"):
        answers(house, name)
    assert len(compared) == 2
    assert all(kept.startswith("$argon2id$") for kept in compared)


def test_what_was_typed_for_a_name_is_kept_only_when_it_is_one(house: House) -> None:
    answers(house, "my-secret-typed-in-the-wrong-field")
    assert "my-secret" not in str(house.audit())
    answers(house, "ada")
    assert house.audit(action="sign-in failed")[0].subject == "account ada"


def test_after_some_failures_there_is_a_wait_that_doubles_and_the_right_password_does_not_help(
    house: House, clock: Callable[[float], None]
) -> None:
    client = house.visitor()

    def tried(password: str) -> int:
        return client.post("/sign-in", data={"name": "ada", "password": password}).status_code

    assert [tried("wrong") for _ in range(7)] == [401] * 5 + [429] * 2
    done = client.post("/sign-in", data={"name": "ada", "password": GOOD})
    assert done.status_code == 429
    assert int(done.headers["Retry-After"]) <= 2
    waits = []
    for _ in range(12):
        clock(int(client.post("/sign-in", data={"name": "ada", "password": "x"}).headers["Retry-After"]))
        assert tried("wrong") == 401
        waits.append(int(client.post("/sign-in", data={"name": "ada", "password": "x"}).headers["Retry-After"]) - 1)
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]
    # her own desk is not locked by it, and a sign-in forgets the failures of that place
    assert house.visitor("198.51.100.9").post("/sign-in", data={"name": "ada", "password": GOOD}).status_code == 303
    clock(901)
    assert tried(GOOD) == 303
    assert tried("wrong") == 401


def test_a_name_that_nobody_has_waits_in_the_same_way(house: House) -> None:
    client = house.visitor()
    statuses = [client.post("/sign-in", data={"name": "nobody", "password": "x"}).status_code for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2


def test_one_address_cannot_try_many_names(house: House) -> None:
    client = house.visitor("2001:db8::1")
    done = [client.post("/sign-in", data={"name": f"n{n}", "password": "x"}).status_code for n in range(21)]
    assert done == [401] * 20 + [429]
    for address, status in (("2001:db8::2", 429), ("2001:db8:0:1::2", 401)):  # who has one has its whole network
        client = house.visitor(address)
        assert client.post("/sign-in", data={"name": "other", "password": "x"}).status_code == status


def test_right_sign_ins_of_one_address_cost_nothing_and_forgive_nothing(house: House) -> None:
    client = house.visitor()

    def tried(name: str, password: str) -> int:
        return client.post("/sign-in", data={"name": name, "password": password}).status_code

    assert [tried("ada", GOOD) for _ in range(30)] == [303] * 30
    # an account of one's own does not help to try other names
    statuses = []
    for number in range(20):
        statuses += [tried(f"n{number}", "x"), tried("ada", GOOD)]
    assert statuses == [401, 303] * 19 + [401, 429]
    assert tried("n21", "x") == 429


def test_asking_for_the_own_password_again_and_again_does_not_lock_the_address(house: House) -> None:
    with house.site.store.read() as tx:
        ada = accounts.named(tx, "ada")
    assert ada
    for _ in range(30):
        signin.confirm(house.site.store, ada, GOOD, signin.Origin("192.0.2.7"))
    house.signed_in("ada")


def test_asking_many_times_at_once_is_asking_many_times(house: House) -> None:
    def once(_: int) -> int:
        return house.visitor().post("/sign-in", data={"name": "ada", "password": "wrong"}).status_code

    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(once, range(24)))
    assert statuses.count(401) == 5


def test_who_is_signed_in_reads_although_nothing_can_be_written(house: House, clock: Callable[[float], None]) -> None:
    client = house.signed_in("ada")
    shown, _ = people.add_token(house.site.store, LOCAL_ADMIN, "ada", "daq", ("read",), 1, 365)
    house.site.settings.auth.anonymous = False
    clock(120)
    with house.site.store.begin():  # somebody writes, for as long as this lasts
        assert client.get("/api/v1/runs").status_code == 200
        headers = {"Authorization": f"Bearer {shown}"}
        assert house.visitor().get("/api/v1/runs", headers=headers).status_code == 200


# passwords ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("", "has 0 characters"), ("ninechars", "9 characters, expected 10 or more"), ("x" * 257, "at most 256"),
        ("margaret.h", "the name itself"), ("MARGARET.H", "the name itself"), ("Margaret.H1", ""),
        ("password12", "commonest"), ("1234567890", "commonest"), ("aaaaaaaaaaaa", "commonest"),
        ("P@ssw0rd123!", "commonest"), ("qwertyuiop", "commonest"),
        ("Larboard2026", "commonest"), ("iloveyou!!", "commonest"), (GOOD, ""),
        ("日本語のパスワードです", ""), ("x7 kk 0q v", ""),
    ],
)  # fmt: skip
def test_a_password_is_long_and_not_the_first_that_is_tried(password: str, said: str) -> None:
    problem = passwords.problem_of("margaret.h", password)
    assert said in problem
    assert bool(problem) is bool(said)


@given(st.text(min_size=10, max_size=60))
def test_a_password_fits_what_was_kept_of_it_and_nothing_else(password: str) -> None:
    kept = passwords.hashed(password)
    assert passwords.fits(password, kept)
    assert not passwords.fits(password + "x", kept)
    assert not passwords.fits(password, None)
    assert not passwords.fits(password, "no hash")


def test_a_password_is_hashed_anew_when_the_parameters_have_changed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from argon2 import PasswordHasher

    stronger = PasswordHasher(time_cost=2, memory_cost=128, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", lambda: stronger)
    house.signed_in("ada")
    with house.site.store.read() as tx:
        ada = accounts.named(tx, "ada")
    assert ada
    assert "m=128,t=2" in str(ada.password)
    house.signed_in("ada")


# where to go ----------------------------------------------------------------------------------------------------------

FOREIGN = (
    "//evil.example", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "/a/../../x",
    "javascript:alert(1)", "evil.example", "", "/ /evil.example", "/\n//evil.example", "http:/evil.example",
    "///evil.example",
)  # fmt: skip


@pytest.mark.parametrize("target", FOREIGN)
def test_nobody_is_sent_to_another_site_after_signing_in(house: House, target: str) -> None:
    done = house.visitor().post("/sign-in", data={"name": "ada", "password": GOOD, "next": target})
    assert done.headers["Location"] == "/"
    assert own(target, "/larboard") == "/larboard/"


def test_after_signing_in_one_is_where_one_wanted_to_be(house: House) -> None:
    wanted = "/files?state=quarantined&search=a%2Fb"
    done = house.visitor().post("/sign-in", data={"name": "ada", "password": GOOD, "next": wanted})
    assert done.headers["Location"] == wanted
    assert own("/larboard/runs?x=1", "/larboard") == "/larboard/runs?x=1"
    assert own("/elsewhere", "/larboard") == "/larboard/"


@given(st.text())
def test_whatever_is_asked_for_the_target_is_a_path_of_this_site(text: str) -> None:
    target = own(text)
    assert target.startswith("/")
    assert not target.startswith(("//", "/\\"))
    assert not any(ord(c) <= 32 for c in target)


# other sites ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/api/v1/files/1/retry", "/_dash-update-component"])
def test_what_the_page_of_another_site_sends_is_refused(house: House, path: str, headers: dict[str, str]) -> None:
    client = house.signed_in("ada")
    done = client.post(path, data={"name": "ada", "password": GOOD}, headers=headers)
    assert done.status_code == 403
    assert "another site" in done.text


def test_a_name_is_text_on_the_page_never_markup(house: House) -> None:
    nasty = '"><script>alert(1)</script>'
    done = house.visitor().post("/sign-in", data={"name": nasty, "password": "x", "next": "/" + nasty})
    assert "<script>alert" not in done.text


def test_nothing_of_a_password_or_a_session_is_in_the_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(0):
        client = house.signed_in("ada")
        answers(house, "ada")
        client.post("/sign-out")
    assert GOOD not in caplog.text
    assert "wrong wrong" not in caplog.text
    assert signin.LONGEST_WAIT_S
