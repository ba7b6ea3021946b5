"""`Counter` and `CountDownLatch` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

import etcd_client
from etcd_sync._handle import Handle, Service, inner_of

__all__ = ["CountDownLatch", "Counter"]


class Counter(Handle):
    """A whole number at one key, in decimal; a key that does not exist counts as 0.

    The number has 64 bits with a sign; a change beyond raises `OverflowError`, and nothing is
    changed. A key with anything else as its value raises `PreconditionFailedError`.

    Guaranteed: no addition is lost, and none is applied twice by one call; each `add` returns a
    number that no other `add` of 1 returned. Not guaranteed: an order between programs. The threads
    that share a `Counter` add in the order of their calls. After an interruption, or an error that
    is not `definite`, the change may have been applied; it is never repeated.

    A change takes one round trip as long as no other program changes the key in between, from the
    second use of the object on; each change by another one costs one more.
    """

    _inner: etcd_client.Counter

    def __init__(self, client: Service, key: bytes) -> None:
        inner_client = inner_of("client", client, Service)
        super().__init__(
            client._portal, client._portal.call(etcd_client.Counter, inner_client, key)
        )

    @property
    def key(self) -> bytes:
        return self._inner.key

    def get(self, *, timeout: float | None = None) -> int:
        """Read the number."""
        return self._portal.run(self._inner.get, timeout=timeout)

    def set(self, value: int, *, timeout: float | None = None) -> None:
        """Set the number, whatever it was."""
        self._portal.run(self._inner.set, value, timeout=timeout)

    def add(self, amount: int = 1, *, timeout: float | None = None) -> int:
        """Add `amount`, which may be negative, and return the sum.

        `timeout` is the number of seconds for all attempts together, None means the client's
        timeout. Raises `CounterTimeoutError` if others changed the number before each attempt
        within that time; nothing was added then.
        """
        return self._portal.run(self._inner.add, amount, timeout=timeout)

    def compare_and_set(self, expected: int, value: int, *, timeout: float | None = None) -> bool:
        """Set the number to `value` if it is `expected`; return whether it was.

        It takes one round trip. `timeout` is the number of seconds that it may take.
        """
        return self._portal.run(self._inner.compare_and_set, expected, value, timeout=timeout)


class CountDownLatch(Handle):
    """Makes others wait until `count` parts have been counted down.

    Each part is a key `<name>/parts/<part>`, and `<name>/count` has the number, so that those who
    disagree on it get a `PreconditionFailedError`. The keys stay until `reset`: an open latch stays
    open for all who come later. Other keys under `<name>/`, such as those of a latch whose name
    begins with it, do not count, except those of a latch `<name>/parts`.

    Guaranteed: `wait` returns True only after `count` different parts were counted down, and a part
    with a name counts once, however often it is counted down: a program that does not know whether
    its call was applied repeats it with the same name. Not guaranteed: that a part is done by the
    time that it is counted; that is up to the program.
    """

    _inner: etcd_client.CountDownLatch

    def __init__(self, client: Service, name: bytes, count: int) -> None:
        inner_client = inner_of("client", client, Service)
        super().__init__(
            client._portal,
            client._portal.call(etcd_client.CountDownLatch, inner_client, name, count),
        )

    @property
    def name(self) -> bytes:
        return self._inner.name

    @property
    def count(self) -> int:
        return self._inner.count

    def count_down(self, part: bytes | None = None, *, timeout: float | None = None) -> None:
        """Count one part down, in one round trip.

        `part` is the name of the part; None means a new name, so that each call counts. `timeout`
        is the number of seconds that the call may take. After an interruption, or an error that is
        not `definite`, the part may have been counted.
        """
        self._portal.run(self._inner.count_down, part, timeout=timeout)

    def remaining(self, *, timeout: float | None = None) -> int:
        """Ask etcd how many parts are left; 0 if the latch is open."""
        return self._portal.run(self._inner.remaining, timeout=timeout)

    def wait(self, *, timeout: float | None = None) -> bool:
        """Wait until the latch is open; return False if that took longer than `timeout` seconds.

        None sets no limit, 0 does not wait. It survives breaks of the connection and leaves no
        watch behind, also when it is interrupted.
        """
        return self._portal.run(self._inner.wait, timeout=timeout)

    def reset(self, *, timeout: float | None = None) -> None:
        """Delete the keys of the latch: it begins again, and may have another count."""
        self._portal.run(self._inner.reset, timeout=timeout)
