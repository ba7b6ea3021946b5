"""`Session` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from types import TracebackType
from typing import Literal

import etcd_client
from etcd_sync._handle import Handle, Service, inner_of, refuse_cancel_on_loss
from etcd_sync.lease import Lease
from etcd_sync.loss import LeaseLoss

__all__ = ["Session"]


class Session(Handle):
    """A lease that is kept alive, for mutexes, candidacies and queue entries.

    `ttl` is the number of seconds after which they are released if the program is killed or
    disconnected. `lease_id` is an id of the caller's choice, None for a random one; an id in use
    raises `DuplicateLeaseError`. `client` is any client.

    It is open when it is made. Leaving it revokes the lease, which releases every mutex and ends
    every candidacy and queue entry of the session. `lost.wait()` waits until the session is lost.
    If it is lost during the block, the body raises no error and was not notified,
    `LeaseExpiredError` is raised at the end. `cancel_on_loss` must be False. The rules are those of
    `Lease`. A session that this client closes does not count as lost.
    """

    _inner: etcd_client.Session

    def __init__(
        self,
        client: Service,
        ttl: int = 60,
        *,
        lease_id: int | None = None,
        cancel_on_loss: Literal[False] = False,
    ) -> None:
        inner_client = inner_of("client", client, Service)
        refuse_cancel_on_loss(cancel_on_loss)
        super().__init__(
            client._portal,
            client._portal.run(
                etcd_client.Session, inner_client, ttl, lease_id=lease_id, cancel_on_loss=False
            ),
        )

    @property
    def ttl(self) -> int:
        return self._inner.ttl

    @property
    def lease(self) -> Lease:
        """The session's lease."""
        return Lease._of(self._portal, self._inner.lease)

    @property
    def is_lost(self) -> bool:
        """Whether the session was opened and has ended, for any reason."""
        return self._read(lambda: self._inner.is_lost)

    @property
    def lost(self) -> LeaseLoss:
        """The end of the session, for which `lost.wait()` waits.

        See `Lease.lost`.
        """
        return LeaseLoss._of(self._portal, self._read(lambda: self._inner.lost))

    def __enter__(self) -> Session:
        _ = self._portal.enter(self._inner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.exit(self._inner, kind, error, trace)

    def close(self) -> None:
        """Revoke the lease; does nothing if it is lost or the session was never open.

        A failed revocation is logged: the lease then ends with its time to live. An interruption is
        raised after the lease was revoked.
        """
        self._portal.run(self._inner.close)
