"""What etcd-sync has: its generated modules, and the asynchronous classes that they are made of."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["MODULES", "Kind", "kinds"]


@dataclass(frozen=True)
class Kind:
    """An asynchronous class, and how its synchronous sibling differs from the rule."""

    name: str
    source: str
    """The module that defines the asynchronous class."""
    public: str = ""
    """A class of etcd_client that derives from it, if etcd_client does not export it itself."""
    alias: str = ""
    """The name by which it is imported, if an argument hides the module etcd_client."""
    constructed: bool = False
    """Whether callers construct it; otherwise the methods of others return it."""
    opened: bool = False
    """Whether constructing it waits, as awaiting the asynchronous object does."""
    owner: bool = False
    """Whether constructing it makes the portal to the event loop."""
    awaited: bool = False
    """Whether the asynchronous object is awaited: a method that returns it waits for that."""
    copied: bool = False
    """Whether it is a dataclass with fields of classes that have siblings: its source is copied."""
    written: dict[str, str] = field(default_factory=dict)
    """The bodies of methods that are written by hand; the signature and docstring are made."""
    extra: str = ""
    """Members that the asynchronous class does not have."""
    attributes: dict[str, str] = field(default_factory=dict)
    """The types of attributes whose constructor does not say them."""
    bases: tuple[str, ...] = ()
    """Further base classes, from the standard library."""

    @property
    def qualified(self) -> str:
        return self.alias or f"etcd_client.{self.public or self.name}"


_KEYSPACE = "KeyspaceClient"
_NEXT = """\
try:
    return self._portal.run(self._inner.__anext__)
except StopAsyncIteration:
    raise StopIteration from None
"""
_ITERATOR = """
def __iter__(self) -> Iterator[{item}]:
    return self
"""
_STM = """\
if not callable(body):
    raise TypeError(f"body must be a function of a transaction, not {type(body).__name__}")
conversation = Conversation(self._portal)

async def run(t: etcd_client.STMTransaction) -> T:
    return await conversation.ask(body, STMTransaction._of(conversation.within, t))

return conversation.hold(
    self._inner.stm,
    run,
    isolation=isolation,
    prefetch=prefetch,
    max_txn_ops=max_txn_ops,
    timeout=timeout,
)
"""
_WAIT_FOR = """\
if not callable(predicate):
    raise TypeError(f"predicate must be callable, not {type(predicate).__name__}")
deadline = Deadline.of("timeout", timeout, monotonic)
while True:
    seen = self.revision
    result = predicate(self)
    if result:
        return result
    self._portal.run(self._inner.wait_for, partial(is_newer, seen), timeout=deadline.timeout())
"""
_CHANGES = """\
changes: Any = self._inner.changes
inner = self._portal.call(changes, initial=initial, on_overflow=on_overflow, buffer=buffer)
return CacheReader._of(self._portal, inner)
"""
_CACHE = """\
cache: Any = self._inner.cache
inner = self._portal.call(
    cache,
    key_prefix,
    decode=decode,
    on_undecodable=on_undecodable,
    page_bytes=page_bytes,
    timeout=timeout,
)
return Cache._of(self._portal, inner)
"""
_WORK = """\
if not callable(handler):
    raise TypeError(f"handler must be callable, not {type(handler).__name__}")

async def work(job: etcd_client.Job) -> None:
    claimed = Job._of(self._portal, job)
    await in_thread(handler, claimed, ending=claimed.ending)

self._portal.run(self._inner.work, work, ttl=ttl, tasks=tasks)
"""
_RUN = """\
if not callable(work):
    raise TypeError(f"work must be callable, not {type(work).__name__}")

async def run(part: etcd_client.Part) -> None:
    owned = Part._of(self._portal, part)
    await in_thread(work, owned, ending=owned.ending)

self._portal.run(self._inner.run, run)
"""
_ENDING = """
_ending: threading.Event | None = None

@property
def ending(self) -> threading.Event:
    \"\"\"Set when the work should end: {when}.\"\"\"
    if self._ending is None:
        self._ending = threading.Event()
    return self._ending
"""
_ADD_CALLBACK = """\
inner = self._portal.run(
    self._inner.add_callback,
    key,
    Callback(callback),
    range_end,
    start_revision,
    progress_notify,
    kind,
    prev_kv,
    watch_id,
    fragment,
)
return WatcherCallback._of(self._portal, inner)
"""

MODULES: dict[str, list[Kind]] = {
    "scan": [
        Kind(
            "Scan",
            "etcd_kv.scan",
            written={
                "__anext__": (
                    "if self._items is None:\n"
                    "    self._items = chain.from_iterable(self.pages())\n"
                    "try:\n"
                    "    return next(self._items)\n"
                    "except StopIteration:\n"
                    "    # It ends too when reading a page has raised: the pages know why.\n"
                    "    self._items = chain.from_iterable(self.pages())\n"
                    "    return next(self._items)\n"
                ),
                "pages": (
                    "if self._pages is None:\n"
                    "    self._pages = self._portal.iterate(self._inner.pages())\n"
                    "return self._pages\n"
                ),
                "aclose": (
                    "if self._pages is not None:\n"
                    "    self._pages.close()\n"
                    "self._portal.run(self._inner.aclose)\n"
                ),
            },
            extra="\n_items: Iterator[KeyValue] | None = None\n"
            "_pages: Iteration[KeyValues] | None = None\n" + _ITERATOR.format(item="KeyValue"),
        )
    ],
    "bulk": [Kind("Bulk", "etcd_kv.bulk", _KEYSPACE)],
    "scans": [Kind("Scans", "etcd_kv.scans", _KEYSPACE)],
    "stm": [
        Kind("STMTransaction", "etcd_kv.stm_transaction"),
        Kind("STM", "etcd_kv.stm", _KEYSPACE, written={"stm": _STM}),
    ],
    "kv": [Kind("KVClient", "etcd_kv.client", _KEYSPACE)],
    "watch": [
        Kind(
            "Watch",
            "etcd_watch.watch",
            awaited=True,
            written={"__anext__": _NEXT},
            extra=_ITERATOR.format(item="Event"),
        ),
        Kind("WatchClient", "etcd_watch.client", _KEYSPACE),
    ],
    "lease": [
        Kind("Lease", "etcd_lease.lease", alias="AsyncLease", constructed=True),
        Kind("LeaseClient", "etcd_lease.client", _KEYSPACE),
    ],
    "session": [Kind("Session", "etcd_lock.session", constructed=True, opened=True, awaited=True)],
    "queue_entry": [Kind("QueueEntry", "etcd_lock.queue_entry", constructed=True)],
    "lock": [Kind("Lock", "etcd_lock.lock", constructed=True, attributes={"uuid": "bytes"})],
    "mutex": [Kind("Mutex", "etcd_lock.mutex", constructed=True)],
    "multi_lock": [
        Kind(
            "MultiLock",
            "etcd_lock.multi_lock",
            constructed=True,
            attributes={"names": "tuple[bytes, ...]"},
        )
    ],
    "read_write_lock": [
        Kind("ReadLock", "etcd_lock.read_write_lock"),
        Kind("WriteLock", "etcd_lock.read_write_lock"),
        Kind("ReadWriteLock", "etcd_lock.read_write_lock", constructed=True),
    ],
    "semaphore": [
        Kind("Permit", "etcd_lock.semaphore"),
        Kind("Semaphore", "etcd_lock.semaphore", constructed=True),
    ],
    "election": [Kind("Election", "etcd_lock.election", constructed=True)],
    "locks": [
        Kind("LockClient", "etcd_lock.client", _KEYSPACE),
        Kind("ServerLockClient", "etcd_lock.server_side", _KEYSPACE),
    ],
    "auth": [Kind("AuthClient", "etcd_auth.client", "Client")],
    "members": [
        Kind("Member", "etcd_cluster.members"),
        Kind("ClusterClient", "etcd_cluster.cluster", "Client"),
    ],
    "maintenance": [
        Kind("Status", "etcd_cluster.results", copied=True),
        Kind("MemberStatus", "etcd_cluster.results", copied=True),
        Kind("Defragmentation", "etcd_cluster.results", copied=True),
        Kind("MaintenanceClient", "etcd_cluster.maintenance", "Client"),
    ],
    "barrier": [
        Kind("Barrier", "etcd_recipes.barrier", constructed=True),
        Kind("DoubleBarrier", "etcd_recipes.double_barrier", constructed=True),
    ],
    "counter": [
        Kind("Counter", "etcd_recipes.counter", constructed=True),
        Kind("CountDownLatch", "etcd_recipes.count_down_latch", constructed=True),
    ],
    "discovery": [
        Kind(
            "Registration",
            "etcd_recipes.registration",
            constructed=True,
            attributes={"endpoint": "Endpoint"},
        ),
        Kind("Discovery", "etcd_recipes.discovery", constructed=True),
    ],
    "group": [
        Kind("Membership", "etcd_recipes.group"),
        Kind("Group", "etcd_recipes.group", constructed=True),
    ],
    "partitioner": [
        Kind(
            "Part",
            "etcd_recipes.partitioner",
            extra=_ENDING.format(when="the part is given away, the session lost or `run` ended"),
        ),
        Kind(
            "Partitioner",
            "etcd_recipes.partitioner",
            constructed=True,
            attributes={"parts": "tuple[bytes, ...]"},
            written={"run": _RUN},
        ),
    ],
    "queue": [
        Kind("Queue", "etcd_recipes.queue", constructed=True),
        Kind("PriorityQueue", "etcd_recipes.queue", constructed=True),
    ],
    "work_queue": [
        Kind(
            "Job",
            "etcd_recipes.job",
            attributes={"value": "bytes", "attempt": "int"},
            extra=_ENDING.format(when="the claim is lost, or `WorkQueue.work` ends"),
        ),
        Kind(
            "WorkQueue",
            "etcd_recipes.work_queue",
            constructed=True,
            written={"work": _WORK},
        ),
    ],
    "recipes": [Kind("RecipeClient", "etcd_recipes.client", _KEYSPACE)],
    "cache": [
        Kind(
            "CacheReader",
            "etcd_cache.reader",
            written={"__anext__": _NEXT},
            bases=("Iterator[T]", "Generic[T]"),
            extra=_ITERATOR.format(item="T"),
        ),
        Kind(
            "Cache",
            "etcd_cache.cache",
            bases=("Generic[V]",),
            written={"changes": _CHANGES, "wait_for": _WAIT_FOR},
        ),
        Kind("CacheClient", "etcd_cache.client", _KEYSPACE, written={"cache": _CACHE}),
    ],
    "watcher": [
        Kind(
            "WatcherCallback",
            "etcd_watch.watcher",
            written={"callback": "return user_function(self._inner.callback)\n"},
        ),
        Kind(
            "Watcher",
            "etcd_watch.watcher",
            constructed=True,
            written={
                "add_callback": _ADD_CALLBACK,
                "shutdown": (
                    "self._portal.run(in_waiting_task, current_request(), self._inner.shutdown)\n"
                ),
            },
        ),
    ],
    "keyspace": [Kind("KeyspaceClient", "etcd_client.keyspace")],
    "client": [
        Kind(
            "Client",
            "etcd_client.client",
            constructed=True,
            owner=True,
            written={
                "coalescing": (
                    "return self._of(self._portal, self._portal.call(self._inner.coalescing))\n"
                ),
                "connect": (
                    "if self._owner:\n"
                    "    self._portal.reopen()\n"
                    "self._portal.run(self._inner.connect)\n"
                ),
                "close": "if self._owner:\n    self._portal.close()\n",
            },
            extra="\n_owner = False\n",
        )
    ],
}


def kinds() -> dict[tuple[str, str], tuple[str, Kind]]:
    """The module of etcd-sync and the row, by the module and name of the asynchronous class."""
    return {
        (kind.source, kind.name): (f"etcd_sync.{module}", kind)
        for module, rows in MODULES.items()
        for kind in rows
    }
