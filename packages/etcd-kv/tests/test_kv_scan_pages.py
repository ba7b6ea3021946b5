"""Scans by pages of bytes, backward, in parts, and their progress."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kv_support import PATIENT

from etcd_channel import Channel, ChannelView, KeyValue, RevisionCompactedError
from etcd_channel.errors import ResourceExhaustedError
from etcd_channel.rpc import Rpc
from etcd_kv import KVClient, Scan
from etcd_kv._key_estimates import KeyEstimates
from etcd_kv._scan_descending import key_between
from etcd_kv.rpcs import RANGE
from etcd_testing import EtcdServer


class SeenPages(ChannelView):
    """A channel on which the sizes of the responses to Range are recorded."""

    def __init__(self, inner: Channel) -> None:
        super().__init__(inner)
        self.keys: list[int] = []
        self.sizes: list[int] = []

    def rpc_for(self, rpc: Rpc) -> Rpc:  # type: ignore[type-arg]  # of any messages
        return rpc.edited(response=self.see) if rpc is RANGE else rpc

    def see(self, response: object) -> None:
        self.keys.append(len(response.kvs))  # type: ignore[attr-defined]  # a RangeResponse
        self.sizes.append(response.ByteSize())  # type: ignore[attr-defined]  # a RangeResponse


async def put_all(kv: KVClient, keys: list[bytes], value: bytes = b"v") -> None:
    await kv.put_many((key, value) for key in keys)


async def keys_of(scan: Scan) -> list[bytes]:
    return [item.key async for item in scan]


def numbers(prefix: bytes, count: int) -> list[bytes]:
    return [prefix + b"%05d" % number for number in range(count)]


def follows(key: bytes, after: bytes, reverse: bool) -> bool:
    return key < after if reverse else key > after


SHAPES = {
    "numbers": [b"%05d" % number for number in range(700)],
    "numbers without zeros": [b"%d" % number for number in range(700)],
    "few names, many numbers": [b"a/%d/%03d" % (n // 100, n % 100) for n in range(700)],
    "many names": [b"ns-%d/x" % (n * n) for n in range(500)],
    "long beginnings": [b"x" * 300 + b"/%d" % n for n in range(300)]
    + [b"x" * 80 + b"%d" % n for n in range(300)],
    "zero bytes": [b"a" + b"\0" * n for n in range(60)] + [b"b"],
    "extremes": [bytes([a, b]) for a in (0, 1, 254, 255) for b in range(256)],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reverse", [False, True])
async def test_a_scan_of_keys_of_any_shape_returns_each_once_and_in_order(
    kv: KVClient, key_prefix: bytes, shape: str, reverse: bool
) -> None:
    keys = sorted(key_prefix + key for key in SHAPES[shape])
    await put_all(kv, keys)
    expected = keys[::-1] if reverse else keys
    for size in (13, 100, len(keys), 5000):
        assert await keys_of(kv.scan_prefix(key_prefix, page_size=size, reverse=reverse)) == (
            expected
        )
    assert await keys_of(kv.scan_prefix(key_prefix, page_bytes=2000, reverse=reverse)) == expected


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    keys=st.sets(
        st.one_of(
            st.binary(max_size=4),
            st.text("01", max_size=9).map(str.encode),
            st.integers(0, 5000).map(lambda number: b"n/%04d" % number),
        ),
        max_size=60,
    ),
    size=st.integers(1, 30),
    by_bytes=st.booleans(),
    limit=st.one_of(st.none(), st.integers(0, 70)),
    after=st.one_of(st.none(), st.binary(max_size=3)),
)
def test_any_scan_returns_what_a_sorted_list_has(
    etcd_endpoint: str,
    key_prefix: bytes,
    keys: set[bytes],
    size: int,
    by_bytes: bool,
    limit: int | None,
    after: bytes | None,
) -> None:
    async def check() -> None:
        async with Channel(etcd_endpoint, **PATIENT) as channel:
            kv = KVClient(channel)
            await kv.delete_prefix(key_prefix)
            ordered = sorted(key_prefix + key for key in keys)
            await put_all(kv, ordered)
            start = None if after is None else key_prefix + after
            for reverse in (False, True):
                expected = ordered[::-1] if reverse else ordered
                if start is not None:
                    expected = [
                        key for key in expected if (key < start if reverse else key > start)
                    ]
                expected = expected[: limit or None]
                scan = kv.scan_prefix(
                    key_prefix,
                    page_size=None if by_bytes else size,
                    page_bytes=size * 50 if by_bytes else None,
                    limit=limit,
                    start_after=start,
                    reverse=reverse,
                )
                assert await keys_of(scan) == expected
                assert scan.count == scan.done == len(expected)

    asyncio.run(check())


@given(
    low=st.binary(min_size=1, max_size=6),
    above=st.one_of(st.none(), st.binary(min_size=1, max_size=6)),
    failed=st.integers(0, 30),
)
def test_a_key_between_two_others_is_between_them(
    low: bytes, above: bytes | None, failed: int
) -> None:
    high = b"\0" if above is None else max(low, above) + b"\0\0"
    guess = key_between(low, high, failed)
    assert low < guess
    assert above is None or guess < high


@given(
    keys=st.lists(st.binary(min_size=1, max_size=20), min_size=1, unique=True),
    start=st.binary(min_size=1, max_size=20),
    wanted=st.integers(1, 1 << 70),
)
def test_an_estimate_is_on_the_right_side_of_its_key(
    keys: list[bytes], start: bytes, wanted: int
) -> None:
    estimates = KeyEstimates([KeyValue(key=key) for key in sorted(keys)])
    after, before = estimates.key_after(start, wanted), estimates.key_before(start, wanted)
    assert after is None or after > start
    assert before is None or before < start


async def test_pages_follow_the_size_of_the_values(etcd_endpoint: str, key_prefix: bytes) -> None:
    async with Channel(etcd_endpoint, **PATIENT) as channel:
        view = SeenPages(channel)
        kv = KVClient(view)
        small, large = numbers(key_prefix + b"a/", 3000), numbers(key_prefix + b"b/", 300)
        await put_all(kv, small)
        await put_all(kv, large, bytes(4000))
        view.sizes.clear()
        scan = kv.scan_prefix(key_prefix, page_size=2000, page_bytes=60_000)
        assert await keys_of(scan) == small + large
        # Some pages of many small keys, then some of few large ones.
        assert max(view.keys) >= 500
        assert sorted(view.sizes)[len(view.sizes) // 2] <= 120_000
        assert max(view.keys) <= 2000


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("page_size", [None, 200])
async def test_a_page_that_is_too_large_for_the_channel_is_read_in_smaller_ones(
    etcd_endpoint: str, kv: KVClient, key_prefix: bytes, page_size: int | None, reverse: bool
) -> None:
    keys = numbers(key_prefix, 600)
    await put_all(kv, keys, bytes(1000))
    options = {"grpc.max_receive_message_length": 50_000}
    async with Channel(etcd_endpoint, options=options) as channel:
        view = SeenPages(channel)
        scan = KVClient(view).scan_prefix(key_prefix, page_size=page_size, reverse=reverse)
        assert await keys_of(scan) == (keys[::-1] if reverse else keys)
        # The pages are neither refused again and again nor smaller than necessary.
        assert len([size for size in view.sizes if size > 10_000]) < 80
    await kv.put(keys[0], bytes(60_000))
    async with Channel(etcd_endpoint, options=options) as channel:
        with pytest.raises(ResourceExhaustedError, match="larger than max"):
            await keys_of(KVClient(channel).scan_prefix(key_prefix, reverse=reverse))


async def test_a_scan_counts_its_keys_and_returns_pages(kv: KVClient, key_prefix: bytes) -> None:
    keys = numbers(key_prefix, 95)
    await put_all(kv, keys)
    newest = (await kv.put(key_prefix + b"0", b"")).header.revision
    await kv.delete(key_prefix + b"0")
    scan = kv.scan_range(keys[0], keys[-1], page_size=10, revision=newest)
    assert (scan.count, scan.done, scan.last_key, scan.revision) == (None, 0, None, newest)
    done = 0
    seen: list[bytes] = []
    async for page in scan.pages():
        assert (scan.count, scan.done) == (94, done)
        assert scan.last_key == (seen[-1] if seen else None)
        assert 0 < len(page) <= 10
        assert page[-1].value == b"v"
        done += len(page)
        seen += [item.key for item in page]
    assert seen == keys[:-1]
    assert (scan.count, scan.done, scan.last_key) == (94, 94, keys[-2])
    assert repr(scan) == f"Scan(revision={newest}, done=94, count=94)"
    assert [item async for item in scan] == []


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_scan_can_be_resumed_after_a_key(
    kv: KVClient, key_prefix: bytes, reverse: bool
) -> None:
    keys = numbers(key_prefix, 60)
    await put_all(kv, keys)
    await kv.put(key_prefix[:-1] + b"\xff", b"outside")
    ordered = keys[::-1] if reverse else keys
    for after in (
        ordered[0],
        ordered[30],
        ordered[30] + b"!",
        ordered[-1],
        key_prefix[:1],
        b"\xff",
    ):
        expected = [key for key in ordered if (key < after if reverse else key > after)]
        scan = kv.scan_prefix(key_prefix, page_size=7, start_after=after, reverse=reverse)
        assert await keys_of(scan) == expected
        assert scan.count == len(expected)
    single = kv.scan_range(keys[3], b"", start_after=keys[3], reverse=reverse)
    assert await keys_of(single) == []
    assert await keys_of(kv.scan_range(keys[3], b"", reverse=reverse)) == [keys[3]]


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_scan_after_the_last_of_all_keys_is_empty(reverse: bool) -> None:
    async with EtcdServer() as server, Channel(server.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)
        await put_all(kv, [b"\0", b"a", b"\xff"])
        ends = {True: (b"\0", b"a", b"\xff"), False: (b"\xff", b"a", b"\0")}[reverse]
        for count, after in enumerate(ends):
            scan = kv.scan_prefix(b"", start_after=after, reverse=reverse)
            assert len(await keys_of(scan)) == count


async def test_the_last_keys_of_a_range_are_read_without_the_others(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with Channel(etcd_endpoint, **PATIENT) as channel:
        view = SeenPages(channel)
        kv = KVClient(view)
        keys = numbers(key_prefix, 5000)
        await put_all(kv, keys)
        view.keys.clear()
        scan = kv.scan_prefix(key_prefix, reverse=True, limit=5)
        assert await keys_of(scan) == keys[:-6:-1]
        assert scan.count == 5
        assert sum(view.keys) < 1000


async def test_a_scan_to_the_end_of_all_keys_runs_in_both_directions() -> None:
    async with EtcdServer() as server, Channel(server.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)
        keys = [b"\xff" * n + b"%d" % m for n in range(4) for m in range(10)]
        await put_all(kv, keys)
        keys.sort()
        assert await keys_of(kv.scan_prefix(b"", page_size=3)) == keys
        assert await keys_of(kv.scan_prefix(b"", page_size=3, reverse=True)) == keys[::-1]
        backward = kv.scan_range(b"5", b"\0", page_size=3, reverse=True, start_after=b"\xff5")
        assert await keys_of(backward) == [key for key in keys if b"5" <= key < b"\xff5"][::-1]


async def test_values_and_revisions_are_the_same_in_both_directions(
    kv: KVClient, key_prefix: bytes
) -> None:
    keys = numbers(key_prefix, 40)
    await put_all(kv, keys)
    await put_all(kv, keys[10:30], b"second")
    forward = [item async for item in kv.scan_prefix(key_prefix, page_size=7)]
    backward = [item async for item in kv.scan_prefix(key_prefix, page_size=7, reverse=True)]
    assert forward == backward[::-1] == list(await kv.get_prefix(key_prefix))
    no_values = kv.scan_prefix(key_prefix, page_size=7, reverse=True, keys_only=True)
    assert {item.value async for item in no_values} == {b""}
    local = kv.scan_prefix(key_prefix, page_size=7, serializable=True)
    assert await keys_of(local) == keys


@pytest.mark.parametrize("reverse", [False, True])
async def test_an_error_after_a_compaction_says_where_to_resume(reverse: bool) -> None:
    async with EtcdServer() as server, Channel(server.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)
        keys = numbers(b"k/", 300)
        await put_all(kv, keys)
        scan = kv.scan_prefix(b"k/", page_size=20, reverse=reverse)
        seen = [(await anext(scan)).key]
        revision = (await kv.put(b"other", b"")).header.revision
        await kv.compact(revision)

        async def scan_on() -> None:
            async for item in scan:
                seen.append(item.key)  # keeps what came before the error

        with pytest.raises(RevisionCompactedError, match="start_after=b'k/") as caught:
            await scan_on()
        assert caught.value.compacted_revision == revision
        assert seen[-1] == scan.last_key
        assert len(seen) == scan.done < 300
        seen += await keys_of(kv.scan_prefix(b"k/", reverse=reverse, start_after=scan.last_key))
        assert seen == (keys[::-1] if reverse else keys)


async def test_an_empty_range_is_scanned_to_its_end_at_once(
    kv: KVClient, key_prefix: bytes
) -> None:
    for reverse in (False, True):
        scan = kv.scan_prefix(key_prefix, reverse=reverse)
        assert [page async for page in scan.pages()] == []
        assert (scan.count, scan.done) == (0, 0)
        assert scan.revision > 0


async def test_a_scan_refuses_invalid_arguments(unreachable_kv: KVClient) -> None:
    scan = unreachable_kv.scan_prefix
    with pytest.raises(ValueError, match="page_bytes must be at least 1, not 0"):
        scan(b"a", page_bytes=0)
    with pytest.raises(ValueError, match="limit must be at least 0, not -1"):
        scan(b"a", limit=-1)
    with pytest.raises(ValueError, match="start_after must not be empty"):
        scan(b"a", start_after=b"")
    with pytest.raises(TypeError, match="start_after must be bytes, not str"):
        scan(b"a", start_after="b")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError, match="reverse must be a bool"):
        scan(b"a", reverse="yes")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="timeout must be"):
        scan(b"a", timeout=-1)
