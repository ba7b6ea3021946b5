"""Helpers of the tests about losses: objects that are held, and ways to lose them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from lock_support import Program

from etcd_channel import ClientError
from etcd_channel.errors import LeaseNotFoundError
from etcd_lease import Lease, LeaseExpiredError
from etcd_lock import (
    Election,
    Lock,
    LockLostError,
    MultiLock,
    Mutex,
    Permit,
    ReadLock,
    ReadWriteLock,
    Semaphore,
    Session,
    WriteLock,
)
from etcd_testing import EtcdServer

# Seconds. So long that no lease ends by itself, even if the machine stands still for a while.
TTL = 60
HANG = 60

Queued = Mutex | ReadLock | WriteLock | Permit

QUEUED = ["mutex", "read lock", "write lock", "permit", "multi-lock", "lead"]
KINDS = ["lease", "awaited lease", "session", "lock", *QUEUED]
# What is lost, and how.
LOSSES = [(kind, "revoke") for kind in KINDS] + [(kind, "delete") for kind in ["lock", *QUEUED]]
every_loss = pytest.mark.parametrize(("kind", "how"), LOSSES)
every_kind = pytest.mark.parametrize("kind", KINDS)


@dataclass
class Held:
    """The object that a body holds."""

    server: EtcdServer
    program: Program
    lease: Lease
    key: bytes | None
    lost: Callable[[], Awaitable[ClientError]]
    give_back: Callable[[], Awaitable[object]]
    error: type[ClientError]
    losing: list[asyncio.Task[None]] = field(default_factory=list)
    """The tasks that end the lease or delete the key, and that may end after the body."""

    def lose_soon(self, how: str = "revoke") -> None:
        """Start `lose` in a task, and detect the loss: the body may end before the task does."""

        async def lose() -> None:
            await self.lose(how)
            await self.detect(how)

        self.losing.append(asyncio.create_task(lose()))

    async def lose(self, how: str) -> None:
        """Revoke the lease or delete the key by etcdctl."""
        if how == "revoke":
            lease_id = self.lease.id
            await self.server.etcdctl("lease", "revoke", f"{lease_id:x}")
        else:
            assert self.key is not None
            await self.server.etcdctl("del", self.key.decode())

    async def detect(self, how: str) -> None:
        """Let the client know of a revocation now, and not at the next keep-alive."""
        if how == "revoke":
            await detect_revocation(self.program, self.lease)

    async def until_noticed(self, how: str) -> None:
        """Wait until the client knows of the loss, without counting as notified."""
        if how == "revoke":
            await self.detect(how)
            await asyncio.wait_for(self.lease.until_lost(), HANG)

    def check(self, error: BaseException, how: str) -> None:
        """Check that the error names the lost object and the reason."""
        assert type(error) is self.error
        assert isinstance(error, LeaseExpiredError | LockLostError)
        assert error.lease_id == self.lease.id
        if how == "revoke":
            assert "the server no longer has it" in str(error)
            assert f"the lease {self.lease.id} is lost" in str(error)
        else:
            assert f"its key {self.key!r} was deleted" in str(error)
        if isinstance(error, LockLostError):
            assert error.key == self.key
            assert isinstance(error.__cause__, LeaseExpiredError) is (how == "revoke")


async def detect_revocation(program: Program, lease: Lease) -> None:
    """Let a program know that its lease was revoked; its keep-alives do, after a third of `TTL`."""
    with contextlib.suppress(LeaseNotFoundError):
        await program.leases.refresh_lease(lease.id)


class Blocks(Protocol):
    """Makes the `async with` block of a kind, with or without `cancel_on_loss`."""

    held: Held
    """The object of the last block."""

    def __call__(
        self, kind: str, *, cancel_on_loss: bool = False
    ) -> contextlib.AbstractAsyncContextManager[Held]: ...


class BlocksOf:
    """The blocks of one program, with `name` as the key or the prefix of keys."""

    held: Held

    def __init__(self, program: Program, server: EtcdServer, name: bytes) -> None:
        self._program, self._server, self._name = program, server, name
        self.losing: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def __call__(self, kind: str, *, cancel_on_loss: bool = False) -> AsyncIterator[Held]:
        cancel, name = cancel_on_loss, self._name
        leases, locks = self._program.leases, self._program.locks
        if kind == "lease":
            async with leases.lease(TTL, keep_alive=True, cancel_on_loss=cancel) as lease:
                yield self._lease(lease)
        elif kind == "awaited lease":
            async with await leases.lease(TTL, keep_alive=True, cancel_on_loss=cancel) as lease:
                yield self._lease(lease)
        elif kind == "session":
            async with locks.session(TTL, cancel_on_loss=cancel) as session:
                self._lease(session.lease)
                self.held.give_back = session.close
                yield self.held
        elif kind == "lock":
            async with locks.lock(name, TTL, keep_alive=True, cancel_on_loss=cancel) as lock:
                assert lock.lease is not None
                yield self._held(lock.lease, lock.key, lock)
        else:
            async with locks.session(TTL) as session:
                async with self._queued(kind, session, cancel) as held:
                    yield held

    @asynccontextmanager
    async def _queued(self, kind: str, session: Session, cancel: bool) -> AsyncIterator[Held]:
        name = self._name
        if kind == "multi-lock":
            names = [name + b"b", name + b"a"]
            async with MultiLock(session, names, cancel_on_loss=cancel) as several:
                yield self._held(session.lease, several.keys[0], several)
        elif kind == "lead":
            election = Election(session, name)
            async with election.lead(b"value", cancel_on_loss=cancel) as leader:
                assert leader is election
                yield self._held(session.lease, election.key, election, election.resign)
        else:
            lock: Queued
            if kind == "mutex":
                lock = Mutex(session, name, cancel_on_loss=cancel)
            elif kind == "read lock":
                lock = ReadWriteLock(session, name, cancel_on_loss=cancel).read_lock()
            elif kind == "write lock":
                lock = ReadWriteLock(session, name, cancel_on_loss=cancel).write_lock()
            else:
                lock = Semaphore(session, name, 2, cancel_on_loss=cancel).permit()
            async with lock:
                yield self._held(session.lease, lock.key, lock)

    def _lease(self, lease: Lease) -> Held:
        self.held = Held(
            self._server,
            self._program,
            lease,
            None,
            lambda: lease.lost,
            lease.revoke,
            LeaseExpiredError,
        )
        self.held.losing = self.losing
        return self.held

    def _held(
        self,
        lease: Lease,
        key: bytes,
        lock: Lock | Queued | MultiLock | Election,
        give_back: Callable[[], Awaitable[bool]] | None = None,
    ) -> Held:
        if give_back is None:
            assert not isinstance(lock, Election)
            give_back = lock.release
        self.held = Held(
            self._server, self._program, lease, key, lambda: lock.lost, give_back, LockLostError
        )
        self.held.losing = self.losing
        return self.held
