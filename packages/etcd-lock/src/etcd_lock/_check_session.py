"""Checks an argument that should be a session."""

from __future__ import annotations

from etcd_lock.session import Session

__all__ = ["check_session"]


def check_session(session: object) -> Session:
    """Return `session` if it is a `Session`."""
    if not isinstance(session, Session):
        raise TypeError(f"session must be a Session, not {type(session).__name__}")
    return session
