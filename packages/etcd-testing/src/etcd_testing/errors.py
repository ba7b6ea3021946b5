"""The errors of this package."""

from __future__ import annotations

from typing import Any

__all__ = ["BinaryNotFoundError", "EtcdTestingError", "EtcdctlError", "StartError"]


class EtcdTestingError(Exception):
    """The base class of the errors of this package."""


class BinaryNotFoundError(EtcdTestingError):
    """No etcd program was found; the message says how to get one."""


class StartError(EtcdTestingError):
    """A process did not become healthy; the message has the end of its log."""


class EtcdctlError(EtcdTestingError):
    """A command of etcdctl failed.

    `returncode` is its exit status, `stdout` and `stderr` are its output.
    """

    def __init__(self, message: str, *, returncode: int, stdout: str, stderr: str) -> None:
        super().__init__(message)
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr

    def __reduce__(self) -> tuple[Any, ...]:
        # The default passes only positional arguments to the constructor.
        return _restore, (str(self), self.__dict__.copy())


def _restore(message: str, state: dict[str, Any]) -> EtcdctlError:
    error = EtcdctlError(message, returncode=0, stdout="", stderr="")
    error.__dict__.update(state)
    return error
