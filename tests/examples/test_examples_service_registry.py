"""examples/service_registry.py: registration and discovery survive what happens to etcd."""

from __future__ import annotations

import signal

from example_program import PATIENT, nothing_is_left, running

from etcd_client import Client, Endpoint
from etcd_testing import EtcdServer, FaultProxy


async def test_instances_are_found_again_after_a_lost_lease_and_an_outage(
    key_prefix: bytes,
) -> None:
    async with running("service_registry.py", "--ttl=5", prefix=key_prefix) as example:
        await example.until("-- the lease of 10.0.0.1:80 ends")
        await example.until("-- SIGKILL to 10.0.0.3:80")
        await example.until("-- etcd stops")
        await example.until("the last known addresses are 10.0.0.1:80, 10.0.0.2:80")
        await example.until("-- etcd is back")
        await example.until("All instances were found, and found again.")
        assert await example.status() == 0
    lost = [line for line in example.lines if line.startswith("10.0.0.1:80 is not registered")]
    assert "lease" in lost[0]


async def test_the_list_is_kept_while_etcd_cannot_be_reached_and_right_afterwards(
    key_prefix: bytes,
) -> None:
    async with EtcdServer() as server, FaultProxy(server.endpoint) as proxy:
        async with Client(endpoints=server.endpoint, **PATIENT) as client:
            await client.put(key_prefix + b"1", Endpoint("a:1").to_json())
            await client.put(key_prefix + b"2", Endpoint("a:2").to_json())
            arguments = (f"--endpoints={proxy.endpoint}", "--discover")
            async with running("service_registry.py", *arguments, prefix=key_prefix) as example:
                await example.until("the addresses are a:1, a:2")
                proxy.refuse()
                proxy.reset()
                await example.until("the connection broke, the last known addresses are a:1, a:2")
                await client.delete(key_prefix + b"1")
                newest = await client.put(key_prefix + b"3", Endpoint("a:3").to_json())
                await client.compact(newest.header.revision)
                proxy.heal()
                await example.until("the addresses are a:2, a:3")
                example.send_signal(signal.SIGINT)
                assert await example.status() == 128 + signal.SIGINT


async def test_an_instance_that_was_cut_off_registers_again(key_prefix: bytes) -> None:
    async with EtcdServer() as server, FaultProxy(server.endpoint) as proxy:
        async with Client(endpoints=server.endpoint) as client:
            arguments = (f"--endpoints={proxy.endpoint}", "--instance=a:1", "--ttl=5")
            async with running("service_registry.py", *arguments, prefix=key_prefix) as example:
                await example.until("a:1 is registered")
                (first,) = await client.get_prefix(key_prefix)
                proxy.refuse()
                proxy.reset()
                await example.until("a:1 is not registered any more")
                proxy.heal()
                await example.until("a:1 is registered")
                (second,) = await client.get_prefix(key_prefix)
                assert Endpoint.from_json(second.value) == Endpoint("a:1")
                example.send_signal(signal.SIGINT)
                assert await example.status() == 128 + signal.SIGINT
            assert first.lease != second.lease
            assert await nothing_is_left(client, key_prefix)


async def test_an_instance_registers_again_when_its_key_is_deleted(key_prefix: bytes) -> None:
    async with EtcdServer() as server, Client(endpoints=server.endpoint, **PATIENT) as client:
        arguments = (f"--endpoints={server.endpoint}", "--instance=a:1", "--ttl=30")
        async with running("service_registry.py", *arguments, prefix=key_prefix) as example:
            await example.until("a:1 is registered")
            await client.delete_prefix(key_prefix)
            await example.until("a:1 is registered")
            example.send_signal(signal.SIGINT)
            await example.status()
        assert await nothing_is_left(client, key_prefix)
