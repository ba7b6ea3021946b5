"""An election: of several candidates one leads, until it resigns or its session is lost.

python election.py ENDPOINT PREFIX
"""

from __future__ import annotations

import asyncio
import sys

from etcd_client import (
    Client,
    Election,
    KeyValue,
    LeaseExpiredError,
    Mutex,
    NotLeaderOfElectionError,
    Session,
)


async def lead(election: Election, session: Session, term: asyncio.Event) -> str:
    """Lead until the term is over or the session is lost; return how it ended."""
    lost: asyncio.Task[LeaseExpiredError] = asyncio.create_task(session.lease.lost)
    over = asyncio.create_task(term.wait())
    await asyncio.wait([lost, over], return_when=asyncio.FIRST_COMPLETED)
    over.cancel()
    if lost.done():
        return f"lost: {type(lost.result()).__name__}"
    lost.cancel()
    resigned: bool = await election.resign()
    return "resigned" if resigned else "was not the leader any more"


async def report(client: Client, name: bytes, leaders: asyncio.Queue[str]) -> None:
    """Put into the queue what each leader proclaims."""
    async for leader in client.observe_election(name):
        await leaders.put(leader.value.decode())


async def main(endpoint: str, prefix: bytes) -> None:
    name = prefix + b"leader"
    async with Client(endpoints=[endpoint], timeout=10.0) as client:
        leaders: asyncio.Queue[str] = asyncio.Queue()
        reporting = asyncio.create_task(report(client, name, leaders))
        async with client.session(ttl=60) as first, client.session(ttl=60) as second:
            election = Election(first, name)
            elected: bool = await election.campaign(b"first")
            token: int | None = election.fencing_token
            print(elected, token is not None)
            print(await leaders.get())
            await election.proclaim(b"first, again")
            leader: KeyValue | None = await election.leader()
            print(leader.value.decode() if leader is not None else "nobody")
            other = Election(second, name)
            print(await other.campaign(b"second", timeout=0))
            print(await leaders.get())
            campaign = asyncio.create_task(other.campaign(b"second"))
            term = asyncio.Event()
            leading = asyncio.create_task(lead(election, first, term))
            term.set()
            print(await leading, await campaign)
            print(await leaders.get())
            try:
                await election.proclaim(b"too late")
            except NotLeaderOfElectionError:
                print("the first one cannot proclaim any more")
            async with Mutex(second, prefix + b"mutex", timeout=5) as mutex:
                print(await mutex.is_acquired())
            leading = asyncio.create_task(lead(other, second, asyncio.Event()))
            await asyncio.sleep(0)
            await second.lease.revoke()
            print(await leading)
        reporting.cancel()
        await asyncio.wait([reporting])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2].encode()))
