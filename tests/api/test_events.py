"""The event stream: nothing lost, nothing twice, in order; nobody waits for a slow browser; pages keep their threads."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dqm.api import events
from dqm.api.events import Broadcaster, Listener, TooMany, streams_for
from dqm.store import StoreProblem, notices
from dqm.views import queries
from dqm.views.queries import News
from dqm.views.site import Site

Address = tuple[str, int]
Eventually = Callable[[Callable[[], bool]], None]


class Browser:
    """Reads one event stream, as an EventSource does."""

    def __init__(self, address: Address, after: int | None = None, last: int | None = None):
        self._connection = http.client.HTTPConnection(*address, timeout=20)
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        self._connection.request("GET", f"/api/v1/events{'' if after is None else f'?after={after}'}", headers=headers)
        self.response = self._connection.getresponse()

    def next(self) -> tuple[str, int | None, Any]:
        """(event, id, data) of the next event; EOFError when the stream ends."""
        fields: dict[str, str] = {}
        while True:
            line = self.response.readline().decode()
            if not line:
                raise EOFError
            if line == "\n":
                return fields["event"], int(fields["id"]) if "id" in fields else None, json.loads(fields["data"])
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value

    def notices(self, until: int) -> list[int]:
        """Numbers of the notices up to that one."""
        seen: list[int] = []
        while not seen or seen[-1] < until:
            name, number, data = self.next()
            if name == "notice":
                assert number == data["seq"]
                seen.append(data["seq"])
        return seen

    def close(self) -> None:
        self.response.close()
        self._connection.close()


@contextmanager
def browsing(address: Address, after: int | None = None, last: int | None = None) -> Iterator[Browser]:
    browser = Browser(address, after, last)
    yield browser
    browser.close()


def post(site: Site, count: int = 1, key: str = "7") -> int:
    with site.store.begin() as tx:
        for _ in range(count):
            notices.post(tx, "run", key, 5)
        return notices.last(tx)


def test_hello_then_what_happens(address: Address, site: Site) -> None:
    last = post(site)
    with browsing(address) as browser:
        headers = browser.response.headers
        assert headers["Content-Type"].startswith("text/event-stream")
        assert (headers["X-Accel-Buffering"], headers["Cache-Control"]) == ("no", "no-store")
        assert browser.next() == ("hello", last, {"seq": last})
        post(site, key="r <é>")
        name, number, data = browser.next()
    assert (name, number) == ("notice", last + 1)
    assert data.pop("time") > 0
    assert data == {"seq": last + 1, "topic": "run", "key": "r <é>", "version": 5}


def test_who_comes_back_is_sent_what_he_missed(address: Address, site: Site) -> None:
    last = post(site)
    post(site, 30)
    with browsing(address, after=last) as browser:
        # if the stream breaks right after hello, what was missed is still missed
        assert browser.next() == ("hello", last, {"seq": last + 30})
        assert browser.notices(until=last + 30) == list(range(last + 1, last + 31))
        post(site)
        assert browser.next()[1] == last + 31


def test_the_number_of_the_browser_wins_over_that_of_its_address(address: Address, site: Site) -> None:
    last = post(site, 10)
    with browsing(address, after=1, last=last - 2) as browser:
        assert browser.next()[0] == "hello"
        assert browser.notices(until=last) == [last - 1, last]


def test_a_number_that_is_none_is_refused(client: FlaskClient) -> None:
    for text in ("x", "-1", "9" * 40, "9" * 5000, "1.5"):
        assert client.get("/api/v1/events", headers={"Last-Event-ID": text}).status_code == 400


def test_what_is_forgotten_is_a_gap(address: Address, site: Site) -> None:
    last = post(site, 30)
    with site.store.begin() as tx:
        notices.prune(tx, keep=5)
    with browsing(address, after=3) as browser:
        assert browser.next()[0] == "hello"
        assert browser.next() == ("gap", last, {"seq": last})
        post(site)
        assert browser.next()[:2] == ("notice", last + 1)


def test_the_numbers_of_another_database_are_a_gap(address: Address, site: Site) -> None:
    last = post(site)
    with browsing(address, after=last + 1000) as browser:
        assert browser.next()[0] == "hello"
        assert browser.next() == ("gap", last, {"seq": last})
        post(site)
        assert browser.next()[:2] == ("notice", last + 1)


def test_too_much_to_replay_is_a_gap(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "REPLAY_MOST", 10)
    last = post(site, 30)
    assert queries.news(site, last - 11) == News(last, [], gap=True)
    assert len(queries.news(site, last - 10).notices) == 10


def test_every_browser_sees_every_notice_in_order_while_many_write(address: Address, site: Site) -> None:
    begin = post(site)
    writers, each = 4, 60
    seen: dict[int, list[int]] = {}
    started = threading.Barrier(writers + 1)

    def write() -> None:
        started.wait()
        for count in range(each):
            post(site, 1 + count % 3)

    total = writers * sum(1 + count % 3 for count in range(each))

    def read(index: int) -> None:
        with browsing(address, after=begin) as browser:
            seen[index] = browser.notices(until=begin + total)

    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in threads:
        thread.start()
    early = threading.Thread(target=read, args=(0,))
    early.start()
    started.wait()
    readers = [threading.Thread(target=read, args=(index,)) for index in (1, 2, 3)]
    for thread in readers:  # they join in the middle of it
        thread.start()
    for thread in [*threads, early, *readers]:
        thread.join()
    whole = list(range(begin + 1, begin + total + 1))
    assert seen == {index: whole for index in range(4)}  # noqa: C420 - they are not changed


def test_a_browser_that_goes_and_comes_back_misses_nothing(address: Address, site: Site) -> None:
    begin = post(site)
    done = threading.Event()

    def write() -> None:
        for _ in range(150):
            post(site)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    last, seen = begin, list[int]()
    while not done.is_set() or last < begin + 150:
        with browsing(address, last=last) as browser:
            for _ in range(10):
                name, number, _data = browser.next()
                if name == "notice":
                    assert number is not None
                    seen.append(number)
                    last = number
                if last == begin + 150:
                    break
    writer.join()
    assert seen == list(range(begin + 1, begin + 151))


def test_a_slow_browser_is_dropped_and_nobody_waits_for_him(site: Site) -> None:
    broadcaster = Broadcaster(site, most=4, size=5)
    slow, quick = broadcaster.join(), broadcaster.join()
    last = post(site)
    taken: list[int] = []
    content = events.stream(site, slow, after=last)
    assert b"hello" in next(content)
    for _ in range(4):
        post(site, 3)
        while not taken or taken[-1] < queries.last_news(site):
            taken += [seq for seq, _ in quick.take(5)]
    # the slow one has what had a place in his queue, and then the end
    assert slow.ended
    first = next(content)
    assert first.count(b"event: notice") <= 5
    assert list(content) == []
    assert taken == list(range(last, last + 13))
    assert not quick.ended
    for listener in (slow, quick):
        broadcaster.leave(listener)
    again = broadcaster.join()
    content = events.stream(site, again, after=last + 3)
    assert b"".join((next(content), next(content))).count(b"event: notice") == 9
    broadcaster.stop()


def test_a_browser_that_takes_nothing_does_not_hold_its_thread(
    address: Address, site: Site, broadcaster: Broadcaster, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(events, "SEND_S", 0.2)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(address)
        deaf.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: broadcaster.listeners == 1)
        for _ in range(8):
            post(site, 100, key="x" * 10_000)
        eventually(lambda: broadcaster.listeners == 0)


def test_a_browser_that_closed_frees_its_place(
    address: Address, broadcaster: Broadcaster, eventually: Eventually
) -> None:
    browsers = [Browser(address) for _ in range(3)]
    eventually(lambda: broadcaster.listeners == 3)
    for browser in browsers:
        browser.close()
    eventually(lambda: broadcaster.listeners == 0)
    eventually(lambda: not any(thread.name == "larboard-events" for thread in threading.enumerate()))


def test_pages_keep_threads_when_all_streams_are_taken(
    address: Address, broadcaster: Broadcaster, eventually: Eventually
) -> None:
    assert broadcaster.most == streams_for(8) == 4
    browsers = [Browser(address) for _ in range(4)]
    with browsing(address) as refused:
        assert refused.response.status == 503
        assert refused.response.headers["Retry-After"]
        problem = json.loads(refused.response.read())
    assert "/api/v1/changes" in problem["detail"]
    browsers.pop().close()
    eventually(lambda: broadcaster.listeners == 3)
    with browsing(address) as taken:
        assert taken.response.status == 200
    for browser in browsers:
        browser.close()


@pytest.mark.parametrize(("threads", "streams"), [(8, 4), (16, 12), (48, 36), (160, 120)])
def test_a_quarter_of_the_threads_is_for_pages(threads: int, streams: int) -> None:
    assert streams_for(threads) == streams


def test_a_store_that_fails_for_a_while_ends_no_stream(
    address: Address, site: Site, broadcaster: Broadcaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "AGAIN_S", 0.05)
    real, failures, failed = queries.news, [StoreProblem("disk full"), ValueError("what is this")], threading.Event()

    def fail(*arguments: Any) -> News:
        if failures and threading.current_thread().name == "larboard-events":
            raise failures.pop()
        if not failures:
            failed.set()
        return real(*arguments)

    with browsing(address) as browser:
        _, begin, _ = browser.next()
        assert begin is not None
        monkeypatch.setattr(queries, "news", fail)
        assert failed.wait(10)
        last = post(site, 3)
        assert browser.notices(until=last) == [begin + 1, begin + 2, begin + 3]
    assert broadcaster.listeners <= 1


def test_a_store_that_stays_away_ends_the_streams_so_that_no_page_calls_itself_live(
    address: Address, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "AWAY_S", 0.5)
    monkeypatch.setattr(events, "AGAIN_S", 0.1)
    with browsing(address) as browser:
        _, seen, _ = browser.next()
        with monkeypatch.context() as away:
            away.setattr(queries, "news", fails)
            with pytest.raises(EOFError):
                browser.next()
    number = post(site)
    with browsing(address, last=seen) as browser:
        assert browser.notices(number) == [number]


def fails(*_: Any) -> News:
    raise StoreProblem("the database is away")


def test_silence_is_filled_with_pings(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PING_S", 0.05)
    monkeypatch.setattr(events, "AGAIN_S", 0.02)
    with browsing(address) as browser:
        assert browser.next()[0] == "hello"
        assert browser.next()[0] == "ping"
        assert browser.next()[0] == "ping"


def test_stop_ends_all_streams_and_lets_nobody_in(address: Address, broadcaster: Broadcaster) -> None:
    browsers = [Browser(address) for _ in range(3)]
    for browser in browsers:
        assert browser.next()[0] == "hello"
    broadcaster.stop()
    for browser in browsers:
        with pytest.raises(EOFError):
            browser.next()
        browser.close()
    with pytest.raises(TooMany):
        broadcaster.join()
    with browsing(address) as refused:
        assert refused.response.status == 503


def test_asking_for_the_headers_opens_no_stream(client: FlaskClient, broadcaster: Broadcaster) -> None:
    assert client.head("/api/v1/events").status_code == 200
    assert broadcaster.listeners == 0


def test_a_stream_that_nobody_read_is_closed(server: Flask, broadcaster: Broadcaster) -> None:
    response = server.test_client().get("/api/v1/events")
    assert broadcaster.listeners == 1
    response.close()
    assert broadcaster.listeners == 0


def test_a_listener_keeps_what_had_a_place_and_ends() -> None:
    listener = Listener(size=3)
    listener.put([(1, b"a"), (2, b"b")])
    listener.put([(3, b"c"), (4, b"d")])
    listener.put([(5, b"e")])
    assert listener.take(0) == [(1, b"a"), (2, b"b"), (3, b"c")]
    assert listener.over


def test_one_address_does_not_take_the_streams_of_all_others(site: Site) -> None:
    many = Broadcaster(site, 40)
    mine = [many.join(address="192.0.2.7") for _ in range(10)]
    with pytest.raises(TooMany, match="one address"):
        many.join(address="192.0.2.7")
    many.leave(mine.pop())
    many.join(address="192.0.2.7")
    for number in range(10):  # of IPv6 a whole network is one
        many.join(address=f"2001:db8::{number + 1}")
    with pytest.raises(TooMany, match="one address"):
        many.join(address="2001:db8::ff")
    many.join(address="2001:db8:0:1::1")
    for _ in range(19):  # this host itself, where a proxy may be that is not in the settings
        many.join(address="127.0.0.1")
    with pytest.raises(TooMany, match="All 40"):
        many.join(address="198.51.100.1")
    many.stop()
