"""Methods that make several calls share one timeout among them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import pytest

from etcd_channel import Channel, ChannelView
from etcd_cluster import MaintenanceClient

_SLOWNESS: Final = 0.2


class SlowView(ChannelView):
    """Delays the answer to the first call, like a slow connection."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel)
        self.timeouts: list[float | None] = []
        """The timeouts of all calls."""

    async def call(self, *args: Any, timeout: float | None = None, **options: Any) -> Any:
        self.timeouts.append(timeout)
        response = await super().call(*args, timeout=timeout, **options)
        if len(self.timeouts) == 1:
            await asyncio.sleep(_SLOWNESS)
        return response


METHODS: list[Callable[[MaintenanceClient, int, float | None], Coroutine[Any, Any, object]]] = [
    lambda maintenance, _, timeout: maintenance.status(timeout=timeout),
    lambda maintenance, _, timeout: maintenance.status_cluster(timeout=timeout),
    lambda maintenance, member, timeout: maintenance.create_alarm(member, timeout=timeout),
    lambda maintenance, member, timeout: maintenance.move_leader(member, timeout=timeout),
]


@pytest.mark.parametrize("timeout", [60.0, None])
@pytest.mark.parametrize("method", METHODS)
async def test_later_calls_get_the_remaining_time(
    channel: Channel,
    method: Callable[[MaintenanceClient, int, float | None], Coroutine[Any, Any, object]],
    timeout: float | None,
) -> None:
    status = await MaintenanceClient(channel).status()
    view = SlowView(channel)
    await method(MaintenanceClient(view), status.header.member_id, timeout)
    whole = channel.timeout if timeout is None else timeout
    first, *later = view.timeouts
    assert first is not None
    assert first <= whole
    assert later
    for each in later:
        assert each is not None
        assert each <= whole - _SLOWNESS
