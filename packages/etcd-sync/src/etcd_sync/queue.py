"""`Queue` and `PriorityQueue` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

import etcd_client
from etcd_sync._handle import Handle, Service, inner_of

__all__ = ["PriorityQueue", "Queue"]


class Queue(Handle):
    """A queue: the item that was put first is taken first, by one consumer, at most once.

    An item is a key `<name>/<nanoseconds since 1970>`, as of `Queue` in the recipes of etcd's Go
    client, with which it can be shared. Keys under `<name>/` that do not go on with a digit are no
    items, such as those of a queue `<name>/<more>` if `<more>` does not begin with a digit.

    Guaranteed: no item is returned twice. The items of one producer are taken in the order of its
    calls. Not guaranteed: an item is lost if its consumer dies after it was taken; `WorkQueue` is
    for work that must be done. Items of producers whose clocks differ may be taken in another
    order, by as much as the clocks differ. Consumers that wait take new items in any order.
    """

    _inner: etcd_client.Queue

    def __init__(self, client: Service, name: bytes) -> None:
        inner_client = inner_of("client", client, Service)
        super().__init__(client._portal, client._portal.call(etcd_client.Queue, inner_client, name))

    @property
    def name(self) -> bytes:
        return self._inner.name

    def get(self, *, timeout: float | None = None) -> bytes | None:
        """Take the first item, and return its value; None if there is none for `timeout` seconds.

        None as `timeout` sets no limit, 0 does not wait. Eight consumers at once take eight items
        in one round trip each, after one read.

        An item that is being taken when the time is over is returned. If the thread is interrupted
        while an item is being taken, the item is put back into its place before the interruption is
        raised. After an error that is not `definite` an item may have been taken and lost.
        """
        return self._portal.run(self._inner.get, timeout=timeout)

    def size(self, *, timeout: float | None = None) -> int:
        """Ask etcd for the number of items."""
        return self._portal.run(self._inner.size, timeout=timeout)

    def put(self, value: bytes, *, timeout: float | None = None) -> None:
        """Add an item at the end.

        `timeout` is the number of seconds that it may take. After an interruption, or an error that
        is not `definite`, the item may have been added; it is never added twice by one call.
        """
        self._portal.run(self._inner.put, value, timeout=timeout)


class PriorityQueue(Handle):
    """A queue with priorities: the item with the lowest number is taken first, at most once.

    An item is a key `<name>/<priority of 5 digits>/<number>`, as of `PriorityQueue` in the recipes
    of etcd's Go client, with which it can be shared. Items of one priority are in the order of a
    `Queue`, and what is guaranteed is the same.
    """

    _inner: etcd_client.PriorityQueue

    def __init__(self, client: Service, name: bytes) -> None:
        inner_client = inner_of("client", client, Service)
        super().__init__(
            client._portal, client._portal.call(etcd_client.PriorityQueue, inner_client, name)
        )

    @property
    def name(self) -> bytes:
        return self._inner.name

    def get(self, *, timeout: float | None = None) -> bytes | None:
        """Take the first item, and return its value; None if there is none for `timeout` seconds.

        None as `timeout` sets no limit, 0 does not wait. Eight consumers at once take eight items
        in one round trip each, after one read.

        An item that is being taken when the time is over is returned. If the thread is interrupted
        while an item is being taken, the item is put back into its place before the interruption is
        raised. After an error that is not `definite` an item may have been taken and lost.
        """
        return self._portal.run(self._inner.get, timeout=timeout)

    def size(self, *, timeout: float | None = None) -> int:
        """Ask etcd for the number of items."""
        return self._portal.run(self._inner.size, timeout=timeout)

    def put(self, value: bytes, priority: int, *, timeout: float | None = None) -> None:
        """Add an item behind the others of its `priority`, 0 to 65535; otherwise as `Queue.put`."""
        self._portal.run(self._inner.put, value, priority, timeout=timeout)
