"""Makes entries of a queue of which a session can have several."""

from __future__ import annotations

from etcd_lock.queue_entry import QueueEntry
from etcd_lock.session import Session

__all__ = ["numbered_entry"]


def numbered_entry(
    session: Session, prefix: bytes, *, places: int = 1, behind: bytes | None = None
) -> QueueEntry:
    """Make an entry whose key differs from those of all other entries of the session."""
    entry = QueueEntry(session, prefix, places=places, behind=behind)
    entry._number = next(session._numbers)
    return entry
