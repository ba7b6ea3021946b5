"""Names that move: a channel follows them without a restart.

The program has a name server of its own, which gRPC's resolver is sent to, and the addresses
127.0.0.2 and so on, each with a relay to the one real etcd.
"""

from __future__ import annotations

import socket

import pytest
from channel_support import run_program

PROGRAM = """
import asyncio, contextlib, socket, struct, sys
from etcd_channel import Channel, errors
from etcd_channel import channel as module
from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpcs import AUTHENTICATE

host, _, port = sys.argv[1].rpartition(":")
addresses = []

class Names(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, query, sender):
        end = 12
        while query[end]:
            end += query[end] + 1
        question = query[12:end + 5]
        wanted = struct.unpack(">H", question[-4:-2])[0]
        found = addresses if wanted == 1 else []
        answer = query[:2] + b"\\x81\\x80" + struct.pack(">HHHH", 1, len(found), 0, 0) + question
        for address in found:
            answer += b"\\xc0\\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
        self.transport.sendto(answer, sender)

class Member:
    "The etcd at an address of its own; it can die, and it can fall silent."
    def __init__(self):
        self.silent, self.writers, self.tasks = asyncio.Event(), [], set()

    async def start(self, address, number=0):
        self.server = await asyncio.start_server(self.serve, address, number)
        return self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        self.writers.append(writer)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            self.writers.append(far_writer)
            await asyncio.gather(self.pump(reader, far_writer), self.pump(far_reader, writer))

    async def pump(self, reader, writer):
        while data := await reader.read(65536):
            if not self.silent.is_set():
                writer.write(data)
        writer.close()

    async def die(self):
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks)

async def ask(channel):
    try:
        await channel.call(AUTHENTICATE, pb.AuthenticateRequest(name="j", password="p"))
    except errors.AuthNotEnabledError:
        return

async def main():
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Names, ("127.0.0.1", 0))
    names = transport.get_extra_info("sockname")[1]
    parse = module.parse_endpoints
    module.parse_endpoints = lambda text: tuple(
        each._replace(target=each.target.replace("dns:///", f"dns://127.0.0.1:{names}/"))
        for each in parse(text)
    )
    old, new = Member(), Member()
    number = await old.start("127.0.0.2")
    await new.start("127.0.0.3", number)
    endpoint = f"etcd.example:{number}"
    try:
        await asyncio.wait_for(scenario(endpoint, old, new), 25)
    finally:
        await old.die()
        await new.die()
        transport.close()
    print("done")
"""

SCENARIOS = {
    "the member died and its successor has another address": """
async def scenario(endpoint, old, new):
    addresses[:] = ["127.0.0.2"]
    async with Channel(endpoint) as channel:
        await ask(channel)
        addresses[:] = ["127.0.0.3"]
        await old.die()
        await ask(channel)
""",
    "the old address fell silent": """
async def scenario(endpoint, old, new):
    addresses[:] = ["127.0.0.2"]
    async with Channel(endpoint) as channel:
        await ask(channel)
        addresses[:] = ["127.0.0.3"]
        old.silent.set()
        for _ in range(5):
            with contextlib.suppress(errors.ConnectionTimeoutError):
                return await ask(channel)
        raise AssertionError("the new address was not found")
""",
    "one of two addresses is silent": """
async def scenario(endpoint, old, new):
    addresses[:] = ["127.0.0.2", "127.0.0.3"]
    old.silent.set()
    async with Channel(endpoint) as channel:
        await ask(channel)
    addresses.reverse()
    async with Channel(endpoint) as channel:
        await ask(channel)
""",
    "one of two addresses refuses": """
async def scenario(endpoint, old, new):
    addresses[:] = ["127.0.0.2", "127.0.0.3"]
    await old.die()
    async with Channel(endpoint) as channel:
        await ask(channel)
""",
    "the name is there only later": """
async def scenario(endpoint, old, new):
    async with contextlib.AsyncExitStack() as stack:
        channel = Channel(endpoint, connect_timeout=2)
        stack.push_async_callback(channel.close)
        try:
            await ask(channel)
        except (errors.ConnectionFailedError, errors.ConnectionTimeoutError):
            pass
        else:
            raise AssertionError("there was no such name")
        addresses[:] = ["127.0.0.2"]
        while True:
            with contextlib.suppress(errors.ConnectionFailedError, errors.ConnectionTimeoutError):
                return await ask(channel)
            await asyncio.sleep(0.1)
""",
}


def has_many_loopback_addresses() -> bool:
    try:
        with socket.socket() as listener:
            listener.bind(("127.0.0.3", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(
    not has_many_loopback_addresses(),
    reason="NAMES ARE NOT TESTED: two members of one port need two addresses, and only 127.0.0.1 is"
    " local here, as on macOS before `ifconfig lo0 alias 127.0.0.3`",
)
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_changed_address_of_a_name_is_used(etcd_endpoint: str, scenario: str) -> None:
    finished = await run_program(
        f"{PROGRAM}{SCENARIOS[scenario]}\nasyncio.run(main())",
        etcd_endpoint,
        options=(),
        env={"GRPC_DNS_RESOLVER": "ares"},
    )
    assert (finished.stdout, finished.stderr) == ("done\n", "")


async def test_localhost_is_reached_if_only_one_of_its_addresses_listens(
    etcd_endpoint: str,
) -> None:
    """It is ::1 and 127.0.0.1 on most systems, and etcd listens on the second alone."""
    finished = await run_program(
        PROGRAM.partition("host, _,")[0]
        + """
async def main():
    async with Channel(sys.argv[1].replace("127.0.0.1", "localhost")) as channel:
        await channel.connect()
    print("done")

asyncio.run(main())
""",
        etcd_endpoint,
    )
    assert (finished.stdout, finished.stderr) == ("done\n", "")
