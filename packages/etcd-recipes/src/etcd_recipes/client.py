"""The base class of clients with recipes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from etcd_channel import Service
from etcd_recipes.barrier import Barrier
from etcd_recipes.count_down_latch import CountDownLatch
from etcd_recipes.counter import Counter
from etcd_recipes.discovery import Discovery
from etcd_recipes.group import Group
from etcd_recipes.partitioner import Partitioner
from etcd_recipes.queue import PriorityQueue, Queue
from etcd_recipes.registration import Registration, RegistrationChange
from etcd_recipes.work_queue import WorkQueue

__all__ = ["RecipeClient"]


class RecipeClient(Service):
    """Makes barriers, queues, counters and other recipes on a channel; nothing is sent before use.

    Each of them can also be made by its class, with any client or channel as the first argument.
    """

    def barrier(self, name: bytes) -> Barrier:
        """Make a barrier, which is closed and opened by any client; see `Barrier`."""
        return Barrier(self, name)

    def count_down_latch(self, name: bytes, count: int) -> CountDownLatch:
        """Make a latch that opens after `count` parts; see `CountDownLatch`."""
        return CountDownLatch(self, name, count)

    def counter(self, key: bytes) -> Counter:
        """Make a counter on a key; see `Counter`."""
        return Counter(self, key)

    def discovery(self, service: bytes, *, timeout: float | None = 30) -> Discovery:
        """Follow the endpoints of a service, in `async with`; see `Discovery`."""
        return Discovery(self, service, timeout=timeout)

    def group(self, name: bytes) -> Group:
        """Make a group, whose members can be read and followed; see `Group`."""
        return Group(self, name)

    def partitioner(self, name: bytes, parts: Iterable[bytes], *, ttl: int = 30) -> Partitioner:
        """Make a member of those that divide a set of parts; see `Partitioner`."""
        return Partitioner(self, name, parts, ttl=ttl)

    def queue(self, name: bytes) -> Queue:
        """Make a queue whose items are taken at most once; see `Queue`."""
        return Queue(self, name)

    def priority_queue(self, name: bytes) -> PriorityQueue:
        """Make a queue with priorities, whose items are taken at most once; see `PriorityQueue`."""
        return PriorityQueue(self, name)

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
        """Keep an instance of a service registered, in `async with`; see `Registration`."""
        return Registration(
            self,
            service,
            address,
            metadata=metadata,
            instance=instance,
            ttl=ttl,
            timeout=timeout,
            on_change=on_change,
        )

    def work_queue(self, name: bytes, *, attempts: int | None = None) -> WorkQueue:
        """Make a queue of jobs, each of which is done at least once; see `WorkQueue`."""
        return WorkQueue(self, name, attempts=attempts)
