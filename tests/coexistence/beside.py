"""A program that uses two clients of etcd in one process; run in an environment of both.

python beside.py PEER first|last ENDPOINT KEY: the peer is imported before or after ours, then each
client puts a key and gets the other's.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any

OURS = [
    "etcd_auth.pb.auth_pb2",
    "etcd_cluster.pb.cluster_pb2",
    "etcd_cluster.pb.maintenance_pb2",
    "etcd_kv",
    "etcd_lease.pb.lease_pb2",
    "etcd_lock.pb.v3election_pb2",
    "etcd_lock.pb.v3lock_pb2",
    "etcd_watch.pb.watch_pb2",
]
THEIRS = {"aetcd": "aetcd", "etcd3aio": "etcd3aio", "etcd-sdk-python": "pyetcd"}


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
    # It blocks: in a thread of its own it does not hold up our loop.
    def use() -> bytes:
        client = module.client(host, port)
        client.put(theirs, b"of etcd-sdk-python")
        value: bytes = client.get(ours)[0]
        client.close()
        return value

    return await asyncio.to_thread(use)


USES = {
    "aetcd": with_aetcd,
    "etcd3aio": with_etcd3aio,
    "etcd-sdk-python": with_etcd_sdk_python,
}


async def main(peer: str, order: str, endpoint: str, key: str) -> None:
    names = [THEIRS[peer], *OURS]
    # Where it can be installed beside the peer, the whole client too.
    if peer != "aetcd":
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
