"""A double barrier: a number of programs begin together and end together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing

from etcd_channel import KeyValue
from etcd_channel.arguments import check_int, check_key, check_wait
from etcd_channel.deadline import Deadline
from etcd_channel.tasks import log_errors
from etcd_lock import LockLostError, LockTimeoutError, QueueEntry, Session
from etcd_recipes._count import disagreement
from etcd_recipes._following import follow
from etcd_recipes._recipe import Recipe
from etcd_recipes._waiting import within

__all__ = ["DoubleBarrier"]

# The compares of one transaction, etcd's default limit for `--max-txn-ops`, less one.
_MOST = 127

_GIVEN_UP = b"given up"


class DoubleBarrier(Recipe):
    """Lets `count` sessions begin together, and end together.

    `async with` enters and leaves; `timeout` is the number of seconds for the entering, None
    without limit, and `LockTimeoutError` is raised after that. All users must give the same
    `count`, 127 at most, or those who come later get a `PreconditionFailedError`. More than
    `count` form the next round: they enter when all of this round have left.

    Each has a key `<name>/waiters/<lease id>` with the lease of its session. When there are enough,
    `<name>/ready` is put with the create revision of the last one that belongs to the round, in a
    transaction that compares them all. The last one that leaves deletes it. It has no lease: if the
    last ones of a round lose their sessions, or etcd cannot be reached when they leave, it stays
    until the next one enters, which it does not hinder.

    Guaranteed: `enter` returns True only after `count` sessions were there at one moment, and
    `leave` returns True only after all of the round have left or lost their sessions. A session
    that ends does not block the others for longer than its time to live. Not guaranteed: that the
    others are still alive while the body runs; `lost` tells a session of its own loss only.
    """

    def __init__(
        self, session: Session, name: bytes, count: int, *, timeout: float | None = None
    ) -> None:
        self.name = check_key("name", name)
        self.count = check_int("count", count, minimum=1, maximum=_MOST)
        self.timeout = check_wait("timeout", timeout)
        self._waiters = self.name + b"/waiters/"
        self._ready = self.name + b"/ready"
        self._entry = QueueEntry(session, self._waiters)
        self.session = session
        super().__init__(session.channel)
        # The last create revision of the round that was entered.
        self._round: int | None = None

    async def enter(self, *, timeout: float | None = None) -> bool:
        """Wait until `count` sessions are here; return False after `timeout` seconds.

        None sets no limit, 0 does not wait for others. If it returns False, raises or is
        cancelled, this session is not here any more. Raises `LockLostError` if the session is lost.
        """
        seconds = check_wait("timeout", timeout)
        if self._round is not None:
            raise ValueError(f"this session is in the double barrier {self.name!r} already")
        await self._entry.enqueue(b"%d" % self.count)
        deadline = Deadline.after(seconds)
        try:
            self._round = await self._until_admitted(deadline)
            if self._round is None and not self._entry.session.is_lost:
                self._round = await self._give_up()
        except BaseException as error:
            await self._channel.run_to_completion(self._withdraw(), error)
            raise
        if self._entry.session.is_lost:
            self._round = None
            await self._withdraw()
            raise self._lost()
        if self._round is None:
            await self._entry.leave()
            return False
        return True

    async def leave(self, *, timeout: float | None = None) -> bool:
        """Wait until all of the round have left; return False after `timeout` seconds.

        None sets no limit, 0 does not wait. This session leaves in any case, also if it is
        cancelled. Raises `ValueError` if it has not entered.
        """
        seconds = check_wait("timeout", timeout)
        if (last := self._round) is None:
            raise ValueError(f"this session is not in the double barrier {self.name!r}")
        self._round = None
        try:
            await self._entry.leave()
            if seconds == 0:
                at_most = self._channel.timeout
                return bool(await within(at_most, self._all_have_left(last, wait=False)))
            all_have_left = bool(await within(seconds, self._all_have_left(last)))
        except asyncio.CancelledError as error:
            await self._channel.run_to_completion(log_errors(self._end_round()), error)
            raise
        if not all_have_left and not self._channel.closed:
            # The time may have been over before it was seen that this was the last one.
            self._channel.run_in_background(log_errors(self._end_round()))
        return all_have_left

    async def _until_admitted(self, deadline: Deadline) -> int | None:
        seconds = deadline.remaining()
        if seconds == 0:
            return await within(self._channel.timeout, self._admission(wait=False))
        lost = self._entry.session.lease.until_lost()
        return await within(seconds, self._admission(), unless=lost)

    async def _admission(self, *, wait: bool = True) -> int | None:
        """Return the last create revision of the round, when this session belongs to it."""
        own = self._entry.fencing_token
        assert own is not None
        async with aclosing(follow(self._channel, self.name + b"/")) as states:
            async for keys in states:
                state = _State(keys, self._waiters, self._ready)
                mine = next((key for key in state.waiters if key.create_revision == own), None)
                if mine is None:
                    raise self._lost()
                for older in state.waiters[: state.waiters.index(mine)]:
                    if older.value not in (mine.value, _GIVEN_UP):
                        raise disagreement(older.key, self.count)
                if state.last is not None and own <= state.last:
                    return state.last
                acted = await self._act(state)
                if not (wait or acted):
                    break
        return None

    async def _act(self, state: _State) -> bool:
        """Begin or end a round if it is time to; return whether it was."""
        txn = self._kv.transactions
        if state.is_over:
            assert state.ready is not None
            await self._kv.transaction(
                [txn.mod(self._ready) == state.ready.mod_revision], [txn.delete(self._ready)]
            )
        elif first := state.complete(self.count):
            await self._kv.transaction(
                [
                    txn.version(self._ready) == 0,
                    *(txn.mod(waiter.key) == waiter.mod_revision for waiter in first),
                ],
                [txn.put(self._ready, b"%d" % first[-1].create_revision)],
            )
        else:
            return False
        return True

    async def _give_up(self) -> int | None:
        """Leave the count of those who wait, unless the round has begun; return its last one."""
        txn, own = self._kv.transactions, self._entry.fencing_token
        assert own is not None
        # The revision of the round before, which may end meanwhile; 0 without one.
        before = 0
        while True:
            result = await self._kv.transaction(
                [txn.mod(self._ready) == before, self._entry.ownership()],
                [txn.put(self._entry.key, _GIVEN_UP, self._entry.session.lease)],
                [txn.get(self._ready)],
            )
            if result.succeeded:
                return None
            ready = next(iter(result.gets[0]), None)
            if ready is not None and own <= (last := int(ready.value)):
                return last
            revision = 0 if ready is None else ready.mod_revision
            if revision == before:
                return None  # the place is lost
            before = revision

    async def _all_have_left(self, last: int, *, wait: bool = True) -> bool:
        async with aclosing(follow(self._channel, self.name + b"/")) as states:
            async for keys in states:
                state = _State(keys, self._waiters, self._ready)
                if state.last != last:
                    return True
                if not (await self._act(state) or wait):
                    break
        return False

    async def _withdraw(self) -> None:
        self._round = None
        await log_errors(self._withdraw_and_end_round())

    async def _withdraw_and_end_round(self) -> None:
        await self._entry.leave()
        if not self._entry.session.is_lost:
            # The round may have begun, and all others may have left it.
            await self._end_round()

    async def _end_round(self) -> None:
        """End the round if all have left; nobody waits for that, so it is not followed."""
        found = await self._kv.get_prefix(self.name + b"/")
        state = _State({read.key: read for read in found}, self._waiters, self._ready)
        if state.is_over:
            await self._act(state)

    def _lost(self) -> LockLostError:
        return LockLostError(
            f"the place in the double barrier {self.name!r} is lost",
            key=self._entry.key,
            lease_id=self._entry.session.lease.id,
        )

    async def __aenter__(self) -> DoubleBarrier:
        if not await self.enter(timeout=self.timeout):
            raise LockTimeoutError(
                f"not all {self.count} came to the double barrier {self.name!r} within"
                f" {self.timeout} s"
            )
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Leave, and wait for the others; after an error of the body it does not wait."""
        if error is None:
            await self.leave()
        else:
            await self._channel.run_to_completion(log_errors(self.leave(timeout=0)), error)

    def __repr__(self) -> str:
        return f"DoubleBarrier(name={self.name!r}, count={self.count})"


class _State:
    """The keys of a double barrier at a revision, and what they mean."""

    def __init__(self, keys: Mapping[bytes, KeyValue], waiters: bytes, ready: bytes) -> None:
        waiting = (kv for key, kv in keys.items() if key.startswith(waiters))
        self.waiters = sorted(waiting, key=lambda kv: kv.create_revision)
        """Those who wait, are in a round or leave one, the first one first."""
        self.ready = keys.get(ready)
        self.last = None if self.ready is None else int(self.ready.value)
        """The create revision of the last one that belongs to the round, if there is a round."""

    @property
    def is_over(self) -> bool:
        """Whether all of the round have left."""
        return self.last is not None and not any(
            waiter.create_revision <= self.last for waiter in self.waiters
        )

    def complete(self, count: int) -> Sequence[KeyValue]:
        """Return those who form the next round; nobody if there are too few, or it has begun."""
        first = [waiter for waiter in self.waiters if waiter.value == b"%d" % count][:count]
        return first if self.ready is None and len(first) == count else ()
