"""The search for a linearization, on histories that are known to be good or bad."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from judged import put, said, stored
from programme.history import Operation
from programme.judges.register import Access, UndecidedError, linearizable


def write(call: float, end: float, value: str | None) -> Access:
    return Access(call, end, "write", value)


def read(call: float, end: float, value: str | None) -> Access:
    return Access(call, end, "read", value)


def compare(call: float, end: float, old: str, new: str, succeeded: bool | None) -> Access:
    return Access(call, end, "compare", new, old, succeeded)


def test_reads_see_the_write_before_them() -> None:
    assert linearizable([write(0, 1, "a"), read(2, 3, "a")])
    assert not linearizable([write(0, 1, "a"), read(2, 3, None)])
    assert not linearizable([read(0, 1, "a"), write(2, 3, "a")])


def test_a_read_beside_a_write_sees_it_or_not_but_does_not_go_back() -> None:
    assert linearizable([write(0, 10, "a"), read(1, 2, None), read(3, 4, "a")])
    assert not linearizable([write(0, 10, "a"), read(1, 2, "a"), read(3, 4, None)])


def test_two_readers_see_two_writes_in_the_same_order() -> None:
    writes = [write(0, 10, "a"), write(0, 10, "b")]
    assert linearizable([*writes, read(1, 2, "a"), read(3, 4, "b"), read(5, 6, "b")])
    assert not linearizable([*writes, read(1, 2, "a"), read(3, 4, "b"), read(5, 6, "a")])


def test_a_write_that_did_not_return_may_happen_at_any_later_time_or_never() -> None:
    unknown = write(0, math.inf, "a")
    assert linearizable([unknown, read(1, 2, None)])
    assert linearizable([unknown, read(1, 2, None), read(30, 40, "a")])
    assert not linearizable([unknown, read(1, 2, "a"), read(3, 4, None)])


def test_a_compare_that_succeeded_saw_its_value() -> None:
    first = write(0, 1, "a")
    assert linearizable([first, compare(2, 3, "a", "b", True), read(4, 5, "b")])
    assert not linearizable([first, compare(2, 3, "x", "b", True)])
    assert not linearizable([first, compare(2, 3, "a", "b", False)])
    assert linearizable([first, compare(2, 3, "x", "b", False), read(4, 5, "a")])


def test_of_two_compares_with_one_value_only_one_succeeds() -> None:
    first = write(0, 1, "a")
    both = [compare(2, 9, "a", "b", True), compare(2, 9, "a", "c", True)]
    assert not linearizable([first, *both])


def test_an_unknown_compare_writes_only_if_it_could() -> None:
    unknown = compare(2, math.inf, "a", "b", None)
    assert linearizable([write(0, 1, "a"), unknown, read(4, 5, "b")])
    assert linearizable([write(0, 1, "a"), unknown, read(4, 5, "a")])
    assert not linearizable([write(0, 1, "x"), unknown, read(4, 5, "b")])


def by_hand(accesses: list[Access]) -> bool:
    """Try every order, of every set without some of the unknown ones."""
    returned = [each for each in accesses if each.end < math.inf]
    unknown = [each for each in accesses if each.end == math.inf]
    for count in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, count):
            for order in itertools.permutations([*returned, *chosen]):
                if possible(order):
                    return True
    return False


def possible(order: tuple[Access, ...]) -> bool:
    state: str | None = None
    for number, access in enumerate(order):
        if any(later.end < access.call for later in order[number + 1 :]):
            return False
        right, state = access.on(state)
        if not right:
            return False
    return True


def test_it_agrees_with_trying_every_order() -> None:
    choice = random.Random(7)
    answers: list[bool] = []
    for _ in range(1500):
        accesses: list[Access] = []
        for number in range(choice.randint(1, 5)):
            call = choice.randrange(8)
            end = math.inf if choice.random() < 0.2 else call + choice.randrange(1, 4) + 0.5
            kind = choice.choice(("write", "read", "compare"))
            known = choice.choice((None, "v0", "v1", "v2"))
            if kind == "read":
                accesses.append(read(call, min(end, 20), known))
            elif kind == "write":
                accesses.append(write(call, end, f"v{number}"))
            else:
                done = None if end == math.inf else choice.random() < 0.5
                accesses.append(Access(call, end, "compare", f"v{number}", known, done))
        answers.append(linearizable(accesses))
        assert answers[-1] == by_hand(accesses), accesses
    assert {*answers} == {True, False}


def test_a_long_history_is_decided() -> None:
    accesses: list[Access] = []
    for number in range(2000):
        accesses.append(write(number, number + 2.4, f"v{number}"))
        accesses.append(read(number + 0.5, number + 1, f"v{number}"))
    assert linearizable(accesses)
    assert not linearizable([*accesses, read(9999, 10000, "v3")])


def test_the_search_can_be_given_up() -> None:
    accesses = [write(0, 100, f"v{number}") for number in range(20)]
    with pytest.raises(UndecidedError):
        linearizable([*accesses, read(101, 102, "none of them")], steps=1000)


def test_the_judge_takes_an_unknown_write_as_done_when_a_member_has_it() -> None:
    history = stored(("k", "a"), ("k", "b"))
    history.add(put("k", "a"))
    history.add(put("k", "b", 3))
    assert said("register", history) == []
    # It was stored as revision 2, at most at 2 s: nobody may read nothing after that.
    history.add(Operation("c", "get", 2.2, 2.3, "ok", 0, reads={"k": None}))
    assert said("register", history) == ["k is not linearizable over 3 operations"]


def test_the_judge_knows_that_a_write_that_no_member_has_never_happened() -> None:
    history = stored(("k", "a"))
    history.add(put("k", "a", 2))
    history.add(put("k", "b"))
    history.add(Operation("c", "get", 5.0, 6.0, "ok", 2, reads={"k": "b"}))
    assert said("register", history) == ["k is not linearizable over 2 operations"]
