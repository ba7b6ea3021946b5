"""A learner serves few calls, so it is skipped unless a call names it as its endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.protobuf.empty_pb2 import Empty

from etcd_channel import Channel, ClientError, Rpc
from etcd_channel.errors import NotSupportedForLearnerError
from etcd_testing import EtcdCluster, EtcdServer

# Empty reads and writes any message; these two stand for what a learner serves and what not.
STATUS = Rpc("/etcdserverpb.Maintenance/Status", Empty, Empty, repeatable=True)
ALARMS = Rpc("/etcdserverpb.Maintenance/Alarm", Empty, Empty, repeatable=True)


@pytest.fixture
async def voter_and_learner() -> AsyncIterator[tuple[EtcdServer, EtcdServer]]:
    async with EtcdCluster(1) as cluster:
        voter = cluster[0]
        learner = cluster.new_member()
        urls = f"--peer-urls={learner.peer_url}"
        await voter.etcdctl("member", "add", learner.name, "--learner", urls)
        await learner.start(wait=False)
        async with Channel(voter.endpoint) as channel:
            await asyncio.wait_for(_served(channel, learner), 60)
        yield voter, learner


async def _served(channel: Channel, learner: EtcdServer) -> None:
    while True:
        if await _serves(channel, learner):
            return
        await asyncio.sleep(0.05)


async def _serves(channel: Channel, learner: EtcdServer) -> bool:
    try:
        await channel.call(STATUS, Empty(), endpoint=learner.endpoint)
    except ClientError:
        return False
    return True


async def test_a_call_with_the_endpoint_of_a_learner_is_sent_to_it(
    voter_and_learner: tuple[EtcdServer, EtcdServer],
) -> None:
    voter, learner = voter_and_learner
    async with Channel(voter.endpoint) as channel:
        await channel.call(STATUS, Empty(), endpoint=learner.endpoint)
        with pytest.raises(NotSupportedForLearnerError) as caught:
            await channel.call(ALARMS, Empty(), endpoint=learner.endpoint)
    assert caught.value.endpoint == learner.endpoint
    assert caught.value.definite


async def test_a_learner_among_the_endpoints_is_skipped(
    voter_and_learner: tuple[EtcdServer, EtcdServer],
) -> None:
    voter, learner = voter_and_learner
    for endpoints in ([voter.endpoint, learner.endpoint], [learner.endpoint, voter.endpoint]):
        for _ in range(4):  # which endpoint is the first is left to chance
            async with Channel(endpoints) as channel:
                await channel.call(ALARMS, Empty())


async def test_a_learner_as_the_only_endpoint_raises_its_refusal(
    voter_and_learner: tuple[EtcdServer, EtcdServer],
) -> None:
    _, learner = voter_and_learner
    channel = Channel(learner.endpoint, connect_timeout=2)
    with pytest.raises(NotSupportedForLearnerError):
        await channel.call(ALARMS, Empty())
    await channel.close()
