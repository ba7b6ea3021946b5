"""A model of etcd's watch service and of the stream to it, without a server and without time.

The model does what etcd does, in an order that the test chooses: a request waits until it is
processed, an event until it is sent, a response until it arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from etcd_channel import ClientError, ConnectionFailedError, Observer, WrongEventLoopError
from etcd_channel.stream import StreamHandler
from etcd_watch._streams import WatchStream
from etcd_watch.pb import watch_pb2 as pb

__all__ = ["ModelChannel", "ModelServer", "ModelStream", "event", "make_stream", "response"]

BREAK = ConnectionFailedError("the connection broke")


def event(revision: int, index: int = 0) -> pb.Event:
    """An event whose value is its revision and index."""
    made = pb.Event(type=pb.Event.PUT)
    made.kv.key = b"k%d" % index
    made.kv.value = b"%d.%d" % (revision, index)
    made.kv.mod_revision = revision
    return made


def response(
    number: int, events: Iterable[pb.Event] = (), *, revision: int = 0, **fields: Any
) -> pb.WatchResponse:
    """A response for a watch, from a store at `revision`."""
    made = pb.WatchResponse(watch_id=number, events=events, **fields)
    made.header.revision = revision or max(
        (each.kv.mod_revision for each in made.events), default=0
    )
    return made


class ModelStream:
    """Takes the place of `etcd_channel.Stream`."""

    def __init__(self, handler: StreamHandler[pb.WatchRequest, pb.WatchResponse]) -> None:
        self.handler = handler
        self.is_open = False
        self.demanded: ClientError | None = None
        self.stopped = False
        self.ended = False
        self.requests: deque[pb.WatchRequest] = deque()
        self.response_bytes = 0
        self.is_through_grpc_proxy = False

    def send(self, request: pb.WatchRequest) -> None:
        if self.is_open:
            self.requests.append(request)

    def reopen(self, error: ClientError) -> None:
        if self.is_open:
            self.demanded = self.demanded or error

    def stop(self) -> None:
        self.stopped = True

    def open(self) -> None:
        self.is_open = True
        self.demanded = None
        self.requests = deque(self.handler.opened())

    def break_(self, error: ClientError = BREAK) -> None:
        self.is_open = False
        self.requests.clear()
        self.handler.broken(self.demanded or error)

    def end(self, error: ClientError) -> None:
        self.is_open = False
        self.ended = True
        self.handler.ended(error)

    def answer(self, *responses: pb.WatchResponse) -> None:
        for each in responses:
            self.response_bytes = each.ByteSize()
            self.handler.received(each)

    # The requests, for tests that answer by hand.

    def created(self) -> list[pb.WatchCreateRequest]:
        """Take the creations that were requested since the last call; drop other requests."""
        taken = [each.create_request for each in self.requests if each.HasField("create_request")]
        self.requests.clear()
        return taken

    def canceled(self) -> list[int]:
        """Take the IDs that were canceled since the last call; drop other requests."""
        taken = [
            each.cancel_request.watch_id
            for each in self.requests
            if each.HasField("cancel_request")
        ]
        self.requests.clear()
        return taken


class ModelChannel:
    """Takes the place of `etcd_channel.Channel`."""

    def __init__(self, username: str | None = None) -> None:
        self.username = username
        self.timeout = 2.0
        self.observer = Observer()
        self.streams: list[ModelStream] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def check_usable(self) -> None:
        if self._loop is not asyncio.get_running_loop():
            raise WrongEventLoopError("the channel belongs to another event loop")

    def stream(self, rpc: object, handler: Any, *, metadata: Sequence[Any] = ()) -> Any:
        with contextlib.suppress(RuntimeError):  # what is all synchronous has no loop
            self._loop = asyncio.get_running_loop()
        stream = ModelStream(handler)
        self.streams.append(stream)
        return stream


def make_stream(
    *, username: str | None = None, on_empty: Callable[[WatchStream], None] = lambda _: None
) -> tuple[WatchStream, ModelStream]:
    """A watch stream, and the open model stream under it."""
    channel: Any = ModelChannel(username)
    watches = WatchStream(channel, (), itertools.count(1000), on_empty)
    stream: ModelStream = channel.streams[0]
    stream.open()
    return watches, stream


class _Watcher:
    def __init__(self, create: pb.WatchCreateRequest, next_revision: int) -> None:
        self.number = create.watch_id
        self.fragment = create.fragment
        self.next_revision = next_revision


class ModelServer:
    """The server's side: its history, and its handling of the requests of one stream.

    As in etcd (server/etcdserver/api/v3rpc/watch.go), what is told to watchers and what is
    answered to requests goes by two queues, which are read in no certain order; events
    for a number that is not announced wait until it is.
    """

    def __init__(self, stream: ModelStream) -> None:
        self.stream = stream
        self.history: dict[int, list[pb.Event]] = {}
        """The events of each revision; none for a revision outside the watched range."""
        self.last_revision = 1
        self.behind = 0
        """The number of revisions by which the serving member lags behind."""
        self.watchers: dict[int, _Watcher] = {}
        self._answers: deque[pb.WatchResponse] = deque()
        self._events: deque[pb.WatchResponse] = deque()
        self._announced: set[int] = set()
        self._pending: list[pb.WatchResponse] = []

    @property
    def revision(self) -> int:
        """The last revision that the serving member has."""
        return max(self.last_revision - self.behind, 1)

    def put(self, count: int) -> None:
        """Commit a revision of `count` events in the watched range."""
        self.last_revision = revision = self.last_revision + 1
        self.history[revision] = [event(revision, index) for index in range(count)]

    def forget_all(self) -> None:
        """Drop everything in flight: the stream is gone."""
        self.watchers.clear()
        self._answers.clear()
        self._events.clear()
        self._announced.clear()
        self._pending.clear()

    def process(self) -> bool:
        """Process the next request; False if there is none."""
        if not self.stream.requests:
            return False
        request = self.stream.requests.popleft()
        if request.HasField("create_request"):
            create = request.create_request
            start = create.start_revision or self.revision + 1
            self.watchers[create.watch_id] = _Watcher(create, start)
            self._answers.append(response(create.watch_id, created=True, revision=self.revision))
        elif request.HasField("cancel_request"):
            number = request.cancel_request.watch_id
            if self.watchers.pop(number, None) is not None:
                self._answers.append(response(number, canceled=True, revision=self.revision))
        elif all(each.next_revision > self.revision for each in self.watchers.values()):
            self._events.append(response(-1, revision=self.revision))
        return True

    def sync(self, number: int, revisions: int, pieces: Iterable[int]) -> None:
        """Send a watcher its next revisions, in fragments of the given sizes if it allows them."""
        watcher = self.watchers[number]
        first = watcher.next_revision
        last = min(first + revisions - 1, self.revision)
        if last < first:
            return
        watcher.next_revision = last + 1
        events = [
            each for revision in range(first, last + 1) for each in self.history.get(revision, [])
        ]
        sizes = iter(pieces if watcher.fragment else ())
        while events:
            size = next(sizes, len(events))
            part, events = events[:size], events[size:]
            more = bool(events)
            self._events.append(response(number, part, fragment=more, revision=self.revision))

    def notify(self, number: int) -> None:
        """Send the progress of a watcher if it is synced."""
        if self.watchers[number].next_revision > self.revision:
            self._events.append(response(number, revision=self.revision))

    def travel_back(self, number: int, back: int) -> None:
        """Send events from before a watcher's position, as restored members do."""
        position = self.watchers[number].next_revision
        events = [
            each
            for revision in range(max(position - 1 - back, 2), min(position, self.revision + 1))
            for each in self.history[revision]
        ]
        if events:
            self._events.append(response(number, events, revision=events[-1].kv.mod_revision))

    def deliver(self, *, answers_first: bool) -> bool:
        """Deliver the oldest response of one queue, or of the other; False if there is none."""
        if not self.stream.is_open or self.stream.demanded:
            return False
        if self._answers and (answers_first or not self._events):
            answer = self._answers.popleft()
            self._arrive(answer)
            if answer.created:
                self._announced.add(answer.watch_id)
                waiting, self._pending = self._pending, []
                for each in waiting:
                    self._tell(each)
            else:
                self._announced.discard(answer.watch_id)
        elif self._events:
            self._tell(self._events.popleft())
        else:
            return False
        return True

    def _tell(self, message: pb.WatchResponse) -> None:
        if message.watch_id == -1 or message.watch_id in self._announced:
            self._arrive(message)
        else:
            self._pending.append(message)

    def _arrive(self, message: pb.WatchResponse) -> None:
        # Serialized and parsed: the received message is another object.
        self.stream.answer(pb.WatchResponse.FromString(message.SerializeToString()))
