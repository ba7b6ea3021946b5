"""Calls that share transactions with and without a request and a response of their own.

Those of a client on the coalescing view have none; those through a view above it have them.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kv_coalescing_support import Recorder
from kv_support import PATIENT

from etcd_channel import Channel, ChannelView
from etcd_channel.errors import LeaseNotFoundError
from etcd_kv import KVClient


async def test_calls_with_and_without_a_request_share_transactions(
    shared: KVClient, kv: KVClient, sent: Recorder, key_prefix: bytes
) -> None:
    # A view above the coalescing one makes requests and gets responses.
    above = KVClient(ChannelView(shared.channel))
    keys = [key_prefix + b"%d" % n for n in range(40)]
    await asyncio.gather(*((shared, above)[n % 2].put(key, key) for n, key in enumerate(keys)))
    assert sent.calls == ["KV.Put", "KV.Txn"]
    expected = [await kv.get(key) for key in keys]
    found = await asyncio.gather(*((shared, above)[n % 2].get(key) for n, key in enumerate(keys)))
    assert found == expected
    assert [get and get.header for get in found] == [get and get.header for get in expected]
    missing = [key + b"missing" for key in keys]
    deleted = await asyncio.gather(
        *((shared, above)[n % 2].delete(key, n % 4 > 1) for n, key in enumerate(keys + missing))
    )
    for n, (key, result) in enumerate(zip(keys, deleted, strict=False)):
        assert result is not None
        previous = result.prev_kv
        assert (None if previous is None else previous.key) == (key if n % 4 > 1 else None)
    assert set(deleted[40:]) == {None}


async def test_gets_of_large_values_have_their_own_results(
    shared: KVClient, key_prefix: bytes
) -> None:
    keys = [key_prefix + b"%d" % n for n in range(20)]
    await asyncio.gather(*(shared.put(key, b"v" * 10_000) for key in keys))
    found = await asyncio.gather(*(shared.get(key) for key in keys), shared.get(key_prefix + b"-"))
    *gets, missing = found
    assert missing is None
    assert [(get.key, len(get.value)) for get in gets if get] == [(key, 10_000) for key in keys]
    assert {get.header.revision for get in gets if get} == {gets[0] and gets[0].header.revision}


async def test_a_view_above_sees_single_calls_and_one_below_transactions(
    shared: KVClient, sent: Recorder, key_prefix: bytes
) -> None:
    above = Recorder(shared.channel)
    client = KVClient(above)
    await asyncio.gather(*(client.put(key_prefix + b"%d" % n, b"") for n in range(50)))
    assert above.calls == ["KV.Put"] * 50
    assert sent.calls == ["KV.Put", "KV.Txn"]
    assert sent.sizes == [1, 49]


operations = st.lists(
    st.tuples(
        st.sampled_from(
            ["put", "plain put", "bad put", "get", "stale get", "delete", "plain delete"]
        ),
        st.integers(0, 5),
        st.binary(max_size=3),
    ),
    max_size=12,
)


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tasks=st.lists(operations, min_size=1, max_size=12))
def test_any_mix_of_calls_has_the_results_of_single_calls(
    etcd_endpoint: str, key_prefix: bytes, tasks: list[list[tuple[str, int, bytes]]]
) -> None:
    """Each task has keys of its own, so that it knows what it must see.

    Every other task calls through a view, whose calls have requests and responses.
    """

    async def work(shared: KVClient, mine: bytes, steps: list[tuple[str, int, bytes]]) -> None:
        model: dict[bytes, bytes] = {}
        revision = 0
        for what, number, value in steps:
            key = mine + b"%d" % number
            if what == "put":
                done = await shared.put(key, value, prev_kv=True)
                previous = None if done.prev_kv is None else done.prev_kv.value
                assert previous == model.get(key)
                assert done.header.revision > revision
                model[key], revision = value, done.header.revision
            elif what == "plain put":
                done = await shared.put(key, value)
                assert done.prev_kv is None
                assert done.header.revision > revision
                model[key], revision = value, done.header.revision
            elif what == "bad put":
                with pytest.raises(LeaseNotFoundError):
                    await shared.put(key, value, 4711)
            elif what == "delete":
                deleted = await shared.delete(key, True)
                gone = deleted and deleted.prev_kv and deleted.prev_kv.value
                assert gone == model.pop(key, None)
                assert deleted is None or deleted.header.revision > revision
            elif what == "plain delete":
                deleted = await shared.delete(key)
                assert (deleted is None) == (model.pop(key, None) is None)
                assert deleted is None or deleted.prev_kv is None
            else:
                found = await shared.get(key, what == "stale get")
                assert (None if found is None else found.value) == model.get(key)

    async def run() -> None:
        async with Channel(etcd_endpoint, **PATIENT) as channel:
            shared = KVClient(channel).coalescing()
            await shared.delete_prefix(key_prefix)
            await shared.get(key_prefix)
            clients = shared, KVClient(ChannelView(shared.channel))
            await asyncio.gather(
                *(
                    work(clients[n % 2], key_prefix + b"%d/" % n, steps)
                    for n, steps in enumerate(tasks)
                )
            )

    asyncio.run(run())
