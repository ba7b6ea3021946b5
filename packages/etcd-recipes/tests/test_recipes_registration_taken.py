"""Registrations of one instance by several programs: the last one to come has the key."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from recipes_support import PATIENCE, Program, until

from etcd_channel.errors import LeaseNotFoundError
from etcd_recipes import RegistrationChange
from etcd_testing import FaultProxy


class Changes(asyncio.Queue[RegistrationChange]):
    """The changes that a registration told."""

    def __call__(self, change: RegistrationChange) -> None:
        self.put_nowait(change)

    async def next(self) -> RegistrationChange:
        return await asyncio.wait_for(self.get(), PATIENCE)


async def lease_of(program: Program) -> int:
    """The lease of the key."""
    found = await program.kv.get(b"web/a:1")
    assert found is not None
    return found.lease


async def until_only_one_has_a_lease(program: Program, lease: int) -> None:
    """Wait until there is no other lease, and two watch the key."""

    async def alone() -> bool:
        assert await lease_of(program) == lease
        return await program.watchers() == 2 and list(await program.leases.leases()) == [lease]

    await until(alone)


async def test_the_loss_of_its_lease_does_not_take_the_key_from_a_newer_program(
    program: Program, other: Program
) -> None:
    old, new = Changes(), Changes()
    async with program.recipes.registration(b"web", "a:1", ttl=60, on_change=old):
        assert (await old.next()).registered
        lease = await lease_of(program)
        async with other.recipes.registration(b"web", "a:1", ttl=60, on_change=new):
            assert (await new.next()).registered
            assert "another program" in (await old.next()).reason
            with suppress(LeaseNotFoundError):
                await other.leases.revoke_lease(lease)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(old.get(), 1)
            newer = await lease_of(program)
            assert newer != lease
            await until_only_one_has_a_lease(program, newer)
            assert new.empty()
        back = await old.next()
        assert back.registered
        assert back.gap > 0
        assert await lease_of(program) != newer
    await program.nothing_is_left()


async def test_one_that_was_away_does_not_take_the_key_from_a_newer_program(
    program: Program, faulty: Program, proxy: FaultProxy
) -> None:
    old, new = Changes(), Changes()
    async with faulty.recipes.registration(b"web", "a:1", ttl=60, on_change=old):
        assert (await old.next()).registered
        lease = await lease_of(program)
        proxy.refuse()
        proxy.cut()
        await program.leases.revoke_lease(lease)
        async with program.recipes.registration(b"web", "a:1", ttl=60, on_change=new):
            assert (await new.next()).registered
            newer = await lease_of(program)
            proxy.heal()
            assert not (await old.next()).registered
            await until_only_one_has_a_lease(program, newer)
            assert new.empty()
        assert (await old.next()).registered
    await program.nothing_is_left()


async def test_a_second_block_does_not_begin_with_the_gap_of_the_first(program: Program) -> None:
    changes = Changes()
    registration = program.recipes.registration(b"web", "a:1", ttl=60, on_change=changes)
    async with registration:
        assert (await changes.next()).registered
        await program.kv.put(b"web/a:1", b"other")
        assert not (await changes.next()).registered
    async with registration:
        assert await changes.next() == RegistrationChange(True, 0.0, "")
        await program.kv.delete(b"web/a:1")
        assert not (await changes.next()).registered
        assert (await changes.next()).registered
    await program.nothing_is_left()
