"""The keys of a job."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["JobKeys"]


@dataclass(frozen=True, slots=True)
class JobKeys:
    """The keys of one job of a work queue."""

    queue: bytes
    """The name of the queue."""
    id: bytes

    @property
    def job(self) -> bytes:
        return self.queue + b"/jobs/" + self.id

    @property
    def claim(self) -> bytes:
        return self.queue + b"/claims/" + self.id

    @property
    def attempts(self) -> bytes:
        return self.queue + b"/attempts/" + self.id

    @property
    def dead(self) -> bytes:
        return self.queue + b"/dead/" + self.id

    @property
    def all(self) -> tuple[bytes, ...]:
        """What is deleted with the job."""
        return self.job, self.claim, self.attempts
