"""A program that makes many calls of the documented API, and prints the result of each.

python reference_calls.py HOST PORT: it runs on the reference, aetcd 1.0.0, and on this client,
and prints a line of JSON for each call: the call and its result, without what differs from run to
run (revisions, ids).

The calls are in reference_calls.txt. Each is an expression, made on a client of its own. Before it
the keys `a`, `b` and `c` are put with the values 1, 2 and 3; `x` is a key that does not exist, and
`p` is the prefix of all four.
"""

from __future__ import annotations

import ast
import asyncio
import io
import json
import sys
from collections.abc import Awaitable
from functools import reduce
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aetcd
import aetcd.exceptions
import aetcd.utils

TABLE = Path(__file__).with_suffix(".txt")

# The timeout of a call that hangs.
PATIENCE = 60
AT_ONCE = 8


def groups() -> dict[str, list[str]]:
    """The calls of the table by the names of their groups."""
    found: dict[str, list[str]] = {}
    group: list[str] = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            group = found[line.strip("[]")] = []
        elif line and not line.startswith("#"):
            group.append(line)
    return found


class Program:
    """Makes the calls, each with separate keys."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.turn = asyncio.Semaphore(AT_ONCE)

    async def tell(self, number: int, call: str) -> str:
        async with self.turn, aetcd.Client(self.host, self.port, timeout=60) as keeper:
            prefix = f"/calls/{number}/".encode()
            a, b, c = (prefix + name for name in (b"a", b"b", b"c"))
            for key, value in ((a, b"1"), (b, b"2"), (c, b"3")):
                await keeper.put(key, value)
            client = aetcd.Client(self.host, self.port, timeout=15)
            try:
                names = {
                    **HELPING,
                    "aetcd": aetcd,
                    "io": io,
                    "SimpleNamespace": SimpleNamespace,
                    "host": self.host,
                    "port": self.port,
                    "client": client,
                    "a": a,
                    "b": b,
                    "c": c,
                    "x": prefix + b"x",
                    "p": prefix,
                    "t": client.transactions,
                    "holds": lambda compare: holds(client, compare),
                }
                try:
                    seen = shown(await asyncio.wait_for(evaluate(call, names), PATIENCE), prefix)
                except Exception as error:
                    # The timeouts of the client are subclasses.
                    seen = "no end" if type(error) is asyncio.TimeoutError else name_of(error)
            finally:
                await client.close()
            return json.dumps({"call": call, "seen": seen})

    async def run(self) -> None:
        found = groups()
        last = found.pop("Last")
        together = [call for calls in found.values() for call in calls]
        for line in await asyncio.gather(*map(self.tell, range(len(together)), together)):
            sys.stdout.write(line + "\n")
        for number, call in enumerate(last, len(together)):
            sys.stdout.write(await self.tell(number, call) + "\n")


async def evaluate(call: str, names: dict[str, Any]) -> Any:
    code = compile(call, "a call", "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    while isinstance(result, Awaitable):
        result = await result
    return result


# The results ---------------------------------------------------------------------------

DOCUMENTED = {name for name in vars(aetcd.exceptions) if name.endswith("Error")} & {
    "ClientError",
    "ConnectionFailedError",
    "ConnectionTimeoutError",
    "DuplicateLeaseError",
    "InternalError",
    "InvalidArgumentError",
    "PreconditionFailedError",
    "RevisionCompactedError",
    "UnauthenticatedError",
    "WatchTimeoutError",
}


def name_of(error: BaseException) -> str:
    """The first documented or built-in class that an error is of."""
    for kind in type(error).__mro__:
        if kind.__name__ in DOCUMENTED or kind.__module__ == "builtins":
            return kind.__name__
    return "Exception"


def shown(result: Any, prefix: bytes) -> str:
    """A result as text, without values that differ between runs."""
    kind = type(result).__name__
    if result is None or isinstance(result, (bool, int, float, str)):
        return repr(result)
    if isinstance(result, bytes):
        return repr(result.removeprefix(prefix))
    if isinstance(result, BaseException):
        return name_of(result)
    if isinstance(result, tuple):
        return f"({', '.join(shown(part, prefix) for part in result)})"
    if isinstance(result, list) or kind.startswith(("Repeated", "KeyValues")):
        return f"[{', '.join(shown(part, prefix) for part in result)}]"
    if kind in ("GetRange", "DeleteRange"):
        number = result.count if kind == "GetRange" else result.deleted
        return f"{kind} {number} {shown(list(result), prefix)}"
    if kind == "Event":
        return f"Event {result.kind!s:.6} {shown(result.kv, prefix)}"
    if kind in ("Put", "Delete"):
        return f"{kind} {shown(result.prev_kv, prefix)}"
    if hasattr(result, "mod_revision"):
        lease = " with a lease" if result.lease else ""
        return f"{result.key.removeprefix(prefix)!r}={result.value!r}{lease}"
    if hasattr(result, "WhichOneof"):
        return str(result.WhichOneof("response"))
    return kind


# The arguments of the calls -------------------------------------------------------------


async def works(client: Any) -> str:
    try:
        await client.connect()
        await client.get(b"key")
    finally:
        await client.close()
    return "works"


async def twice(call: Any) -> str:
    await call()
    await call()
    return "works"


async def used_after_close(client: Any) -> str:
    await client.get(b"key")
    await client.close()
    await client.get(b"key")
    return "works"


async def entered_after_close(client: Any) -> str:
    for _ in range(2):
        async with client:
            await client.get(b"key")
    return "works"


async def holds(client: Any, compare: Any) -> Any:
    return (await client.transaction([compare], [], []))[0]


async def count(call: Any) -> str:
    return "some" if len(await call) else "none"


async def parts(call: Any) -> Any:
    result = await call
    return len(result), bool(result), len(list(result))


async def attribute(call: Any, name: str) -> Any:
    return getattr(await call if isinstance(call, Awaitable) else call, name)


async def response(call: Any, path: str) -> Any:
    """What is reached by names from the response to the only operation of a transaction."""
    _, (found,) = await call
    return reduce(getattr, path.split("."), found)


async def nested(call: Any, path: str) -> Any:
    (found,) = await response(call, "response_txn.responses")
    return reduce(getattr, path.split("."), found)


async def has_field(call: Any, name: str) -> Any:
    _, (found,) = await call
    return found.HasField(name)


async def item(call: Any, index: Any) -> Any:
    return (await call)[index]


async def truth(call: Any) -> bool:
    return bool(await call)


async def is_int(of: Any, name: str) -> bool:
    return type(getattr(of, name)) is int


async def revoked(client: Any) -> Any:
    lease = await client.lease(60)
    await lease.revoke()
    return lease


async def revision(client: Any, key: bytes) -> int:
    return int((await client.get(key)).mod_revision)


async def kinds(watch: Any) -> Any:
    async for event in watch:
        await watch.cancel()
        return event.kind == "PUT", event.kind == aetcd.EventKind.PUT
    return None


async def shown_kind(call: Any) -> str:
    return f"{(await call).kind}"


async def iterated_after_cancel(watch: Any) -> list[Any]:
    await watch.cancel()
    return [event async for event in watch]


async def watched_twice(client: Any, key: bytes, watch_id: int) -> str:
    for _ in range(2):
        await client.watch(key, watch_id=watch_id)
    return "works"


async def iterate(results: Any) -> str:
    """Iterate over something that was not awaited."""
    async for _ in results:
        break
    return "iterates"


async def locked(lock: Any, *commands: Any) -> Any:
    await lock.acquire()
    result = None
    for command in commands:
        if isinstance(command, str):
            arguments = [each for each in commands if not isinstance(each, str)]
            result = await getattr(lock, command)(*arguments)
    return result


async def entered(lock: Any) -> str:
    async with lock:
        return "the body ran"


async def snapshot(client: Any, file: io.BytesIO) -> int:
    await client.snapshot(file)
    return file.tell()


async def compacted(client: Any, key: bytes) -> Any:
    now = (await client.put(key, b"")).header.revision
    await client.compact(now, physical=True)
    try:
        async for _ in await client.watch(key, start_revision=1):
            break
    except aetcd.RevisionCompactedError as error:
        return error.compacted_revision == now
    return None


async def alarmed(client: Any) -> Any:
    raised = await client.create_alarm()
    there = [alarm async for alarm in client.list_alarms()]
    ended = await client.disarm_alarm()
    numbers = [int(alarm.alarm_type) for alarm in (*raised, *there, *ended)]
    return numbers, [alarm async for alarm in client.list_alarms()]


HELPING: dict[str, Any] = {
    helper.__name__: helper
    for helper in (
        works,
        twice,
        used_after_close,
        entered_after_close,
        count,
        parts,
        attribute,
        response,
        nested,
        has_field,
        item,
        truth,
        is_int,
        revoked,
        revision,
        kinds,
        shown_kind,
        iterated_after_cancel,
        watched_twice,
        iterate,
        locked,
        entered,
        snapshot,
        compacted,
        alarmed,
    )
}


if __name__ == "__main__":
    asyncio.run(Program(sys.argv[1], int(sys.argv[2])).run())
