"""`Election` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import etcd_client
from etcd_client import Compare, KeyValue
from etcd_sync._handle import Entered, Handle, inner_of, refuse_cancel_on_loss
from etcd_sync._iteration import Iteration
from etcd_sync.loss import LockLoss
from etcd_sync.session import Session

__all__ = ["Election"]


class Election(Handle):
    """An election: the oldest candidate leads, and its value is the proclamation.

    It is compatible with Go's `concurrency.Election` and `etcdctl elect` of the same name. The
    candidacy ends with the lease of `session`. `name` is the prefix of the keys, to which a slash
    is added. `leader` and `observe` need no candidacy; `LockClient.election_leader` and
    `LockClient.observe_election` do the same without a session.

    `lead` is a block that is run while this session leads. Threads that use `lead` of one object
    lead in turn: each campaigns when the one before has left its block, or has resigned. `campaign`
    and `resign` are of the session, whichever thread calls them. Without `lead`, no block raises
    the loss of the lead: a leader calls `lost.wait()`; after a loss `proclaim` raises
    `NotLeaderOfElectionError`, and `resign` returns False.

    Winning an election without other candidates takes one round trip, and so does resigning.
    """

    _inner: etcd_client.Election

    def __init__(self, session: Session, name: bytes) -> None:
        inner_session = inner_of("session", session, Session)
        super().__init__(
            session._portal, session._portal.call(etcd_client.Election, inner_session, name)
        )

    @property
    def key(self) -> bytes:
        """The key of this session's entry in the queue."""
        return self._inner.key

    @property
    def fencing_token(self) -> int | None:
        """The create revision of the key, higher than that of every earlier holder.

        None while it is not held.
        """
        return self._inner.fencing_token

    @property
    def lost(self) -> LockLoss:
        """The loss, for which `lost.wait()` waits; see `Lock.lost`.

        Raises `ValueError` while it is not held.
        """
        return LockLoss._of(self._portal, self._read(lambda: self._inner.lost))

    def ownership(self) -> Compare:
        """Return a compare that succeeds while this session holds it.

        Add it to the transactions that must be protected: one that arrives after the loss changes
        nothing. Raises `ValueError` while it is not held.
        """
        return self._inner.ownership()

    def campaign(self, value: bytes, *, timeout: float | None = None) -> bool:
        """Wait to be elected with `value`; return False if that took longer than `timeout` seconds.

        None sets no limit, 0 does not wait. If it returns False, raises or is interrupted, the
        candidacy is withdrawn. A leader that campaigns again proclaims `value`; if that fails in a
        `lead` block, the candidacy stays. Raises `LockLostError` if the session ends, or the key is
        deleted, while it waits.
        """
        return self._portal.run(self._inner.campaign, value, timeout=timeout)

    def lead(
        self, value: bytes, *, timeout: float | None = None, cancel_on_loss: Literal[False] = False
    ) -> AbstractContextManager[Election]:
        """Campaign with `value`, run the body while this session leads, and resign at the end.

        Use it as `with election.lead(b"node-1"):`. Entering it waits to be elected, for `timeout`
        seconds at most, None without limit, and raises `LockTimeoutError` then; the body never runs
        without the lead. A thread that is in the body cannot enter another one of the same object:
        `RuntimeError` is raised. If the lead is lost, `LockLostError` is raised at the end of the
        block, unless the body was notified, as described for `Lock`. Nothing is raised if the body
        itself resigns.
        """
        refuse_cancel_on_loss(cancel_on_loss)
        return Entered(
            self._portal,
            self._portal.call(self._inner.lead, value, timeout=timeout, cancel_on_loss=False),
            self,
        )

    def proclaim(self, value: bytes) -> None:
        """Replace the leader's value.

        Raises `NotLeaderOfElectionError` if this session does not lead, or no longer leads. An
        interruption is raised once the outcome is known, so that this proclamation cannot overwrite
        a later one.
        """
        self._portal.run(self._inner.proclaim, value)

    def resign(self) -> bool:
        """Stop leading; return whether this session still led. False if it was not elected.

        An interruption is raised after the candidacy was withdrawn. After a `ClientError` it may be
        called again.
        """
        return self._portal.run(self._inner.resign)

    def leader(self) -> KeyValue | None:
        """Return the leader's key with the last proclaimed value; None if there is no leader."""
        return self._portal.run(self._inner.leader)

    def observe(self) -> Iteration[KeyValue]:
        """Iterate over the leader's key: as it is now, then at each proclamation and new leader.

        It survives breaks of the connection. A leader that is replaced before it was read may be
        skipped, as in etcd's Go client; the newest value is always yielded. Close the iterator
        (`close`, or `with`) to end the watch.
        """
        return self._portal.iterate(self._portal.call(self._inner.observe))
