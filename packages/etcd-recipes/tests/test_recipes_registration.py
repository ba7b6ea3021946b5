"""Registrations: a key of a service's instance that comes back by itself."""

from __future__ import annotations

import asyncio
import json

import pytest
from recipes_support import PATIENCE, PATIENT, Program, until

from etcd_channel import Channel, ConnectionTimeoutError
from etcd_recipes import Endpoint, RecipeClient, Registration, RegistrationChange
from etcd_testing import EtcdServer, FaultProxy, cancel_everywhere
from etcd_testing.plugin import ServerFactory


async def has_keys(program: Program, keys: list[bytes]) -> bool:
    return await program.keys() == keys


class Changes:
    """The changes that a registration told."""

    def __init__(self) -> None:
        self._queue = asyncio.Queue[RegistrationChange]()

    def __call__(self, change: RegistrationChange) -> None:
        self._queue.put_nowait(change)

    async def next(self) -> RegistrationChange:
        return await asyncio.wait_for(self._queue.get(), PATIENCE)

    async def it_is_lost_and_comes_back(self) -> str:
        """Wait for a gap and its end; return the reason."""
        lost = await self.next()
        assert (lost.registered, lost.gap) == (False, 0.0)
        back = await self.next()
        assert (back.registered, back.reason) == (True, "")
        assert back.gap > 0
        return lost.reason


async def test_the_key_is_there_in_the_layout_of_gos_endpoints(program: Program) -> None:
    registration = program.recipes.registration(
        b"web", "10.0.0.7:80", metadata={"zone": "b"}, ttl=60
    )
    assert not registration.is_registered
    async with registration:
        assert registration.is_registered
        found = await program.kv.get(b"web/10.0.0.7:80")
        assert found is not None
        assert found.lease != 0
        assert json.loads(found.value) == {
            "Op": 0,
            "Addr": "10.0.0.7:80",
            "Metadata": {"zone": "b"},
        }
    assert not registration.is_registered
    async with registration:
        assert await program.keys() == [b"web/10.0.0.7:80"]
    async with program.recipes.registration(b"web", "10.0.0.7:80", instance=b"seven", ttl=60):
        assert await program.keys() == [b"web/seven"]
    await program.nothing_is_left()


async def test_it_comes_back_after_its_lease_or_its_key_is_gone(program: Program) -> None:
    changes = Changes()
    async with program.recipes.registration(b"web", "a:1", ttl=60, on_change=changes):
        assert await changes.next() == RegistrationChange(True, 0.0, "")
        (lease,) = await program.leases.leases()
        await program.server.etcdctl("lease", "revoke", f"{lease:016x}")
        # By its key, or by a keep-alive if that is faster.
        reason = await changes.it_is_lost_and_comes_back()
        assert reason == "its lease is gone" or "the server no longer has it" in reason
        assert await program.keys() == [b"web/a:1"]
        await program.kv.delete(b"web/a:1")
        assert await changes.it_is_lost_and_comes_back() == "its key was deleted"
        assert await program.keys() == [b"web/a:1"]
    await program.nothing_is_left()


async def test_it_comes_back_after_an_outage_that_outlasts_its_lease(
    etcd_server_factory: ServerFactory,
) -> None:
    server, changes = etcd_server_factory(), Changes()
    async with Channel(server.endpoint, **PATIENT) as channel:
        async with RecipeClient(channel).registration(b"web", "a:1", ttl=5, on_change=changes):
            await changes.next()
            await server.stop()
            assert not (await changes.next()).registered
            await server.start()
            assert (await changes.next()).registered
            program = Program(channel, server)
            # If the machine stands still here, the lease ends again, and comes back again.
            await until(lambda: has_keys(program, [b"web/a:1"]))
        await until(lambda: has_keys(program, []))


async def test_broken_connections_are_no_gap(
    program: Program, faulty: Program, proxy: FaultProxy
) -> None:
    changes = Changes()
    async with faulty.recipes.registration(b"web", "a:1", ttl=60, on_change=changes) as made:
        await changes.next()
        for _ in range(5):
            proxy.cut()
            await faulty.kv.get(b"any")
        await program.until_watchers(1)
        assert made.is_registered
        before = await program.kv.get(b"web/a:1")
        assert before is not None
        assert before.version == 1


async def test_it_leaves_the_key_to_another_program_and_takes_it_back(program: Program) -> None:
    changes = Changes()
    async with program.recipes.registration(b"web", "a:1", ttl=60, on_change=changes) as made:
        await changes.next()
        await program.kv.put(b"web/a:1", b"other")
        lost = await changes.next()
        assert "another program" in lost.reason
        assert not made.is_registered
        await program.kv.delete(b"web/a:1")
        assert (await changes.next()).registered
    await program.nothing_is_left()


async def test_an_error_of_the_callback_is_logged(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(change: RegistrationChange) -> None:
        raise ZeroDivisionError

    async with program.recipes.registration(b"web", "a:1", ttl=60, on_change=fail) as made:
        assert made.is_registered
    assert "on_change of the registration b'web/a:1' failed" in caplog.text


async def test_a_registration_that_takes_too_long_leaves_nothing(
    program: Program, faulty: Program, proxy: FaultProxy
) -> None:
    proxy.refuse()
    proxy.cut()
    with pytest.raises(ConnectionTimeoutError, match="could not register b'web/a:1' within"):
        async with faulty.recipes.registration(b"web", "a:1", ttl=60, timeout=0.2):
            raise AssertionError("the body ran")
    proxy.heal()
    await program.nothing_is_left()


async def test_a_cancelled_registration_leaves_nothing(program: Program) -> None:
    async def register() -> None:
        async with program.recipes.registration(b"web", "a:1", ttl=60):
            await asyncio.sleep(0)

    async def no_key() -> None:
        async def gone() -> bool:
            return not await program.keys()

        await until(gone)

    assert await cancel_everywhere(register, no_key, every=7)
    await program.nothing_is_left()


async def test_two_blocks_at_once_are_refused(program: Program) -> None:
    registration = program.recipes.registration(b"web", "a:1", ttl=60)
    async with registration:
        with pytest.raises(ValueError, match="already"):
            await registration.__aenter__()
        assert registration.is_registered


async def test_arguments_that_cannot_be_are_refused(server: EtcdServer, program: Program) -> None:
    with pytest.raises(ValueError, match="address must not be empty"):
        Registration(program.channel, b"web", "")
    with pytest.raises(TypeError, match="not JSON serializable"):
        Registration(program.channel, b"web", "a:1", metadata=object())
    with pytest.raises(TypeError, match="on_change must be callable"):
        Registration(program.channel, b"web", "a:1", on_change=3)  # type: ignore[arg-type]  # on purpose


def test_values_that_are_no_endpoints_are_not_parsed() -> None:
    assert Endpoint.from_json(b'{"Op":0,"Addr":"a:1","Metadata":null}') == Endpoint("a:1")
    assert Endpoint.from_json(b'{"Addr":"a:1"}', b"web/x") == Endpoint("a:1", None, b"web/x")
    for value in (b"", b"\xff", b"7", b"{}", b'{"Op":1,"Addr":"a:1"}', b'{"Addr":7}', b"[" * 9999):
        assert Endpoint.from_json(value) is None
