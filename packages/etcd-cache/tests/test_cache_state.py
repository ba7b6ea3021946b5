"""The content of a cache, without a server: lists, events, and the differences."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from cache_support import Content, replayed

from etcd_cache import CacheChange, CacheDecodeError, CacheEntry
from etcd_cache._copy import Copy
from etcd_cache._decoding import Decoding
from etcd_cache._listing import Listing
from etcd_cache._ordered_map import OrderedMap
from etcd_channel import KeyValue
from etcd_watch import Event, EventKind


class Store:
    """A model of etcd: keys, revisions and the events of each change."""

    def __init__(self) -> None:
        self.revision = 1
        self.keys: dict[bytes, KeyValue] = {}

    def put(self, key: bytes, value: bytes = b"") -> Event:
        self.revision += 1
        old = self.keys.get(key)
        self.keys[key] = KeyValue(
            key=key,
            value=value,
            create_revision=self.revision if old is None else old.create_revision,
            mod_revision=self.revision,
            version=1 if old is None else old.version + 1,
        )
        return Event(EventKind.PUT, self.keys[key])

    def delete(self, key: bytes) -> Event:
        self.revision += 1
        del self.keys[key]
        return Event(EventKind.DELETE, KeyValue(key=key, mod_revision=self.revision))

    def list(self) -> Listing:
        """List all keys, by pages of three."""
        keys = sorted(self.keys)
        pages = [keys[start : start + 3] for start in range(0, len(keys), 3)]
        return Listing(*([self.keys[key] for key in page] for page in pages))

    def random_change(self, chance: random.Random) -> Event:
        key = b"k%d" % chance.randrange(20)
        if key in self.keys and chance.random() < 0.4:
            return self.delete(key)
        return self.put(key, chance.choice([b"1", b"2", b"{"]))


def content_of(copy: Copy[Any]) -> Content:
    entries = copy.entries(b"", None)
    assert entries.revision == copy.revision
    assert len(entries) == len(copy)
    return {entry.key: (entry.value, entry.mod_revision) for entry in entries}


def expected(store: Store) -> Content:
    return {key: (found.value, found.mod_revision) for key, found in store.keys.items()}


def told(changes: list[CacheChange[Any]]) -> list[tuple[str, bytes, int]]:
    return [(str(change.kind), change.key, change.revision) for change in changes]


def listed(store: Store, decoding: Decoding[Any] | None = None) -> Copy[Any]:
    copy: Copy[Any] = Copy(decoding)
    assert copy.take_list(store.revision, store.list()) == []
    return copy


# Without decoding --------------------------------------------------------------------------


def test_a_list_and_the_events_after_it_give_the_keys() -> None:
    store = Store()
    store.put(b"a", b"1")
    store.put(b"b", b"2")
    copy = listed(store)
    changes = copy.take_events([store.put(b"a", b"3"), store.delete(b"b"), store.put(b"c")])
    assert content_of(copy) == expected(store)
    assert copy.revision == store.revision == 6
    assert told(changes) == [("PUT", b"a", 4), ("DELETE", b"b", 5), ("PUT", b"c", 6)]
    assert [change.previous and change.previous.value for change in changes] == [b"1", b"2", None]
    assert [change.entry and change.entry.value for change in changes] == [b"3", None, b""]


def test_a_later_list_tells_the_differences_in_the_order_of_revisions() -> None:
    store = Store()
    for key in (b"a", b"b", b"c"):
        store.put(key)
    copy = listed(store)
    before = content_of(copy)
    store.put(b"z", b"new")
    store.put(b"a", b"other")
    store.delete(b"b")
    store.put(b"gone")
    store.delete(b"gone")
    changes = copy.take_list(store.revision, store.list())
    assert told(changes) == [("PUT", b"z", 5), ("PUT", b"a", 6), ("DELETE", b"b", 9)]
    assert all(change.from_list for change in changes)
    assert replayed(before, changes) == content_of(copy) == expected(store)
    assert copy.lists == 2
    assert copy.take_list(store.revision, store.list()) == []


@pytest.mark.parametrize("decoding", [None, Decoding(int, "keep"), Decoding(int, "drop")])
def test_what_passed_before_a_proof_is_told_and_does_not_come_back(
    decoding: Decoding[int] | None,
) -> None:
    store = Store()
    store.put(b"a", b"1")
    copy = listed(store, decoding)
    before = content_of(copy)
    events = [store.put(b"b", b"2"), store.put(b"b", b"bad"), store.put(b"b", b"3")]
    events.append(store.delete(b"b"))
    copy.prove(store.revision)
    assert copy.proven == copy.revision == store.revision
    changes = copy.take_events(events)
    assert [change.key for change in changes] == [b"b"] * 4
    assert replayed(before, changes) == content_of(copy) == before
    first, last = changes[0].entry, changes[-1].previous
    assert first is not None
    assert last is not None
    assert last.mod_revision == changes[2].revision
    assert copy.undecodable == {}
    assert copy.proven == 0
    assert len(copy.take_events([store.put(b"b", b"4")])) == 1
    assert copy.take_events(events) == []
    assert set(content_of(copy)) == {b"a", b"b"}


def test_old_events_are_ignored() -> None:
    store = Store()
    old = [store.put(b"a", b"1"), store.delete(b"a"), store.put(b"a", b"2")]
    copy = listed(store)
    assert copy.take_events(old) == []
    copy.advance(10)
    assert copy.take_events([Event("PUT", KeyValue(key=b"a", mod_revision=10))]) == []
    copy.advance(7)
    assert copy.revision == 10
    assert content_of(copy) == expected(store)


def test_all_events_of_one_revision_are_applied() -> None:
    copy = listed(Store())
    events = [Event("PUT", KeyValue(key=key, mod_revision=5)) for key in (b"a", b"b")]
    assert len(copy.take_events(events)) == 2


def test_another_history_tells_each_key_anew() -> None:
    store, restored = Store(), Store()
    for each in (store, restored):
        each.put(b"a", b"1")
    store.put(b"b")
    copy = listed(store)
    changes = copy.take_list(restored.revision, restored.list(), new_history=True)
    assert told(changes) == [("PUT", b"a", 2), ("DELETE", b"b", 2)]
    assert content_of(copy) == expected(restored)
    assert copy.revision == 2


@pytest.mark.parametrize("seed", range(20))
def test_the_changes_replayed_give_the_content_whatever_happens(seed: int) -> None:
    chance = random.Random(seed)
    store = Store()
    copy = listed(store)
    replay: Content = {}
    for _ in range(300):
        events = [store.random_change(chance) for _ in range(chance.randrange(1, 6))]
        if chance.random() < 0.2:
            changes = copy.take_list(store.revision, store.list())
        else:
            changes = copy.take_events(events)
        replay = replayed(replay, changes)
        assert replay == content_of(copy) == expected(store)
        assert copy.keys_in_etcd == len(store.keys)
        start, end = sorted(b"k%d" % chance.randrange(20) for _ in range(2))
        some = [entry.key for entry in copy.entries(start, end)]
        assert some == [key for key in sorted(store.keys) if start <= key < end]


# With decoding -----------------------------------------------------------------------------


def of_json(policy: Any) -> Decoding[Any]:
    return Decoding(json.loads, policy)


def test_a_value_is_decoded_once() -> None:
    calls: list[bytes] = []

    def decode(value: bytes) -> int:
        calls.append(value)
        return int(value)

    store = Store()
    store.put(b"a", b"1")
    store.put(b"b", b"2")
    copy = listed(store, Decoding(decode, "keep"))
    store.put(b"b", b"3")
    copy.take_list(store.revision, store.list())
    copy.take_list(store.revision, store.list())
    entry = copy.entry(b"a")
    assert entry is copy.entry(b"a")
    assert entry == CacheEntry(store.keys[b"a"], 1)
    assert calls == [b"1", b"2", b"3"]


def test_the_last_good_value_is_kept() -> None:
    store = Store()
    store.put(b"a", b"1")
    copy = listed(store, of_json("keep"))
    (change,) = copy.take_events([store.put(b"a", b"{")])
    assert (change.kind, change.revision, change.entry) == ("UNDECODABLE", 3, None)
    assert change.previous == copy.entry(b"a") == CacheEntry(_at(store, b"a", 2, 1), 1)
    assert isinstance(change.error, ValueError)
    assert copy.undecodable[b"a"].error is change.error
    # The same bad value in a list is not told again.
    assert copy.take_list(store.revision, store.list()) == []
    assert copy.entry(b"a") is not None
    (change,) = copy.take_events([store.put(b"a", b"2")])
    assert (change.kind, change.error) == ("PUT", None)
    assert not copy.undecodable


def _at(store: Store, key: bytes, revision: int, version: int) -> KeyValue:
    found = store.keys[key]
    return KeyValue(
        key=key,
        create_revision=found.create_revision,
        mod_revision=revision,
        version=version,
    )


def test_a_bad_value_of_a_new_key_has_no_last_good_one() -> None:
    store = Store()
    copy = listed(store, of_json("keep"))
    (change,) = copy.take_events([store.put(b"a", b"{")])
    assert (change.kind, change.previous) == ("UNDECODABLE", None)
    assert len(copy) == 0
    assert copy.keys_in_etcd == 1
    (change,) = copy.take_events([store.delete(b"a")])
    assert (change.kind, change.previous) == ("DELETE", None)
    assert copy.keys_in_etcd == 0


def test_a_key_that_was_deleted_between_two_lists_has_no_last_good_value() -> None:
    store = Store()
    store.put(b"a", b"1")
    copy = listed(store, of_json("keep"))
    store.delete(b"a")
    store.put(b"a", b"{")
    (change,) = copy.take_list(store.revision, store.list())
    assert (change.kind, change.from_list) == ("DELETE", True)
    assert copy.entry(b"a") is None


def test_a_bad_value_can_count_as_deleted() -> None:
    store = Store()
    store.put(b"a", b"1")
    copy = listed(store, of_json("drop"))
    (change,) = copy.take_events([store.put(b"a", b"{")])
    assert (change.kind, change.previous and change.previous.value) == ("DELETE", 1)
    assert isinstance(change.error, ValueError)
    assert copy.entry(b"a") is None
    assert copy.keys_in_etcd == 1
    assert set(copy.undecodable) == {b"a"}


@pytest.mark.parametrize("how", ["list", "event"])
def test_a_bad_value_can_be_an_error(how: str) -> None:
    store = Store()
    copy = listed(store, of_json("raise"))
    event = store.put(b"secret/key", b"{hidden")
    take: dict[str, Callable[[], object]] = {
        "list": lambda: copy.take_list(store.revision, store.list()),
        "event": lambda: copy.take_events([event]),
    }
    with pytest.raises(CacheDecodeError, match=r"b'secret/key' at revision 2 .*JSON") as caught:
        take[how]()
    assert "hidden" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("policy", ["keep", "drop"])
@pytest.mark.parametrize("seed", range(10))
def test_decoded_changes_replayed_give_the_content_whatever_happens(seed: int, policy: str) -> None:
    chance = random.Random(seed)
    store = Store()
    copy = listed(store, of_json(policy))
    replay: Content = {}
    for _ in range(300):
        events = [store.random_change(chance) for _ in range(chance.randrange(1, 6))]
        if chance.random() < 0.2:
            changes = copy.take_list(store.revision, store.list())
        else:
            changes = copy.take_events(events)
        replay = replayed(replay, changes)
        assert replay == content_of(copy)
        assert copy.keys_in_etcd == len(store.keys)
        good = {key: found for key, found in store.keys.items() if found.value != b"{"}
        assert set(copy.undecodable) == store.keys.keys() - good.keys()
        for key, found in good.items():
            assert replay[key] == (json.loads(found.value), found.mod_revision)
        if policy == "drop":
            assert replay.keys() == good.keys()


# The map -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_an_ordered_map_is_a_dict_in_order(seed: int) -> None:
    chance = random.Random(seed)
    here: OrderedMap[int] = OrderedMap()
    model: dict[bytes, int] = {}
    for number in range(1000):
        key = b"%d" % chance.randrange(400)
        if chance.random() < 0.4:
            assert here.pop(key) == model.pop(key, None)
        else:
            here.put(key, number)
            model[key] = number
        assert len(here) == len(model)
        assert (key in here) == (key in model)
        assert here.get(key) == model.get(key)
        # Sometimes after a few changes, sometimes after many.
        if chance.random() < (0.2, 0.002)[number // 100 % 2]:
            assert here.values(b"", None) == [model[key] for key in sorted(model)]
    assert here.values(b"", None) == [model[key] for key in sorted(model)]
    assert here.values(b"3", b"7") == [model[key] for key in sorted(model) if b"3" <= key < b"7"]
    assert here.keys() == model.keys()
    assert OrderedMap(dict(model)).values(b"", None) == here.values(b"", None)
