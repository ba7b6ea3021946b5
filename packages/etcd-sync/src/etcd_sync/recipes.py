"""`RecipeClient` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from collections.abc import Callable, Iterable

import etcd_client
from etcd_client import RegistrationChange
from etcd_sync._handle import Service
from etcd_sync._worker import posted
from etcd_sync.barrier import Barrier
from etcd_sync.counter import CountDownLatch, Counter
from etcd_sync.discovery import Discovery, Registration
from etcd_sync.group import Group
from etcd_sync.partitioner import Partitioner
from etcd_sync.queue import PriorityQueue, Queue
from etcd_sync.work_queue import WorkQueue

__all__ = ["RecipeClient"]


class RecipeClient(Service):
    """Makes barriers, queues, counters and other recipes; nothing is sent before use.

    Each of them can also be made by its class, with any client as the first argument.
    """

    _inner: etcd_client.KeyspaceClient

    def barrier(self, name: bytes) -> Barrier:
        """Make a barrier, which is closed and opened by any client; see `Barrier`."""
        return Barrier._of(self._portal, self._portal.call(self._inner.barrier, name))

    def count_down_latch(self, name: bytes, count: int) -> CountDownLatch:
        """Make a latch that opens after `count` parts; see `CountDownLatch`."""
        return CountDownLatch._of(
            self._portal, self._portal.call(self._inner.count_down_latch, name, count)
        )

    def counter(self, key: bytes) -> Counter:
        """Make a counter on a key; see `Counter`."""
        return Counter._of(self._portal, self._portal.call(self._inner.counter, key))

    def discovery(self, service: bytes, *, timeout: float | None = 30) -> Discovery:
        """Follow the endpoints of a service, in `with`; see `Discovery`."""
        return Discovery._of(
            self._portal, self._portal.call(self._inner.discovery, service, timeout=timeout)
        )

    def group(self, name: bytes) -> Group:
        """Make a group, whose members can be read and followed; see `Group`."""
        return Group._of(self._portal, self._portal.call(self._inner.group, name))

    def partitioner(self, name: bytes, parts: Iterable[bytes], *, ttl: int = 30) -> Partitioner:
        """Make a member of those that divide a set of parts; see `Partitioner`."""
        return Partitioner._of(
            self._portal, self._portal.call(self._inner.partitioner, name, parts, ttl=ttl)
        )

    def queue(self, name: bytes) -> Queue:
        """Make a queue whose items are taken at most once; see `Queue`."""
        return Queue._of(self._portal, self._portal.call(self._inner.queue, name))

    def priority_queue(self, name: bytes) -> PriorityQueue:
        """Make a queue with priorities, whose items are taken at most once; see `PriorityQueue`."""
        return PriorityQueue._of(self._portal, self._portal.call(self._inner.priority_queue, name))

    def registration(
        self,
        service: bytes,
        address: str,
        *,
        metadata: object = None,
        instance: bytes | None = None,
        ttl: int = 10,
        timeout: float | None = 30,
        on_change: Callable[[RegistrationChange], object] | None = None,
    ) -> Registration:
        """Keep an instance of a service registered, in `with`; see `Registration`."""
        return Registration._of(
            self._portal,
            self._portal.call(
                self._inner.registration,
                service,
                address,
                metadata=metadata,
                instance=instance,
                ttl=ttl,
                timeout=timeout,
                on_change=posted(on_change),
            ),
        )

    def work_queue(self, name: bytes, *, attempts: int | None = None) -> WorkQueue:
        """Make a queue of jobs, each of which is done at least once; see `WorkQueue`."""
        return WorkQueue._of(
            self._portal, self._portal.call(self._inner.work_queue, name, attempts=attempts)
        )
