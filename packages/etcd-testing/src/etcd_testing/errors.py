"""What can go wrong with an etcd of one's own."""

from __future__ import annotations

__all__ = ["BinaryNotFoundError", "EtcdTestingError", "EtcdctlError", "StartError"]


class EtcdTestingError(Exception):
    """The root of the errors of this package."""


class BinaryNotFoundError(EtcdTestingError):
    """There is no etcd program to run; the message says how to get one."""


class StartError(EtcdTestingError):
    """A member did not become healthy; the message ends with the tail of its log."""


class EtcdctlError(EtcdTestingError):
    """An etcdctl ended with another status than 0.

    `returncode`, `stdout` and `stderr` are what it left behind.
    """

    def __init__(self, message: str, *, returncode: int, stdout: str, stderr: str) -> None:
        super().__init__(message)
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
