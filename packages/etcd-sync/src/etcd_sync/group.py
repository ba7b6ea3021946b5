"""`Membership` and `Group` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import etcd_client
from etcd_client import Compare
from etcd_sync._handle import Handle, Service, inner_of
from etcd_sync._iteration import Iteration
from etcd_sync.loss import LockLoss
from etcd_sync.session import Session

__all__ = ["Group", "Membership"]


class Membership(Handle):
    """A membership of a session in a group, made by `Group.member`.

    It ends with `leave`, at the end of the `with`, or with the session; `lost` and `Session.lost`
    tell. It is for one thread at a time.
    """

    _inner: etcd_client.Membership

    @property
    def group(self) -> Group:
        return Group._of(self._portal, self._inner.group)

    @property
    def name(self) -> bytes:
        """The name of the member; raises `ValueError` before the session is open."""
        return self._inner.name

    @property
    def data(self) -> bytes:
        """The data that was given last."""
        return self._inner.data

    @property
    def lost(self) -> LockLoss:
        """The end of the membership, for which `lost.wait()` waits; see `Lock.lost`.

        Raises `ValueError` while it is not a member.
        """
        return LockLoss._of(self._portal, self._read(lambda: self._inner.lost))

    def ownership(self) -> Compare:
        """Return a compare for transactions that succeeds while it is a member.

        Raises `ValueError` while it is not.
        """
        return self._inner.ownership()

    def join(self) -> None:
        """Join the group, in one round trip.

        Raises `PreconditionFailedError` if another session has a member of the name, and
        `LockLostError` if the session is lost. If it raises or is interrupted, there is no member.
        """
        self._portal.run(self._inner.join)

    def update(self, data: bytes) -> bool:
        """Replace the data; return False if it is no longer a member, and nothing changes then.

        After an interruption the data may have been replaced. Raises `ValueError` before `join`.
        """
        return self._portal.run(self._inner.update, data)

    def leave(self) -> bool:
        """Leave the group; return whether it was still a member.

        An interruption is raised after it has left. After a `ClientError` the member is removed in
        the background, or ends with the session.
        """
        return self._portal.run(self._inner.leave)

    def __enter__(self) -> Membership:
        _ = self._portal.enter(self._inner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.exit(self._inner, kind, error, trace)


class Group(Handle):
    """A set of members, each with data; it needs no session to be read or followed.

    A member is a key `<name>/<member>` with the lease of its session, and the data is its value.
    The name of a member may have slashes, so the members of a group `<name>/<more>` are members of
    this one, too.

    Guaranteed: a member that has ended, or cannot reach etcd, is out of the group when the time to
    live of its session is over. `changes` and `wait` miss no last state, also over breaks of the
    connection and compactions. Not guaranteed: that a member in the group is still alive. A member
    that joins and leaves at once may not be seen.
    """

    _inner: etcd_client.Group

    def __init__(self, client: Service, name: bytes) -> None:
        inner_client = inner_of("client", client, Service)
        super().__init__(client._portal, client._portal.call(etcd_client.Group, inner_client, name))

    @property
    def name(self) -> bytes:
        return self._inner.name

    def member(
        self, session: Session, data: bytes = b"", *, member: bytes | None = None
    ) -> Membership:
        """Make a membership: `with` joins the group and leaves it.

        `member` is the name of the member; None means the id of the session's lease in hexadecimal,
        so that a session can be one member of a group without a name.
        """
        return Membership._of(
            self._portal, self._portal.call(self._inner.member, session._inner, data, member=member)
        )

    def members(self, *, timeout: float | None = None) -> dict[bytes, bytes]:
        """Ask etcd for the members: the data of each by its name."""
        return self._portal.run(self._inner.members, timeout=timeout)

    def changes(self) -> Iteration[Mapping[bytes, bytes]]:
        """Iterate over the members: as they are now, then after each change.

        Changes that come while one is handled are yielded together. Close the iterator (`close`, or
        `with`) to end the watch.
        """
        return self._portal.iterate(self._inner.changes())

    def wait(self, size: int, *, timeout: float | None = None) -> bool:
        """Wait until the group has `size` members or more; return False after `timeout` seconds.

        None sets no limit, 0 does not wait.
        """
        return self._portal.run(self._inner.wait, size, timeout=timeout)
