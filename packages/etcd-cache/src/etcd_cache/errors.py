"""Errors that only caches raise."""

from __future__ import annotations

from etcd_channel import ClientClosedError, ClientError

__all__ = ["CacheClosedError", "CacheDecodeError", "CacheTimeoutError"]


class CacheClosedError(ClientClosedError):
    """The cache is not open: its `async with` was left, or was not entered yet."""


class CacheDecodeError(ClientError):
    """A value could not be decoded, and the cache was made with `on_undecodable="raise"`.

    The message names the key and not the value; the exception of `decode` is the `__cause__`.
    """


class CacheTimeoutError(ClientError, TimeoutError):
    """The cache did not fulfil a condition, or reach a revision, within the timeout.

    If etcd could not be reached, or the cache could not follow it at that time, the reason is the
    `__cause__`.
    """
