"""Limits: the longest timeouts, and all numbers that can be the id of a lease."""

from __future__ import annotations

import asyncio
import math
import random
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from etcd_channel.errors import LeaseNotFoundError
from etcd_client import Client, Election, Lease, Mutex, WatchTimeoutError
from etcd_testing import EtcdServer

LONG = [1e9, 9e9, threading.TIMEOUT_MAX, sys.maxsize, 10**400]

CALLS: list[tuple[str, Callable[[Client, bytes, float], Awaitable[Any]]]] = [
    ("get", lambda client, key, timeout: client.get(key, timeout=timeout)),
    ("put", lambda client, key, timeout: client.put(key, b"", timeout=timeout)),
    (
        "transaction",
        lambda client, key, timeout: client.transaction(
            [client.transactions.version(key) > -1], timeout=timeout
        ),
    ),
    ("lease", lambda client, key, timeout: client.lease(10, timeout=timeout)),
    ("members", lambda client, key, timeout: client.members(timeout=timeout)),
    ("watch", lambda client, key, timeout: cancelled(client.watch(key, timeout=timeout))),
    (
        "watch_once",
        lambda client, key, timeout: client.watch_once(key, timeout, start_revision=1),
    ),
    ("lock", lambda client, key, timeout: client.lock(key + b"/lock").acquire(timeout)),
    ("snapshot", lambda client, key, timeout: client.snapshot(Sink(), timeout=timeout)),
    ("server_lock", lambda client, key, timeout: client.server_lock(key, timeout=timeout)),
]


class Sink:
    """A file that discards everything."""

    def write(self, blob: bytes) -> int:
        return len(blob)


async def cancelled(watch: Any) -> None:
    await (await watch).cancel()


# Time ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", LONG)
@pytest.mark.parametrize(("name", "call"), CALLS)
async def test_a_call_accepts_the_longest_timeout(
    client: Client,
    key_prefix: bytes,
    name: str,
    call: Callable[[Client, bytes, float], Awaitable[Any]],
    seconds: float,
) -> None:
    await client.put(key_prefix, b"for the watch")
    await asyncio.wait_for(call(client, key_prefix, seconds), 60)


@pytest.mark.parametrize("seconds", LONG)
async def test_a_client_accepts_the_longest_timeout(etcd_endpoint: str, seconds: float) -> None:
    async with Client(
        endpoints=etcd_endpoint,
        timeout=seconds,
        connect_wait_timeout=seconds,
        keepalive_time=seconds,
        keepalive_timeout=seconds,
    ) as client:
        await asyncio.wait_for(client.put(b"key", b"value"), 60)
        assert await asyncio.wait_for(client.get(b"key"), 60) is not None


async def test_a_mutex_and_an_election_accept_the_longest_timeout(
    client: Client, key_prefix: bytes
) -> None:
    async with client.session(10) as session:
        for seconds in LONG:
            mutex = Mutex(session, key_prefix + b"m", timeout=seconds)
            assert await asyncio.wait_for(mutex.acquire(timeout=seconds), 60)
            await mutex.release()
            election = Election(session, key_prefix + b"e")
            assert await asyncio.wait_for(election.campaign(b"", timeout=seconds), 60)
            await election.resign()


@pytest.mark.parametrize("seconds", [math.inf, math.nan, -math.inf])
async def test_an_invalid_timeout_is_refused(client: Client, seconds: float) -> None:
    for call in (
        lambda: client.get(b"key", timeout=seconds),
        lambda: client.watch_once(b"key", timeout=seconds),
        lambda: client.lock(b"key").acquire(seconds),
        lambda: client.lease(10, timeout=seconds),
    ):
        with pytest.raises(ValueError, match="timeout must be a positive, finite number"):
            await call()


@pytest.mark.parametrize("seconds", [0, 0.0, -1, -1e300])
async def test_a_negative_time_to_wait_does_not_wait(
    client: Client, key_prefix: bytes, seconds: float
) -> None:
    assert await client.lock(key_prefix).acquire(seconds)
    assert not await client.lock(key_prefix).acquire(seconds)
    with pytest.raises(WatchTimeoutError):
        await client.watch_once(key_prefix, seconds)


# Leases --------------------------------------------------------------------------------


def negative() -> int:
    return -random.randrange(1, 1 << 63)


async def test_a_lease_may_have_a_negative_id(client: Client, key_prefix: bytes) -> None:
    number = negative()
    lease = await client.lease(60, number)
    assert lease.id == number
    assert number in await client.leases()
    await client.put(key_prefix, b"value", number)
    await client.put(key_prefix, b"value", lease)
    found = await client.get(key_prefix)
    assert found is not None
    assert found.lease == number
    assert (await client.refresh_lease(number)).id == number
    assert (await client.get_lease_info(number)).keys == [key_prefix]
    txn = client.transactions
    same = [txn.lease(key_prefix) == number, txn.lease(key_prefix) == lease]
    assert (await client.transaction([*same, txn.lease(key_prefix) < 0])).succeeded
    assert not (await client.transaction([txn.lease(key_prefix) > number])).succeeded
    put = txn.put(key_prefix, b"other", number)
    assert (await client.transaction([], [put])).succeeded
    assert await client.replace(key_prefix, b"other", b"value", number)
    again = Lease(number, 60, client)
    await again.refresh()
    await again.keep_alive()
    assert await again.keys() == [key_prefix]
    await client.revoke_lease(number)
    assert await client.get(key_prefix) is None
    with pytest.raises(LeaseNotFoundError):
        await client.get_lease_info(number)


@pytest.mark.parametrize("number", [(1 << 63) - 1, -(1 << 63), -1])
async def test_the_lowest_and_the_highest_number_are_valid_lease_ids(
    client: Client, key_prefix: bytes, number: int
) -> None:
    async with client.lease(60, number, keep_alive=True) as lease:
        await client.put(key_prefix, b"value", lease)
        assert (await client.get_lease_info(number)).keys == [key_prefix]


@pytest.mark.parametrize("seconds", [0, -1, -(1 << 63)])
async def test_a_negative_ttl_is_raised_to_the_servers_minimum(
    client: Client, key_prefix: bytes, seconds: int
) -> None:
    async with client.lease(seconds) as lease:
        assert lease.ttl > 0
    async with client.lock(key_prefix, seconds, keep_alive=True) as lock:
        assert await lock.is_acquired()


async def test_a_server_side_lock_accepts_a_negative_lease_id(
    client: Client, key_prefix: bytes
) -> None:
    async with client.lease(60, negative()) as lease:
        key = await client.server_lock(key_prefix, lease.id)
        await client.server_unlock(key)


async def test_etcdctl_shows_a_negative_lease_id_as_go_does(
    client: Client, etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    number = negative()
    async with client.lease(60, number):
        # Go pads to 16 digits, the sign included.
        assert f"{number:016x}" in (await etcd_server.etcdctl("lease", "list")).split()


async def test_a_session_with_a_negative_lease_id_uses_the_keys_of_gos_client(
    client: Client, etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    number = negative()
    async with client.session(60, lease_id=number) as session:
        mutex = Mutex(session, key_prefix)
        await mutex.acquire()
        assert mutex.key == key_prefix + b"/" + f"{number:x}".encode()
        async with etcd_server.etcdctl_session("lock", key_prefix.decode()) as etcdctl:
            while (await client.get_prefix(key_prefix, count_only=True)).count < 2:
                pass  # each turn is a call to the server
            assert etcdctl.output() == ""
            await mutex.release()
            assert (await etcdctl.line()).encode().startswith(key_prefix + b"/")
