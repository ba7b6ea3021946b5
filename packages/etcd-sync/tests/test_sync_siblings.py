"""The synchronous client has what the asynchronous one has: names, parameters and results."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

import etcd_client
import etcd_sync

LEFT_OUT = {
    # What works with the channel, and with messages.
    *("NO_KEYS", "Channel", "ChannelLike", "ChannelView", "KeyFields", "Keys", "NamespaceView"),
    *("Rpc", "Service", "Stream", "StreamHandler", "WrongEventLoopError"),
    # A call waits for what is awaited there.
    *("Listing", "PendingLease"),
    # It takes two clients, which have two event loops.
    "mirror",
}
"""The names that only the asynchronous client has."""

MEMBERS_LEFT_OUT = {"cancel_on_loss", "channel", "of", "on"}
"""The members that only asynchronous classes have."""

# What Python calls of an asynchronous object, and what it calls of its sibling.
PROTOCOLS = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "aclose": "close",
}

SIBLINGS = sorted(
    name
    for name in set(etcd_client.__all__) & set(etcd_sync.__all__)
    if getattr(etcd_client, name) is not getattr(etcd_sync, name) and name != "errors"
)


def members(kind: type) -> dict[str, Any]:
    """The public members of a class, by their names in synchronous code."""
    found: dict[str, Any] = {}
    for name in dir(kind):
        if name in (*PROTOCOLS, *PROTOCOLS.values()) or not name.startswith("_"):
            found[PROTOCOLS.get(name, name)] = inspect.getattr_static(kind, name)
    return found


def parameters(function: Any) -> Iterator[tuple[str, Any, Any]]:
    """The names, kinds and defaults of the parameters of a method."""
    for name, parameter in inspect.signature(function).parameters.items():
        # A default that stands for the timeout of its object is shown by its repr.
        default = parameter.default
        yield name, parameter.kind, False if name == "cancel_on_loss" else repr(default)


def test_every_name_is_there() -> None:
    assert set(etcd_client.__all__) - set(etcd_sync.__all__) == LEFT_OUT
    assert set(etcd_sync.__all__) - set(etcd_client.__all__) == {"Iteration"}
    assert etcd_sync.errors.__all__ == etcd_client.errors.__all__


def test_errors_and_results_are_the_same_classes() -> None:
    for name in ("ClientError", "Get", "Put", "TransactionResult", "Event", "LeaseInfo"):
        assert getattr(etcd_sync, name) is getattr(etcd_client, name)


@pytest.mark.parametrize("name", SIBLINGS)
def test_a_class_has_the_members_of_its_sibling_with_the_same_parameters(name: str) -> None:
    theirs, ours = members(getattr(etcd_client, name)), members(getattr(etcd_sync, name))
    if name in ("LeaseLoss", "LockLoss"):
        assert set(ours) == {"wait"}  # in place of awaiting it
        return

    assert set(theirs) - set(ours) <= MEMBERS_LEFT_OUT
    for member in set(theirs) & set(ours) - set(PROTOCOLS.values()):
        if inspect.isfunction(theirs[member]):
            assert list(parameters(theirs[member])) == list(parameters(ours[member])), member
            assert not inspect.iscoroutinefunction(ours[member]), member


@pytest.mark.parametrize("name", SIBLINGS)
def test_no_docstring_speaks_of_awaiting(name: str) -> None:
    kind = getattr(etcd_sync, name)
    texts = [kind.__doc__, *(each.__doc__ for each in members(kind).values())]

    assert kind.__doc__
    assert [text for text in texts if text and re.search(r"\b(await|async|asyncio)\b", text)] == []
