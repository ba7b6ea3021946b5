"""Results are immutable values with equality and hashes."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from etcd_cache import CacheEntry
from etcd_channel import KeyValue, Record, ResponseHeader
from etcd_channel.pb import common_pb2
from etcd_cluster import Alarm, Member, Status
from etcd_kv import (
    Delete,
    DeleteRange,
    Get,
    GetRange,
    OperationResponse,
    Put,
    PutResponse,
    STMResult,
    TransactionResult,
    TxnResponse,
)
from etcd_lease.results import LeaseInfo
from etcd_watch import Event, EventKind, WatchResponse

PACKAGES = ("channel", "kv", "lease", "watch", "lock", "cache", "cluster", "auth")
HEADER = common_pb2.ResponseHeader(revision=7)
PAIR = common_pb2.KeyValue(key=b"k", value=b"v", mod_revision=5)
EVENT = Event(EventKind.PUT, PAIR)


def exported() -> Iterator[type]:
    for package in PACKAGES:
        module = importlib.import_module(f"etcd_{package}")
        for name in module.__all__:
            if inspect.isclass(kind := getattr(module, name)):
                yield kind


@pytest.mark.parametrize("kind", [*filter(dataclasses.is_dataclass, exported())])
def test_every_dataclass_is_frozen_and_a_result_has_slots(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    # The other classes of the channel are no results, but options and reports to observers.
    if not kind.__module__.startswith("etcd_channel."):
        assert "__slots__" in vars(kind)


@pytest.mark.parametrize(
    ("result", "field"),
    [
        *((KeyValue(PAIR), field) for field in KeyValue._fields),
        *((Get(HEADER, PAIR), field) for field in Get._fields),
        *((GetRange(HEADER, [PAIR], False, 1), field) for field in ("kvs", *GetRange._fields)),
        *((Put(HEADER, PAIR), field) for field in Put._fields),
        *((Delete(HEADER, 1, PAIR), field) for field in Delete._fields),
        *((DeleteRange(HEADER, 1, []), field) for field in ("prev_kvs", *DeleteRange._fields)),
        *((EVENT, field) for field in ("kind", "prev_kv")),
        *((CacheEntry(PAIR, b"v"), field) for field in CacheEntry._fields),
        *((PutResponse(HEADER, PAIR), field) for field in PutResponse._fields),
        *((TxnResponse(TransactionResult()), field) for field in TxnResponse._fields),
        (OperationResponse(Put()), "result"),
        (OperationResponse(Put()), "response_put"),
        *((ResponseHeader(HEADER), field) for field in ResponseHeader._fields),
        *((STMResult(7), field) for field in ("revision", *STMResult._fields)),
        (WatchResponse(ResponseHeader(HEADER), ()), "events"),
        (Alarm(1, 7), "member_id"),
        (Status("3.5.1", 1, None, 1, 1), "errors"),
        (Member(7, "m", [], [], None), "id"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_field_cannot_be_assigned_to(result: object, field: str) -> None:
    with pytest.raises(AttributeError):
        setattr(result, field, getattr(result, field))


def test_all_records_are_tested_here() -> None:
    records = {kind for kind in exported() if issubclass(kind, Record)}
    of_transactions = {OperationResponse, PutResponse, TxnResponse}
    values = {KeyValue, Get, Put, Delete, Event, Member, CacheEntry, ResponseHeader, STMResult}
    assert records == {Record, *values, *of_transactions}


def test_the_hash_of_an_event_cannot_change() -> None:
    event = Event(EventKind.PUT, PAIR)
    before = hash(event)
    event.kv = KeyValue(common_pb2.KeyValue(key=b"other"))  # type: ignore[misc]  # on purpose
    assert hash(event) == before == hash(EVENT)


def test_a_result_that_holds_a_list_is_not_hashable() -> None:
    info = LeaseInfo(ResponseHeader(HEADER), 1, 10, 10, [b"k"])
    with pytest.raises(TypeError, match="unhashable"):
        hash(info)


def test_a_member_is_hashed_by_its_id() -> None:
    member = Member(7, "m", ["http://a:2380"], [], None)
    before = hash(member)
    member.peer_urls.append("http://b:2380")
    assert hash(member) == before == hash(Member(7, "other", [], [], None))


def test_a_status_is_hashed_by_all_fields() -> None:
    def status(*errors: str) -> Status:
        return Status("3.5.1", 1, None, 1, 1, errors=errors)

    assert {status("no leader"), status("no leader"), status()} == {status("no leader"), status()}
