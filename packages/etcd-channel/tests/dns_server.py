"""A DNS server for the tests of SRV records, by UDP and TCP on one port."""

from __future__ import annotations

import asyncio
import struct
from types import TracebackType

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

__all__ = ["SILENT", "DNSServer"]

SILENT = "silent"
"""What `DNSServer.answers` has for a name about which the server says nothing."""


class DNSServer(asyncio.DatagramProtocol):
    """Answers what `answers` says, and NXDOMAIN for the other names.

    `answers` has for a name a list of records, "priority weight port target"; or the name of a
    response code; or `SILENT`. With `truncated`, answers by UDP have no records but the flag that
    sends the client to TCP. `asked` has the names in the order of the queries.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[str] | str] = {}
        self.truncated = False
        self.asked: list[str] = []
        self.queried = asyncio.Event()
        """Set at each query."""
        self.address = ""

    async def __aenter__(self) -> DNSServer:
        loop = asyncio.get_running_loop()
        while True:
            self._tcp = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            address = self._tcp.sockets[0].getsockname()
            try:
                self._udp, _ = await loop.create_datagram_endpoint(lambda: self, address)
            except OSError:  # the port is in use by UDP
                self._tcp.close()
                continue
            self.address = f"{address[0]}:{address[1]}"
            return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._udp.close()
        self._tcp.close()
        await self._tcp.wait_closed()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._answer(data, self.truncated)
        if answer is not None:
            self._udp.sendto(answer, addr)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            answer = self._answer(await reader.readexactly(length), False)
            if answer is not None:
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        finally:
            writer.close()

    def _answer(self, data: bytes, truncated: bool) -> bytes | None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True)
        self.asked.append(name)
        self.queried.set()
        found = self.answers.get(name, "NXDOMAIN")
        if found == SILENT:
            return None
        response = dns.message.make_response(query)
        if isinstance(found, str):
            response.set_rcode(dns.rcode.from_text(found))
        elif truncated:
            response.flags |= dns.flags.TC
        elif found:
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "SRV", *found))
        return response.to_wire()
