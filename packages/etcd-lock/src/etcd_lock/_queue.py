"""The queue behind a mutex and an election: keys under a prefix, the oldest one first.

etcd's own layout (client/v3/concurrency): each contender has a key `<prefix>/<lease id in
hex>`, owned by its session's lease, and the key that came into being first is the owner's.
A contender waits for the one right before it, so one is woken at a time.
"""

from __future__ import annotations

import asyncio

from etcd_channel import KeyValue, RevisionCompactedError
from etcd_channel.arguments import check_key
from etcd_channel.errors import LeaseNotFoundError
from etcd_kv import Compare
from etcd_lock._cleanup import finish, quietly
from etcd_lock._waiting import until_one_is_done
from etcd_lock.errors import LockLostError
from etcd_lock.session import Session
from etcd_watch import EventKind

__all__ = ["Place"]


class Place:
    """A session's place in a queue; what a mutex and an election are made of."""

    def __init__(self, session: Session, name: bytes) -> None:
        if not isinstance(session, Session):
            raise TypeError(f"session must be a Session, not {type(session).__name__}")
        self.session = session
        self.prefix = check_key("name", name) + b"/"
        self.revision: int | None = None
        """The create revision of the session's key; None while it has no place."""

    @property
    def key(self) -> bytes:
        """The session's own key."""
        return self.prefix + b"%x" % self.session.lease.id

    def ownership(self) -> Compare:
        """The compare that holds while the session has this place."""
        if self.revision is None:
            raise ValueError(f"{self.prefix!r} is not held by this session")
        return self.session.services.kv.transactions.create(self.key) == self.revision

    async def take(self, value: bytes, deadline: float | None) -> bool:
        """Line up with `value`, and wait for the first place until `deadline`.

        Without success, whether for time, an error or cancellation, nothing is left in
        the queue. Raises `LockLostError` when the session ends meanwhile.
        """
        first = False
        try:
            # To its end, also when cancelled: a deletion could overtake a put that is still
            # under way, and the key would stand in everybody's way as long as the session.
            await finish(self._line_up(value))
            first = await self._wait(deadline)
        finally:
            if not first:
                await quietly(self.leave())
        return first

    async def leave(self) -> bool:
        """Leave the queue, cancelled or not; say whether the session's key was still there."""
        self.revision = None
        return await finish(self._delete_key())

    async def _delete_key(self) -> bool:
        return await self.session.services.kv.delete(self.key) is not None

    async def leader(self) -> KeyValue | None:
        """The first in the queue; None if there is nobody."""
        found = await self.session.services.kv.get_prefix(
            self.prefix, sort_order="ascend", sort_target="create", limit=1
        )
        return found[0] if len(found) else None

    async def _line_up(self, value: bytes) -> None:
        kv = self.session.services.kv
        words = kv.transactions
        try:
            succeeded, responses = answer = await kv.transaction(
                [words.create(self.key) == 0],
                [words.put(self.key, value, self.session.lease)],
                [words.get(self.key)],
            )
        except LeaseNotFoundError as error:
            raise LockLostError("the session has ended") from error
        self.revision = answer.header.revision
        if not succeeded:
            # The session has a place already, from an earlier program with its lease say.
            found = responses[0]
            assert isinstance(found, list)
            (held, keyvalue), *_ = found
            self.revision = keyvalue.create_revision
            if held != value:
                await kv.transaction(
                    [self.ownership()], [words.put(self.key, value, self.session.lease)]
                )

    async def _until_first(self) -> None:
        assert self.revision is not None
        services = self.session.services
        while True:
            before = await services.kv.get_prefix(
                self.prefix,
                sort_order="descend",
                sort_target="create",
                keys_only=True,
                limit=1,
                max_create_revision=self.revision - 1,
            )
            if not len(before):
                break
            try:
                async with services.watches.watch(
                    before[0].key,
                    start_revision=before.header.revision + 1,
                    kind=EventKind.DELETE,
                ) as watch:
                    await watch.__anext__()
            except RevisionCompactedError:
                continue  # the watch fell behind history during a break: look again
        # Whoever waited long may have lost its own key to the end of its lease (etcd
        # issue 19597), or to an operator.
        if not await self._is_present():
            raise LockLostError(f"the session lost its place in {self.prefix!r} while waiting")

    async def _is_present(self) -> bool:
        found = await self.session.services.kv.get(self.key, keys_only=True)
        return found is not None and found.create_revision == self.revision

    async def is_first(self) -> bool:
        leader = await self.leader()
        return leader is not None and leader.create_revision == self.revision

    async def _wait(self, deadline: float | None) -> bool:
        """Wait for the first place, no longer than the session lasts, or until `deadline`."""
        timeout = None
        if deadline is not None:
            timeout = max(deadline - asyncio.get_running_loop().time(), 0.0)
        lost = asyncio.ensure_future(self.session.lease.lost)
        turn = asyncio.create_task(self._until_first())
        await until_one_is_done(lost, turn, timeout=timeout)
        if not turn.cancelled():
            turn.result()
            return True
        if not lost.cancelled():
            raise LockLostError(
                f"the session ended while it waited for {self.prefix!r}"
            ) from lost.result()
        # Who is not to wait asks only.
        return await self.is_first()
