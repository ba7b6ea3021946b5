"""An election in etcd's own key layout."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from etcd_channel import KeyValue, RevisionCompactedError
from etcd_channel.arguments import check_bytes
from etcd_kv import Compare
from etcd_lock._queue import Place
from etcd_lock.errors import NotLeaderOfElectionError
from etcd_lock.lock import check_wait
from etcd_lock.session import Session
from etcd_watch import EventKind

__all__ = ["Election"]


class Election:
    """An election: of all candidates the first one leads, and says something as leader.

    It takes part in Go's `concurrency.Election` and `etcdctl elect` of the same name.
    `session` carries the candidacy: it ends with the session's lease. `name` is the prefix
    of the keys. `leader` and `observe` need no candidacy.
    """

    def __init__(self, session: Session, name: bytes) -> None:
        self._place = Place(session, name)

    @property
    def key(self) -> bytes:
        """The key of this session's candidacy."""
        return self._place.key

    @property
    def fencing_token(self) -> int | None:
        """The create revision of the key: rising from leader to leader; None if not elected."""
        return self._place.revision

    def ownership(self) -> Compare:
        """Return the compare that holds while this session leads; for transactions of a
        leader. `ValueError` when it was not elected."""
        return self._place.ownership()

    async def campaign(self, value: bytes, *, timeout: float | None = None) -> bool:
        """Stand for election with `value`; say whether it was won within `timeout` seconds.

        None waits for as long as it takes, 0 does not wait. Without success, also by
        cancellation, the candidacy is withdrawn. A leader that campaigns again proclaims
        `value`. Raises `LockLostError` when the session ends meanwhile.
        """
        check_bytes("value", value)
        wait = check_wait("timeout", timeout)
        deadline = None if wait is None else asyncio.get_running_loop().time() + wait
        return await self._place.take(value, deadline)

    async def proclaim(self, value: bytes) -> None:
        """Say something else as leader.

        Raises `NotLeaderOfElectionError` when this session does not lead, or not any more.
        """
        check_bytes("value", value)
        if self._place.revision is None:
            raise NotLeaderOfElectionError("this session was not elected")
        kv = self._place.session.services.kv
        put = kv.transactions.put(self.key, value, self._place.session.lease)
        if not (await kv.transaction([self.ownership()], [put])).succeeded:
            self._place.revision = None
            raise NotLeaderOfElectionError("this session does not lead any more")

    async def resign(self) -> bool:
        """Stop leading; say whether this session still led. False if it was not elected."""
        if self._place.revision is None:
            return False
        return await self._place.leave()

    async def leader(self) -> KeyValue | None:
        """Return the leader's key and what it said last; None if nobody leads."""
        return await self._place.leader()

    async def observe(self) -> AsyncIterator[KeyValue]:
        """Iterate over what leaders say: the one there is, then each proclamation, and each
        new leader.

        A leader that is followed before anybody could look may be passed over, as with
        etcd's own; the last word is always told. Close the iterator to end it.
        """
        services = self._place.session.services
        prefix = self._place.prefix
        while True:
            found = await services.kv.get_prefix(
                prefix, sort_order="ascend", sort_target="create", limit=1
            )
            revision = found.header.revision
            try:
                if len(found):
                    leader = found[0]
                else:
                    async with services.watches.watch_prefix(
                        prefix, start_revision=revision + 1, kind=EventKind.PUT
                    ) as watch:
                        leader = (await watch.__anext__()).kv
                    revision = leader.mod_revision
                yield leader
                async with services.watches.watch(leader.key, start_revision=revision + 1) as watch:
                    async for event in watch:
                        if event.kind is EventKind.DELETE:
                            break
                        yield event.kv
            except RevisionCompactedError:
                continue  # the watch fell behind history during a break: look again

    def __repr__(self) -> str:
        return f"Election(name={self._place.prefix[:-1]!r}, fencing_token={self.fencing_token})"
