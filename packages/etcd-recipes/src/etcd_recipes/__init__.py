"""Barriers, queues, counters, groups, service discovery and partitions on etcd for asyncio.

from etcd_channel import Channel
from etcd_recipes import RecipeClient

async with Channel("localhost:2379") as channel:
    counter = RecipeClient(channel).counter(b"visits")
    print(await counter.add(1))
"""

import logging

from etcd_recipes.barrier import Barrier
from etcd_recipes.client import RecipeClient
from etcd_recipes.count_down_latch import CountDownLatch
from etcd_recipes.counter import Counter
from etcd_recipes.discovery import Discovery
from etcd_recipes.double_barrier import DoubleBarrier
from etcd_recipes.endpoint import Endpoint
from etcd_recipes.errors import ClaimLostError, CounterTimeoutError
from etcd_recipes.group import Group, Membership
from etcd_recipes.job import Job
from etcd_recipes.partitioner import Part, Partitioner
from etcd_recipes.queue import PriorityQueue, Queue
from etcd_recipes.registration import Registration, RegistrationChange
from etcd_recipes.work_queue import WorkQueue

# A library writes nothing to stderr; a program that wants the warnings adds a handler.
logging.getLogger("etcd_recipes").addHandler(logging.NullHandler())

__version__ = "0.1.0"

__all__ = [
    "Barrier",
    "ClaimLostError",
    "CountDownLatch",
    "Counter",
    "CounterTimeoutError",
    "Discovery",
    "DoubleBarrier",
    "Endpoint",
    "Group",
    "Job",
    "Membership",
    "Part",
    "Partitioner",
    "PriorityQueue",
    "Queue",
    "RecipeClient",
    "Registration",
    "RegistrationChange",
    "WorkQueue",
]
