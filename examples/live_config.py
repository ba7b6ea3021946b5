"""How does a running service follow its configuration, without a restart and without polling?

python examples/live_config.py                                      on an etcd of its own
python examples/live_config.py --endpoints localhost:2379 --prefix config/ --port 8000

It serves the keys under a prefix as JSON, and prints each change. It needs uvicorn (pip install
uvicorn); `Application` is a plain ASGI callable, which any ASGI server runs, and `lifespan` is
what a framework's lifespan would do.

The configuration is a `Cache`, a live copy of the prefix.

Guaranteed: the service starts with the configuration or not at all. What it serves is the state of
etcd at one revision: keys that were changed in one transaction change together. It follows etcd
after a break of the connection; where etcd has compacted the changes that were missed meanwhile,
the prefix is read again.
Not guaranteed: that two replicas see a change at the same moment, or that a replica that is cut
off from etcd knows it: it goes on with the last configuration it has seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import demonstration

from etcd_client import Cache, Client, ClientError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def show(config: Cache[str]) -> None:
    """Print the values when they change, until cancelled."""
    shown: dict[str, str] | None = None

    def is_new(config: Cache[str]) -> bool:
        return values(config) != shown

    while True:
        await config.wait_for(is_new)
        shown = values(config)
        print(f"revision {config.revision}: {json.dumps(shown, sort_keys=True)}")


def values(config: Cache[str]) -> dict[str, str]:
    """The values by their names: the keys without the prefix."""
    start = len(config.key_prefix)
    return {entry.key[start:].decode(errors="replace"): entry.value for entry in config.items()}


@contextlib.asynccontextmanager
async def lifespan(endpoints: str, prefix: bytes) -> AsyncIterator[Cache[str]]:
    """Yield the configuration, which follows etcd until the end of the block."""
    async with (
        Client(endpoints=endpoints) as client,
        client.cache(prefix, decode=lambda value: value.decode(errors="replace")) as config,
    ):
        showing = asyncio.create_task(show(config))
        try:
            yield config
        finally:
            showing.cancel()
            await asyncio.wait([showing])


class Application:
    """An ASGI application that answers every request with its configuration."""

    def __init__(self, endpoints: str, prefix: bytes) -> None:
        self._lifespan = lifespan(endpoints, prefix)
        self._config: Cache[str] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            assert self._config is not None
            answer = {"revision": self._config.revision, "values": values(self._config)}
            body = json.dumps(answer).encode()
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        try:
            async with self._lifespan as self._config:
                await send({"type": "lifespan.startup.complete"})
                await receive()  # lifespan.shutdown
        except ClientError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})


async def main() -> int:
    parser = demonstration.options("live-config", __doc__)
    parser.add_argument("--port", type=int, default=0, help="the port of 127.0.0.1 (a free one)")
    options = parser.parse_args()
    try:
        import uvicorn
    except ImportError:
        parser.error("it is served by uvicorn: pip install uvicorn")
    # uvicorn handles it; without this its shutdown would be cancelled.
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    async with demonstration.etcd(options.endpoints) as endpoints:
        application = Application(endpoints, options.prefix.encode())
        server = uvicorn.Server(uvicorn.Config(application, log_level="warning"))
        with socket.create_server(("127.0.0.1", options.port)) as listener:
            print(f"curl http://127.0.0.1:{listener.getsockname()[1]}/")
            print(f"etcdctl --endpoints {endpoints} put {options.prefix}colour blue")
            await server.serve(sockets=[listener])
    return 0 if server.started else 1


if __name__ == "__main__":
    demonstration.run(main)
