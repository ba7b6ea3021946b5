"""How do I keep a copy of a prefix in another cluster, and go on where it stopped?

python examples/mirror.py                    between two prefixes of an etcd of its own
python examples/mirror.py --endpoints a:2379 --prefix app/ --target b:2379 --target-prefix copy/

It copies the keys, then follows the changes, and prints each step. Stop it by Ctrl-C and start it
again: it continues from the revision in its checkpoint, a key of the target.

Guaranteed: while it runs, the copy becomes equal to the source, with the keys of each revision
changed together if they are not more than 120. Neither a break of a connection, nor a compaction of
the source, nor an end at any moment leaves a difference. Two programs with one checkpoint do not
write in turns: the one whose checkpoint was changed says so, and begins from there.
Not guaranteed: that the copy is as new as the source, or has its revisions and leases. Keys of the
target that others write stay until the source is compared again.
"""

from __future__ import annotations

import asyncio
import contextlib

import demonstration

from etcd_client import Client, ClientError, mirror

PAUSE = 1.0
"""Seconds before another attempt after an error."""


async def keep_in_step(
    source: Client, prefix: bytes, target: Client, target_prefix: bytes, checkpoint: bytes
) -> None:
    """Mirror until cancelled, also while one of the clusters cannot be reached."""
    while True:
        try:
            steps = mirror(source, prefix, target, target_prefix, checkpoint=checkpoint)
            async with contextlib.aclosing(steps):
                async for step in steps:
                    how = "compared" if step.from_list else "followed"
                    print(f"revision {step.revision}: {step.changes} keys copied, {how}")
        except ClientError as error:
            print(f"trying again: {error}")
            await asyncio.sleep(PAUSE)


async def main() -> int:
    parser = demonstration.options("mirror", __doc__)
    parser.add_argument("--target", help="the endpoints of the copy (those of the source)")
    parser.add_argument(
        "--target-prefix", help="the prefix of the copy (copy-of- before the prefix)"
    )
    parser.add_argument("--checkpoint", help="a key of the target (checkpoint- before its prefix)")
    options = parser.parse_args()
    prefix = options.prefix.encode()
    target_prefix = options.target_prefix
    if target_prefix is None:
        target_prefix = f"copy-of-{options.prefix}"
    checkpoint = options.checkpoint or f"checkpoint-{target_prefix}"
    async with (
        demonstration.etcd(options.endpoints) as endpoints,
        Client(endpoints=endpoints) as source,
        Client(endpoints=options.target or endpoints) as target,
    ):
        print(f"etcdctl --endpoints {endpoints} put {options.prefix}colour blue")
        await keep_in_step(source, prefix, target, target_prefix.encode(), checkpoint.encode())
    return 0


if __name__ == "__main__":
    demonstration.run(main)
