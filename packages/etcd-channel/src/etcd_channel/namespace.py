"""`NamespaceView`, a view of a channel on the keys with a prefix."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from google.protobuf.message import Message

from etcd_channel._key_edits import Edit, prefix_adder, prefix_remover
from etcd_channel.arguments import check_key
from etcd_channel.rpc import Rpc
from etcd_channel.view import ChannelLike, ChannelView

__all__ = ["NamespaceView", "key_prefix_of"]

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class NamespaceView(ChannelView):
    r"""Shows the keys that begin with `prefix` as if they were the whole store.

    The prefix is put before the keys in requests and taken away from those in responses, as the
    rows of the RPCs (`Rpc.keys`) say, so every service client works on the view. A range cannot
    reach outside: its end `b"\0"`, the end of all keys, becomes the end of the keys with the
    prefix. Of the keys of a lease, only those with the prefix are shown. RPCs whose row does not
    mention keys, such as those of members and users, raise a `ValueError`.

    It is an aid to programs that share a cluster, not a protection: leases, revisions and
    compactions are common to all namespaces, and the same connection can be used without the view.
    Roles limit what a user may read and write.
    """

    def __init__(self, inner: ChannelLike, prefix: bytes) -> None:
        super().__init__(inner)
        self._prefix = check_key("prefix", prefix)
        self._edits: dict[Rpc[Any, Any], _Edits] = {}

    @classmethod
    def of(cls, channel: ChannelLike, prefix: bytes) -> NamespaceView:
        """Return a view of `channel` with this prefix, which all its callers share.

        It is the same view while any of them has it or has a stream open on it. A namespace of a
        namespace is one view of the channel, with both prefixes.
        """
        prefix = check_key("prefix", prefix)
        while type(channel) is NamespaceView:
            prefix = channel.prefix + prefix
            channel = channel.inner
        views = channel.shared(_shared_views)
        view = views.get(prefix)
        if view is None:
            view = views[prefix] = NamespaceView(channel, prefix)
        return view

    @property
    def prefix(self) -> bytes:
        """The prefix that this view puts before keys; views below it may add another one."""
        return self._prefix

    def rpc_for(self, rpc: Rpc[RequestT, ResponseT]) -> Rpc[RequestT, ResponseT]:
        """Return the RPC with codecs that change the keys; it is used for streams."""
        edits = self._edits_of(rpc)
        if edits.request is None and edits.response is None:
            return rpc
        return rpc.edited(request=edits.request, response=edits.response)

    def call(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Coroutine[Any, Any, ResponseT]:
        """As `Channel.call`, within the namespace."""
        edits = self._edits.get(rpc) or self._edits_of(rpc)
        if edits.by_codec:
            return super().call(rpc, request, timeout=timeout, endpoint=endpoint)
        return self._call(edits, rpc, request, timeout, endpoint)

    async def _call(
        self,
        edits: _Edits,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        timeout: float | None,
        endpoint: str | None,
    ) -> ResponseT:
        response = await self._inner.call(
            rpc, edits.sent(rpc, request), timeout=timeout, endpoint=endpoint
        )
        if edits.response is not None:
            edits.response(response)
        return response

    def download(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> AsyncGenerator[ResponseT, None]:
        """As `Channel.download`, within the namespace."""
        edits = self._edits_of(rpc)
        if edits.by_codec:
            return super().download(rpc, request, timeout=timeout, endpoint=endpoint)
        return self._download(edits, rpc, request, timeout, endpoint)

    async def _download(
        self,
        edits: _Edits,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        timeout: float | None,
        endpoint: str | None,
    ) -> AsyncGenerator[ResponseT, None]:
        responses = self._inner.download(
            rpc, edits.sent(rpc, request), timeout=timeout, endpoint=endpoint
        )
        async with aclosing(responses):
            async for response in responses:
                if edits.response is not None:
                    edits.response(response)
                yield response

    def _edits_of(self, rpc: Rpc[Any, Any]) -> _Edits:
        edits = self._edits.get(rpc)
        if edits is None:
            edits = self._edits[rpc] = _Edits(rpc, self._prefix)
        return edits

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._inner!r}, {self._prefix!r})"


class _Edits:
    """How a namespace changes the messages of an RPC; None if it leaves them as they are."""

    def __init__(self, rpc: Rpc[Any, Any], prefix: bytes) -> None:
        keys = rpc.keys
        if keys is None:
            raise ValueError(
                f"{rpc.name} is not available in the namespace {prefix!r}:"
                " call it on a client of the whole store"
            )
        self.request: Edit | None = None
        self.response: Edit | None = None
        if keys.request is not None:
            self.request = prefix_adder(rpc.request, keys.request, prefix)
        if keys.response is not None:
            self.response = prefix_remover(rpc.response, keys.response, prefix)
        # Messages are changed before they reach the views below, which then see the real keys and
        # can recognize the RPC; it is also cheaper. Not if a view above has edited the RPC: its
        # edits take place when the message is encoded, and must come first.
        self.by_codec = (self.request is None and self.response is None) or not (
            rpc.encode == rpc.request.SerializeToString and rpc.decode == rpc.response.FromString
        )

    def sent(self, rpc: Rpc[RequestT, Any], request: RequestT) -> RequestT:
        """Return the request to send."""
        if type(request) is not rpc.request:
            raise rpc.wrong_request(request)
        if self.request is None:
            return request
        # The caller may send its request again.
        copy = rpc.request()
        copy.CopyFrom(request)
        self.request(copy)
        return copy


def key_prefix_of(channel: ChannelLike) -> bytes:
    """Return the prefix of all keys of `channel`; it is empty unless the channel is a namespace."""
    prefix = b""
    while isinstance(channel, ChannelView):
        if isinstance(channel, NamespaceView):
            prefix = channel.prefix + prefix
        channel = channel.inner
    return prefix


def _shared_views(channel: ChannelLike) -> WeakValueDictionary[bytes, NamespaceView]:
    return WeakValueDictionary()
