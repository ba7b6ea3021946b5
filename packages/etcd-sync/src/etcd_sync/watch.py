"""`Watch` and `WatchClient` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

import etcd_client
from etcd_client import Event, EventKind, WatchResponse
from etcd_sync._handle import Handle, Service
from etcd_sync._iteration import Iteration

__all__ = ["Watch", "WatchClient"]


class Watch(Handle):
    """The events of a key or a range, in order, each once.

    `WatchClient.watch` and `watch_prefix` return one. Each of these lines creates it on the server,
    and waits for that: every later change is an event.

        watch = client.watch(key)
        with client.watch(key) as watch: ...
        for event in client.watch(key): ...

    It survives every break of the connection, on another member if necessary, without a lost or
    repeated event. A watch with a slow reader is parked: it is canceled on the server when unread
    events take `buffer_bytes` of memory, and created again from the same position when half of them
    are read. An error that ends the watch is raised after the events before it:
    `RevisionCompactedError` if the revision of the next event was compacted, `ClusterChangedError`
    if the endpoints serve another cluster after a break, `PermissionDeniedError`,
    `ClientClosedError`, or the error for the server's reason.

    `cancel`, leaving the `with`, and dropping the last reference cancel the watch on the server
    too.

    Interrupting a thread that waits for an event loses no event, and the watch continues. Several
    threads may read one watch: each event goes to one of them.
    """

    _inner: etcd_client.Watch

    @property
    def watch_id(self) -> int:
        """The ID of the watch at its first creation on the server; 0 before."""
        return self._inner.watch_id

    @property
    def start_revision(self) -> int:
        """The revision that the watch started at, even if it started at "now"; 0 before."""
        return self._inner.start_revision

    def __enter__(self) -> Watch:
        _ = self._portal.enter(self._inner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.exit(self._inner, kind, error, trace)

    def __next__(self) -> Event:
        try:
            return self._portal.run(self._inner.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def responses(self) -> Iteration[WatchResponse]:
        """Iterate over the server's responses, each with whole revisions.

        They include progress responses if `progress_notify` or `request_progress` asked for them;
        only the latest unread one is kept. The responses and the events of a watch come from the
        same queue.
        """
        return self._portal.iterate(self._inner.responses())

    def request_progress(self) -> None:
        """Ask the server for the progress of the watch; the answer is one of its `responses`.

        All events up to the revision of the answer were sent. Returns when the watch is created and
        the request is sent, without waiting for the answer; the request is repeated until it is
        answered. Servers before 3.4.25 and 3.5.8 may answer a little early. Later servers answer
        only when all watches of the stream have caught up, and servers since 3.4.38 and 3.5.22 only
        when the store has reached the positions of all of them: without writes, the answer may come
        with the next write. A missing answer does not mean that the connection is broken.
        """
        self._portal.run(self._inner.request_progress)

    def cancel(self) -> None:
        """End the watch: no event comes after this, and it is canceled on the server."""
        self._portal.run(self._inner.cancel)

    def __iter__(self) -> Iterator[Event]:
        return self


class WatchClient(Service):
    r"""etcd's watch service.

    The methods share these arguments. `range_end` is the end of the range to watch, exclusive: None
    watches the one key, `b"\0"` means the end of all keys. `start_revision` is the first revision
    to watch, inclusive; None or 0 starts after the creation of the watch. With `progress_notify`
    the server sends progress responses while there are no events, see `Watch.responses`. `kind` is
    the only kind of event that the server sends, None means both. `prev_kv` adds the previous
    key-value pair to each event. `watch_id` is the ID of the watch on the server; an ID that is in
    use is refused. `fragment` lets the server split large responses; they are put together again
    here.

    `buffer_bytes` limits the memory of unread events, in estimated bytes: beyond it the watch is
    parked, see `Watch`. None means 8 MiB. The buffer may exceed the limit by one response, and a
    response with past events has up to a thousand revisions unless `fragment` is set. Many watches
    are spread over several streams. Invalid arguments raise `TypeError` or `ValueError`.
    """

    _inner: etcd_client.KeyspaceClient

    def watch(
        self,
        key: bytes,
        range_end: bytes | None = None,
        start_revision: int | None = None,
        progress_notify: bool = False,
        kind: EventKind | None = None,
        prev_kv: bool = False,
        watch_id: int | None = None,
        fragment: bool = False,
        *,
        buffer_bytes: int | None = None,
        timeout: float | None = None,
    ) -> Watch:
        """Watch a key, or a range of keys.

        It is created on the server before this returns. That may take `timeout` seconds, None means
        the client's timeout; after that `WatchTimeoutError` is raised. There is no timeout for
        events.
        """
        return Watch._of(
            self._portal,
            self._portal.run(
                self._inner.watch,
                key,
                range_end,
                start_revision,
                progress_notify,
                kind,
                prev_kv,
                watch_id,
                fragment,
                buffer_bytes=buffer_bytes,
                timeout=timeout,
            ),
        )

    def watch_prefix(
        self,
        key_prefix: bytes,
        range_end: bytes | None = None,
        start_revision: int | None = None,
        progress_notify: bool = False,
        kind: EventKind | None = None,
        prev_kv: bool = False,
        watch_id: int | None = None,
        fragment: bool = False,
        *,
        buffer_bytes: int | None = None,
        timeout: float | None = None,
    ) -> Watch:
        """Watch all keys that begin with `key_prefix`; the empty prefix matches every key.

        `range_end` replaces the end of the range. Otherwise like `watch`.
        """
        return Watch._of(
            self._portal,
            self._portal.run(
                self._inner.watch_prefix,
                key_prefix,
                range_end,
                start_revision,
                progress_notify,
                kind,
                prev_kv,
                watch_id,
                fragment,
                buffer_bytes=buffer_bytes,
                timeout=timeout,
            ),
        )

    def watch_once(
        self,
        key: bytes,
        timeout: float | None = None,
        range_end: bytes | None = None,
        start_revision: int | None = None,
        progress_notify: bool = False,
        kind: EventKind | None = None,
        prev_kv: bool = False,
        watch_id: int | None = None,
        fragment: bool = False,
    ) -> Event:
        """Wait for one event of a key, or of a range of keys, and return it.

        Raises `WatchTimeoutError` if no event comes within `timeout` seconds; None waits without
        limit. With 0 or less it waits until the server has created the watch, and returns an event
        only if the server sent it right away. The watch is always canceled on the server, also on
        error and interruption.
        """
        return self._portal.run(
            self._inner.watch_once,
            key,
            timeout,
            range_end,
            start_revision,
            progress_notify,
            kind,
            prev_kv,
            watch_id,
            fragment,
        )

    def watch_prefix_once(
        self,
        key_prefix: bytes,
        timeout: float | None = None,
        range_end: bytes | None = None,
        start_revision: int | None = None,
        progress_notify: bool = False,
        kind: EventKind | None = None,
        prev_kv: bool = False,
        watch_id: int | None = None,
        fragment: bool = False,
    ) -> Event:
        """Wait for one event of the keys that begin with `key_prefix`, like `watch_once`."""
        return self._portal.run(
            self._inner.watch_prefix_once,
            key_prefix,
            timeout,
            range_end,
            start_revision,
            progress_notify,
            kind,
            prev_kv,
            watch_id,
            fragment,
        )
