"""The base classes of every error: this client's and Python's builtin ones."""

from __future__ import annotations

import asyncio
import builtins
import copy
import inspect
import pickle
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

import etcd_client
from etcd_client import Client, ClientError, ConnectionFailedError, LockTimeoutError, errors
from etcd_testing import EtcdServer

# Each builtin class with the errors that inherit from it; no other error inherits from one.
BUILTIN: dict[type[OSError], set[str]] = {
    TimeoutError: {
        "CacheTimeoutError",
        "ConnectionTimeoutError",
        "CounterTimeoutError",
        "LockTimeoutError",
        "RequestTimedOutError",
        "STMTimeoutError",
        "WatchTimeoutError",
    },
    ConnectionError: {
        "ConnectionFailedError",
        "LeaderChangedError",
        "NoLeaderError",
        "RequestTimedOutError",
        "ServerStoppedError",
        "TLSHandshakeError",
        "UnhealthyClusterError",
    },
    PermissionError: {"PermissionDeniedError"},
}


def _classes() -> Iterator[type[ClientError]]:
    found = {ClientError}
    waiting = [ClientError]
    while waiting:
        below = waiting.pop().__subclasses__()
        found.update(below)
        waiting += below
    return iter(sorted(found, key=lambda kind: kind.__name__))


CLASSES = [kind for kind in _classes() if kind.__module__.startswith("etcd_")]


def test_the_errors_of_all_packages_are_tested_here() -> None:
    names = {kind.__name__ for kind in CLASSES}
    assert names >= set(errors.__all__)
    assert names >= {name for name in etcd_client.__all__ if name.endswith("Error")}


@pytest.mark.parametrize("builtin", BUILTIN, ids=lambda kind: kind.__name__)
def test_a_builtin_class_catches_its_errors(builtin: type[OSError]) -> None:
    assert {kind.__name__ for kind in CLASSES if issubclass(kind, builtin)} == BUILTIN[builtin]


def test_no_other_error_is_an_os_error() -> None:
    os_errors = {kind.__name__ for kind in CLASSES if issubclass(kind, OSError)}
    assert os_errors == set().union(*BUILTIN.values())


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_is_the_same_after_pickling_and_copying(kind: type[ClientError]) -> None:
    fields: dict[str, Any] = {
        "code": grpc.StatusCode.ABORTED,
        "method": "KV.Put",
        "endpoint": "a:1",
        "definite": False,
    }
    for name in inspect.signature(kind).parameters.keys() & {"lease_id", "compacted_revision"}:
        fields[name] = 77
    text = "words; the compacted revision is 77" if "compacted_revision" in fields else "words"
    error = kind(message="words", **fields)
    for same in (error, pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(same) is kind
        assert same.args == ("words",)
        assert str(same) == f"{text} (KV.Put at a:1)"
        assert repr(same) == f"{kind.__name__}('words')"
        assert vars(same) == vars(error)
        assert {name: getattr(same, name) for name in fields} == fields
        # Handlers of `except OSError` read these.
        assert getattr(same, "errno", None) is None
        assert getattr(same, "strerror", None) is None
        assert getattr(same, "filename", None) is None


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_is_caught_by_each_of_its_base_classes(kind: type[ClientError]) -> None:
    names: list[type[Exception]] = [
        ClientError,
        *(builtin for builtin in BUILTIN if issubclass(kind, builtin)),
    ]
    for name in names:
        with pytest.raises(name):
            raise _made(kind)


def _made(kind: type[ClientError]) -> ClientError:
    needed = {"compacted_revision": 77} if kind is errors.RevisionCompactedError else {}
    return kind(message="words", **needed)  # type: ignore[arg-type]  # of that one class


# Against a server ----------------------------------------------------------------------


async def test_a_call_that_is_not_answered_is_a_timeout_error(etcd_endpoint: str) -> None:
    async with Client(endpoints=etcd_endpoint) as client:
        with pytest.raises(builtins.TimeoutError):
            await client.watch_once(b"error classes/nothing", timeout=0.05)
        held = client.lock(b"error classes/lock", 30)
        await held.acquire()
        with pytest.raises(builtins.TimeoutError) as caught:
            async with client.lock(b"error classes/lock", 30, timeout=0):
                pass
        assert isinstance(caught.value, LockTimeoutError)
        await held.release()


async def test_a_frozen_server_is_a_timeout_error() -> None:
    async with EtcdServer() as server, Client(endpoints=server.endpoint) as client:
        await client.put(b"error classes/k", b"v")
        await server.pause()
        try:
            with pytest.raises(builtins.TimeoutError):
                await client.put(b"error classes/k", b"v", timeout=0.3)
        finally:
            await server.resume()


async def test_a_refused_connection_is_a_connection_error() -> None:
    client = Client(endpoints="127.0.0.1:1", connect_wait_timeout=2)
    with pytest.raises(ConnectionError) as caught:
        await client.get(b"error classes/k")
    assert type(caught.value) is ConnectionFailedError
    await client.close()


async def test_a_permission_that_is_denied_is_a_permission_error() -> None:
    async with EtcdServer() as server:
        await server.etcdctl("user", "add", "u:p")
        await server.enable_auth("of root")
        async with Client(endpoints=server.endpoint, username="u", password="p") as client:
            with pytest.raises(PermissionError) as caught:
                await client.get(b"error classes/k")
    assert isinstance(caught.value, errors.PermissionDeniedError)


async def test_the_timeout_of_a_caller_differs_from_the_error_of_a_call(etcd_endpoint: str) -> None:
    """`asyncio.wait_for` and the client raise different classes."""
    async with Client(endpoints=etcd_endpoint) as client:
        with pytest.raises(asyncio.TimeoutError) as caught:
            await asyncio.wait_for(client.watch_once(b"error classes/nothing"), 0.05)
    assert not isinstance(caught.value, ClientError)
