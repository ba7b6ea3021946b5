"""Invalid arguments of a channel and its calls are refused before anything is sent, by an error
that names the argument."""

from __future__ import annotations

import inspect
import math
import sys
import threading
from typing import Any

import pytest

from etcd_channel import Channel, Reconnect, Rpc, Service
from etcd_channel.arguments import (
    INT64_MAX,
    INT64_MIN,
    MAX_TIMEOUT,
    check_bytes,
    check_choice,
    check_flag,
    check_int,
    check_key,
    check_lease_id,
    check_name,
    check_prefix,
    check_range_end,
    check_timeout,
    check_wait,
    check_whole,
)
from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpcs import AUTHENTICATE

_PASSWORD = "correct-horse-battery"


LONG = [1e9, 9e9, threading.TIMEOUT_MAX, sys.maxsize, 1e300, 10**400]


class _Indexed:
    """An integer that is not an int, such as numpy's."""

    def __index__(self) -> int:
        return 3


class _Held:
    """A lease as far as a call needs it."""

    def __init__(self, id: Any) -> None:
        self.id = id


class _IntLike(int):
    """A subclass of int, such as those of enum."""


# Timeouts ----------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 0.0, -0.0, -1, -0.001, math.nan, math.inf, -math.inf])
def test_a_timeout_that_is_not_positive_is_a_value_error(seconds: float) -> None:
    for name in ("timeout", "connect_timeout"):
        given: dict[str, Any] = {name: seconds}
        with pytest.raises(ValueError, match=f"^{name} must be a positive, finite number"):
            Channel(**given)


@pytest.mark.parametrize("seconds", [True, False, "1", b"1", [1], 1j])
def test_a_timeout_that_is_not_a_number_is_a_type_error(seconds: Any) -> None:
    for name in ("timeout", "connect_timeout"):
        with pytest.raises(TypeError, match=f"^{name} must be a number of seconds, not "):
            Channel(**{name: seconds})


def test_none_is_not_a_valid_connect_timeout() -> None:
    nothing: Any = None
    with pytest.raises(TypeError, match="connect_timeout must be a number of seconds"):
        Channel(connect_timeout=nothing)


def test_the_default_timeout_is_ten_seconds() -> None:
    assert Channel().timeout == 10.0
    assert Channel(timeout=None).timeout == 10.0
    assert Channel(timeout=2).timeout == 2.0


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, math.inf])
async def test_a_call_refuses_a_timeout_that_is_not_positive(seconds: float) -> None:
    channel = Channel("localhost:1")
    request = pb.AuthenticateRequest()
    with pytest.raises(ValueError, match="timeout must be a positive, finite number"):
        await channel.call(AUTHENTICATE, request, timeout=seconds)
    with pytest.raises(ValueError, match="timeout must be a positive, finite number"):
        await channel.download(AUTHENTICATE, request, timeout=seconds).__anext__()
    await channel.close()


async def test_a_call_refuses_an_invalid_endpoint() -> None:
    channel = Channel("localhost:1")
    request = pb.AuthenticateRequest()
    nonsense: Any = 2379
    with pytest.raises(ValueError, match="endpoint 'localhost:0'"):
        await channel.call(AUTHENTICATE, request, endpoint="localhost:0")
    with pytest.raises(TypeError, match="an endpoint must be a str, not int"):
        await channel.call(AUTHENTICATE, request, endpoint=nonsense)
    with pytest.raises(ValueError, match="endpoint 'localhost:0'"):
        await channel.download(AUTHENTICATE, request, endpoint="localhost:0").__anext__()
    await channel.close()


# Users and passwords -----------------------------------------------------------------


def test_a_user_without_a_password_is_refused_and_a_password_without_a_user() -> None:
    with pytest.raises(ValueError, match="username was given without password"):
        Channel(username="root")
    with pytest.raises(ValueError, match="password was given without username") as caught:
        Channel(password=_PASSWORD)
    assert _PASSWORD not in str(caught.value)


def test_a_user_name_must_be_a_string_that_is_not_empty() -> None:
    number: Any = 7
    with pytest.raises(ValueError, match="username must not be empty"):
        Channel(username="", password=_PASSWORD)
    with pytest.raises(TypeError, match="username must be a str, not int"):
        Channel(username=number, password=_PASSWORD)


def test_a_password_of_a_wrong_type_is_refused_and_not_shown() -> None:
    password: Any = _PASSWORD.encode()
    with pytest.raises(TypeError, match=r"^password must be a str, not bytes$"):
        Channel(username="root", password=password)


def test_the_password_is_in_no_repr() -> None:
    channel = Channel(username="root", password=_PASSWORD)
    assert _PASSWORD not in repr(channel)
    assert all(_PASSWORD not in repr(part) for part in vars(channel).values())
    assert _PASSWORD not in repr(Service(channel))


# Options and hooks -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([("grpc.x", 1)], "options must be a mapping of gRPC options, not list"),
        ("grpc.x", "options must be a mapping of gRPC options, not str"),
        ({1: 2}, "options must have str keys, not 1"),
        ({"grpc.x": 1.5}, "options: grpc.x must be an int or a str, not float"),
        ({"grpc.x": None}, "options: grpc.x must be an int or a str, not NoneType"),
        ({"grpc.keepalive_time_ms": "1"}, "options: grpc.keepalive_time_ms must be an int"),
    ],
)
def test_options_of_a_wrong_type_are_refused(options: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        Channel(options=options)


@pytest.mark.parametrize("milliseconds", [0, 1, 5_000, 9_999])
def test_a_ping_interval_that_is_too_short_for_etcd_is_refused(milliseconds: int) -> None:
    with pytest.raises(ValueError, match=r"grpc\.keepalive_time_ms must be at least 10000"):
        Channel(options={"grpc.keepalive_time_ms": milliseconds})


@pytest.mark.parametrize("number", [1 << 31, -(1 << 31) - 1, sys.maxsize])
def test_an_option_beyond_32_bits_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=r"^options: grpc\.x must be a 32-bit integer, not "):
        Channel(options={"grpc.x": number})


def test_options_may_be_given() -> None:
    Channel(options={})
    Channel(options={"grpc.keepalive_time_ms": 10_000, "grpc.primary_user_agent": "me"})


def test_a_callback_must_be_callable() -> None:
    hook: Any = "print"
    with pytest.raises(TypeError, match="on_reconnect must be callable, not str"):
        Channel(on_reconnect=hook)

    async def waits(reconnect: Reconnect) -> None: ...

    with pytest.raises(TypeError, match="on_reconnect must be a plain function, not a coroutine"):
        Channel(on_reconnect=waits)

    def heard(reconnect: Reconnect) -> None: ...

    Channel(on_reconnect=heard)


def test_recreate_passes_every_argument_to_the_new_channel() -> None:
    channel = Channel(["https://a:1", "b"], username="u", password=_PASSWORD, timeout=7)
    channel.set_endpoints("https://c:1,[::1],unix:/d")
    channel.use_password("another")
    another = channel.recreate()
    assert (another.endpoints, another.timeout) == (channel.endpoints, 7)
    assert another._pool.addresses == ("https://c:1", "[::1]:2379", "unix:/d")
    assert another._tokens is not None
    assert (another.username, another._tokens.password) == ("u", "another")
    arguments = inspect.signature(Channel).parameters.keys()
    assert (
        another._make_another.keywords.keys() | {"endpoints", "username", "password"} == arguments
    )


def test_tls_must_be_a_tls() -> None:
    tls: Any = True
    with pytest.raises(TypeError, match="tls must be a TLS, not bool"):
        Channel(tls=tls)


def test_a_service_is_made_of_a_channel_only() -> None:
    channel = Channel("a:1,b:2")
    assert Service(channel).channel is channel
    assert repr(Service(channel)) == "Service(a:1, b:2)"
    address: Any = "a:1"
    with pytest.raises(TypeError, match=r"channel must be a Channel, a view or .* not str"):
        Service(address)


def test_an_rpc_has_the_name_of_its_service_and_method() -> None:
    assert AUTHENTICATE.name == "Auth.Authenticate"
    lock = Rpc("/v3lockpb.Lock/Unlock", pb.AuthenticateRequest, pb.AuthenticateResponse)
    assert lock.name == "Lock.Unlock"
    assert not lock.repeatable
    assert not lock.unbounded


# The checks that all services share --------------------------------------------------


def test_keys_are_bytes_and_not_empty() -> None:
    assert check_key("key", b"k") == b"k"
    with pytest.raises(ValueError, match=r"^key must not be empty$"):
        check_key("key", b"")
    with pytest.raises(TypeError, match=r"^key must be bytes, not str: use key.encode\(\) for 'k'"):
        check_key("key", "k")
    for other in (None, 1, bytearray(b"k"), memoryview(b"k"), [b"k"]):
        with pytest.raises(TypeError, match=f"^key must be bytes, not {type(other).__name__}$"):
            check_key("key", other)


def test_a_subclass_of_bytes_becomes_bytes() -> None:
    class Blob(bytes):
        pass

    checked = check_bytes("value", Blob(b"v"))
    assert checked == b"v"
    assert type(checked) is bytes


def test_an_error_shortens_a_long_value() -> None:
    with pytest.raises(TypeError) as caught:
        check_bytes("value", "x" * 1_000_000)
    assert len(str(caught.value)) < 200


def test_a_range_must_not_end_before_it_begins() -> None:
    assert check_range_end(b"a", "range_end", b"b") == b"b"
    assert check_range_end(b"a", "range_end", b"a") == b"a"
    assert check_range_end(b"a", "range_end", b"\0") == b"\0"
    with pytest.raises(ValueError, match="range_end must not be below the range's start"):
        check_range_end(b"b", "range_end", b"a")
    with pytest.raises(ValueError, match="range_end must not be empty"):
        check_range_end(b"b", "range_end", b"")


@pytest.mark.parametrize(
    ("prefix", "ends"),
    [(b"ab", (b"ab", b"ac")), (b"\xff", (b"\xff", b"\0")), (b"", (b"\0", b"\0"))],
)
def test_a_prefix_is_a_range_of_keys(prefix: bytes, ends: tuple[bytes, bytes]) -> None:
    assert check_prefix("key_prefix", prefix) == ends


def test_a_prefix_must_be_bytes() -> None:
    with pytest.raises(TypeError, match=r"key_prefix must be bytes, not str: use key_prefix.enc"):
        check_prefix("key_prefix", "a")


def test_numbers_are_ints_within_their_bounds() -> None:
    assert check_int("limit", 0) == 0
    assert check_int("limit", INT64_MAX) == INT64_MAX
    assert check_int("limit", _IntLike(3)) == 3
    assert check_int("limit", _Indexed()) == 3
    for other in (True, 1.0, "1", None):
        with pytest.raises(TypeError, match=f"^limit must be an int, not {type(other).__name__}"):
            check_int("limit", other)
    with pytest.raises(ValueError, match=r"^limit must be at least 0, not -1$"):
        check_int("limit", -1)
    with pytest.raises(ValueError, match=f"^limit must be at most {INT64_MAX}, not "):
        check_int("limit", INT64_MAX + 1)
    for huge in (10**9999, -(10**9999)):
        with pytest.raises(ValueError, match=r"^limit must be at (most|least) .* too many digits$"):
            check_int("limit", huge)
    with pytest.raises(ValueError, match=r"^timeout must be a positive, .* too many digits$"):
        check_timeout("timeout", -(10**9999))
    assert check_timeout("timeout", 10**9999) == MAX_TIMEOUT
    with pytest.raises(ValueError, match=r"^ttl must be at least 1, not 0$"):
        check_int("ttl", 0, minimum=1)


def test_flags_names_and_choices_are_checked() -> None:
    assert check_flag("serializable", True) is check_flag("serializable", 1) is True
    assert check_flag("serializable", False) is check_flag("serializable", 0) is False
    for other in (2, -1, 1.0, "yes", None):
        with pytest.raises(TypeError, match=r"^serializable must be a bool"):
            check_flag("serializable", other)
    assert check_name("role", "reader") == "reader"
    with pytest.raises(ValueError, match=r"^role must not be empty$"):
        check_name("role", "")
    with pytest.raises(TypeError, match=r"^role must be a str, not bytes"):
        check_name("role", b"reader")
    assert check_choice("order", "ascend", ("ascend", "descend")) == "ascend"
    for wrong in ("upward", None, 1, ["ascend"]):
        with pytest.raises(ValueError, match=r"^order must be one of 'ascend', 'descend', not "):
            check_choice("order", wrong, ("ascend", "descend"))


def test_a_timeout_may_be_an_int() -> None:
    assert check_timeout("timeout", 3) == 3.0
    assert isinstance(check_timeout("timeout", 3), float)


@pytest.mark.parametrize("seconds", LONG)
def test_a_timeout_above_the_maximum_is_reduced_to_it(seconds: float) -> None:
    assert check_timeout("timeout", seconds) == check_wait("timeout", seconds) == MAX_TIMEOUT
    assert Channel(timeout=seconds).timeout == MAX_TIMEOUT


def test_a_time_to_wait_may_be_none_or_zero() -> None:
    assert check_wait("timeout", None) is None
    assert check_wait("timeout", 0) == check_wait("timeout", -0.0) == check_wait("t", -1.5) == 0.0
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match=r"^timeout must be a positive, finite number"):
            check_wait("timeout", bad)
    for strange in (False, "0", b""):
        with pytest.raises(TypeError, match=r"^timeout must be a number of seconds"):
            check_wait("timeout", strange)


@pytest.mark.parametrize("number", [1, 7, -5, INT64_MAX, INT64_MIN])
def test_every_64_bit_number_but_0_is_the_id_of_a_lease(number: int) -> None:
    for lease in (number, _IntLike(number), f"{number}", _Held(number), _Held(f"{number}")):
        assert check_lease_id("lease", lease) == number
    assert check_lease_id("lease", _Indexed()) == 3


@pytest.mark.parametrize(
    ("lease", "kind", "complaint"),
    [
        (0, ValueError, "lease must not be 0, which stands for no lease"),
        (_Held(0), ValueError, "lease.id must not be 0"),
        (INT64_MAX + 1, ValueError, f"lease must be at most {INT64_MAX}, not "),
        (INT64_MIN - 1, ValueError, f"lease must be at least {INT64_MIN}, not "),
        ("ten", ValueError, "lease must be a whole number, which this str is not"),
        (1.0, TypeError, "lease must be a lease or its id, an int, not float: 1.0"),
        (None, TypeError, "lease must be a lease or its id, an int, not NoneType"),
        (True, TypeError, "lease must be a lease or its id, an int, not bool"),
    ],
)
def test_an_invalid_lease_is_refused(lease: Any, kind: type[Exception], complaint: str) -> None:
    with pytest.raises(kind) as caught:
        check_lease_id("lease", lease)
    assert str(caught.value).startswith(complaint)


def test_lease_0_is_accepted_if_the_lease_is_optional() -> None:
    assert check_lease_id("lease", 0, none=True) == check_lease_id("lease", "0", none=True) == 0


@pytest.mark.parametrize(
    ("value", "number"),
    [(7, 7), (-1, -1), ("1", 1), (b"0", 0), (" -3 ", -3), (1.0, 1), (1.9, 1), (True, 1)],
)
def test_a_whole_number_is_what_int_makes_of_it(value: Any, number: int) -> None:
    assert check_whole("version", value) == number


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, TypeError),
        ([1], TypeError),
        ("", ValueError),
        ("1.5", ValueError),
        (b"one", ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (INT64_MAX + 1, ValueError),
        ("9" * 5000, ValueError),
    ],
)
def test_an_invalid_whole_number_is_refused_by_name(value: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^version must be a") as caught:
        check_whole("version", value)
    assert len(str(caught.value)) < 200


# Requests ------------------------------------------------------------------------------


async def test_a_request_of_another_class_is_not_sent() -> None:
    """gRPC itself would send an empty request instead."""
    channel = Channel("localhost:1")
    for wrong in ("text", None, pb.AuthenticateResponse(), pb.AuthenticateRequest):
        request: Any = wrong
        with pytest.raises(TypeError, match="request must be AuthenticateRequest"):
            await channel.call(AUTHENTICATE, request)
        with pytest.raises(TypeError, match="request must be AuthenticateRequest"):
            await channel.download(AUTHENTICATE, request).__anext__()
    await channel.close()
