"""Names to addresses: remembered, asked for once, used in turn. The look-up and the clock are ours."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import gevent
import pytest
from gevent import GreenletExit
from gevent.event import Event
from gevent.queue import Queue
from hypothesis import given
from hypothesis import strategies as st

from loadgen.clock import FakeClock
from loadgen.http.errors import DnsError, GeneratorLimit, HttpError
from loadgen.http.resolver import Address, AddrInfo, Resolver, by_family, interleave, is_literal

V4, V6 = socket.AF_INET, socket.AF_INET6


def rows(*ips: str) -> list[AddrInfo]:
    """What getaddrinfo would return for these addresses."""
    return [
        (V6, socket.SOCK_STREAM, 6, "", (ip, 0, 0, 0)) if ":" in ip else (V4, socket.SOCK_STREAM, 6, "", (ip, 0))
        for ip in ips
    ]


class Names:
    """A name service that is told its answers and counts what it is asked."""

    def __init__(self, answer: Sequence[AddrInfo] | Exception) -> None:
        self.answer = answer
        self.asked = 0
        self.may_answer = Event()
        self.may_answer.set()

    def __call__(self, host: str) -> Sequence[AddrInfo]:
        self.asked += 1
        self.may_answer.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def ips(addresses: Sequence[Address]) -> list[str]:
    return [address.ip for address in addresses]


def test_an_answer_is_kept_until_its_time_is_up() -> None:
    names, clock = Names(rows("10.0.0.1")), FakeClock()
    resolver = Resolver(30.0, names, clock)

    resolver.resolve("shop.example")
    clock.advance(29.9)
    resolver.resolve("shop.example")
    assert names.asked == 1

    names.answer = rows("10.0.0.2")
    clock.advance(0.1)
    assert ips(resolver.resolve("shop.example")) == ["10.0.0.2"]
    assert names.asked == 2


def test_with_a_time_to_live_of_nothing_every_request_asks() -> None:
    names = Names(rows("10.0.0.1"))
    resolver = Resolver(0.0, names, FakeClock())

    for _ in range(3):
        resolver.resolve("shop.example")

    assert names.asked == 3


def test_users_who_ask_at_once_make_one_look_up_and_each_begins_with_another_address() -> None:
    names = Names(rows("10.0.0.1", "10.0.0.2", "10.0.0.3"))
    names.may_answer.clear()
    resolver = Resolver(30.0, names, FakeClock())

    users = [gevent.spawn(resolver.resolve, "shop.example") for _ in range(9)]
    gevent.idle()
    names.may_answer.set()
    firsts = Counter(user.get()[0].ip for user in users)

    assert names.asked == 1
    assert firsts == {"10.0.0.1": 3, "10.0.0.2": 3, "10.0.0.3": 3}


def test_a_user_who_is_stopped_while_waiting_does_not_disturb_the_others() -> None:
    names = Names(rows("10.0.0.1"))
    names.may_answer.clear()
    resolver = Resolver(30.0, names, FakeClock())

    first, second = (gevent.spawn(resolver.resolve, "shop.example") for _ in range(2))
    gevent.idle()
    first.kill()
    names.may_answer.set()

    assert ips(second.get()) == ["10.0.0.1"]
    assert names.asked == 1


def test_a_failure_is_remembered_for_a_second_and_told_to_each_as_an_exception_of_its_own() -> None:
    names, clock = Names(socket.gaierror(socket.EAI_NONAME, "Name or service not known")), FakeClock()
    resolver = Resolver(30.0, names, clock)

    first, second = (failure_of(lambda: resolver.resolve("nowhere.example")) for _ in range(2))
    assert (first.category, first.phase, first.fault) == ("dns_not_found", "dns", "network")
    assert first is not second
    assert "nowhere.example" in str(first)
    assert names.asked == 1

    clock.advance(1.0)
    names.answer = rows("10.0.0.1")
    assert ips(resolver.resolve("nowhere.example")) == ["10.0.0.1"]


def failure_of(action: Callable[[], object]) -> HttpError:
    with pytest.raises(HttpError) as caught:
        action()
    return caught.value


@pytest.mark.parametrize(
    ("answer", "category"),
    [
        (socket.gaierror(socket.EAI_NONAME, "not known"), "dns_not_found"),
        (socket.gaierror(socket.EAI_NODATA, "no address"), "dns_not_found"),
        (socket.gaierror(socket.EAI_AGAIN, "temporary failure"), "dns_failed"),
        (socket.gaierror(socket.EAI_FAIL, "failure"), "dns_failed"),
        (socket.gaierror(socket.EAI_MEMORY, "memory"), "generator_limit"),
        (OSError(5, "broken"), "dns_failed"),
        (RuntimeError("can't start new thread"), "generator_limit"),
        (MemoryError(), "generator_limit"),
        (LookupError("a look-up with an error"), "dns_failed"),
        ([], "dns_not_found"),
        ([(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", "/tmp/x")], "dns_not_found"),
    ],
)
def test_every_way_to_have_no_address_has_a_category(answer: Sequence[AddrInfo] | Exception, category: str) -> None:
    error = failure_of(lambda: Resolver(30.0, Names(answer), FakeClock()).resolve("shop.example"))

    assert error.category == category
    assert isinstance(error, GeneratorLimit if category == "generator_limit" else DnsError)


def test_who_waits_too_long_is_told_so_and_the_answer_still_serves_the_next() -> None:
    names = Names(rows("10.0.0.1"))
    names.may_answer.clear()
    resolver = Resolver(30.0, names, FakeClock())

    assert failure_of(lambda: resolver.resolve("slow.example", timeout_s=0.001)).category == "dns_timeout"

    names.may_answer.set()
    assert ips(resolver.resolve("slow.example")) == ["10.0.0.1"]
    assert names.asked == 1


FAILING_LOOK_UPS = """
import gevent
from loadgen.http.errors import HttpError
from loadgen.http.resolver import Resolver

def ask(host):
    try:
        resolver.resolve(host)
    except HttpError as exc:
        return exc.category

resolver = Resolver()
askers = [gevent.spawn(ask, host) for host in ("nowhere.invalid", "nowhere.invalid", "x" * 70 + ".invalid")]
gevent.joinall(askers)
print(*{str(asker.value).startswith("dns_") for asker in askers})
"""


def test_a_failed_look_up_prints_nothing() -> None:
    """The system's resolver, in gevent's threads, which print the traceback of whatever is raised there."""
    done = subprocess.run([sys.executable, "-c", FAILING_LOOK_UPS], capture_output=True, text=True, timeout=120)

    assert (done.stdout, done.stderr) == ("True\n", "")


# -- the look-up that many share may end in any way at any moment -----------------------------------------------------


class Stage:
    """A resolver whose look-ups end when told, those who ask it, and what becomes of them."""

    def __init__(self) -> None:
        self.resolver = Resolver(0.0, self.lookup, FakeClock())
        self.under_way: list[Any] = []  # greenlets
        self.most_at_once = 0
        self.answers: Queue[Sequence[AddrInfo] | BaseException] = Queue()
        self.askers: list[gevent.Greenlet[..., object]] = []

    def lookup(self, host: str) -> Sequence[AddrInfo]:
        self.under_way.append(gevent.getcurrent())
        self.most_at_once = max(self.most_at_once, len(self.under_way))
        try:
            answer = self.answers.get()
            if isinstance(answer, BaseException):
                raise answer
            return answer
        finally:
            self.under_way.remove(gevent.getcurrent())

    def ask(self, timeout_s: float | None) -> None:
        def body() -> object:
            try:
                return ips(self.resolver.resolve("shop.example", timeout_s))
            except HttpError as exc:
                return exc.category

        self.askers.append(gevent.spawn(body))

    def answer(self, answer: Sequence[AddrInfo] | BaseException) -> None:
        """Ends the look-up under way, if there is one."""
        if self.under_way and not self.answers.qsize():
            self.answers.put(answer)

    def kill_asker(self, number: int) -> None:
        if self.askers:
            self.askers[number % len(self.askers)].kill(block=False)

    def kill_look_up(self) -> None:
        """Also one that has not begun to run."""
        for look_up in self.resolver._pending.values():
            look_up.kill(block=False)

    def close(self) -> None:
        """From now on every look-up is answered at once."""
        self.answers.put(rows("10.0.0.9"))
        waiter = gevent.spawn(self._keep_answering)
        with gevent.Timeout(20):
            gevent.joinall(self.askers)
        waiter.kill()

    def _keep_answering(self) -> None:
        while True:
            if not self.answers.qsize():
                self.answers.put(rows("10.0.0.9"))
            gevent.sleep(0)


OUTCOMES = (["10.0.0.1"], ["10.0.0.9"], "dns_timeout", "dns_failed", "dns_not_found", "generator_limit")
steps = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from([None, 0.0, 0.001, 60.0])),
    st.tuples(st.just("kill_asker"), st.integers(0, 9)),
    st.tuples(st.just("kill_look_up")),
    st.tuples(
        st.just("answer"),
        st.sampled_from(
            [
                rows("10.0.0.1"),
                socket.gaierror(socket.EAI_NONAME, "not known"),
                RuntimeError("can't start new thread"),
                LookupError("broken"),
                GreenletExit(),
                gevent.Timeout(),
            ]
        ),
    ),
    st.tuples(st.just("turn")),
)


@given(st.lists(steps, max_size=25))
def test_nobody_waits_for_ever_however_the_shared_look_up_and_its_askers_end(script: list[tuple[Any, ...]]) -> None:
    stage = Stage()
    patient: set[int] = set()
    killed: set[int] = set()

    for what, *how in script:
        if what == "turn":
            gevent.sleep(0)
            continue
        if what == "ask" and how[0] in (None, 60.0):
            patient.add(len(stage.askers))
        if what == "kill_asker" and stage.askers:
            killed.add(how[0] % len(stage.askers))
        getattr(stage, what)(*how)
    stage.close()

    assert stage.most_at_once <= 1
    assert all(look_up.ready() for look_up in stage.resolver._pending.values())
    for number, asker in enumerate(stage.askers):
        assert asker.value in OUTCOMES or (number in killed and isinstance(asker.value, GreenletExit))
        assert asker.value != "dns_timeout" or number not in patient


def test_who_waits_on_a_look_up_that_is_killed_begins_another_one() -> None:
    stage = Stage()
    for _ in range(3):
        stage.ask(None)
    gevent.idle()
    stage.kill_look_up()
    stage.close()

    assert [asker.value for asker in stage.askers] == [["10.0.0.9"]] * 3


def test_a_look_up_killed_before_it_began_blocks_nobody() -> None:
    stage = Stage()
    stage.ask(None)
    gevent.sleep(0)  # it has asked, and the look-up is spawned
    assert stage.resolver._pending
    assert not stage.under_way
    stage.kill_look_up()
    stage.ask(None)
    stage.close()

    assert [asker.value for asker in stage.askers] == [["10.0.0.9"]] * 2


def test_look_ups_that_are_killed_whenever_they_begin_end_as_a_failure() -> None:
    def killed(host: str) -> Sequence[AddrInfo]:
        raise GreenletExit

    assert failure_of(lambda: Resolver(30.0, killed, FakeClock()).resolve("shop.example")).category == "dns_failed"


def test_families_alternate_beginning_with_the_one_the_system_prefers() -> None:
    resolver = Resolver(30.0, Names(rows("2001:db8::1", "2001:db8::2", "10.0.0.1", "2001:db8::1")), FakeClock())

    assert ips(resolver.resolve("dual.example")) == ["2001:db8::1", "10.0.0.1", "2001:db8::2"]
    assert ips(resolver.resolve("dual.example")) == ["2001:db8::2", "10.0.0.1", "2001:db8::1"]


def test_the_family_that_worked_goes_first_until_the_next_look_up() -> None:
    clock = FakeClock()
    resolver = Resolver(30.0, Names(rows("2001:db8::1", "10.0.0.1")), clock)
    _, second = resolver.resolve("dual.example")

    resolver.connected("dual.example", second)
    resolver.connected("dual.example", second)
    assert ips(resolver.resolve("dual.example")) == ["10.0.0.1", "2001:db8::1"]

    clock.advance(30.0)
    assert ips(resolver.resolve("dual.example")) == ["2001:db8::1", "10.0.0.1"]


def test_what_a_name_resolves_to_is_logged_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    names, clock = Names(rows("2001:db8::1", "10.0.0.1", "10.0.0.2")), FakeClock()
    resolver = Resolver(1.0, names, clock)

    with caplog.at_level(logging.INFO, "loadgen.http.resolver"):
        for _ in range(2):
            resolver.resolve("dual.example")
            clock.advance(1.0)
        names.answer = rows("10.0.0.9")
        resolver.resolve("dual.example")

    assert caplog.messages == [
        "dual.example resolves to 1 IPv6, 2 IPv4: 2001:db8::1 10.0.0.1 10.0.0.2",
        "dual.example resolves to 1 IPv4: 10.0.0.9",
    ]


@pytest.mark.parametrize(
    ("host", "address", "sockaddr"),
    [
        ("127.0.0.1", Address(V4, "127.0.0.1"), ("127.0.0.1", 80)),
        ("127.1", Address(V4, "127.0.0.1"), ("127.0.0.1", 80)),
        ("::1", Address(V6, "::1"), ("::1", 80, 0, 0)),
        ("2001:db8::1", Address(V6, "2001:db8::1"), ("2001:db8::1", 80, 0, 0)),
    ],
)
def test_an_ip_literal_asks_nobody(host: str, address: Address, sockaddr: tuple[object, ...]) -> None:
    names = Names(OSError("asked"))

    assert Resolver(30.0, names, FakeClock()).resolve(host) == [address]
    assert address.sockaddr(80) == sockaddr
    assert names.asked == 0


@pytest.mark.parametrize("host", ["1.2.3.4.5", "999.1.1.1", "::1%no-such-interface"])
def test_a_literal_that_is_no_address_is_not_found(host: str) -> None:
    assert failure_of(lambda: Resolver().resolve(host)).category == "dns_not_found"


@pytest.mark.parametrize(
    ("host", "literal"), [("shop.example", False), ("1.example", False), ("::1", True), ("1.1", True)]
)
def test_a_name_is_told_from_a_literal(host: str, literal: bool) -> None:
    assert is_literal(host) == literal


def test_localhost_is_what_the_system_says_and_asking_lets_others_run() -> None:
    ticks: list[int] = []
    ticker = gevent.spawn(lambda: ticks.append(1))

    addresses = Resolver().resolve("localhost")

    ticker.join()
    assert ticks
    assert set(addresses) == {
        address
        for family in by_family(socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM))
        for address in family
    }


def test_forgetting_a_name_makes_the_next_request_ask_again() -> None:
    names = Names(rows("10.0.0.1"))
    resolver = Resolver(30.0, names, FakeClock())

    resolver.resolve("shop.example")
    resolver.forget("shop.example")
    resolver.resolve("shop.example")
    resolver.forget()
    resolver.forget("unknown.example")
    resolver.resolve("shop.example")

    assert names.asked == 3


@given(st.lists(st.integers(0, 99), unique=True, max_size=5), st.lists(st.integers(0, 99), unique=True, max_size=5))
def test_in_turn_every_address_of_a_family_comes_first_equally_often(v6: list[int], v4: list[int]) -> None:
    families = [
        family for family in ([Address(V6, f"::{n}") for n in v6], [Address(V4, f"10.0.0.{n}") for n in v4]) if family
    ]
    if not families:
        return
    rounds = len(families[0]) * 2

    orders = [interleave(families, turn) for turn in range(rounds)]

    assert Counter(order[0] for order in orders) == dict.fromkeys(families[0], 2)
    assert all(sorted(order) == sorted(address for family in families for address in family) for order in orders)
