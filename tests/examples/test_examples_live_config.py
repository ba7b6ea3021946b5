"""examples/live_config.py: an ASGI application whose configuration follows a prefix."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

from example_program import HANG, PATIENT, running

from etcd_client import Client
from etcd_testing import EtcdServer, FaultProxy


async def request(url: str) -> dict[str, Any]:
    """GET a page and return its JSON."""
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), HANG)
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    found: dict[str, Any] = json.loads(body)
    return found


async def test_what_is_served_follows_the_prefix_and_survives_a_compaction(
    key_prefix: bytes,
) -> None:
    async with EtcdServer() as server, FaultProxy(server.endpoint) as proxy:
        async with Client(endpoints=server.endpoint, **PATIENT) as client:
            txn = client.transactions
            await client.put(key_prefix + b"colour", b"blue")
            arguments = [f"--endpoints={proxy.endpoint}"]
            async with running("live_config.py", *arguments, prefix=key_prefix) as example:
                url = (await example.until("curl http://")).split()[-1]
                await example.until('{"colour": "blue"}')
                # Both or none.
                both = [txn.put(key_prefix + b"a", b"1"), txn.put(key_prefix + b"b", b"1")]
                changed = await client.transaction(None, both)
                await example.until("revision")
                assert '{"a": "1", "b": "1", "colour": "blue"}' in example.lines[-1]
                served = await request(url)
                assert served["values"] == {"a": "1", "b": "1", "colour": "blue"}
                assert served["revision"] == changed.revision

                proxy.refuse()
                proxy.reset()
                await client.delete(key_prefix + b"colour")
                newest = await client.put(key_prefix + b"a", b"2")
                await client.compact(newest.header.revision)
                assert (await request(url))["values"] == served["values"]
                proxy.heal()
                await example.until('{"a": "2", "b": "1"}')
                # And it goes on with a watch.
                await client.put(key_prefix + b"a", b"3")
                await example.until('{"a": "3", "b": "1"}')
                assert (await request(url))["values"] == {"a": "3", "b": "1"}
                example.send_signal(signal.SIGINT)
                assert await example.status() == 128 + signal.SIGINT


async def test_it_ends_on_sigterm_with_an_etcd_of_its_own(key_prefix: bytes) -> None:
    async with running("live_config.py", prefix=key_prefix) as example:
        await example.until("revision 1: {}")
        example.send_signal(signal.SIGTERM)
        assert await example.status() == -signal.SIGTERM
