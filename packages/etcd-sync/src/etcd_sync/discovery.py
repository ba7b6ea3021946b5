"""`Registration` and `Discovery` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

import etcd_client
from etcd_client import Endpoint, RegistrationChange
from etcd_sync._handle import Handle, Service, inner_of
from etcd_sync._iteration import Iteration
from etcd_sync._worker import posted

__all__ = ["Discovery", "Registration"]


class Registration(Handle):
    """A key with the address of a service's instance, which is there as long as the program is.

    The key is `<service>/<instance>` with a lease of `ttl` seconds, and its value the JSON of
    `naming/endpoints` of etcd's Go client, so its resolver for gRPC finds the instance. `instance`
    None means the address. `metadata` is anything that JSON can hold.

    `with` registers, and removes the key at the end. It raises `ConnectionTimeoutError` if that
    takes longer than `timeout` seconds, None without limit; nothing is left then.

    Guaranteed: while the program runs and reaches etcd, the key is there. It comes back by itself
    after the loss of its lease, a deletion of the key, and an outage of any length. `on_change` is
    called with a `RegistrationChange` when the key is lost and when it is back, in a thread of its
    own, where it may use the client; an error of it is logged. If the program dies, the key ends
    with the lease. Not guaranteed: that a gap is noticed at once. A lease that was ended on the
    server is noticed with its key; an outage after `ttl` seconds. If another program registers the
    same instance, the last one to come has the key, and this one comes back when that key is gone.
    It does not take the key back before, whatever happens to its own lease meanwhile. Only if the
    answer to its very first put is lost does it put the key again whoever has it then.
    """

    _inner: etcd_client.Registration

    def __init__(
        self,
        client: Service,
        service: bytes,
        address: str,
        *,
        metadata: object = None,
        instance: bytes | None = None,
        ttl: int = 10,
        timeout: float | None = 30,
        on_change: Callable[[RegistrationChange], object] | None = None,
    ) -> None:
        inner_client = inner_of("client", client, Service)
        super().__init__(
            client._portal,
            client._portal.call(
                etcd_client.Registration,
                inner_client,
                service,
                address,
                metadata=metadata,
                instance=instance,
                ttl=ttl,
                timeout=timeout,
                on_change=posted(on_change),
            ),
        )

    @property
    def service(self) -> bytes:
        return self._inner.service

    @property
    def endpoint(self) -> Endpoint:
        return self._inner.endpoint

    @property
    def ttl(self) -> int:
        return self._inner.ttl

    @property
    def timeout(self) -> float | None:
        return self._inner.timeout

    @property
    def key(self) -> bytes:
        """The key of the instance."""
        return self._inner.key

    @property
    def is_registered(self) -> bool:
        """Whether it is registered, as far as is known here without a call."""
        return self._inner.is_registered

    def __enter__(self) -> Registration:
        _ = self._portal.enter(self._inner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.exit(self._inner, kind, error, trace)


class Discovery(Handle):
    """The live list of a service's endpoints: those of `Registration`, or of Go's endpoint manager.

    `with` reads the list and follows it until the end of the block. It raises
    `ConnectionTimeoutError` if that takes longer than `timeout` seconds, None without limit. Keys
    whose value is not an endpoint are left out and logged. The name of an instance may have
    slashes, so the endpoints of a service `<service>/<more>` are in the list, too.

    Guaranteed: no change that lasts is missed, over breaks of the connection, compactions and
    outages; during one the list is as it was known last. `pick` gives each endpoint its turn. Not
    guaranteed: that an endpoint in the list answers, or that the list is up to date to the second.
    """

    _inner: etcd_client.Discovery

    def __init__(self, client: Service, service: bytes, *, timeout: float | None = 30) -> None:
        inner_client = inner_of("client", client, Service)
        super().__init__(
            client._portal,
            client._portal.call(etcd_client.Discovery, inner_client, service, timeout=timeout),
        )

    @property
    def service(self) -> bytes:
        return self._inner.service

    @property
    def timeout(self) -> float | None:
        return self._inner.timeout

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints in the order of their keys, as they are known now."""
        return self._inner.endpoints

    @property
    def revision(self) -> int:
        """The revision of etcd's store that the list is from; 0 before the first one."""
        return self._inner.revision

    def pick(self) -> Endpoint | None:
        """Return the next endpoint, each in its turn; None if there is none."""
        return self._portal.call(self._inner.pick)

    def pick_random(self) -> Endpoint | None:
        """Return any endpoint; None if there is none."""
        return self._portal.call(self._inner.pick_random)

    def wait(self, count: int = 1, *, timeout: float | None = None) -> bool:
        """Wait until there are `count` endpoints; return False if that took longer than `timeout`.

        None sets no limit, 0 does not wait. It returns False when the block ends. Raises
        `ValueError` outside of the block, and `ClientClosedError` when the client is closed.
        """
        return self._portal.run(self._inner.wait, count, timeout=timeout)

    def changes(self) -> Iteration[tuple[Endpoint, ...]]:
        """Iterate over the list: as it is now, then after each change.

        Changes that come while one is handled are yielded together. It ends with the block. Raises
        `ValueError` outside of the block, and `ClientClosedError` when the client is closed.
        """
        return self._portal.iterate(self._inner.changes())

    def __enter__(self) -> Discovery:
        _ = self._portal.enter(self._inner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.exit(self._inner, kind, error, trace)
