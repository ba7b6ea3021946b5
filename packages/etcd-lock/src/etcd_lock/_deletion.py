"""Deletes the entry of a queue, now or as soon as etcd answers."""

from __future__ import annotations

from functools import partial

from etcd_channel import ClientError
from etcd_channel.deadline import Deadline
from etcd_lock.session import Session

__all__ = ["delete_or_defer"]


async def delete_or_defer(
    session: Session, key: bytes, revision: int | None, *, again: bool
) -> bool:
    """Call `_delete`; if it fails, let the session retry it, and raise the error.

    If `revision` is None, it is not known whether the key was put, and it may still be.
    """
    in_doubt = revision is None
    delete = partial(_delete, session, key, revision)
    deletion = partial(delete, again=True)
    defer = partial(session._pending_deletions.add, key, deletion, session.lease, in_doubt=in_doubt)
    try:
        deleted = await delete(again=again)
        if in_doubt and not deleted:
            defer()
        return deleted
    except Exception:
        defer()
        raise
    finally:
        session._pending_deletions.resume(key, session.lease)


async def _delete(session: Session, key: bytes, revision: int | None, *, again: bool) -> bool:
    """Delete `key` if it has this create revision; return whether it existed.

    If `revision` is None, delete it if it has the session's lease. `again` says that an earlier
    attempt may have deleted it already.
    """
    kv, txn = session._services.kv, session._services.kv.transactions
    deadline = Deadline.after(session.channel.timeout)
    if revision is None:
        # It is not known whether the key was put. The deletion may arrive late, so it compares the
        # create revision: the next entry of the session has the same lease.
        found = await kv.get(key, keys_only=True)
        if found is None or found.lease != session.lease.id:
            return False
        revision = found.create_revision
    own, deletion = [txn.create(key) == revision], [txn.delete(key)]
    try:
        succeeded = (await kv.transaction(own, deletion)).succeeded
    except ClientError as error:
        if error.definite or session.channel.closed:
            raise
        again = True
        try:
            result = await kv.transaction(own, deletion, timeout=deadline.timeout())
        except ClientError:
            raise error from None
        succeeded = result.succeeded
    return succeeded or (again and not session.is_lost)
