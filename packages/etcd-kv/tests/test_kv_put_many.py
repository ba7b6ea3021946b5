"""Bulk puts and deletions on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from kv_support import PATIENT

from etcd_channel import Channel, ChannelView
from etcd_channel.errors import (
    LeaseNotFoundError,
    RequestTooLargeError,
    TooManyOperationsError,
)
from etcd_kv import BulkError, DeleteMany, KVClient, PutMany
from etcd_kv.rpcs import TXN
from etcd_testing.plugin import ServerFactory

GrantLease = Callable[[], Awaitable[int]]
Pairs = list[tuple[bytes, bytes]]

MIB = 1 << 20


def many(key_prefix: bytes, count: int, value: bytes = b"value") -> Pairs:
    return [(key_prefix + b"%06d" % number, value) for number in range(count)]


async def stored(kv: KVClient, key_prefix: bytes) -> Pairs:
    return [(item.key, item.value) for item in await kv.get_prefix(key_prefix)]


class Counting(ChannelView):
    """Counts transactions, and those that are in flight."""

    def __init__(self, inner: Channel) -> None:
        super().__init__(inner)
        self.sizes: list[int] = []
        self.now = self.most = 0

    async def call(self, rpc: Any, request: Any, **options: Any) -> Any:
        if rpc.path != TXN.path:
            return await super().call(rpc, request, **options)
        self.sizes.append(len(request.success))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().call(rpc, request, **options)
        finally:
            self.now -= 1


@pytest.fixture
async def counting(etcd_endpoint: str) -> AsyncIterator[Counting]:
    async with Channel(etcd_endpoint, **PATIENT) as channel:
        yield Counting(channel)


async def each_of(items: Pairs) -> AsyncIterator[tuple[bytes, bytes]]:
    for item in items:
        await asyncio.sleep(0)
        yield item


async def test_many_pairs_are_put(kv: KVClient, key_prefix: bytes) -> None:
    pairs = many(key_prefix, 1000)
    result = await kv.put_many(pairs)
    assert isinstance(result, PutMany)
    assert (result.read, result.done, result.unknown, result.not_done) == (1000, 1000, [], [])
    assert result.done_positions == [range(1000)]
    assert result.revision == max(item.mod_revision for item in await kv.get_prefix(key_prefix))
    assert await stored(kv, key_prefix) == pairs


async def test_nothing_is_put_of_nothing(kv: KVClient) -> None:
    result = await kv.put_many([])
    assert (result.read, result.done, result.revision, result.done_positions) == (0, 0, 0, [])


async def test_pairs_come_of_any_source(kv: KVClient, key_prefix: bytes) -> None:
    pairs = many(key_prefix, 300)
    for source in (
        tuple(pairs),
        iter(pairs),
        (pair for pair in pairs),
        dict(pairs),
        each_of(pairs),
    ):
        assert (await kv.put_many(source)).done == 300
        assert await stored(kv, key_prefix) == pairs
        assert (await kv.delete_many(key for key, _ in pairs)).deleted == 300


async def test_a_transaction_has_as_many_puts_as_the_server_takes(
    counting: Counting, key_prefix: bytes
) -> None:
    await KVClient(counting).put_many(many(key_prefix, 300))
    assert counting.sizes == [128, 128, 44]


async def test_a_transaction_has_as_many_bytes_as_the_server_takes(
    counting: Counting, key_prefix: bytes
) -> None:
    kv = KVClient(counting)
    pairs = many(key_prefix, 50, b"x" * 100_000)
    await kv.put_many(pairs)
    assert counting.sizes == [15, 15, 15, 5]
    assert await stored(kv, key_prefix) == pairs


async def test_so_many_transactions_are_in_flight_as_are_allowed(
    counting: Counting, key_prefix: bytes
) -> None:
    kv = KVClient(counting)
    for in_flight in (1, 3):
        counting.most = 0
        await kv.put_many(many(key_prefix, 100), in_flight=in_flight, max_txn_ops=5)
        assert counting.most == in_flight


async def test_a_common_lease_and_one_of_its_own(
    kv: KVClient, key_prefix: bytes, grant_lease: GrantLease
) -> None:
    common, own = await grant_lease(), await grant_lease()
    a, b, c = (key_prefix + name for name in (b"a", b"b", b"c"))
    await kv.put_many([(a, b""), (b, b"", own), (c, b"", None)], lease=common)
    assert [item.lease for item in await kv.get_prefix(key_prefix)] == [common, own, 0]


async def test_of_a_repeated_key_the_later_pair_wins(kv: KVClient, key_prefix: bytes) -> None:
    pairs = [(key_prefix + b"%d" % (n % 7), b"%d" % n) for n in range(200)]
    await kv.put_many(pairs, in_flight=16)
    assert await stored(kv, key_prefix) == sorted(dict(pairs).items())
    assert sum(item.version for item in await kv.get_prefix(key_prefix)) == 200


async def test_progress_is_told(kv: KVClient, key_prefix: bytes) -> None:
    told: list[tuple[int, int | None]] = []
    pairs = many(key_prefix, 25)
    await kv.put_many(pairs, max_txn_ops=10, progress=lambda *now: told.append(now))
    assert sorted(told) == told
    assert len(told) == 3
    assert told[-1] == (25, 25)
    told.clear()
    await kv.delete_many(
        (key for key, _ in pairs), max_txn_ops=25, progress=lambda *now: told.append(now)
    )
    assert told == [(25, None)]


async def test_an_error_of_progress_ends_it(kv: KVClient, key_prefix: bytes) -> None:
    def fail(done: int, total: int | None) -> None:
        raise LookupError("no bar")

    result = PutMany()
    with pytest.raises(LookupError, match="no bar"):
        await kv.put_many(many(key_prefix, 1000), progress=fail, result=result, in_flight=1)
    assert result.done == 128
    assert not result.unknown


async def test_the_source_is_read_no_faster_than_it_is_written(
    kv: KVClient, key_prefix: bytes
) -> None:
    result = PutMany()
    ahead: list[int] = []

    async def source() -> AsyncIterator[tuple[bytes, bytes]]:
        for number, pair in enumerate(many(key_prefix, 500)):
            ahead.append(number - result.done)
            yield pair

    await kv.put_many(source(), result=result, in_flight=3, max_txn_ops=10)
    assert result.done == 500
    assert max(ahead) < 30


async def test_a_wrong_pair_is_named_by_its_position(kv: KVClient, key_prefix: bytes) -> None:
    for wrong, kind, words in (
        (("text", b""), TypeError, r"pairs\[200\]\[0\] must be bytes, not str: use .*encode\(\)"),
        ((b"", b""), ValueError, r"pairs\[200\]\[0\] must not be empty"),
        ((key_prefix, 5), TypeError, r"pairs\[200\]\[1\] must be bytes, not int"),
        ((key_prefix,), ValueError, r"pairs\[200\] must be .*, not 1 field"),
        (b"key", TypeError, r"pairs\[200\] must be .*, not bytes"),
        ((key_prefix, b"", "x"), ValueError, r"pairs\[200\]\[2\] must be"),
    ):
        pairs = many(key_prefix, 500)
        pairs[200] = wrong  # type: ignore[assignment]  # on purpose
        result = PutMany()
        with pytest.raises(kind, match=words + ".*; the 200 pairs before it are done"):
            await kv.put_many(pairs, result=result)
        assert (result.read, result.done) == (200, 200)
        assert await stored(kv, key_prefix) == many(key_prefix, 200)
        await kv.delete_prefix(key_prefix)


async def test_wrong_arguments_are_refused_before_anything_is_read(
    unreachable_kv: KVClient,
) -> None:
    def source() -> Iterator[tuple[bytes, bytes]]:
        pytest.fail("read")
        yield b"", b""

    async def waits(*progress: object) -> None: ...

    class Waits:
        async def __call__(self, *progress: object) -> None: ...

    for wrong, kind, words in (
        ({"in_flight": 0}, ValueError, "in_flight must be at least 1"),
        ({"max_txn_ops": 0}, ValueError, "max_txn_ops must be at least 1"),
        ({"max_request_bytes": "x"}, TypeError, "max_request_bytes must be an int"),
        ({"timeout": -1}, ValueError, "timeout must be"),
        ({"progress": 5}, TypeError, "progress must be callable, not int"),
        ({"progress": waits}, TypeError, "progress must be a plain function, not a coroutine"),
        ({"progress": Waits()}, TypeError, "progress must be a plain function, not a coroutine"),
        ({"progress": partial(waits, 1)}, TypeError, "progress must be a plain function"),
        ({"result": {}}, TypeError, "result must be a PutMany, not dict"),
        ({"result": PutMany}, TypeError, "result must be a PutMany, not type"),
        ({"result": DeleteMany()}, TypeError, "result must be a PutMany, not DeleteMany"),
        ({"lease": True}, TypeError, "lease must be"),
    ):
        with pytest.raises(kind, match=words):
            await unreachable_kv.put_many(source(), **wrong)
    for what in (b"key", "key", 5, None):
        with pytest.raises(
            TypeError, match="keys must be an iterable or an async iterable of keys"
        ):
            await unreachable_kv.delete_many(what)  # type: ignore[arg-type]  # on purpose
        with pytest.raises(TypeError, match="pairs must be an iterable"):
            await unreachable_kv.put_many(what)  # type: ignore[arg-type]  # on purpose


async def test_a_result_is_of_one_call(kv: KVClient, key_prefix: bytes) -> None:
    result = await kv.put_many([(key_prefix, b"")])
    with pytest.raises(ValueError, match="result must be a new PutMany"):
        await kv.put_many([(key_prefix, b"")], result=result)


async def test_an_error_of_the_source_is_raised_when_what_it_gave_is_done(
    kv: KVClient, key_prefix: bytes
) -> None:
    def source() -> Iterator[tuple[bytes, bytes]]:
        yield from many(key_prefix, 200)
        raise LookupError("no more")

    result = PutMany()
    with pytest.raises(LookupError, match="no more"):
        await kv.put_many(source(), result=result)
    assert (result.read, result.done) == (200, 200)
    assert await stored(kv, key_prefix) == many(key_prefix, 200)


class Queued(AsyncIterator[Any]):
    """Iterates over a queue that has one end: after it, it would wait forever."""

    def __init__(self, *items: object) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        for item in (*items, None):
            self._queue.put_nowait(item)

    async def __anext__(self) -> Any:
        item = await self._queue.get()
        if item is None:
            raise StopAsyncIteration
        return item


async def test_a_source_is_not_asked_again_after_its_end(kv: KVClient, key_prefix: bytes) -> None:
    pairs = many(key_prefix, 200)
    keys = [key for key, _ in pairs]

    async def all_three() -> None:
        assert (await kv.put_many(Queued(*pairs))).done == 200
        assert len(await kv.get_many(Queued(*keys))) == 200
        assert (await kv.delete_many(Queued(*keys))).deleted == 200

    await asyncio.wait_for(all_three(), 60)


async def test_a_slow_source_that_goes_on_does_not_hide_a_failure(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    failed, read_on = asyncio.Event(), []

    class Failing(ChannelView):
        async def call(self, rpc: Any, request: Any, **options: Any) -> Any:
            try:
                return await super().call(rpc, request, **options)
            finally:
                failed.set()

    async def source() -> AsyncIterator[tuple[bytes, bytes, int]]:
        for key, value in many(key_prefix, 10):
            yield key, value, 999  # there is no such lease
        await failed.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        # Less than a transaction, so that none is sent meanwhile.
        for number in range(5):
            read_on.append(number)
            yield key_prefix + b"%d" % number, b"", 999

    result, pairs = PutMany(), source()
    async with Channel(etcd_endpoint, **PATIENT) as channel:
        with pytest.raises(BulkError, match=r"pairs\[0:10\].*lease not found"):
            await KVClient(Failing(channel)).put_many(pairs, max_txn_ops=10, result=result)
    assert read_on == [0]
    assert (result.read, result.done) == (11, 0)
    # It can be read on where it was left.
    assert (await anext(pairs))[0] == key_prefix + b"1"


async def test_what_is_left_after_a_failure_can_be_put(
    kv: KVClient, key_prefix: bytes, grant_lease: GrantLease
) -> None:
    lease = await grant_lease()
    pairs = [(key, value, lease) for key, value in many(key_prefix, 100)]
    pairs[45] = (*pairs[45][:2], lease + 1)
    source = iter(pairs)
    with pytest.raises(BulkError, match=r"pairs\[40:50\].*lease not found") as caught:
        await kv.put_many(source, max_txn_ops=10, in_flight=2)
    error = caught.value
    assert isinstance(error.__cause__, LeaseNotFoundError)
    assert isinstance(error.result, PutMany)
    assert not error.definite
    assert error.code is error.__cause__.code
    assert error.part.positions == range(40, 50)
    assert error.part.items == pairs[40:50]
    assert error.part.error is error.__cause__
    assert not error.result.unknown
    left = [item for part in error.result.not_done for item in part.items]
    assert left == [pairs[n] for p in error.result.not_done for n in p.positions]
    assert (
        error.result.done
        == sum(map(len, error.result.done_positions))
        == len(await stored(kv, key_prefix))
    )
    left = [(key, value, lease) for key, value, *_ in [*left, *source]]
    await kv.put_many(left)
    assert await stored(kv, key_prefix) == many(key_prefix, 100)


async def test_the_first_part_that_fails_leaves_nothing_done(
    kv: KVClient, key_prefix: bytes
) -> None:
    with pytest.raises(BulkError) as caught:
        await kv.put_many(many(key_prefix, 10), lease=12345)
    assert caught.value.definite
    assert caught.value.result.done_positions == []


async def test_a_lower_limit_of_operations_is_learned_and_kept(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    server = etcd_server_factory(args=["--max-txn-ops=20"])
    async with Channel(server.endpoint, **PATIENT) as channel:
        counting = Counting(channel)
        kv = KVClient(counting)
        pairs = many(key_prefix, 300)
        assert (await kv.put_many(pairs)).done == 300
        assert await stored(kv, key_prefix) == pairs
        counting.sizes.clear()
        keys = [key for key, _ in pairs]
        assert [got and got.key for got in await KVClient(counting).get_many(keys)] == keys
        assert (await KVClient(counting).delete_many(keys)).deleted == 300
        assert 10 <= max(counting.sizes) <= 20
        with pytest.raises(TooManyOperationsError):
            await kv.transaction([], [kv.transactions.put(key, b"") for key in keys[:21]])


async def test_a_lower_limit_of_bytes_is_learned_and_kept(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    server = etcd_server_factory(args=["--max-request-bytes=50000"])
    async with Channel(server.endpoint, **PATIENT) as channel:
        counting = Counting(channel)
        kv = KVClient(counting)
        pairs = many(key_prefix, 300, b"x" * 1000)
        assert (await kv.put_many(pairs)).done == 300
        assert await stored(kv, key_prefix) == pairs
        counting.sizes.clear()
        await kv.put_many(pairs)
        assert min(counting.sizes[:-1]) == max(counting.sizes) < 48


async def test_higher_limits_can_be_given(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    server = etcd_server_factory(args=["--max-txn-ops=1000"])
    async with Channel(server.endpoint, **PATIENT) as channel:
        counting = Counting(channel)
        await KVClient(counting).put_many(many(key_prefix, 1500), max_txn_ops=1000)
        assert counting.sizes == [1000, 500]


async def test_a_pair_that_is_too_large_is_named(kv: KVClient, key_prefix: bytes) -> None:
    pairs = many(key_prefix, 10)
    pairs[7] = (pairs[7][0], b"x" * (MIB * 5 // 3))
    with pytest.raises(BulkError, match=r"pairs\[7\] \(the key .*000007'\)") as caught:
        await kv.put_many(pairs, in_flight=1)
    assert isinstance(caught.value.__cause__, RequestTooLargeError)
    assert caught.value.result.done_positions == [range(7)]
    assert [part.positions for part in caught.value.result.not_done] == [range(7, 8), range(8, 9)]
    # No limit was learned of it.
    counting = Counting(kv.channel)  # type: ignore[arg-type]  # it is a channel
    await KVClient(counting).put_many(many(key_prefix, 128))
    assert counting.sizes == [128]


async def test_many_keys_are_deleted(kv: KVClient, key_prefix: bytes) -> None:
    await kv.put_many(many(key_prefix, 300))
    keys = [key for key, _ in many(key_prefix, 400)]
    result = await kv.delete_many([*keys, *keys])
    assert isinstance(result, DeleteMany)
    assert (result.read, result.done, result.deleted) == (800, 800, 300)
    assert not await kv.get_prefix(key_prefix)
    with pytest.raises(
        TypeError, match=r"keys\[1\] must be bytes.*; the 1 keys before it are done"
    ):
        await kv.delete_many([key_prefix, "text"])  # type: ignore[list-item]  # on purpose
