"""A process that was forked within a block, or an iteration, of a portal of its parent."""

from __future__ import annotations

import subprocess
import sys

FORKS = """
import asyncio, contextlib, os, signal
from etcd_channel import ClientForkedError
from etcd_sync._portal import Portal


@contextlib.asynccontextmanager
async def manager():
    yield


async def numbers():
    for number in range(5):
        yield number
    await asyncio.sleep(3600)


def attempt(portal, how):
    pid = 1
    if how == "iterate":
        items = portal.iterate(numbers())
        found = [next(items) for _ in range(3)]
    else:
        block = manager()
        portal.enter(block)
    try:
        pid = os.fork()
        if pid == 0:
            signal.alarm(45)  # ends it if it hangs
            if how == "iterate":
                next(items)
            elif how == "leave":
                portal.exit(block)
            else:
                error = KeyError()
                assert not portal.exit(block, KeyError, error, None)
                raise error
    except ClientForkedError:
        os._exit(10)
    except KeyError:
        os._exit(11)
    finally:
        if pid == 0:
            os._exit(12)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if how == "iterate":
        assert [*found, next(items), next(items)] == [0, 1, 2, 3, 4]
        items.close()
    else:
        portal.exit(block)
    return status


portal = Portal()
print([attempt(portal, how) for how in ("leave", "leave with an error", "iterate")])
portal.close()
"""


def test_blocks_and_iterations_of_the_parent_are_refused_in_a_forked_process() -> None:
    """The child raises an error, or its own exception, instead of waiting for ever."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.stdout == "[10, 11, 10]\n", done.stderr
