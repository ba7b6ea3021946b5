"""Invalid arguments are refused before anything is sent, by an error that names them."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from etcd_channel import Channel, ClientClosedError, ConnectionTimeoutError
from etcd_kv import KVClient
from etcd_testing import EtcdServer

Call = Callable[[Any], Awaitable[object]]

INT64 = 1 << 63


def each(*cases: tuple[Call, type[Exception], str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("call", "kind", "complaint"), cases, ids=[complaint for _, _, complaint in cases]
    )


UNKNOWN = "KVClient.{}() got an unexpected keyword argument '{}'"


async def assert_refused(kv: KVClient, call: Call, kind: type[Exception], complaint: str) -> None:
    # Anything sent would end in ConnectionFailedError: there is no server.
    with pytest.raises(kind) as caught:
        await call(kv)
    assert str(caught.value).startswith(complaint), str(caught.value)


KEYED: list[tuple[str, Callable[[KVClient, Any], Awaitable[object]]]] = [
    ("get", lambda kv, key: kv.get(key)),
    ("put", lambda kv, key: kv.put(key, b"v")),
    ("delete", lambda kv, key: kv.delete(key)),
    ("replace", lambda kv, key: kv.replace(key, b"a", b"b")),
]


@pytest.mark.parametrize(("name", "call"), KEYED, ids=[name for name, _ in KEYED])
@pytest.mark.parametrize(
    ("key", "kind", "complaint"),
    [
        (b"", ValueError, "key must not be empty"),
        ("key", TypeError, "key must be bytes, not str: use key.encode() for 'key'"),
        (None, TypeError, "key must be bytes, not NoneType"),
        (7, TypeError, "key must be bytes, not int"),
        (bytearray(b"key"), TypeError, "key must be bytes, not bytearray"),
    ],
)
async def test_an_invalid_key_is_refused(
    unreachable_kv: KVClient,
    name: str,
    call: Callable[[KVClient, Any], Awaitable[object]],
    key: Any,
    kind: type[Exception],
    complaint: str,
) -> None:
    await assert_refused(unreachable_kv, lambda kv: call(kv, key), kind, complaint)


@each(
    (lambda kv: kv.put(b"k", "v"), TypeError, "value must be bytes, not str: use value.encode()"),
    (lambda kv: kv.put(b"k", None), TypeError, "value must be bytes, not NoneType"),
    (lambda kv: kv.put(b"k", 7), TypeError, "value must be bytes, not int"),
    (lambda kv: kv.replace(b"k", 7, b"b"), TypeError, "initial_value must be bytes, not int"),
    (lambda kv: kv.replace(b"k", None, b"b"), TypeError, "initial_value must be bytes"),
    (lambda kv: kv.replace(b"k", b"a", "b"), TypeError, "new_value must be bytes, not str"),
    (lambda kv: kv.replace(b"k", b"a", None), TypeError, "new_value must be bytes"),
    (lambda kv: kv.put(b"k", b"v", 7.0), TypeError, "lease must be a lease or its id, an int, not"),
    (lambda kv: kv.put(b"k", b"v", -INT64 - 1), ValueError, "lease must be at least"),
    (lambda kv: kv.replace(b"k", b"a", b"b", "seven"), ValueError, "lease must be a whole number"),
    (lambda kv: kv.put(b"k", b"v", prev_kv=2), TypeError, "prev_kv must be a bool, not int: 2"),
    (
        lambda kv: kv.put(b"k", b"v", ignore_value=True),
        ValueError,
        "value must be b'' when ignore_value",
    ),
    (
        lambda kv: kv.put(b"k", b"", ignore_value="yes"),
        TypeError,
        "ignore_value must be a bool, not str",
    ),
    (
        lambda kv: kv.put(b"k", b"v", 7, ignore_lease=True),
        ValueError,
        "lease must be None when ignore_lease",
    ),
    (
        lambda kv: kv.put(b"k", b"v", ignore_lease=2),
        TypeError,
        "ignore_lease must be a bool, not int",
    ),
    (lambda kv: kv.delete(b"k", "yes"), TypeError, "prev_kv must be a bool, not str"),
    (lambda kv: kv.delete_prefix("k"), TypeError, "key_prefix must be bytes, not str"),
    (lambda kv: kv.delete_prefix(None), TypeError, "key_prefix must be bytes, not NoneType"),
    (lambda kv: kv.delete_prefix(b"k", None), TypeError, "prev_kv must be a bool, not NoneType"),
    (lambda kv: kv.delete_range(b"", b"b"), ValueError, "range_start must not be empty"),
    (lambda kv: kv.delete_range(b"a", "b"), TypeError, "range_end must be bytes, not str"),
    (lambda kv: kv.compact(-1), ValueError, "revision must be at least 0, not -1"),
    (lambda kv: kv.compact("7"), TypeError, "revision must be an int, not str"),
    (lambda kv: kv.compact(None), TypeError, "revision must be an int, not NoneType"),
    (lambda kv: kv.compact(7, 2), TypeError, "physical must be a bool, not int"),
)
async def test_a_write_with_an_invalid_argument_is_refused(
    unreachable_kv: KVClient, call: Call, kind: type[Exception], complaint: str
) -> None:
    await assert_refused(unreachable_kv, call, kind, complaint)


@each(
    (lambda kv: kv.get(b"k", 2), TypeError, "serializable must be a bool, not int: 2"),
    (lambda kv: kv.get(b"k", revision=-1), ValueError, "revision must be at least 0, not -1"),
    (lambda kv: kv.get(b"k", revision=1.0), TypeError, "revision must be an int, not float: 1.0"),
    (lambda kv: kv.get(b"k", revision=True), TypeError, "revision must be an int, not bool: True"),
    (lambda kv: kv.get(b"k", revision=INT64), ValueError, f"revision must be at most {INT64 - 1}"),
    (lambda kv: kv.get(b"k", revison=1), TypeError, UNKNOWN.format("get", "revison")),
    (lambda kv: kv.get(b"k", limit=1), TypeError, UNKNOWN.format("get", "limit")),
    (lambda kv: kv.get(b"k", count_only=True), TypeError, UNKNOWN.format("get", "count_only")),
    (lambda kv: kv.get_prefix("k"), TypeError, "key_prefix must be bytes, not str"),
    (lambda kv: kv.get_prefix(None), TypeError, "key_prefix must be bytes, not NoneType"),
    (lambda kv: kv.get_prefix(b"k", limit=-1), ValueError, "limit must be at least 0, not -1"),
    (lambda kv: kv.get_prefix(b"k", limit="1"), TypeError, "limit must be an int, not str: '1'"),
    (lambda kv: kv.get_prefix(b"k", limits=1), TypeError, UNKNOWN.format("get_prefix", "limits")),
    (
        lambda kv: kv.get_prefix(b"k", "up"),
        ValueError,
        "sort_order must be one of 'ascend', 'descend', not 'up'",
    ),
    (
        lambda kv: kv.get_prefix(b"k", "ascend", "size"),
        ValueError,
        "sort_target must be one of 'key', 'version', 'create', 'mod', 'value', not 'size'",
    ),
    (lambda kv: kv.get_prefix(b"k", 1), ValueError, "sort_order must be one of"),
    (lambda kv: kv.get_prefix(b"k", keys_only=2), TypeError, "keys_only must be a bool, not int"),
    (lambda kv: kv.get_range(b"", b"b"), ValueError, "range_start must not be empty"),
    (lambda kv: kv.get_range("a", b"b"), TypeError, "range_start must be bytes, not str"),
    (lambda kv: kv.get_range(b"a", "b"), TypeError, "range_end must be bytes, not str"),
    (lambda kv: kv.get_range(b"a", 7), TypeError, "range_end must be bytes, not int"),
    (lambda kv: kv.get_range(b"a", b"b", "down"), ValueError, "sort_order must be one of"),
    (
        lambda kv: kv.get_range(b"a", b"b", count_only=-1),
        TypeError,
        "count_only must be a bool, not int",
    ),
    (
        lambda kv: kv.get_range(b"a", b"b", serializable="no"),
        TypeError,
        "serializable must be a bool, not str",
    ),
    (
        lambda kv: kv.get_range(b"a", b"b", min_mod_revision=-1),
        ValueError,
        "min_mod_revision must be at least 0",
    ),
    (
        lambda kv: kv.get_range(b"a", b"b", max_mod_revision="1"),
        TypeError,
        "max_mod_revision must be an int",
    ),
    (
        lambda kv: kv.get_range(b"a", b"b", min_create_revision=-1),
        ValueError,
        "min_create_revision must be at least 0",
    ),
    (
        lambda kv: kv.get_range(b"a", b"b", max_create_revision=b"1"),
        TypeError,
        "max_create_revision must be an int",
    ),
    (lambda kv: kv.get_all("up"), ValueError, "sort_order must be one of"),
    (lambda kv: kv.get_all(None, "size"), ValueError, "sort_target must be one of"),
    (lambda kv: kv.get_all(revision=-1), ValueError, "revision must be at least 0"),
)
async def test_a_read_with_an_invalid_argument_is_refused(
    unreachable_kv: KVClient, call: Call, kind: type[Exception], complaint: str
) -> None:
    await assert_refused(unreachable_kv, call, kind, complaint)


@each(
    (
        lambda kv: kv.transaction([kv.transactions.value(b"k")]),
        ValueError,
        "compare: Value(b'k') without an operator: one of ==, !=, < or > is missing",
    ),
    (
        lambda kv: kv.transaction(kv.transactions.value(b"k") == b"v"),
        TypeError,
        "compare must be a list, not a single Compare",
    ),
    (lambda kv: kv.transaction([True]), TypeError, "compare must hold compares such as"),
    (lambda kv: kv.transaction(7), TypeError, "compare must be a list, not int"),
    (
        lambda kv: kv.transaction([kv.transactions.put(b"k", b"v")]),
        TypeError,
        "compare must hold compares such as",
    ),
    (lambda kv: kv.transaction([], [b"k"]), TypeError, "success must hold operations such as"),
    (
        lambda kv: kv.transaction([], kv.transactions.get(b"k")),
        TypeError,
        "success must be a list, not a single Get",
    ),
    (
        lambda kv: kv.transaction([], [], [kv.transactions.value(b"k") == b"v"]),
        TypeError,
        "failure must hold operations such as",
    ),
    (lambda kv: kv.transaction([], [], "no"), TypeError, "failure must be a list, not a single"),
    (lambda kv: kv.transactions.put(b"", b"v"), ValueError, "key must not be empty"),
    (lambda kv: kv.transactions.put("", "v"), ValueError, "key must not be empty"),
    (lambda kv: kv.transactions.put(None, b"v"), TypeError, "key must be bytes or str, not None"),
    (lambda kv: kv.transactions.put(b"k", 7), TypeError, "value must be bytes or str, not int"),
    (lambda kv: kv.transactions.put(b"k", b"v", INT64), ValueError, "lease must be at most"),
    (lambda kv: kv.transactions.get(b""), ValueError, "key must not be empty"),
    (lambda kv: kv.transactions.get(b"a", 7), TypeError, "range_end must be bytes or str, not"),
    (lambda kv: kv.transactions.get(b"a", limit=-1), ValueError, "limit must be at least 0"),
    (lambda kv: kv.transactions.get(b"a", limits=1), TypeError, "Get.__init__() got an unexpected"),
    (
        lambda kv: kv.transactions.get(b"a", sort_order="up"),
        ValueError,
        "sort_order must be one of",
    ),
    (lambda kv: kv.transactions.delete(7), TypeError, "key must be bytes or str, not int"),
    (lambda kv: kv.transactions.delete(b"b", prev_kv=2), TypeError, "prev_kv must be a bool"),
    (lambda kv: kv.transactions.txn([7]), TypeError, "compare must hold compares such as"),
    (lambda kv: kv.transactions.txn([], [7]), TypeError, "success must hold operations such as"),
    (lambda kv: kv.transactions.value(b""), ValueError, "key must not be empty"),
    (lambda kv: kv.transactions.value(7), TypeError, "key must be bytes or str, not int"),
    (lambda kv: kv.transactions.value(b"b", b"a"), ValueError, "range_end must not be below"),
    (lambda kv: kv.transactions.value(b"k") == 7, TypeError, "value must be bytes or str, not int"),
    (lambda kv: kv.transactions.value(b"k") == None, TypeError, "value must be bytes or str"),  # noqa: E711
    (lambda kv: kv.transactions.version(b"k") == "x", ValueError, "version must be a whole number"),
    (lambda kv: kv.transactions.version(b"k") > -INT64 - 1, ValueError, "version must be at least"),
    (lambda kv: kv.transactions.create(b"k") == [7], TypeError, "create_revision must be a whole"),
    (lambda kv: kv.transactions.mod(b"k") != None, TypeError, "mod_revision must be a whole"),  # noqa: E711
    (lambda kv: kv.transactions.mod(b"k") < float("inf"), ValueError, "mod_revision must be a"),
    (lambda kv: kv.transactions.mod(b"k") < float("nan"), ValueError, "mod_revision must be a"),
    (lambda kv: kv.transactions.mod(b"k") < INT64, ValueError, "mod_revision must be at most"),
    (lambda kv: kv.transactions.lease(b"k") == "x", ValueError, "lease must be a whole number"),
    (lambda kv: kv.transactions.version(b"k") >= 1, TypeError, "etcd compares by ==, !=, < and >"),
    (lambda kv: kv.transactions.version(b"k") <= 1, TypeError, "etcd compares by ==, !=, < and >"),
)
async def test_a_transaction_with_an_invalid_argument_is_refused(
    unreachable_kv: KVClient, call: Call, kind: type[Exception], complaint: str
) -> None:
    await assert_refused(unreachable_kv, call, kind, complaint)


def test_compares_cannot_be_joined_by_and(unreachable_kv: KVClient) -> None:
    txn = unreachable_kv.transactions
    with pytest.raises(TypeError, match="pass a list of compares instead of joining them by 'and'"):
        [(txn.version(b"a") > 0) and (txn.version(b"b") > 0)]


TIMED: list[tuple[str, Callable[[KVClient, Any], Awaitable[object]]]] = [
    ("get", lambda kv, timeout: kv.get(b"k", timeout=timeout)),
    ("get_prefix", lambda kv, timeout: kv.get_prefix(b"k", timeout=timeout)),
    ("get_range", lambda kv, timeout: kv.get_range(b"a", b"b", timeout=timeout)),
    ("get_all", lambda kv, timeout: kv.get_all(timeout=timeout)),
    ("put", lambda kv, timeout: kv.put(b"k", b"v", timeout=timeout)),
    ("delete", lambda kv, timeout: kv.delete(b"k", timeout=timeout)),
    ("delete_prefix", lambda kv, timeout: kv.delete_prefix(b"k", timeout=timeout)),
    ("delete_range", lambda kv, timeout: kv.delete_range(b"a", b"b", timeout=timeout)),
    ("replace", lambda kv, timeout: kv.replace(b"k", b"a", b"b", timeout=timeout)),
    ("transaction", lambda kv, timeout: kv.transaction([], timeout=timeout)),
    ("compact", lambda kv, timeout: kv.compact(7, timeout=timeout)),
]


@pytest.mark.parametrize(("name", "call"), TIMED, ids=[name for name, _ in TIMED])
@pytest.mark.parametrize(
    ("timeout", "kind", "complaint"),
    [
        (0, ValueError, "timeout must be a positive, finite number of seconds, not 0"),
        (-1, ValueError, "timeout must be a positive, finite number of seconds, not -1"),
        (math.inf, ValueError, "timeout must be a positive, finite number of seconds, not inf"),
        (math.nan, ValueError, "timeout must be a positive, finite number of seconds, not nan"),
        ("1", TypeError, "timeout must be a number of seconds, not str: '1'"),
        (True, TypeError, "timeout must be a number of seconds, not bool: True"),
    ],
)
async def test_an_invalid_timeout_is_refused_by_every_call(
    unreachable_kv: KVClient,
    name: str,
    call: Callable[[KVClient, Any], Awaitable[object]],
    timeout: Any,
    kind: type[Exception],
    complaint: str,
) -> None:
    await assert_refused(unreachable_kv, lambda kv: call(kv, timeout), kind, complaint)


@pytest.mark.parametrize(("name", "call"), TIMED, ids=[name for name, _ in TIMED])
async def test_every_call_ends_at_its_timeout_if_the_server_stops_answering(
    private_server: EtcdServer,
    name: str,
    call: Callable[[KVClient, Any], Awaitable[object]],
) -> None:
    async with Channel(private_server.endpoint) as channel:
        kv = KVClient(channel)
        await private_server.pause()
        try:
            with pytest.raises(ConnectionTimeoutError) as caught:
                await call(kv, 0.1)
        finally:
            await private_server.resume()
        # The request was sent, so it may have been applied.
        assert not caught.value.definite


@pytest.mark.parametrize(("name", "call"), TIMED, ids=[name for name, _ in TIMED])
async def test_every_call_after_close_is_refused(
    etcd_endpoint: str, name: str, call: Callable[[KVClient, Any], Awaitable[object]]
) -> None:
    async with Channel(etcd_endpoint) as channel:
        kv = KVClient(channel)
        await kv.get(b"k")
    with pytest.raises(ClientClosedError, match="closed"):
        await call(kv, None)


async def test_the_service_needs_a_channel() -> None:
    not_a_channel: Any = "localhost:2379"
    with pytest.raises(TypeError, match=r"channel must be a Channel, a view or .* not str"):
        KVClient(not_a_channel)
