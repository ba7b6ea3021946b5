"""How do I keep a lock holder that was stopped for too long from writing to a file afterwards?

python examples/fenced_file.py                                  on an etcd of its own
python examples/fenced_file.py --endpoints localhost:2379       on yours
python examples/fenced_file.py --endpoints localhost:2379 --file ledger.txt --writer me

Three writers append to one file, each while it holds the lock. The first one stops itself by
SIGSTOP in the middle of its turn, until its lease has ended and another has written. When it
continues it believes to hold the lock still: the file refuses its line, and it takes another turn.

Guaranteed: no line of an earlier holder follows one of a later holder, however long a writer was
stopped. That is not the lock's doing but the file's: it remembers the highest fencing token it
has seen, and refuses a lower one. A storage system that is to be protected needs such a check.
Not guaranteed: anything about writers that do not go through FencedFile, or on a file system
without working flock (some network file systems). A writer that is killed has written some of the
lines of its turn, not all.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import tempfile
from pathlib import Path

import demonstration

from etcd_client import Client, LockLostError

TURNS = 2
LINES = 3
"""Lines of a turn."""


class StaleTokenError(Exception):
    """The file has seen the token of a later holder."""


class FencedFile:
    """A file that lines are appended to, which refuses a token below the highest it has seen."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = path.with_name(f"{path.name}.token")

    def append(self, token: int, line: str) -> None:
        """Append a line; raise `StaleTokenError` if it comes too late."""
        with self._guard.open("a+") as guard:
            # Held while the token is compared and the line is written: this is the critical
            # section, and it is local to the file.
            fcntl.flock(guard, fcntl.LOCK_EX)
            guard.seek(0)
            highest = int(guard.read() or 0)
            if token < highest:
                raise StaleTokenError(f"token {token} is lower than {highest}")
            if token > highest:
                guard.truncate(0)
                guard.write(str(token))
                guard.flush()
            with self.path.open("a") as file:
                file.write(f"{token} {line}\n")


async def write(client: Client, key: bytes, file: FencedFile, name: str, ttl: int) -> None:
    """Take turns with other writers until all lines are written."""
    stops = name == "stopping"
    for turn in range(1, TURNS + 1):
        line = 1
        while line <= LINES:
            try:
                async with client.lock(key, ttl, keep_alive=True, timeout=None) as lock:
                    token = lock.fencing_token
                    assert token is not None
                    print(f"{name} has the lock, token {token}")
                    while line <= LINES:
                        if stops and line == 2:
                            stops = False
                            os.kill(os.getpid(), signal.SIGSTOP)  # as a suspended machine
                        file.append(token, f"{name} {turn}.{line}")
                        line += 1
            except StaleTokenError as error:
                print(f"{name} was refused: {error}")
            except LockLostError as error:
                print(f"{name} has lost the lock: {error}")


async def demonstrate(
    client: Client, key: bytes, file: FencedFile, processes: demonstration.Processes
) -> bool:
    """Let three processes write; return whether the file is in order."""
    async with processes, client.watch(key) as watch:
        stopping = await processes.start("--writer=stopping")
        await anext(watch)  # it has the lock
        others = [await processes.start(f"--writer={name}") for name in ("anna", "ben")]
        await asyncio.gather(*(process.wait() for process in others))
        print("SIGCONT to stopping")
        stopping.send_signal(signal.SIGCONT)
        await stopping.wait()
    lines = file.path.read_text().splitlines()
    for line in lines:
        print(f"  {line}")
    tokens = [int(line.split()[0]) for line in lines]
    written = [line.partition(" ")[2] for line in lines]
    in_order = tokens == sorted(tokens) and len(set(written)) == len(lines) == 3 * TURNS * LINES
    print(f"{len(lines)} lines, each once, tokens rising: {in_order}")
    return in_order


async def main() -> int:
    parser = demonstration.options("fenced-file", __doc__)
    parser.add_argument("--file", type=Path, help="the file to append to (a temporary one)")
    parser.add_argument("--writer", metavar="NAME", help="be one writer")
    parser.add_argument("--ttl", type=int, default=2, help="seconds that a lease lives (2)")
    options = parser.parse_args()
    if options.writer and not options.file:
        parser.error("--writer needs the --file that it shares with others")
    key = options.prefix.encode() + b"lock"
    with tempfile.TemporaryDirectory() as folder:
        file = FencedFile(options.file or Path(folder) / "ledger.txt")
        async with demonstration.etcd(options.endpoints) as endpoints:
            async with Client(endpoints=endpoints) as client:
                if options.writer:
                    await write(client, key, file, options.writer, options.ttl)
                    return 0
                settings = {"endpoints": endpoints, "prefix": options.prefix, "ttl": options.ttl}
                processes = demonstration.Processes(__file__, **settings, file=file.path)
                return 0 if await demonstrate(client, key, file, processes) else 1


if __name__ == "__main__":
    demonstration.run(main)
