"""A program that uses a portal when no file descriptor is free, and again when some are."""

from __future__ import annotations

import errno
import os
import resource
import sys

from etcd_sync._portal import Portal


async def answer() -> int:
    return 42


def main() -> None:
    portal = Portal()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
    taken: list[int] = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        pass
    try:
        portal.run(answer)
    except OSError as error:
        sys.stdout.write(f"OSError {errno.errorcode[error.errno or 0]}\n")
    for descriptor in taken:
        os.close(descriptor)
    sys.stdout.write(f"{portal.run(answer)}\n")
    portal.close()


if __name__ == "__main__":
    main()
