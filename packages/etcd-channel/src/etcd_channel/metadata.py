"""Metadata that middleware adds to calls, beside that of the channel."""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["call_metadata"]

call_metadata: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("call_metadata", default=())
"""Pairs of a lower-case key and a value that are sent with the calls and downloads of this task.

A view sets it around the call that it passes on, for example to `traceparent`, and resets it
afterwards. Other views in between need not know of it. `Channel.stream` has an argument instead.
"""
