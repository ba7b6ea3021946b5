"""The parent of one etcd process, which outlives the test run by as long as it takes to clean up.

Run as `python -I -S _guard.py DIRECTORY PARENT_PID`, with pipes on stdin and stdout. It imports
nothing from the package and as little as it can from the library: it stands between every test
and its server. Commands on stdin are frames, four bytes of length (big-endian) and fields joined
by NUL:

    run LOG CWD ARG0 ARG1 …   start the program, its output appended to LOG
    signal NUMBER             send it a signal, if it still runs

Events on stdout are lines: `started PID`, `stopped PID`, `continued PID`, `exited STATUS` (negative
for a signal). When stdin ends, which it does however the test run dies, or when the parent is no
longer the parent (a fork of the test run may hold the pipe open), the program is killed and
DIRECTORY removed.
"""

from __future__ import annotations

import os
import select
import signal
import sys

# How often to look whether the parent is still the parent, in seconds. The end of the pipe
# tells it at once; this is for the rare case that a fork keeps the pipe open.
_LOOK_AT_PARENT_EVERY = 2.0

_PR_SET_PDEATHSIG = 1


def main(directory: str, parent: int) -> None:
    wakeup, wakeup_writer = os.pipe()
    os.set_blocking(wakeup_writer, False)
    stopping: list[bool] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.append(True))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)

    child: int | None = None
    received = b""
    try:
        while not stopping and os.getppid() == parent:
            ready, _, _ = select.select([0, wakeup], [], [], _LOOK_AT_PARENT_EVERY)
            if wakeup in ready:
                os.read(wakeup, 4096)
                while child is not None:
                    changed, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
                    if not changed:
                        break
                    if os.WIFSTOPPED(status):
                        tell(f"stopped {child}")
                    elif os.WIFCONTINUED(status):
                        tell(f"continued {child}")
                    else:
                        tell(f"exited {os.waitstatus_to_exitcode(status)}")
                        child = None
            if 0 in ready:
                piece = os.read(0, 65536)
                if not piece:
                    break
                received += piece
                while len(received) >= 4:
                    end = 4 + int.from_bytes(received[:4], "big")
                    if len(received) < end:
                        break
                    command, *fields = received[4:end].split(b"\0")
                    received = received[end:]
                    if command == b"run" and child is None:
                        child = run(fields[0], fields[1], fields[2:])
                        tell(f"started {child}")
                    elif command == b"signal" and child is not None:
                        os.kill(child, int(fields[0]))
    finally:
        if child is not None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        if directory:
            remove(directory)


def run(log: bytes, cwd: bytes, argv: list[bytes]) -> int:
    guard = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores these, and exec would hand that on.
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
        if cwd:
            os.chdir(cwd)
        if sys.platform == "linux":
            # If the guard itself is killed. Safe here: the guard has one thread only.
            try:
                import ctypes

                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            except (ImportError, OSError, AttributeError):
                pass  # Without it all else still holds.
            if os.getppid() != guard:
                os._exit(1)
        os.execv(argv[0], argv)
    except BaseException as error:
        os.write(2, f"cannot run {os.fsdecode(argv[0])}: {error}\n".encode())
    finally:
        os._exit(127)


def tell(event: str) -> None:
    try:
        os.write(1, event.encode() + b"\n")
    except OSError:
        pass  # Nobody listens any more; the end of stdin follows.


def remove(directory: str) -> None:
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    remove(entry.path)
                else:
                    os.unlink(entry.path)
        os.rmdir(directory)
    except OSError:
        pass  # What cannot be removed is a temporary file; there is no one to tell.


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
