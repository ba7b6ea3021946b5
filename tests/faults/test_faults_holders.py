"""The judges of leases, of locks and of what is left, on histories known to be good or bad."""

from __future__ import annotations

from judged import said, stored
from programme.history import Claim, Fault, History, Hold, Left
from programme.judges import JUDGES
from programme.replay import Replay


def leased() -> History:
    """A key with a lease, which ends at 3 s."""
    history = stored(("held", "a"), ("held", None))
    for event in history.events:
        event.lease = 7 if event.value is not None else 0
    return history


def test_a_lease_is_claimed_until_it_ends() -> None:
    history = leased()
    history.add(Claim(7, 2.5))
    history.add(Claim(8, 9.0))
    verdict = JUDGES["leases"](history, Replay(history))
    # Nobody can tell when the lease without a key has ended.
    assert (verdict.checked, verdict.problems) == (1, [])


def test_a_lease_that_is_claimed_after_its_end_is_seen() -> None:
    history = leased()
    history.add(Claim(7, 2.5))
    history.add(Claim(7, 3.5))
    history.add(Claim(7, 4.0))
    assert said("leases", history) == ["lease 7 was claimed 1.000 s after its key was deleted"]


def test_a_lease_that_a_leader_ended_which_had_been_stopped_is_known() -> None:
    """It goes on and ends what its successor has renewed (etcd issue 15247)."""
    history = leased()
    history.add(Claim(7, 3.5))
    fault = Fault("SIGSTOP", "m0", 2.1, 3.5)
    history.add(fault)
    assert said("leases", history) == []
    # The next keep-alive would have said so.
    history.claims[0].time = 5.0
    assert len(said("leases", history)) == 1
    history.claims[0].time = 3.5
    fault.name = "SIGKILL"
    assert len(said("leases", history)) == 1
    # The lease ended long before the member went on.
    fault.name = "SIGSTOP"
    for event in history.events:
        if event.member == "m0" and event.revision == 3:
            event.time = 4.1
    assert len(said("leases", history)) == 1


def test_holders_one_after_the_other_are_right() -> None:
    history = stored()
    history.add(Hold("lock", "a", 1.0, 2.0))
    history.add(Hold("lock", "b", 2.0, 3.0))
    history.add(Hold("other lock", "c", 1.0, 3.0))
    assert said("locks", history) == []


def test_two_holders_at_a_time_are_seen_also_inside_of_a_long_hold() -> None:
    history = stored()
    history.add(Hold("lock", "a", 1.0, 9.0))
    history.add(Hold("lock", "b", 2.0, 3.0))
    history.add(Hold("lock", "c", 4.0, 5.0))
    assert said("locks", history) == ["two holders", "two holders"]


def test_a_guarded_set_only_grows() -> None:
    good = stored(("guarded/set", "a"), ("guarded/set", "a b"), ("guarded/set", "a b c"))
    assert said("locks", good) == []
    bad = stored(("guarded/set", "a"), ("guarded/set", "a b"), ("guarded/set", "a c"))
    assert said("locks", bad) == ["lost from the set"]


def test_anything_left_is_seen() -> None:
    history = stored()
    history.add(Left("lease", 0))
    assert said("left", history) == []
    history.add(Left("watcher", 2, "on m0"))
    assert said("left", history) == ["2 watcher left on m0"]
