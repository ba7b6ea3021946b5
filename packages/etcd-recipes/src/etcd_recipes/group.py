"""A group: who is there, with data of each."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import MappingProxyType

from etcd_channel import ChannelLike, NonCopyable, Service
from etcd_channel.arguments import check_bytes, check_int, check_key, check_wait
from etcd_channel.tasks import log_errors
from etcd_kv import Compare
from etcd_lock import LockLoss, QueueEntry, Session
from etcd_recipes._following import follow
from etcd_recipes._recipe import Recipe
from etcd_recipes._waiting import within

__all__ = ["Group", "Membership"]


class Group(Recipe):
    """A set of members, each with data; it needs no session to be read or followed.

    A member is a key `<name>/<member>` with the lease of its session, and the data is its value.
    The name of a member may have slashes, so the members of a group `<name>/<more>` are members of
    this one, too.

    Guaranteed: a member that has ended, or cannot reach etcd, is out of the group when the time to
    live of its session is over. `changes` and `wait` miss no last state, also over breaks of the
    connection and compactions. Not guaranteed: that a member in the group is still alive. A member
    that joins and leaves at once may not be seen.
    """

    def __init__(self, client: ChannelLike | Service, name: bytes) -> None:
        super().__init__(client)
        self.name = check_key("name", name)
        self._prefix = self.name + b"/"

    def member(
        self, session: Session, data: bytes = b"", *, member: bytes | None = None
    ) -> Membership:
        """Make a membership: `async with` joins the group and leaves it.

        `member` is the name of the member; None means the id of the session's lease in hexadecimal,
        so that a session can be one member of a group without a name.
        """
        return Membership(self, session, data, member)

    async def members(self, *, timeout: float | None = None) -> dict[bytes, bytes]:
        """Ask etcd for the members: the data of each by its name."""
        found = await self._kv.get_prefix(self._prefix, timeout=timeout)
        skip = len(self._prefix)
        return {read.key[skip:]: read.value for read in found}

    async def changes(self) -> AsyncGenerator[Mapping[bytes, bytes], None]:
        """Iterate over the members: as they are now, then after each change.

        Changes that come while one is handled are yielded together. Close the iterator (`aclose`,
        or `async with contextlib.aclosing(…)`) to end the watch.
        """
        skip = len(self._prefix)
        async with aclosing(follow(self._channel, self._prefix)) as states:
            async for keys in states:
                yield MappingProxyType({key[skip:]: kv.value for key, kv in keys.items()})

    async def wait(self, size: int, *, timeout: float | None = None) -> bool:
        """Wait until the group has `size` members or more; return False after `timeout` seconds.

        None sets no limit, 0 does not wait.
        """
        number = check_int("size", size)
        seconds = check_wait("timeout", timeout)
        if seconds == 0:
            found = await self._kv.get_prefix(self._prefix, count_only=True)
            return found.count >= number
        return bool(await within(seconds, self._until_size(number)))

    async def _until_size(self, size: int) -> bool:
        async with aclosing(follow(self._channel, self._prefix)) as states:
            async for keys in states:
                if len(keys) >= size:
                    break
        return True

    def __repr__(self) -> str:
        return f"Group(name={self.name!r})"


class Membership(NonCopyable):
    """A membership of a session in a group, made by `Group.member`.

    It ends with `leave`, at the end of the `async with`, or with the session; `lost` and
    `Session.lost` tell. It is for one task at a time.
    """

    def __init__(self, group: Group, session: Session, data: bytes, member: bytes | None) -> None:
        suffix = None if member is None else check_key("member", member)
        self.group = group
        self._data = check_bytes("data", data)
        self._entry = QueueEntry(session, group.name + b"/", suffix=suffix)

    @property
    def name(self) -> bytes:
        """The name of the member; raises `ValueError` before the session is open."""
        return self._entry.key[len(self.group.name) + 1 :]

    @property
    def data(self) -> bytes:
        """The data that was given last."""
        return self._data

    @property
    def lost(self) -> LockLoss:
        """A coroutine that waits for the end of the membership; see `etcd_lock.Lock.lost`.

        Raises `ValueError` while it is not a member.
        """
        return self._entry.lost

    def ownership(self) -> Compare:
        """Return a compare for transactions that succeeds while it is a member.

        Raises `ValueError` while it is not.
        """
        return self._entry.ownership()

    async def join(self) -> None:
        """Join the group, in one round trip.

        Raises `PreconditionFailedError` if another session has a member of the name, and
        `LockLostError` if the session is lost. If it raises or is cancelled, there is no member.
        """
        await self._entry.enqueue(self._data)

    async def update(self, data: bytes) -> bool:
        """Replace the data; return False if it is no longer a member, and nothing changes then.

        After a cancellation the data may have been replaced. Raises `ValueError` before `join`.
        """
        check_bytes("data", data)
        replaced = await self._entry.replace(data)
        if replaced:
            self._data = data
        return replaced

    async def leave(self) -> bool:
        """Leave the group; return whether it was still a member.

        A cancellation is raised after it has left. After a `ClientError` the member is removed in
        the background, or ends with the session.
        """
        return await self._entry.leave()

    async def __aenter__(self) -> Membership:
        await self.join()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            await self.leave()
        else:
            leaving = log_errors(self.leave())
            await self.group.channel.run_to_completion(leaving, error)

    def __repr__(self) -> str:
        return f"Membership(group={self.group.name!r})"
