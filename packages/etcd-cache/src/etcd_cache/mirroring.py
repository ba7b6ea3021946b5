"""`mirror` copies a prefix into another prefix or cluster, and keeps the copy in step."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import groupby

from etcd_channel import ChannelLike, ChannelView, KeyValue, Service, channel_of
from etcd_channel.arguments import check_bytes, check_key
from etcd_channel.errors import PreconditionFailedError, RevisionCompactedError
from etcd_channel.namespace import key_prefix_of
from etcd_kv import KVClient, Operation
from etcd_watch import (
    ClusterChangedError,
    Event,
    EventKind,
    Watch,
    WatchClient,
    WatchResponse,
)

__all__ = ["MirrorStep", "mirror"]

# The server's limits are 128 operations and 1.5 MiB. One operation is the checkpoint, and each has
# a few bytes beyond its key and value.
_MAX_OPERATIONS = 120
_MAX_BYTES = 1024 * 1024
# The changes of one revision stay together up to this size: etcd takes requests of 1.5 MiB.
_MAX_BYTES_OF_REVISION = 1_500_000
# What a change has beside its key and value.
_FRAME = 32


@dataclass(frozen=True, slots=True)
class MirrorStep:
    """What `mirror` has done in one transaction."""

    revision: int
    """The copy has everything of the source up to this revision; 0 until the first list is
    copied."""
    changes: int
    """How many keys were put or deleted."""
    from_list: bool
    """Whether they are differences to a list of all keys, and not events."""


def mirror(
    source: ChannelLike | Service,
    source_prefix: bytes,
    target: ChannelLike | Service,
    target_prefix: bytes,
    *,
    checkpoint: bytes,
) -> AsyncGenerator[MirrorStep, None]:
    """Copy the keys with `source_prefix` to keys with `target_prefix`, and keep them in step.

    `source` and `target` are clients, which may be of one cluster or of two. The generator never
    ends by itself; it yields a step after each transaction on the target. An empty prefix means all
    keys. Keys with `target_prefix` that are not in the source are deleted. Values are copied, and
    leases are not: a key that ends with its lease in the source is deleted then.

    `checkpoint` is a key of the target, outside of `target_prefix`. Each transaction sets it to the
    revision of the source that the copy has, so a later call continues from there. If the events
    since then were compacted, or the source is another cluster than before, all keys are compared,
    and the differences are copied. The changes of one revision of the source are made at one
    revision of the target, unless they are more than 120 keys or 1.5 MB, or come from a comparison.

    The watch of the source survives breaks. Any other failed call raises its `ClientError`; call
    `mirror` again then. No change is made twice, except that an interrupted revision of more than
    120 keys or 1.5 MB is written again, and none that was sent before an error is made after a
    later one, because each transaction compares the checkpoint. So of two mirrors with one
    checkpoint, one raises `PreconditionFailedError`. Raises `ValueError` for prefixes on one
    channel that overlap, also in namespaces, because the copy would be copied.
    """
    reader, writer = channel_of(source, "source"), channel_of(target, "target")
    check_bytes("source_prefix", source_prefix)
    check_bytes("target_prefix", target_prefix)
    check_key("checkpoint", checkpoint)
    if checkpoint.startswith(target_prefix):
        raise ValueError("checkpoint must not begin with target_prefix: it would be deleted")
    here, there = key_prefix_of(reader) + source_prefix, key_prefix_of(writer)
    if _base_of(reader) is _base_of(writer) and (
        here.startswith(there + target_prefix)
        or (there + target_prefix).startswith(here)
        or (there + checkpoint).startswith(here)
    ):
        raise ValueError("target_prefix and checkpoint must be outside of source_prefix")
    return _Mirror(reader, source_prefix, writer, target_prefix, checkpoint).steps()


def _base_of(channel: ChannelLike) -> ChannelLike:
    """Return the channel below all views."""
    while isinstance(channel, ChannelView):
        channel = channel.inner
    return channel


class _Mirror:
    def __init__(
        self,
        reader: ChannelLike,
        source_prefix: bytes,
        writer: ChannelLike,
        target_prefix: bytes,
        checkpoint: bytes,
    ) -> None:
        self._source = KVClient(reader)
        self._watches = WatchClient(reader)
        self._target = KVClient(writer)
        self._source_prefix = source_prefix
        self._target_prefix = target_prefix
        self._checkpoint = checkpoint
        # The revision of the target at which the checkpoint was set last; 0 if there is none.
        self._guard = 0
        self._cluster = 0

    async def steps(self) -> AsyncGenerator[MirrorStep, None]:
        newest = await self._look_at_source()
        found = await self._target.get(self._checkpoint)
        self._guard = 0 if found is None else found.mod_revision
        revision = 0 if found is None else _revision_in(found.value, self._cluster)
        if revision > newest:
            revision = 0  # the source was restored from a snapshot
        while True:
            if not revision:
                async with aclosing(self._compared()) as compared:
                    async for step in compared:
                        revision = step.revision
                        yield step
            async with aclosing(self._followed(revision)) as followed:
                async for step in followed:
                    yield step
            # The events are gone.
            await self._look_at_source()
            revision = 0

    async def _look_at_source(self) -> int:
        """Note the cluster of the source, and return its revision."""
        found = await self._source.get_prefix(self._source_prefix, count_only=True)
        self._cluster = found.header.cluster_id
        return found.header.revision

    async def _compared(self) -> AsyncGenerator[MirrorStep, None]:
        """Copy the differences between all keys of both sides."""
        here = self._source.scan_prefix(self._source_prefix)
        there = self._target.scan_prefix(self._target_prefix)
        async with here, there:
            batch: list[Operation] = []
            size = 0
            async for key, value in _differences(
                aiter(here), len(self._source_prefix), aiter(there), len(self._target_prefix)
            ):
                more = len(key) + len(value or b"")
                if len(batch) >= _MAX_OPERATIONS or (batch and size + more > _MAX_BYTES):
                    yield await self._commit(batch, 0, from_list=True)
                    batch, size = [], 0
                batch.append(self._operation(key, value))
                size += more
        revision = here.revision
        assert revision is not None
        yield await self._commit(batch, revision, from_list=True)

    async def _followed(self, revision: int) -> AsyncGenerator[MirrorStep, None]:
        """Copy the events after a revision; end when they are gone."""
        watch = self._watches.watch_prefix(
            self._source_prefix, start_revision=revision + 1, progress_notify=True
        )
        async with aclosing(_responses(watch)) as responses:
            async for response in responses:
                if response.is_progress and response.header.revision > revision:
                    # So that the checkpoint of a quiet prefix is not compacted.
                    revision = response.header.revision
                    yield await self._commit([], revision, from_list=False)
                for events, whole in _batches(response.events, len(self._target_prefix) + _FRAME):
                    changes = [self._operation_of(event) for event in events]
                    if whole:
                        revision = events[-1].kv.mod_revision
                    yield await self._commit(changes, revision, from_list=False)

    def _operation_of(self, event: Event) -> Operation:
        key = event.kv.key[len(self._source_prefix) :]
        return self._operation(key, event.kv.value if event.kind is EventKind.PUT else None)

    def _operation(self, key: bytes, value: bytes | None) -> Operation:
        """Return the operation that sets a key, or deletes it for None; without the prefix."""
        ops = self._target.transactions
        key = self._target_prefix + key
        return ops.delete(key) if value is None else ops.put(key, value)

    async def _commit(
        self, changes: Sequence[Operation], revision: int, *, from_list: bool
    ) -> MirrorStep:
        ops = self._target.transactions
        told = b"%x %d" % (self._cluster, revision)
        result = await self._target.transaction(
            [ops.mod(self._checkpoint) == self._guard], [*changes, ops.put(self._checkpoint, told)]
        )
        if not result.succeeded:
            raise PreconditionFailedError(
                f"the checkpoint {self._checkpoint!r} was changed by another mirror",
                definite=True,
            )
        self._guard = result.revision
        return MirrorStep(revision, len(changes), from_list)


async def _responses(watch: Watch) -> AsyncGenerator[WatchResponse, None]:
    """Iterate over the responses of a watch; end when the events after the last one are gone."""
    try:
        async with watch, aclosing(watch.responses()) as responses:
            async for response in responses:
                yield response
    except (RevisionCompactedError, ClusterChangedError):
        return


def _revision_in(checkpoint: bytes, cluster: int) -> int:
    """Return the revision of a checkpoint; 0 if it is of another cluster or cannot be read."""
    parts = checkpoint.split()
    if len(parts) == 2 and parts[0] == b"%x" % cluster and parts[1].isdigit():
        return int(parts[1])
    return 0


async def _differences(
    left: AsyncIterator[KeyValue], left_size: int, right: AsyncIterator[KeyValue], right_size: int
) -> AsyncGenerator[tuple[bytes, bytes | None], None]:
    """Compare two scans, whose keys have prefixes of these sizes.

    Yields what makes the right side equal to the left one: a key with its value, or with None if it
    is to be deleted; without the prefix.
    """
    wanted, present = await anext(left, None), await anext(right, None)
    while wanted is not None or present is not None:
        key = None if wanted is None else wanted.key[left_size:]
        other = None if present is None else present.key[right_size:]
        if wanted is None or key is None or (other is not None and other < key):
            assert other is not None
            yield other, None
            present = await anext(right, None)
            continue
        if present is None or other != key or present.value != wanted.value:
            yield key, wanted.value
        if other == key:
            present = await anext(right, None)
        wanted = await anext(left, None)


def _batches(events: Iterable[Event], extra: int) -> Iterable[tuple[list[Event], bool]]:
    """Divide events into those of one transaction, which change each key once.

    Whole revisions stay together as far as the limits allow; False is yielded with a part of a
    revision that is not its end. Each event takes `extra` bytes beside its key and value.
    """

    def size_of(event: Event) -> int:
        return len(event.kv.key) + len(event.kv.value) + extra

    batch: list[Event] = []
    keys: set[bytes] = set()
    size = 0
    for _, group in groupby(events, key=lambda event: event.kv.mod_revision):
        one = list(group)
        more = sum(map(size_of, one))
        fits = len(batch) + len(one) <= _MAX_OPERATIONS and size + more <= _MAX_BYTES
        if batch and not (fits and keys.isdisjoint(event.kv.key for event in one)):
            yield batch, True
            batch, keys, size = [], set(), 0
        if len(one) > _MAX_OPERATIONS or more > _MAX_BYTES_OF_REVISION:
            part: list[Event] = []
            for event in one:
                size_with = sum(map(size_of, [*part, event]))
                if part and (len(part) >= _MAX_OPERATIONS or size_with > _MAX_BYTES):
                    yield part, False
                    part = []
                part.append(event)
            yield part, True
            continue
        batch += one
        keys.update(event.kv.key for event in one)
        size += more
    if batch:
        yield batch, True
