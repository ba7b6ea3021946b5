"""How do I load a million keys, export them again, and see how far it is?

python examples/bulk.py --keys 100000                 load and export on an etcd of its own
python examples/bulk.py load keys.jsonl --endpoints localhost:2379 --prefix copy/
python examples/bulk.py export keys.jsonl --endpoints localhost:2379 --prefix config/

A file has one key and its value a line, ["key", "value"], both as Latin-1 text, which every byte
has a place in; keys are without the prefix. With rich (pip install rich) it draws a bar, without
it prints a counter.

Guaranteed: an export is the prefix as it was at one revision, however long it takes and whatever
is written meanwhile; it replaces the file when it is complete. Both hold a few pages of keys in
memory, never all. After a load that failed or was interrupted, load the same file again: putting
the same values twice does no harm.
Not guaranteed: that others see all keys of a load at once. Each request is one transaction, the
whole load is many, and after a failure some of them were applied. An export of a revision that is
compacted meanwhile fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import demonstration

from etcd_client import Client

try:
    from rich.progress import Progress
except ImportError:
    HAS_RICH = False
else:
    HAS_RICH = True


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far it is; yield the function to call with the number of keys that are done."""
    if HAS_RICH:
        with Progress() as bars:
            bar = bars.add_task(title, total=total)
            yield lambda done: bars.update(bar, completed=done)
        return
    tenths = 0

    def show(done: int) -> None:
        nonlocal tenths
        if 10 * done // total > tenths:
            tenths = 10 * done // total
            print(f"{title}: {done} of {total}")

    yield show


async def export(client: Client, prefix: bytes, path: Path) -> int:
    """Write the keys under a prefix to a file; return their number."""
    now = await client.get_prefix(prefix, count_only=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w") as file, progress("export", now.count) as show:
        pages = client.scan_prefix(prefix, revision=now.header.revision)
        async with contextlib.aclosing(pages):
            done = 0
            async for kv in pages:
                key = kv.key.removeprefix(prefix)
                json.dump([key.decode("latin-1"), kv.value.decode("latin-1")], file)
                file.write("\n")
                done += 1
                show(done)
    os.replace(partial, path)
    return now.count


def read(prefix: bytes, path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over the pairs of a file."""
    with path.open() as file:
        for line in file:
            key, value = json.loads(line)
            yield prefix + key.encode("latin-1"), value.encode("latin-1")


async def load(client: Client, prefix: bytes, path: Path) -> int:
    """Load a file; return the number of its keys."""
    with path.open() as file:
        total = sum(1 for _ in file)
    with progress("load", total) as show:
        await client.put_many(read(prefix, path), progress=lambda done, _: show(done))
    return total


async def demonstrate(client: Client, prefix: bytes, count: int) -> bool:
    """Load keys and export them; return whether they are the same."""
    with tempfile.TemporaryDirectory() as folder:
        source, copy = Path(folder) / "source.jsonl", Path(folder) / "copy.jsonl"
        with source.open("w") as file:
            file.writelines(f'["{number:09}", "value {number}"]\n' for number in range(count))
        await load(client, prefix, source)
        await export(client, prefix, copy)
        same = source.read_bytes() == copy.read_bytes()
    print(f"{count} keys were loaded and exported; the files are the same: {same}")
    return same


async def main() -> int:
    parser = demonstration.options("bulk", __doc__)
    parser.add_argument("action", nargs="?", choices=("load", "export"), help="neither: both")
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--keys", type=int, default=20_000, help="without a file (20000)")
    options = parser.parse_args()
    if options.action and not options.file:
        parser.error(f"name the file to {options.action}")
    prefix = options.prefix.encode()
    async with demonstration.etcd(options.endpoints) as endpoints:
        async with Client(endpoints=endpoints) as client:
            if options.action == "load":
                print(f"loaded {await load(client, prefix, options.file)} keys")
            elif options.action == "export":
                print(f"exported {await export(client, prefix, options.file)} keys")
            else:
                try:
                    return 0 if await demonstrate(client, prefix, options.keys) else 1
                finally:
                    await client.delete_prefix(prefix)
    return 0


if __name__ == "__main__":
    demonstration.run(main)
