"""Uses built distributions as somebody who has nothing else: CI's step `distributions` runs it.

first_use.py DIRECTORY   a directory with all wheels, such as tools/dev.py build makes

For each program below: an empty directory, an empty environment, `pip install` of one distribution
from the wheels, and the program, line by line, as `python -m asyncio` reads it. It runs in an
environment with etcd-testing, whose server listens on etcd's own port, where the programs expect
it.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import lanes

from etcd_testing import EtcdServer, StartError

__all__ = ["PROGRAMS", "main"]

PORT = 2379
LIMIT = 300.0

ETCD_KV = """\
from etcd_channel import Channel
from etcd_kv import KVClient
kv = KVClient(Channel("localhost:2379"))
await kv.put(b"greeting", b"hello")
(await kv.get(b"greeting")).value
"""

DOCUMENTED = """\
import aetcd
client = aetcd.Client()
await client.put(b'key', b'value')
await client.get(b'key')
await client.transaction(
    compare=[
        client.transactions.value(b'key') == b'value',
        client.transactions.version(b'key') > 0,
    ],
    success=[
        client.transactions.put(b'key', b'success'),
    ],
    failure=[
        client.transactions.put(b'key', b'failure'),
    ]
)
(await client.get(b'key')).value
"""

PROGRAMS = {"etcd-kv": (ETCD_KV, "b'hello'"), "etcd-client": (DOCUMENTED, "b'success'")}
"""The program for a distribution, and what it prints last."""


def main(arguments: list[str]) -> str | None:
    match arguments:
        case [directory]:
            wheels = Path(directory).resolve()
        case _:
            return (__doc__ or "").strip()
    for distribution, (program, expected) in PROGRAMS.items():
        with tempfile.TemporaryDirectory() as folder:
            python = install(distribution, wheels, Path(folder))
            said = use(python, program, Path(folder))
        if expected not in said:
            return f"first_use.py: {distribution} did not print {expected}"
    return None


def install(distribution: str, wheels: Path, folder: Path) -> Path:
    """Install a distribution, alone, into a new environment; return its Python."""
    venv.EnvBuilder(with_pip=True, symlinks=True).create(folder / "environment")
    python = folder / "environment" / "bin" / "python"
    (wheel,) = wheels.glob(f"{distribution.replace('-', '_')}-*.whl")
    version = wheel.name.split("-")[1]
    pip = ("-m", "pip", "install", "--quiet", "--find-links", str(wheels))
    print(f"$ pip install --find-links {wheels.name} {distribution}=={version}", flush=True)
    subprocess.run([python, *pip, f"{distribution}=={version}"], cwd=folder, check=True)
    subprocess.run([python, "-m", "pip", "list"], cwd=folder, check=True)
    return python


def use(python: Path, program: str, folder: Path) -> str:
    """Run a program line by line; print and return what it prints."""
    print(f"$ python -m asyncio\n{program}", end="", flush=True)
    said = asyncio.run(typed_in(python, program, folder))
    print(said, flush=True)
    return said


async def typed_in(python: Path, program: str, folder: Path) -> str:
    """What `python -m asyncio` prints when the program is typed into it, beside a server."""
    try:
        async with EtcdServer(client_port=PORT):
            process = await asyncio.create_subprocess_exec(
                *(str(python), "-m", "asyncio"),
                cwd=folder,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await asyncio.wait_for(process.communicate(f"{program}\n".encode()), LIMIT)
    except StartError as error:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", PORT)) == 0:
                print(lanes.loud(f"PORT {PORT} OF THIS MACHINE IS IN USE"), flush=True)
                raise SystemExit(lanes.SKIP) from error
        raise
    return said.decode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
