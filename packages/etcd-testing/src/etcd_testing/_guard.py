"""The parent of one etcd process; it outlives the test run until it has cleaned up.

Run as `python -I -S _guard.py DIRECTORY PARENT_PID`, with pipes on stdin and stdout. It imports
nothing from the package and little from the standard library, because each server waits for its
start. Commands on stdin are frames, four bytes of length (big-endian) and fields joined by NUL:

    run LOG CWD ARG0 ARG1 …   start the program, its output appended to LOG
    signal NUMBER             send it a signal, if it still runs

Events on stdout are lines: `started PID`, `stopped PID`, `continued PID`, `exited STATUS` (negative
for a signal). The program is killed and DIRECTORY removed when stdin ends, which happens however
the test run ends, and when the parent has changed (a fork of the test run may keep the pipe open).
"""

from __future__ import annotations

import os
import select
import signal
import sys

# Seconds between checks of the parent's pid. Usually the end of the pipe comes first; the check is
# for the rare case that a fork keeps the pipe open.
_PARENT_CHECK_INTERVAL = 2.0

_PR_SET_PDEATHSIG = 1

# The signals that end the guard.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(directory: str, parent: int) -> None:
    wakeup, wakeup_writer = os.pipe()
    os.set_blocking(wakeup_writer, False)
    stopping: list[bool] = []
    for number in _ENDING:
        signal.signal(number, lambda *_: stopping.append(True))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)

    child: int | None = None
    received = b""
    try:
        while not stopping and os.getppid() == parent:
            ready, _, _ = select.select([0, wakeup], [], [], _PARENT_CHECK_INTERVAL)
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
    # Until exec, the child has the guard's signal handlers, which would consume a signal for the
    # program. A blocked signal stays pending until the handlers are reset.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        return child
    try:
        signal.set_wakeup_fd(-1)
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores these, and exec would keep that.
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
                pass  # This is an additional safeguard.
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
        pass  # The reader has closed the pipe; the end of stdin follows.


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
        pass  # A leftover temporary file; there is nowhere to report it.


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
