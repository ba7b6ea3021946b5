"""Successive changes of the members: etcd drops none of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine
from typing import Any, Final

import pytest

from etcd_channel import Channel, ChannelView, Rpc, errors
from etcd_cluster import ClusterClient
from etcd_testing import EtcdServer
from etcd_testing.played import PlayedEtcd, messages

NOBODY: Final = "http://127.0.0.1:1"


class NamingView(ChannelView):
    """Records the names of the called RPCs."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel)
        self.names: list[str] = []

    def call(self, rpc: Rpc[Any, Any], *args: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        self.names.append(rpc.name)
        return super().call(rpc, *args, **options)


CHANGES: dict[str, Callable[[ClusterClient], Coroutine[Any, Any, object]]] = {
    "Cluster.MemberAdd": lambda cluster: cluster.add_member([NOBODY], learner=True),
    "Cluster.MemberRemove": lambda cluster: cluster.remove_member(1),
    "Cluster.MemberUpdate": lambda cluster: cluster.update_member(1, [NOBODY]),
    "Cluster.MemberPromote": lambda cluster: cluster.promote_member(1),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_waits_until_the_previous_one_is_applied(
    server: EtcdServer, channel: Channel, name: str
) -> None:
    """The read of the alarms goes through the same log as the changes."""
    view = NamingView(channel)
    try:
        await CHANGES[name](ClusterClient(view))
    except errors.MemberNotFoundError:
        assert name != "Cluster.MemberAdd"
    assert view.names == ["Maintenance.Alarm", name]


async def test_all_successive_changes_are_applied(
    server: EtcdServer, cluster: ClusterClient
) -> None:
    [member] = await cluster.members()
    for port in itertools.islice(itertools.cycle((2, 3)), 50):
        urls = sorted([server.peer_url, f"http://127.0.0.1:{port}"])
        [changed] = await cluster.update_member(member.id, urls)
        assert sorted(changed.peer_urls) == urls


async def test_a_change_is_sent_even_if_the_server_refuses_to_list_its_alarms() -> None:
    async with (
        PlayedEtcd({"Cluster.MemberRemove": _removed}) as played,
        Channel(played.endpoint) as channel,
    ):
        assert await ClusterClient(channel).remove_member(1) == []


async def _removed(request: Any, context: Any) -> Any:
    return messages.MemberRemoveResponse()
