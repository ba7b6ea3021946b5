"""Checks of arguments, made before anything is sent.

The errors name the argument, what it was and what it should be. They never show the value of a
key, even if it was passed as another argument by mistake: an error about a number shows the
argument only if it looks like a number. The checks are public for service packages; a program that
uses the client does not need them.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from etcd_channel.utils import prefix_range_end

__all__ = [
    "INT64_MAX",
    "INT64_MIN",
    "MAX_TIMEOUT",
    "NOT_GIVEN",
    "check_bytes",
    "check_callback",
    "check_choice",
    "check_flag",
    "check_int",
    "check_key",
    "check_lease_id",
    "check_name",
    "check_password",
    "check_prefix",
    "check_range_end",
    "check_timeout",
    "check_wait",
    "check_whole",
]

INT64_MAX = (1 << 63) - 1
INT64_MIN = -(1 << 63)

NOT_GIVEN: Final[Any] = inspect.Parameter.empty
"""The default of a parameter that is documented as required, but optional here.

`inspect.signature` shows the parameter without a default, as it is documented.
"""

MAX_TIMEOUT = 100_000_000.0
"""The maximum timeout in seconds, about three years; a longer one is reduced to it.

gRPC stores deadlines as 64-bit nanoseconds since 1970. It treats a deadline beyond that range as
passed, or as none.
"""


_NUMBER = r"[+-]?[0-9]{0,20}(\.[0-9]{0,20})?"


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:
        # Python refuses to format an int of thousands of digits.
        return f"{type(value).__name__} of too many digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_number(value: object) -> bool:
    """Whether an error about a number may show the value; any other text may be a secret."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        return re.fullmatch(_NUMBER, value) is not None
    return value is None or isinstance(value, (int, float))


def _but_was(value: object) -> str:
    """Return the end of an error message: the type, and the value if it is a number."""
    kind = type(value).__name__
    return f"not {kind}: {_shown(value)}" if _is_number(value) else f"not {kind}"


def check_bytes(name: str, value: object) -> bytes:
    """Return `value` if it is bytes; the `TypeError` for a str says how to encode it."""
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        raise TypeError(f"{name} must be bytes, not str: use {name}.encode()")
    if isinstance(value, bytes):
        return bytes(value)
    raise TypeError(f"{name} must be bytes, not {type(value).__name__}")


def _check_key_bytes(name: str, value: object) -> bytes:
    """Return `value` if it is bytes; the error shows it, because keys are not secret."""
    if isinstance(value, str):
        raise TypeError(f"{name} must be bytes, not str: use {name}.encode() for {_shown(value)}")
    return check_bytes(name, value)


def check_key(name: str, value: object) -> bytes:
    """Return `value` if it is a valid key: bytes that are not empty."""
    key = value if type(value) is bytes else _check_key_bytes(name, value)
    if not key:
        raise ValueError(f"{name} must not be empty")
    return key


def check_range_end(key: bytes, name: str, value: object) -> bytes:
    """Return `value` if it is a valid `range_end` for a range that begins at `key`.

    As in etcd's API, a zero byte means the end of all keys. Any other end must not be lower than
    the key.
    """
    range_end = _check_key_bytes(name, value)
    if not range_end:
        raise ValueError(f"{name} must not be empty: b'\\x00' means the end of all keys")
    if range_end != b"\0" and range_end < key:
        raise ValueError(
            f"{name} must not be below the range's start: {_shown(range_end)} < {_shown(key)}"
        )
    return range_end


def check_prefix(name: str, value: object) -> tuple[bytes, bytes]:
    """Check a prefix; return `(key, range_end)` of the range of all keys that begin with it.

    The empty prefix matches every key.
    """
    prefix = _check_key_bytes(name, value)
    # A range must begin at a key, and the lowest key is a zero byte.
    return prefix or b"\0", prefix_range_end(prefix)


def check_int(name: str, value: object, *, minimum: int = 0, maximum: int = INT64_MAX) -> int:
    """Return `value` as an int if it is an int from `minimum` to `maximum`.

    A type with `__index__`, such as numpy's integers, is accepted, but a bool is not.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif hasattr(value, "__index__") and not isinstance(value, bool):
        number = operator.index(value)
    else:
        raise TypeError(f"{name} must be an int, {_but_was(value)}")
    if not minimum <= number <= maximum:
        bound = f"at least {minimum}" if number < minimum else f"at most {maximum}"
        raise ValueError(f"{name} must be {bound}, not {_shown(number)}")
    return number


def check_whole(name: str, value: object) -> int:
    """Return `int(value)` if that is a signed 64-bit integer.

    Text that contains a number is accepted (`"1"`, `b"0"`), and a fraction is truncated.
    """
    if type(value) is not int:
        value = _int_of(name, value)
    return check_int(name, value, minimum=INT64_MIN)


def _int_of(name: str, value: object) -> int:
    # The errors below are raised outside of a handler, so that the error of int(), which contains
    # the text, does not become their context.
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        return int(value)  # type: ignore[call-overload, no-any-return]  # int() raises if it cannot
    if not isinstance(value, (str, bytes, bytearray, float)):
        raise TypeError(f"{name} must be a whole number, {_but_was(value)}")
    was = (
        f"not {_shown(value)}" if _is_number(value) else f"which this {type(value).__name__} is not"
    )
    raise ValueError(f"{name} must be a whole number, {was}")


def check_lease_id(name: str, lease: object, *, none: bool = False) -> int:
    """Return the ID of a lease, given as its ID or as an object with an attribute `id`.

    An ID is any signed 64-bit integer except 0. With `none`, 0 is accepted too and means no
    lease. Text that contains a number is accepted as an ID.
    """
    if type(lease) is int and 0 < lease <= INT64_MAX:
        return lease
    if not isinstance(lease, int) and hasattr(lease, "id"):
        name, lease = f"{name}.id", lease.id
    if isinstance(lease, (str, bytes)):
        number = check_whole(name, lease)
    elif isinstance(lease, bool) or not hasattr(lease, "__index__"):
        raise TypeError(f"{name} must be a lease or its id, an int, {_but_was(lease)}")
    else:
        number = check_int(name, lease, minimum=INT64_MIN)
    if not (number or none):
        raise ValueError(f"{name} must not be 0, which stands for no lease")
    return number


def check_callback(name: str, value: object) -> Callable[..., object]:
    """Return `value` if it is a function that can be called without `await`."""
    if not callable(value):
        raise TypeError(f"{name} must be callable, not {type(value).__name__}")
    if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(type(value).__call__):
        raise TypeError(
            f"{name} must be a plain function, not a coroutine function: it is not awaited"
        )
    return value


def check_flag(name: str, value: object) -> bool:
    """Return `value` as a bool if it is True, False, 1 or 0; other truthy values are refused."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, int) or value not in (0, 1):
        raise TypeError(f"{name} must be a bool, {_but_was(value)}")
    return bool(value)


def check_name(name: str, value: object) -> str:
    """Return `value` if it is a str that is not empty."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, {_but_was(value)}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    if not _is_utf8(value):
        raise ValueError(f"{name} must be text that UTF-8 can encode, not {_shown(value)}")
    return value


def check_password(name: str, value: object) -> str:
    """Return `value` if it is a str, which may be empty; the errors do not show it."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not _is_utf8(value):
        raise ValueError(f"{name} must be text that UTF-8 can encode")
    return value


def _is_utf8(text: str) -> bool:
    # Returns a bool, so that the error, which contains the text, does not become the context of
    # the one that the caller raises.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        was = _shown(value) if isinstance(value, str) or _is_number(value) else type(value).__name__
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {was}")
    return value


def check_timeout(name: str, value: object) -> float:
    """Return `value`, a number of seconds, if it is positive and finite.

    A value above `MAX_TIMEOUT` is reduced to it.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, {_but_was(value)}")
    if not (value > 0 and (isinstance(value, int) or math.isfinite(value))):
        raise ValueError(
            f"{name} must be a positive, finite number of seconds, not {_shown(value)}"
        )
    return float(min(value, MAX_TIMEOUT))


def check_wait(name: str, value: object) -> float | None:
    """Return `value`, a number of seconds to wait; None means without limit.

    0 and negative numbers mean not to wait, and return 0. Otherwise it is as `check_timeout`.
    """
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and -math.inf < value <= 0:
        return 0.0
    return check_timeout(name, value)
