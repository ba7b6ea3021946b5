"""Service discovery: instances register under leases, and a directory follows them.

python discovery.py ENDPOINT PREFIX
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import etcd_client
from etcd_client import Client, Event, EventKind, GetRange, KeyValue, Lease


class Directory:
    """The addresses of the running instances, kept up to date by a watch."""

    def __init__(self, client: Client, prefix: bytes) -> None:
        self._client = client
        self._prefix = prefix
        self.addresses: dict[str, str] = {}

    async def follow(self) -> AsyncIterator[dict[str, str]]:
        """Yield the addresses as they are now, and after each change."""
        found: GetRange = await self._client.get_prefix(self._prefix, sort_target="create")
        for instance in found:
            self._set(instance)
        yield dict(self.addresses)
        after = found.header.revision + 1
        async with self._client.watch_prefix(self._prefix, start_revision=after) as watch:
            async for event in watch:
                self._apply(event)
                yield dict(self.addresses)

    def _apply(self, event: Event) -> None:
        if event.kind is EventKind.PUT:
            self._set(event.kv)
        else:
            self.addresses.pop(self._name(event.kv), None)

    def _set(self, instance: KeyValue) -> None:
        self.addresses[self._name(instance)] = instance.value.decode()

    def _name(self, instance: KeyValue) -> str:
        return instance.key.removeprefix(self._prefix).decode()


@asynccontextmanager
async def registered(
    client: Client, prefix: bytes, name: str, address: str
) -> AsyncGenerator[Lease, None]:
    """Register an instance while the body runs; it disappears if this process does."""
    async with client.lease(60, keep_alive=True) as lease:
        key = prefix + name.encode()
        instances = client.transactions
        result = await client.transaction(
            compare=[instances.version(key) == 0],
            success=[instances.put(key, address.encode(), lease=lease)],
            failure=[instances.get(key)],
        )
        if not result.succeeded:
            (present,) = result.gets
            raise RuntimeError(f"{name} is registered already: {present[0].value.decode()}")
        yield lease


async def main(endpoint: str, prefix: bytes) -> None:
    async with Client(endpoints=[endpoint]) as client:
        directory = Directory(client, prefix)
        changes = directory.follow()
        print(await anext(changes))
        async with registered(client, prefix, "one", "10.0.0.1:80") as lease:
            print(await anext(changes))
            remaining: float = lease.remaining
            assert 0 < remaining <= 60
            try:
                async with registered(client, prefix, "one", "10.0.0.9:80"):
                    pass
            except RuntimeError as error:
                print(error)
        print(await anext(changes))
        try:
            await lease.refresh()
        except etcd_client.LeaseExpiredError as error:
            lease_id: int | None = error.lease_id
            assert lease_id == lease.id
            print("the lease has ended")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2].encode()))
