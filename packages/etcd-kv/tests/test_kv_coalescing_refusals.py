"""Coalesced calls of which the client or the server refuses some."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kv_coalescing_support import Recorder
from kv_support import PATIENT

from etcd_channel import Channel
from etcd_channel.errors import (
    KeyNotFoundError,
    LeaseNotFoundError,
    NoSpaceError,
    RequestTooLargeError,
)
from etcd_kv import KVClient
from etcd_testing import EtcdServer
from etcd_testing.plugin import ServerFactory


async def test_a_wrong_argument_is_refused_as_by_the_client_itself(
    shared: KVClient, sent: Recorder, key_prefix: bytes
) -> None:
    results = await asyncio.gather(
        shared.put(key_prefix + b"1", b"value"),
        shared.put("text", b"value"),  # type: ignore[arg-type]  # the mistake under test
        shared.put(key_prefix, b"value", ignore_value=True),
        shared.get(b""),
        shared.put(key_prefix + b"2", b"value", timeout=-1),
        return_exceptions=True,
    )
    assert not isinstance(results[0], BaseException)
    assert [type(result) for result in results[1:]] == [TypeError, *[ValueError] * 3]
    assert sent.calls == ["KV.Put"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "text"),
        ("get", None),
        ("get", b""),
        ("get", b"key", "yes"),
        ("get", b"key", 2),
        ("get", b"key", None),
        ("get", b"key", {"keys_only": 7}),
        ("get", b"key", {"revision": "1"}),
        ("get", b"key", {"min_mod_revision": False}),
        ("get", b"key", {"timeout": 0}),
        ("get", b"key", {"timeout": "1"}),
        ("put", b"", b""),
        ("put", b"key", "text"),
        ("put", b"key", None),
        ("put", b"key", b"", "lease"),
        ("put", b"key", b"", None, 3),
        ("put", b"key", b"", {"ignore_lease": 3}),
        ("put", b"key", b"", {"timeout": True}),
        ("delete", 5),
        ("delete", b"key", "yes"),
        ("delete", b"key", {"timeout": -1.5}),
    ],
)
async def test_arguments_have_the_meaning_and_the_errors_of_the_client_itself(
    shared: KVClient, kv: KVClient, key_prefix: bytes, arguments: tuple[Any, ...]
) -> None:
    name, *given = arguments
    named = given.pop() if isinstance(given[-1], dict) else {}
    if given[0] == b"key":
        given[0] = key_prefix

    async def outcome(client: KVClient) -> tuple[type, str]:
        try:
            return type(await getattr(client, name)(*given, **named)), ""
        except (TypeError, ValueError) as error:
            return type(error), str(error)

    expected = await outcome(kv)
    assert await outcome(shared) == expected
    # Beside others, so that it is coalesced.
    calls = [shared.put(key_prefix + b"%d" % n, b"") for n in range(3)]
    _, found = await asyncio.gather(asyncio.gather(*calls), outcome(shared))
    assert found[1] == expected[1]


async def test_a_bad_lease_fails_only_its_own_put(
    shared: KVClient, kv: KVClient, key_prefix: bytes
) -> None:
    keys = [key_prefix + b"%03d" % n for n in range(200)]
    bad = {0, 57, 58, 199}
    results = await asyncio.gather(
        *(shared.put(key, b"", 4711 if n in bad else None) for n, key in enumerate(keys)),
        return_exceptions=True,
    )
    failed = {n: error for n, error in enumerate(results) if isinstance(error, BaseException)}
    assert set(failed) == bad
    for error in failed.values():
        assert isinstance(error, LeaseNotFoundError)
        assert error.definite
        assert error.method == "KV.Put"
    stored = await kv.get_prefix(key_prefix)
    assert {int(item.key[-3:]) for item in stored} == set(range(200)) - bad
    assert {item.version for item in stored} == {1}


async def test_ignore_value_of_a_missing_key_fails_only_its_own_put(
    shared: KVClient, kv: KVClient, key_prefix: bytes
) -> None:
    await kv.put(key_prefix + b"there", b"kept")
    there, missing, other = await asyncio.gather(
        shared.put(key_prefix + b"there", b"", ignore_value=True, prev_kv=True),
        shared.put(key_prefix + b"missing", b"", ignore_value=True),
        shared.put(key_prefix + b"other", b"written"),
        return_exceptions=True,
    )
    assert isinstance(missing, KeyNotFoundError)
    assert not isinstance(there, BaseException)
    assert not isinstance(other, BaseException)
    found = {item.key[len(key_prefix) :]: item.value for item in await kv.get_prefix(key_prefix)}
    assert found == {b"there": b"kept", b"other": b"written"}


async def test_a_value_that_is_too_large_fails_only_its_own_put(
    shared: KVClient, kv: KVClient, key_prefix: bytes
) -> None:
    sizes = [10, 1_600_000, 400_000, 400_000, 2_200_000, 400_000, 400_000, 10]
    results = await asyncio.gather(
        *(shared.put(key_prefix + b"%d" % n, b"x" * size) for n, size in enumerate(sizes)),
        return_exceptions=True,
    )
    assert [isinstance(result, RequestTooLargeError) for result in results] == [
        size > 1_500_000 for size in sizes
    ]
    stored = await kv.get_prefix(key_prefix)
    assert [len(item.value) for item in stored] == [size for size in sizes if size < 1_500_000]


async def test_the_servers_limit_of_operations_is_learned(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    server: EtcdServer = etcd_server_factory(args=["--max-txn-ops=10"])
    async with Channel(server.endpoint, **PATIENT) as channel:
        sent = Recorder(channel)
        shared = KVClient(sent).coalescing()
        sizes: list[int] = []
        for again in range(3):
            await asyncio.gather(
                *(shared.put(key_prefix + b"%d" % n, b"%d" % again) for n in range(200))
            )
            sizes, sent.sizes = sent.sizes, []
        assert max(sizes) <= 10
        stored = await shared.get_prefix(key_prefix)
        assert {item.version for item in stored} == {3}
        assert len(stored) == 200


async def test_a_full_database_refuses_puts_and_no_other_calls(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    server = etcd_server_factory(quota_backend_bytes=4 << 20)
    async with Channel(server.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)

        async def fill() -> None:
            for n in range(100):
                await kv.put(key_prefix + b"%02d" % n, b"x" * (1 << 19))

        with pytest.raises(NoSpaceError):
            await fill()
        shared = kv.coalescing()
        await asyncio.gather(*(shared.get(key_prefix) for _ in range(5)))
        puts, gets, deletions = await asyncio.gather(
            asyncio.gather(
                *(shared.put(key_prefix + b"%02d" % n, b"") for n in range(5)),
                return_exceptions=True,
            ),
            asyncio.gather(*(shared.get(key_prefix + b"%02d" % n) for n in range(2))),
            asyncio.gather(*(shared.delete(key_prefix + b"%02d" % n) for n in range(2))),
        )
        assert {type(error) for error in puts} == {NoSpaceError}
        assert not any(error.definite for error in puts if isinstance(error, NoSpaceError))
        assert None not in deletions
        assert len(gets) == 2
