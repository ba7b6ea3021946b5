"""`WatcherCallback` and `Watcher` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import etcd_client
from etcd_client import Event, EventKind
from etcd_sync._handle import Handle, Service, inner_of
from etcd_sync._request import current_request, in_waiting_task
from etcd_sync._worker import Callback, user_function

__all__ = ["Watcher", "WatcherCallback"]


class WatcherCallback(Handle):
    """A callback and the watch whose events it receives."""

    _inner: etcd_client.WatcherCallback

    @property
    def callback(self) -> Callable[[Event | Exception], Any]:
        """Called with each event, and with the error if one ends the watch."""
        return user_function(self._inner.callback)

    @property
    def watch_id(self) -> int | None:
        """The ID of the watch; None before the server has created it."""
        return self._inner.watch_id

    @property
    def prev_kv(self) -> bool:
        """Whether events have the previous key-value pair."""
        return self._inner.prev_kv

    @property
    def error(self) -> Exception | None:
        """The error that ended the watch; None while it is active, and after `cancel`."""
        return self._inner.error


class Watcher(Handle):
    """Watches keys and ranges, and calls callbacks with their events.

    `watchstub` is a client. The creation of a watch may take `timeout` seconds, None means the
    client's timeout. `metadata` is a sequence of (str, str) pairs that is sent when a stream is
    opened.

    Each callback has a thread of its own, so that a slow callback does not delay the others, and
    may use the client. An exception that it raises is logged. `shutdown` ends all watches and waits
    for all callbacks; callbacks may be added again after it.
    """

    _inner: etcd_client.Watcher

    def __init__(
        self,
        watchstub: Service,
        timeout: float | None = None,
        metadata: Sequence[tuple[str, str]] | None = None,
    ) -> None:
        inner_watchstub = inner_of("watchstub", watchstub, Service)
        super().__init__(
            watchstub._portal,
            watchstub._portal.call(etcd_client.Watcher, inner_watchstub, timeout, metadata),
        )

    def setup(self) -> None:
        """Do nothing: the first callback opens the stream."""
        self._portal.run(self._inner.setup)

    def shutdown(self) -> None:
        """End all watches, and wait until the last callback has returned.

        A callback may call it, and is not waited for. An `add_callback` that is in progress raises
        `ClientClosedError`. On interruption the watches still end, but the callbacks are not waited
        for.
        """
        self._portal.run(in_waiting_task, current_request(), self._inner.shutdown)

    def add_callback(
        self,
        key: bytes,
        callback: Callable[[Event | Exception], Any],
        range_end: bytes | None = None,
        start_revision: int | None = None,
        progress_notify: bool = False,
        kind: EventKind | None = None,
        prev_kv: bool = False,
        watch_id: int | None = None,
        fragment: bool = False,
    ) -> WatcherCallback:
        """Watch a key or a range, and call `callback` with each event.

        Returns when the server has created the watch. The other arguments are those of
        `WatchClient`. If an error ends the watch, the last call of the callback gets it.
        """
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

    def cancel(self, watch_id: int) -> None:
        """End the watch with this ID; does nothing if there is none."""
        self._portal.run(self._inner.cancel, watch_id)
