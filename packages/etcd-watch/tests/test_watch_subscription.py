"""One watch as a state machine: its position in history, and its unread events."""

from __future__ import annotations

from typing import Any

from watch_model import event, response

from etcd_channel import ConnectionFailedError
from etcd_channel.pb import common_pb2
from etcd_watch._subscription import State, Subscription, memory_of
from etcd_watch.pb import watch_pb2 as pb
from etcd_watch.requests import WatchSpec


def make(*, created_at: int | None = 10, **arguments: Any) -> Subscription:
    """A watch that the server created at a revision of its store; None if it is not created yet."""
    subscription = Subscription(WatchSpec(b"k", **arguments), lambda: None)
    if created_at is not None:
        subscription.take_created(1, at(created_at))
    return subscription


def at(revision: int) -> common_pb2.ResponseHeader:
    return common_pb2.ResponseHeader(revision=revision)


def revisions(subscription: Subscription) -> list[list[int]]:
    """Read all unread batches; return the revisions of each, none for progress."""
    batches = []
    while subscription.has_batch:
        _, events = subscription.pop()
        batches.append([each.kv.mod_revision for each in events])
    return batches


def size(*events: pb.Event) -> int:
    """The memory that a response with these events counts for."""
    return memory_of(response(1, events))


# Position ----------------------------------------------------------------------------------


def test_now_is_the_revision_that_the_server_names_at_the_creation() -> None:
    subscription = make(created_at=10)
    assert subscription.start_revision == subscription.next_revision == 11


def test_now_does_not_change_when_the_watch_is_created_again() -> None:
    subscription = make(created_at=10)
    subscription.take_break()
    subscription.take_created(2, at(20))
    assert subscription.next_revision == 11
    subscription.take(response(2, [event(12)]))
    assert revisions(subscription) == [[12]]


def test_a_start_that_was_asked_for_is_kept() -> None:
    subscription = make(start_revision=5, created_at=10)
    assert subscription.start_revision == subscription.next_revision == 5


def test_the_id_is_that_of_the_first_creation() -> None:
    subscription = make()
    subscription.take_break()
    subscription.take_created(2, at(20))
    assert subscription.watch_id == 1


def test_the_position_moves_to_the_revision_after_the_last_event() -> None:
    subscription = make()
    subscription.take(response(1, [event(12), event(12, 1), event(15)], revision=30))
    assert subscription.next_revision == 16


def test_events_before_the_position_are_dropped_and_counted() -> None:
    subscription = make()
    subscription.take(response(1, [event(9), event(12)]))
    subscription.take(response(1, [event(11), event(12)]))
    assert revisions(subscription) == [[12]]
    assert subscription.dropped == 3


def test_events_that_come_while_the_watch_is_not_open_are_not_taken() -> None:
    subscription = make(created_at=None)
    subscription.take(response(1, [event(11)]))
    assert not subscription.has_batch
    subscription.take_created(1, at(10))
    subscription.take_break()
    subscription.take(response(1, [event(11)]))
    assert not subscription.has_batch


# Fragments ---------------------------------------------------------------------------------


def test_a_fragmented_revision_is_delivered_whole() -> None:
    subscription = make(fragment=True)
    subscription.take(response(1, [event(11), event(11, 1)], fragment=True))
    assert not subscription.has_batch
    subscription.take(response(1, [event(11, 2)], fragment=True))
    assert not subscription.has_batch
    subscription.take(response(1, [event(11, 3)]))
    assert revisions(subscription) == [[11, 11, 11, 11]]


def test_revisions_are_delivered_as_soon_as_they_are_complete() -> None:
    subscription = make(fragment=True)
    subscription.take(response(1, [event(11), event(12), event(13)], fragment=True))
    assert revisions(subscription) == [[11, 12]]
    assert subscription.next_revision == 13
    subscription.take(response(1, [event(13, 1), event(14)]))
    assert revisions(subscription) == [[13, 13, 14]]


def test_a_partly_received_revision_is_received_again_after_a_break() -> None:
    subscription = make(fragment=True)
    subscription.take(response(1, [event(11), event(12), event(12, 1)], fragment=True))
    subscription.take_break()
    subscription.take_created(2, at(20))
    subscription.take(response(2, [event(12), event(12, 1), event(12, 2)]))
    assert revisions(subscription) == [[11], [12, 12, 12]]


def test_all_fragments_count_for_the_buffer() -> None:
    one, two = event(11), event(11, 1)
    subscription = make(fragment=True, buffer_bytes=size(one) + size(two))
    subscription.take(response(1, [one], fragment=True))
    assert not subscription.is_full
    subscription.take(response(1, [two]))
    assert subscription.is_full


# Parking -----------------------------------------------------------------------------------


def test_a_watch_is_full_when_buffer_bytes_are_unread() -> None:
    one, two = event(11), event(12)
    subscription = make(buffer_bytes=size(one) + 1)
    subscription.take(response(1, [one]))
    assert not subscription.is_full
    subscription.take(response(1, [two]))
    assert subscription.is_full


def test_a_parked_watch_takes_no_more_until_half_of_the_buffer_is_read() -> None:
    events = [event(revision) for revision in (11, 12, 13, 14)]
    subscription = make(buffer_bytes=4 * size(events[0]))
    for each in events:
        subscription.take(response(1, [each]))
    subscription.park()
    subscription.take(response(1, [event(15)]))
    subscription.pop()
    assert not subscription.is_drained
    subscription.pop()
    assert subscription.is_drained
    subscription.unpark()
    assert subscription.state is State.WAITING
    assert subscription.next_revision == 15
    assert revisions(subscription) == [[13], [14]]


def test_a_single_response_larger_than_the_buffer_is_delivered() -> None:
    subscription = make(buffer_bytes=1)
    subscription.take(response(1, [event(11)]))
    assert subscription.is_full
    subscription.park()
    assert not subscription.is_drained
    assert revisions(subscription) == [[11]]
    assert subscription.is_drained


def test_a_break_leaves_a_parked_watch_parked() -> None:
    subscription = make(buffer_bytes=1)
    subscription.take(response(1, [event(11)]))
    subscription.park()
    subscription.take_break()
    assert subscription.state is State.PARKED


def test_a_partly_received_revision_is_delivered_whole_after_parking() -> None:
    subscription = make(fragment=True, buffer_bytes=1)
    subscription.take(response(1, [event(11), event(12)], fragment=True))
    assert subscription.is_full
    subscription.park()
    assert subscription.next_revision == 12
    assert revisions(subscription) == [[11]]
    subscription.unpark()
    subscription.take_created(2, at(20))
    subscription.take(response(2, [event(12), event(12, 1)]))
    assert revisions(subscription) == [[12, 12]]


def test_only_an_open_watch_is_parked_and_only_a_parked_one_unparked() -> None:
    waiting, opened, ended = make(created_at=None), make(), make()
    ended.end(None)
    waiting.park()
    ended.park()
    assert (waiting.state, ended.state) == (State.WAITING, State.ENDED)
    opened.unpark()
    ended.unpark()
    assert (opened.state, ended.state) == (State.OPEN, State.ENDED)


# Progress ----------------------------------------------------------------------------------


def test_progress_moves_the_position() -> None:
    subscription = make(progress_notify=True)
    subscription.take(response(1, revision=20))
    assert subscription.next_revision == 21
    assert revisions(subscription) == [[]]


def test_an_event_older_than_the_progress_is_still_delivered() -> None:
    subscription = make(progress_notify=True)
    subscription.take(response(1, revision=20))
    subscription.take(response(1, [event(15), event(22)]))
    assert revisions(subscription) == [[], [15, 22]]
    assert subscription.next_revision == 23


def test_progress_of_a_member_that_lags_behind_does_not_move_the_position_back() -> None:
    subscription = make(progress_notify=True)
    subscription.take(response(1, [event(30)]))
    subscription.take(response(1, revision=20))
    subscription.pop()
    told, _ = subscription.pop()
    assert told.header.revision == 30
    assert subscription.next_revision == 31


def test_only_the_latest_unread_progress_is_kept() -> None:
    subscription = make(progress_notify=True)
    subscription.take(response(1, [event(11)]))
    for revision in range(20, 30):
        subscription.take(response(1, revision=revision))
    assert revisions(subscription) == [[11], []]


def test_shared_progress_is_delivered_once_for_each_request() -> None:
    asked, other = make(), make()
    asked.want_progress()
    asked.want_progress()
    for revision in (20, 21, 22):
        asked.take_shared_progress(response(-1, revision=revision))
        other.take_shared_progress(response(-1, revision=revision))
    assert revisions(asked) == [[], []]
    assert not other.has_batch
    assert asked.next_revision == 11


def test_a_watch_that_is_not_on_the_server_takes_no_shared_progress() -> None:
    subscription = make(buffer_bytes=1)
    subscription.want_progress()
    subscription.take(response(1, [event(11)]))
    subscription.park()
    subscription.take_shared_progress(response(-1, revision=20))
    assert revisions(subscription) == [[11]]
    subscription.unpark()
    subscription.take_shared_progress(response(-1, revision=20))
    assert not subscription.has_batch


def test_an_answer_that_may_be_from_before_the_creation_is_not_taken() -> None:
    subscription = make(created_at=None, start_revision=5)
    subscription.want_progress()
    subscription.take_created(1, at(10), outdated_answers=1)
    subscription.take_shared_progress(response(-1, revision=10), 1)
    assert not subscription.has_batch
    subscription.take_shared_progress(response(-1, revision=10), 2)
    assert revisions(subscription) == [[]]


def test_a_creation_ahead_of_the_store_is_an_answer_about_progress() -> None:
    subscription = make(created_at=None, start_revision=21)
    subscription.want_progress()
    subscription.take_created(1, at(20))
    told, _ = subscription.pop()
    assert told.header.revision == 20
    assert not subscription.progress_wanted


def test_after_a_break_one_answer_does_for_all_requests_for_progress() -> None:
    subscription = make()
    for _ in range(3):
        subscription.want_progress()
    subscription.take_break()
    assert subscription.progress_wanted == 1


def test_an_ended_watch_wants_no_progress() -> None:
    subscription = make()
    subscription.want_progress()
    subscription.end(None)
    subscription.want_progress()
    assert subscription.progress_wanted == 1


# Refusals ----------------------------------------------------------------------------------


def test_refusals_are_counted_until_the_server_creates_the_watch() -> None:
    subscription = make(created_at=None)
    assert subscription.refusals == 0
    subscription.take_refusal()
    subscription.take_refusal()
    assert subscription.refusals == 2
    assert subscription.state is State.WAITING
    subscription.take_created(1, at(10))
    assert subscription.refusals == 0


def test_a_refusal_of_an_open_watch_has_it_created_again_from_its_position() -> None:
    subscription = make(fragment=True)
    subscription.take(response(1, [event(11), event(12)], fragment=True))
    subscription.take_refusal()
    assert subscription.state is State.WAITING
    assert subscription.next_revision == 12
    subscription.take_created(2, at(20))
    subscription.take(response(2, [event(12), event(12, 1)]))
    assert revisions(subscription) == [[11], [12, 12]]


def test_a_refusal_leaves_a_parked_and_an_ended_watch_as_they_are() -> None:
    parked, ended = make(buffer_bytes=1), make()
    parked.take(response(1, [event(11)]))
    parked.park()
    ended.end(None)
    for subscription, state in ((parked, State.PARKED), (ended, State.ENDED)):
        subscription.take_refusal()
        assert subscription.state is state


# The end -----------------------------------------------------------------------------------


def test_an_error_comes_after_the_unread_events() -> None:
    subscription = make()
    subscription.take(response(1, [event(11)]))
    subscription.end(ConnectionFailedError("over"))
    assert subscription.state is State.ENDED
    assert revisions(subscription) == [[11]]


def test_a_cancel_discards_the_unread_events() -> None:
    subscription = make()
    subscription.take(response(1, [event(11)]))
    subscription.end(None)
    assert not subscription.has_batch


def test_the_first_end_is_the_one_that_counts() -> None:
    subscription = make()
    first = ConnectionFailedError("first")
    subscription.end(first)
    subscription.end(None)
    subscription.take_created(2, at(20))
    subscription.take(response(1, [event(11)]))
    assert subscription.error is first
    assert subscription.state is State.ENDED
    assert not subscription.has_batch


def test_its_reader_is_woken_by_every_change_it_may_wait_for() -> None:
    woken: list[str] = []
    what = ""
    subscription = Subscription(WatchSpec(b"k", progress_notify=True), lambda: woken.append(what))
    what = "created"
    subscription.take_created(1, at(10))
    what = "event"
    subscription.take(response(1, [event(11)]))
    what = "progress"
    subscription.take(response(1, revision=12))
    what = "end"
    subscription.end(None)
    assert woken == ["created", "event", "progress", "end"]
