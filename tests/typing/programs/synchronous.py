"""A worker without asyncio: settings, a lock, a transaction that retries, a cache.

python synchronous.py ENDPOINT PREFIX
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from etcd_sync import CacheEntry, Client, Event, Lease, Lock, STMTransaction
from etcd_sync.errors import LockTimeoutError


def settings(prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    for name in ("limit", "colour"):
        yield prefix + name.encode(), name.upper().encode()


def count(t: STMTransaction, key: bytes) -> int:
    found = t.get(key)
    number = 1 if found is None else int(found.value) + 1
    t.put(key, str(number).encode())
    return number


def exclusively(client: Client, lock: Lock, key: bytes) -> bool:
    with lock:
        ours = [lock.ownership()]
        return client.transaction(ours, [client.transactions.put(key, b"1")]).succeeded


def main(endpoint: str, prefix: bytes) -> None:
    with Client(endpoints=endpoint) as client:
        done = client.put_many(settings(prefix + b"settings/"))
        print(done.done, [kv.value for kv in client.scan_prefix(prefix + b"settings/")])

        lease: Lease = client.lease(60, keep_alive=True)
        client.put(prefix + b"here", b"", lease)
        print(lease.is_lost, lease.lost.wait(0), lease.keys() == [prefix + b"here"])

        print([client.stm(lambda t: count(t, prefix + b"n")).value for _ in range(3)])

        lock = client.lock(prefix + b"lock", ttl=60, timeout=0)
        print(exclusively(client, lock, prefix + b"done"))
        with client.lock(prefix + b"lock", ttl=60):
            try:
                exclusively(client, lock, prefix + b"done")
            except LockTimeoutError as error:
                print(type(error).__name__)

        events: list[Event] = []
        with client.watch_prefix(prefix + b"jobs/") as watch:
            client.put(prefix + b"jobs/1", b"sweep")
            for event in watch:
                events.append(event)
                break
        print(events[0].kv.value)

        with client.cache(prefix + b"settings/", decode=bytes.decode) as cache:
            entry: CacheEntry[str] | None = cache.get(prefix + b"settings/limit")
            print(entry.value.lower() if entry else None, len(cache))
        lease.revoke()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2].encode())
