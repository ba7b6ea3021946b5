"""Checks of arguments that all services share, made before anything is sent.

Each names the argument, what it was and what it should be. They are public for the
service packages; a program that uses the client has no need of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = [
    "INT64_MAX",
    "check_bytes",
    "check_choice",
    "check_flag",
    "check_int",
    "check_key",
    "check_name",
    "check_password",
    "check_range_end",
    "check_timeout",
]

INT64_MAX = (1 << 63) - 1


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_bytes(name: str, value: object) -> bytes:
    """Return `value` if it is bytes, else raise a `TypeError` that says how to get there."""
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        raise TypeError(f"{name} must be bytes, not str: use {name}.encode() for {_shown(value)}")
    if isinstance(value, bytes):
        return bytes(value)
    raise TypeError(f"{name} must be bytes, not {type(value).__name__}")


def check_key(name: str, value: object) -> bytes:
    """Return `value` if it is a key: bytes, and not empty (etcd has no empty key)."""
    key = value if type(value) is bytes else check_bytes(name, value)
    if not key:
        raise ValueError(f"{name} must not be empty")
    return key


def check_range_end(key: bytes, name: str, value: object) -> bytes:
    """Return `value` if it can end a range that begins at `key`.

    The one byte zero stands for the end of all keys, as in etcd's API; every other end
    must not lie below the key.
    """
    range_end = check_bytes(name, value)
    if not range_end:
        raise ValueError(f"{name} must not be empty: b'\\x00' means the end of all keys")
    if range_end != b"\0" and range_end < key:
        raise ValueError(
            f"{name} must not be below the range's start: {_shown(range_end)} < {_shown(key)}"
        )
    return range_end


def check_int(name: str, value: object, *, minimum: int = 0, maximum: int = INT64_MAX) -> int:
    """Return `value` if it is a whole number from `minimum` to `maximum`; a bool is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}: {_shown(value)}")
    if not minimum <= value <= maximum:
        bound = f"at least {minimum}" if value < minimum else f"at most {maximum}"
        raise ValueError(f"{name} must be {bound}, not {value}")
    return value


def check_flag(name: str, value: object) -> bool:
    """Return `value` if it is True or False: a truthy string is a mistake, not a yes."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}: {_shown(value)}")
    return value


def check_name(name: str, value: object) -> str:
    """Return `value` if it is a string with something in it."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}: {_shown(value)}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    if not _is_utf8(value):
        raise ValueError(f"{name} must be text that UTF-8 can hold, not {_shown(value)}")
    return value


def check_password(name: str, value: object) -> str:
    """Return `value` if it is text, an empty one too; an error does not show what it was."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not _is_utf8(value):
        raise ValueError(f"{name} must be text that UTF-8 can hold")
    return value


def _is_utf8(text: str) -> bool:
    # The error of a surrogate holds the whole text: it must not become a context of ours.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, choices))}, not {_shown(value)}"
        )
    return value


def check_timeout(name: str, value: object) -> float:
    """Return `value` in seconds if time can run out after it: finite, and more than none."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(
            f"{name} must be a number of seconds, not {type(value).__name__}: {_shown(value)}"
        )
    seconds = float(value)
    if not (seconds > 0 and math.isfinite(seconds)):
        raise ValueError(f"{name} must be a positive, finite number of seconds, not {value}")
    return seconds
