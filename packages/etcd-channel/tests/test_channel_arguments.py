"""What a channel is told when it is made and called: what is wrong is refused before anything
is sent, by an error that names the argument."""

from __future__ import annotations

import math
from typing import Any

import pytest

from etcd_channel import Channel, Reconnect, Rpc, Service
from etcd_channel.arguments import (
    INT64_MAX,
    check_bytes,
    check_choice,
    check_flag,
    check_int,
    check_key,
    check_name,
    check_range_end,
    check_timeout,
)
from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpcs import AUTHENTICATE

_PASSWORD = "correct-horse-battery"


class _IntLike(int):
    """An int of another class, as numpy and enum have them."""


# Timeouts ----------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 0.0, -0.0, -1, -0.001, math.nan, math.inf, -math.inf])
def test_a_timeout_that_is_no_time_is_a_value_error(seconds: float) -> None:
    for name in ("timeout", "connect_timeout"):
        given: dict[str, Any] = {name: seconds}
        with pytest.raises(ValueError, match=f"^{name} must be a positive, finite number"):
            Channel(**given)


@pytest.mark.parametrize("seconds", [True, False, "1", b"1", [1], 1j])
def test_a_timeout_that_is_no_number_is_a_type_error(seconds: Any) -> None:
    for name in ("timeout", "connect_timeout"):
        with pytest.raises(TypeError, match=f"^{name} must be a number of seconds, not "):
            Channel(**{name: seconds})


def test_none_is_no_connect_timeout() -> None:
    nothing: Any = None
    with pytest.raises(TypeError, match="connect_timeout must be a number of seconds"):
        Channel(connect_timeout=nothing)


def test_the_timeout_is_ten_seconds_unless_said_otherwise() -> None:
    assert Channel().timeout == 10.0
    assert Channel(timeout=None).timeout == 10.0
    assert Channel(timeout=2).timeout == 2.0


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, math.inf])
async def test_a_call_refuses_a_timeout_that_is_no_time(seconds: float) -> None:
    channel = Channel("localhost:1")
    request = pb.AuthenticateRequest()
    with pytest.raises(ValueError, match="timeout must be a positive, finite number"):
        await channel.call(AUTHENTICATE, request, timeout=seconds)
    with pytest.raises(ValueError, match="timeout must be a positive, finite number"):
        await channel.download(AUTHENTICATE, request, timeout=seconds).__anext__()
    await channel.close()


async def test_a_call_refuses_an_endpoint_that_is_none() -> None:
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


def test_a_user_name_must_be_a_string_with_something_in_it() -> None:
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
def test_pings_that_etcd_would_punish_are_refused(milliseconds: int) -> None:
    with pytest.raises(ValueError, match=r"grpc\.keepalive_time_ms must be at least 10000"):
        Channel(options={"grpc.keepalive_time_ms": milliseconds})


def test_options_may_be_given() -> None:
    Channel(options={})
    Channel(options={"grpc.keepalive_time_ms": 10_000, "grpc.primary_user_agent": "me"})


def test_a_hook_must_be_callable() -> None:
    hook: Any = "print"
    with pytest.raises(TypeError, match="on_reconnect must be callable, not str"):
        Channel(on_reconnect=hook)

    def heard(reconnect: Reconnect) -> None: ...

    Channel(on_reconnect=heard)


def test_tls_must_be_a_tls() -> None:
    tls: Any = True
    with pytest.raises(TypeError, match="tls must be a TLS, not bool"):
        Channel(tls=tls)


def test_a_service_is_made_of_a_channel_only() -> None:
    channel = Channel("a:1,b:2")
    assert Service(channel).channel is channel
    assert repr(Service(channel)) == "Service(a:1, b:2)"
    address: Any = "a:1"
    with pytest.raises(TypeError, match="channel must be a Channel, not str"):
        Service(address)


def test_an_rpc_has_the_name_that_etcd_gives_it() -> None:
    assert AUTHENTICATE.name == "Auth.Authenticate"
    lock = Rpc("/v3lockpb.Lock/Unlock", pb.AuthenticateRequest, pb.AuthenticateResponse)
    assert lock.name == "Lock.Unlock"
    assert not lock.repeatable
    assert not lock.endless


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


def test_bytes_of_a_class_of_their_own_become_plain_bytes() -> None:
    class Blob(bytes):
        pass

    checked = check_bytes("value", Blob(b"v"))
    assert checked == b"v"
    assert type(checked) is bytes


def test_a_long_value_is_not_shown_whole() -> None:
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


def test_numbers_are_ints_within_their_bounds() -> None:
    assert check_int("limit", 0) == 0
    assert check_int("limit", INT64_MAX) == INT64_MAX
    assert check_int("limit", _IntLike(3)) == 3
    for other in (True, 1.0, "1", None):
        with pytest.raises(TypeError, match=f"^limit must be an int, not {type(other).__name__}"):
            check_int("limit", other)
    with pytest.raises(ValueError, match=r"^limit must be at least 0, not -1$"):
        check_int("limit", -1)
    with pytest.raises(ValueError, match=f"^limit must be at most {INT64_MAX}, not "):
        check_int("limit", INT64_MAX + 1)
    with pytest.raises(ValueError, match=r"^ttl must be at least 1, not 0$"):
        check_int("ttl", 0, minimum=1)


def test_flags_names_and_choices_are_what_they_say() -> None:
    assert check_flag("serializable", True) is True
    for other in (1, 0, "yes", None):
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


def test_seconds_may_be_whole() -> None:
    assert check_timeout("timeout", 3) == 3.0
    assert isinstance(check_timeout("timeout", 3), float)


# Requests ------------------------------------------------------------------------------


async def test_what_is_not_the_request_of_an_rpc_is_not_sent() -> None:
    """gRPC would send an empty request in its place."""
    channel = Channel("localhost:1")
    for wrong in ("text", None, pb.AuthenticateResponse(), pb.AuthenticateRequest):
        request: Any = wrong
        with pytest.raises(TypeError, match="request must be AuthenticateRequest"):
            await channel.call(AUTHENTICATE, request)
        with pytest.raises(TypeError, match="request must be AuthenticateRequest"):
            await channel.download(AUTHENTICATE, request).__anext__()
    await channel.close()
