"""The default of a call's `timeout` argument that means the timeout of its object."""

from __future__ import annotations

from etcd_channel.arguments import check_wait

__all__ = ["DefaultTimeout", "seconds_to_wait"]


class DefaultTimeout(float):
    """A default argument that stands for the timeout that the object was made with.

    It is a float with the value of the documented default, and `shown` is its repr in `help`.
    """

    _shown: str

    def __new__(cls, shown: str, seconds: float = 0.0) -> DefaultTimeout:
        default = super().__new__(cls, seconds)
        default._shown = shown
        return default

    def __repr__(self) -> str:
        return self._shown


def seconds_to_wait(timeout: float | None, default: float | None) -> float | None:
    """Return the seconds to wait: `timeout`, or `default` if it was not given; None: no limit."""
    return check_wait("timeout", default if isinstance(timeout, DefaultTimeout) else timeout)
