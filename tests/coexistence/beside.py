"""Uses two clients of etcd in one process; run in an environment with both.

python beside.py PEER first|last ENDPOINT KEY: the peer is imported before or after ours, then each
client puts a key and gets the other's.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path
from typing import Any

PROTOS = Path(__file__).parents[2] / "protos"

# All generated code of this client; that of the key-value service by importing the package.
OURS = [
    "etcd_kv",
    *(
        ".".join(path.relative_to(PROTOS).with_suffix("").parts) + "_pb2"
        for path in sorted(PROTOS.rglob("*.proto"))
    ),
]
THEIRS = {
    "aetcd": "aetcd",
    "etcd-client-py": "etcd_client",
    "etcd-sdk-python": "pyetcd",
    "etcd3aio": "etcd3aio",
}


async def with_aetcd(module: Any, host: str, port: int, ours: bytes, theirs: bytes) -> bytes:
    async with module.Client(host, port) as client:
        await client.put(theirs, b"of aetcd")
        value: bytes = (await client.get(ours)).value
        return value


async def with_etcd3aio(module: Any, host: str, port: int, ours: bytes, theirs: bytes) -> bytes:
    async with module.Etcd3Client([f"{host}:{port}"]) as client:
        await client.kv.put(theirs, b"of etcd3aio")
        response = await client.kv.get(ours)
        value: bytes = response.kvs[0].value
        return value


async def with_etcd_sdk_python(
    module: Any, host: str, port: int, ours: bytes, theirs: bytes
) -> bytes:
    # It blocks, so it runs in a thread.
    def use() -> bytes:
        client = module.client(host, port)
        client.put(theirs, b"of etcd-sdk-python")
        value: bytes = client.get(ours)[0]
        client.close()
        return value

    return await asyncio.to_thread(use)


async def with_etcd_client_py(
    module: Any, host: str, port: int, ours: bytes, theirs: bytes
) -> bytes:
    async with module.Client([f"http://{host}:{port}"]).connect() as client:
        await client.put(theirs, b"of etcd-client-py")
        return bytes(await client.get(ours))


USES = {
    "aetcd": with_aetcd,
    "etcd-client-py": with_etcd_client_py,
    "etcd3aio": with_etcd3aio,
    "etcd-sdk-python": with_etcd_sdk_python,
}


async def main(peer: str, order: str, endpoint: str, key: str) -> None:
    names = [THEIRS[peer], *OURS]
    # The whole client too, if it can be installed beside the peer.
    if peer not in {"aetcd", "etcd-client-py"}:
        names.append("etcd_client")
    if order == "last":
        names.reverse()
    modules = {name: importlib.import_module(name) for name in names}
    theirs = modules[THEIRS[peer]]

    channel = importlib.import_module("etcd_channel").Channel(endpoint)
    kv = modules["etcd_kv"].KVClient(channel)
    our_key, their_key = f"{key}ours".encode(), f"{key}theirs".encode()
    host, port = endpoint.rsplit(":", 1)
    async with channel:
        await kv.put(our_key, b"of etcd-kv")
        seen = await USES[peer](theirs, host, int(port), our_key, their_key)
        assert seen == b"of etcd-kv", seen
        got = await kv.get(their_key)
        assert got.value == f"of {peer}".encode(), got
    sys.stdout.write(f"{peer} and etcd-kv read each other's keys\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
