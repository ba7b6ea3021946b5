"""A program that limits rates with the package `limits`, whose storage was written for aetcd.

python limiter.py HOST PORT: it prints the results.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import warnings
from typing import Any

import aetcd
import etcd_client

# It is not among the requirements of development.
limits: Any = importlib.import_module("limits")
strategies: Any = importlib.import_module("limits.aio.strategies")
ConcurrentUpdateError: type[Exception] = importlib.import_module(
    "limits.errors"
).ConcurrentUpdateError


def tell(what: str, seen: object) -> None:
    sys.stdout.write(f"{what}: {seen}\n")


async def fixed_window(storage: Any) -> None:
    limiter = strategies.FixedWindowRateLimiter(storage)
    item = limits.RateLimitItemPerHour(3)
    tell("fixed window, before", await limiter.test(item, "user"))
    tell("fixed window, hits", [await limiter.hit(item, "user") for _ in range(5)])
    tell("fixed window, after", await limiter.test(item, "user"))
    stats = await limiter.get_window_stats(item, "user")
    tell("fixed window, remaining", (stats.remaining, stats.reset_time > 0))
    tell("fixed window, another", await limiter.hit(item, "other", cost=2))
    await limiter.clear(item, "user")
    tell("fixed window, cleared", await limiter.hit(item, "user"))


async def elastic_window(storage: Any) -> None:
    limiter = strategies.FixedWindowElasticExpiryRateLimiter(storage)
    item = limits.RateLimitItemPerMinute(2)
    tell("elastic window, hits", [await limiter.hit(item, "elastic") for _ in range(3)])


async def moving_window(storage: Any) -> None:
    # Meant: the storage of limits on etcd has no method for it (neither `acquire_entry` nor
    # `get_moving_window`), so the limiter refuses it with aetcd too.
    try:
        strategies.MovingWindowRateLimiter(storage)
    except NotImplementedError:
        tell("moving window", "not implemented")


async def at_once(storage: Any) -> None:
    """Many concurrent hits of one key: each is counted once."""
    limiter = strategies.FixedWindowRateLimiter(storage)
    item = limits.RateLimitItemPerHour(100)
    results = await asyncio.gather(
        *(limiter.hit(item, "many") for _ in range(8)), return_exceptions=True
    )
    counted = [result for result in results if result is True]
    refused = [result for result in results if isinstance(result, ConcurrentUpdateError)]
    tell("at once, all accounted for", len(counted) + len(refused) == len(results))
    left = (await limiter.get_window_stats(item, "many")).remaining
    tell("at once, none lost", left == 100 - len(counted))


async def main(host: str, port: str) -> None:
    assert aetcd.Client is etcd_client.Client
    uri = f"async+etcd://{host}:{port}"
    storage: Any = importlib.import_module("limits.storage").storage_from_string(
        uri, timeout=30, max_retries=50
    )
    tell("check", await storage.check())
    try:
        for part in (fixed_window, elastic_window, moving_window, at_once):
            await part(storage)
        tell("reset", await storage.reset())
        tell("reset again", await storage.reset())
    finally:
        await storage.storage.close()


if __name__ == "__main__":
    with warnings.catch_warnings():
        # The package deprecates its storage on etcd.
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.run(main(*sys.argv[1:]))
