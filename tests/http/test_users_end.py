"""The connections of a user end with it, however it ends, though somebody still holds the user."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from loadgen import HttpUser, StopTest, StopUser, constant, task
from loadgen.environment import Environment
from tests.scenario_api.helpers import make_environment, spawn
from tests.support.badserver import LIMIT_S, Peer, ok, serve

LONG_S = 3600.0


class Closing:
    """A server's handler that notes when a client has closed its connection."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def __call__(self, peer: Peer) -> None:
        while peer.read_request():
            peer.send(ok())
        self.closed.set()


class Visitor(HttpUser):
    wait_time = constant(LONG_S)
    leaves = False

    @task
    def look(self) -> None:
        self.client.get("/")
        if self.leaves:
            raise StopUser


class StopsItself(Visitor):
    leaves = True


class EndsTheTest(StopsItself):
    def on_stop(self) -> None:
        self.client.get("/bye")
        raise StopTest


class FailsToStart(Visitor):
    def on_start(self) -> None:
        self.client.get("/")
        raise LookupError("no such user")


class FailsToStop(StopsItself):
    def on_stop(self) -> None:
        self.client.get("/bye")
        raise LookupError("it will not go")


class IsKilledWhileItStops(StopsItself):
    def on_stop(self) -> None:
        gevent.sleep(LONG_S)


def wait_for(condition: Callable[[], object]) -> None:
    with gevent.Timeout(LIMIT_S):
        while not condition():
            gevent.sleep(0.001)


def is_at_rest(environment: Environment) -> bool:
    connections = environment.http.connections
    return bool(connections) and all(one.served == 1 and one.reader is None for one in connections)


@pytest.mark.parametrize("cls", [StopsItself, EndsTheTest, FailsToStart, FailsToStop, Visitor, IsKilledWhileItStops])
def test_the_server_sees_the_connection_close_when_the_user_ends(cls: type[Visitor]) -> None:
    closing = Closing()
    with serve(closing) as server:
        environment = make_environment(host=server.url)
        user = cls(environment)
        greenlet = spawn(user)
        if cls in (Visitor, IsKilledWhileItStops):
            wait_for(lambda: is_at_rest(environment))
            greenlet.kill()
        greenlet.join()

        assert not environment.http.connections
        assert closing.closed.wait(LIMIT_S)
        assert user.client is not None
        environment.http.close()


@pytest.mark.parametrize("client", [None, object()])
def test_a_client_of_the_scenarios_own_is_left_alone(client: Any) -> None:
    class Custom(Visitor):
        def on_start(self) -> None:
            self.client.get("/")
            self.client = client
            raise StopUser

    with serve(Closing()) as server:
        environment = make_environment(host=server.url)
        greenlet = spawn(Custom(environment))
        greenlet.join()

        assert greenlet.successful()
        environment.http.close()


def test_a_connection_whose_socket_cannot_be_closed_ends_no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    with serve(Closing()) as server:
        environment = make_environment(host=server.url)
        user = Visitor(environment)
        greenlet = spawn(user)
        wait_for(lambda: is_at_rest(environment))
        (connection,) = environment.http.connections
        stream: Any = connection.stream
        connection.stream = Closes(stream, refuse)
        greenlet.kill()

        assert greenlet.successful()
        assert not environment.http.connections
        stream.close()
        environment.http.close()


class Closes:
    """A stream whose close() does something else."""

    def __init__(self, stream: Any, close: Callable[[], None]) -> None:
        self.send, self.recv, self.fileno = stream.send, stream.recv, stream.fileno
        self.close = close
