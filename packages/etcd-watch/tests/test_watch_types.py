"""The documented types of events."""

from __future__ import annotations

import copy
import pickle

import pytest
from watch_model import event, response

from etcd_channel import KeyValue, ResponseHeader
from etcd_watch import Event, EventKind, WatchResponse, WatchTimeoutError
from etcd_watch.events import Events, event_from
from etcd_watch.pb import watch_pb2 as pb


def test_a_kind_is_the_string_of_its_name() -> None:
    assert EventKind.PUT == "PUT"
    assert EventKind.DELETE == "DELETE"
    assert EventKind("DELETE") is EventKind.DELETE
    assert isinstance(EventKind.PUT, str)
    assert list(EventKind) == [EventKind.PUT, EventKind.DELETE]


def test_an_event_is_made_as_documented() -> None:
    message = event(5)
    plain = Event(EventKind.PUT, message.kv)
    assert plain.kind is EventKind.PUT
    assert plain.kv == KeyValue(message.kv)
    assert plain.prev_kv is None
    before = Event(kind=EventKind.DELETE, kv=message.kv, prev_kv=event(4).kv)
    assert before.prev_kv is not None
    assert before.prev_kv.mod_revision == 4


def test_an_event_made_by_hand_is_as_one_that_was_received() -> None:
    key_value = KeyValue(key=b"k0", value=b"5.0", mod_revision=5)
    by_hand = Event(EventKind.PUT, key_value)
    received = event_from(event(5))
    assert by_hand == received
    assert hash(by_hand) == hash(received)
    assert repr(by_hand) == repr(received)
    assert by_hand.kv == key_value
    assert by_hand.prev_kv is None
    assert pickle.loads(pickle.dumps(by_hand)) == copy.deepcopy(by_hand) == by_hand
    change = Event(EventKind.PUT, key_value, KeyValue(key=b"k0", value=b"4.0", mod_revision=4))
    assert change.prev_kv is not None
    assert change.prev_kv.value == b"4.0"
    assert change != by_hand


def test_a_constructed_response_equals_a_received_one() -> None:
    by_hand = WatchResponse(
        ResponseHeader(revision=5),
        [Event("PUT", KeyValue(key=b"k0", value=b"5.0", mod_revision=5))],
    )
    message = response(1, [event(5)])
    assert by_hand == WatchResponse(ResponseHeader(message.header), Events(message.events))
    assert WatchResponse(ResponseHeader(revision=5), []).is_progress


@pytest.mark.parametrize("kind", [EventKind.DELETE, "DELETE", 1, pb.Event.DELETE])
def test_an_event_takes_its_kind_as_the_wire_has_it_too(kind: EventKind | str | int) -> None:
    assert Event(kind, event(5).kv).kind is EventKind.DELETE


@pytest.mark.parametrize("kind", ["put", 2])
def test_an_event_of_no_known_kind_is_refused(kind: str | int) -> None:
    with pytest.raises(ValueError):
        Event(kind, event(5).kv)


def test_events_are_equal_by_their_fields() -> None:
    one, same, other = event_from(event(5)), event_from(event(5)), event_from(event(6))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.deepcopy(one) == one
    assert repr(one).startswith("Event(kind=<EventKind.PUT: 'PUT'>, kv=KeyValue(key=b'k0', ")


def test_a_previous_value_that_was_not_sent_is_none() -> None:
    message = event(5)
    assert event_from(message).prev_kv is None
    message.prev_kv.key = b"k"
    before = event_from(message).prev_kv
    assert before is not None
    assert before.key == b"k"


def test_a_response_without_events_is_one_of_progress() -> None:
    header = ResponseHeader(response(1, revision=9).header)
    assert WatchResponse(header, []).is_progress
    told = WatchResponse(header, [event_from(event(5))])
    assert not told.is_progress
    assert told.header.revision == 9
    assert told == WatchResponse(header, [event_from(event(5))])
    assert repr(told).startswith("WatchResponse(header=ResponseHeader(")


def test_a_timeout_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(WatchTimeoutError("late", method="Watch.Watch")))
    assert str(error) == "late (Watch.Watch)"
