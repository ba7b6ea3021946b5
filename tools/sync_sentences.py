"""What the docstrings of etcd-sync say otherwise than those of the asynchronous classes."""

from __future__ import annotations

__all__ = ["SENTENCES", "WHOLE"]

SENTENCES: dict[str, str] = {
    # Clients
    "are called for broken streams and failed attempts, as for `Channel`.": (
        "are called for broken streams and failed attempts, in order, each in a thread of its own,"
        " where it may use the client."
    ),
    " `Client.on` makes a client on an existing channel.": (
        " Their methods run in the client's own thread, where they must not block and cannot call"
        " the client."
    ),
    "The client is an async context manager that does both, and belongs to one event loop. A closed"
    " client can be entered again, also in another event loop.": (
        "The client is a context manager that does both. Any number of threads may use it at once."
        " Its connections are in a thread of its own, which ends with the client or the process. A"
        " call raises `RuntimeError` in a thread where an event loop runs, and"
        " `ClientForkedError` in a process that was forked while any client was open. A closed"
        " client can be entered again."
    ),
    "are read as by `Channel.from_env`, which raises `ValueError`": (
        "are read as by `etcd_channel.Channel.from_env`, which raises `ValueError`"
    ),
    "Find a member that answers, and fetch the token; see `Channel.connect`.": (
        "Find a member that answers, and fetch the token."
    ),
    " A client that was made by `on` cannot open its channel again.": (
        " A client that was made by `coalescing` cannot open the one that it was made of."
    ),
    "Close the client and everything that it opened; see `Channel.close`.": (
        "Close the client and everything that it opened."
    ),
    "A client that was made by `on` leaves its channel open.": (
        "A client that was made by `coalescing` leaves open the one that it was made of."
    ),
    "The new client has all services, on a view of the present channel of this client, as if it"
    " were made by `on`: closing it closes nothing.": (
        "The new client has all services, and the connections of this one: closing it closes"
        " nothing."
    ),
    "The new client has all services of this one, on a view of its channel: closing it closes"
    " nothing.": (
        "The new client has all services of this one, and its connections: closing it closes"
        " nothing."
    ),
    " `channel` is a channel, a view of one, or a client, whose channel is used. The client does"
    " not own it: closing the client closes nothing.": (
        " Both use the same connections, and closing a client of a namespace closes nothing."
    ),
    "The new client uses the channel of this one, so": (
        "The new client uses the connections of this one, so"
    ),
    "Close nothing: the channel belongs to the client that made it.": (
        "Close nothing: the connections belong to the `Client` that made them."
    ),
    "until they are ended, or until the channel is closed.": (
        "until they are ended, or until that client is closed."
    ),
    "All clients that are made by this method on one channel or view share": (
        "All clients that are made by this method of one client share"
    ),
    "with any client or channel as the first": "with any client as the first",
    # Bulk operations
    "Each method takes an iterable or async iterable, the source, and": (
        "Each method takes an iterable, the source, which is read in the thread that calls the"
        " method and may use the client, and"
    ),
    "It is called in the event loop and must not block; its": (
        "It is called in the thread that called the method; its"
    ),
    "A failed transaction does not interrupt the source: if the next item of an async iterable is"
    " being awaited, the error is raised when that item arrives. Use `asyncio.timeout` or a timeout"
    " in the source to limit the wait.": (
        "A failed transaction does not interrupt the source: if the next item is being waited for,"
        " the error is raised when that item arrives."
    ),
    # Caches
    "A cache belongs to one event loop, and can be entered once.": "A cache can be entered once.",
    "Reads after it, without an `await` between them, are from the returned revision.": (
        "Reads after it are from the returned revision or a later one."
    ),
    "it is called in the event loop.": (
        "it is called in the client's own thread, where it must not block and cannot call the"
        " client."
    ),
    "After a `break` close it by `aclose`, or use `contextlib.aclosing`.": (
        "After a `break` close it by `close`, or iterate over it inside a `with`."
    ),
    "It is called now, and after each change of the content.": (
        "It is called now, and after each change of the content, in the calling thread."
    ),
    # Losses
    "A coroutine that waits for the loss: `error = await mutex.lost`, see `Lock.lost`.": (
        "The loss, for which `lost.wait()` waits; see `Lock.lost`."
    ),
    "A coroutine that waits for the loss: `error = await lock.lost`, see `Lock.lost`.": (
        "The loss, for which `lost.wait()` waits; see `Lock.lost`."
    ),
    "A coroutine that waits for the loss of the entry, admitted or not; see `Lock.lost`.": (
        "The loss of the entry, admitted or not, for which `lost.wait()` waits; see `Lock.lost`."
    ),
    "A coroutine that waits for the end of the membership; see `etcd_lock.Lock.lost`.": (
        "The end of the membership, for which `lost.wait()` waits; see `Lock.lost`."
    ),
    "A coroutine that waits for the end of the session: `error = await session.lost`.": (
        "The end of the session, for which `lost.wait()` waits."
    ),
    "See `Lease.lost`. Raises `ValueError` before the session is open.": "See `Lease.lost`.",
    "The error that `lost` would return;": "The error that `lost.wait` would return;",
    "Wait as `lost` does, but without": "Wait as `lost.wait()` does, but without",
    "`lost` waits until the session is lost.": "`lost.wait()` waits until the session is lost.",
    "key is deleted, `lost` returns, and": "key is deleted, `lost.wait()` returns, and",
    "A coroutine that waits for the loss of the lock: `error = await lock.lost`.": (
        "The loss of the lock, for which `lost.wait()` waits; `is_acquired` asks without waiting."
    ),
    "It returns, and does not raise, the `LockLostError` with": (
        "`wait` returns, and does not raise, the `LockLostError` with"
    ),
    "Any number of tasks may wait; cancelling one does not affect the lock. Once it has returned,"
    " the end": "Any number of threads may wait. Once it has returned the error, the end",
    "any task has awaited `lost`, or a method has raised the error.": (
        "`lost.wait` has returned the error, or a method has raised it."
    ),
    "any task has awaited `lost`, or a method has raised an error for the loss.": (
        "`lost.wait` has returned the error, or a method has raised one for the loss."
    ),
    "With `cancel_on_loss` the body is cancelled when the lease is lost, kept alive or not, and"
    " `LeaseExpiredError` is raised in place of the `CancelledError`.": (
        "`cancel_on_loss` must be False: the body of a `with` cannot be interrupted; it can check"
        " `is_lost`."
    ),
    "; a cancellation by anything else is raised unchanged. With `cancel_on_loss` the body is"
    " cancelled when the lock is lost, even if a task awaits `lost`, and `LockLostError` is raised"
    " in place of the `CancelledError`.": (
        ". `cancel_on_loss` must be False: the body of a `with` cannot be interrupted; it can call"
        " `is_acquired`."
    ),
    "It is an async context manager": "It is a context manager",
    " `lost` and `cancel_on_loss` work as": " `lost` and `fencing_token` work as",
    "a body that has awaited the `lost` of the session counts": (
        "a body to which `lost.wait` of the session has returned the error counts"
    ),
    "cancels the body of `async with` when its lock is lost": "must be False",
    "cancels the body of `async with` when its permit is lost": "must be False",
    "cancels the body of `async with` when it is lost": "must be False",
    "cancels the body of `async with` when the session is lost": "must be False",
    "is raised at the end; with `cancel_on_loss` the body is cancelled when the session is lost."
    " The": "is raised at the end. `cancel_on_loss` must be False. The",
    # Leases
    "is stopped, its event loop is blocked or the machine is suspended": (
        "is stopped or the machine is suspended"
    ),
    "on one channel share one state": "of one client share one state",
    "Revoke the lease, however often the task is cancelled meanwhile.": "Revoke the lease.",
    "and no task was notified of the loss (awaited `lost`, or got the error from a method).": (
        "and it was not notified of the loss (`lost.wait` has returned it, or a method raised it)."
    ),
    "Grant a lease for `ttl` seconds: `await` it, or enter it by `async with`.": (
        "Grant a lease for `ttl` seconds."
    ),
    "; with `cancel_on_loss` the body is cancelled when the lease is lost, see `Lease`.": (
        ", see `Lease`. `cancel_on_loss` must be False."
    ),
    # Locks
    "Await it, or enter it, to open it. Leaving": "It is open when it is made. Leaving",
    "The session's lease. Raises `ValueError` before the session is open.": "The session's lease.",
    "Await it, or enter it by `async with`, to open it.": (
        "It is open when this returns; `with` closes it at the end of the block."
    ),
    "Make a session for `Mutex`": "Open a session for `Mutex`",
    "a leader awaits `lost`;": "a leader calls `lost.wait()`;",
    "The body is cancelled when the lead is lost, and `LockLostError` is raised in place of the"
    " `CancelledError`. With `cancel_on_loss=False` it is raised at the end of the block instead,"
    " unless": "If the lead is lost, `LockLostError` is raised at the end of the block, unless",
    "Close the iterator (`aclose`, or `async with contextlib.aclosing(…)`)": (
        "Close the iterator (`close`, or `with`)"
    ),
    "enter the lease, or await its `lost`.": "enter the lease, or call its `lost.wait()`.",
    ", however often the task is cancelled meanwhile.": ".",
    # The cluster
    "`await` returns a list, `async for` iterates. ": "",
    "`async for` yields each member after its defragmentation, once all members are healthy again:"
    " they answer, follow": (
        "It continues with the next member once all members are healthy again: they answer, follow"
    ),
    " Then it continues with the next member; leaving the loop skips the rest. `await` defragments"
    " all members and returns the list.": "",
    ", whose `write` may return an awaitable.": "; a `write` is called in the calling thread.",
    "and the total; it is not awaited.": "and the total, in the calling thread.",
    # Recipes
    "Work is cancelled when its part must be handed over and when the session is lost; after that"
    " it begins": (
        "Work is told to end, by `Part.ending`, when its part must be handed over and when the"
        " session is lost; after that it begins"
    ),
    "if the body raises or is cancelled. If the session is lost meanwhile the body is cancelled,"
    " and `ClaimLostError` is raised in place of the `CancelledError`; it is also raised at the end"
    " if the claim was deleted.": (
        "if the body raises. If the session is lost meanwhile, or the claim was deleted,"
        " `ClaimLostError` is raised at the end."
    ),
    "back; it must not block, and an error of it is logged.": (
        "back, in a thread of its own, where it may use the client; an error of it is logged."
    ),
    "The client URLs that a `Channel` accepts": "The client URLs that a client accepts",
    # Scans
    "a read in flight is cancelled": "a read in flight is given up",
    # Software transactional memory
    "`body` is an async function that takes": "`body` is a plain function that takes",
    "It runs in the caller's task.": "It runs in the caller's thread, and may use the client.",
    # Watches
    "server. The first two wait for the creation: every": "server, and waits for that: every",
    " A watch that is dropped at once, without any use, raises a `RuntimeWarning`, like a coroutine"
    " that was never awaited.": "",
    "Cancelling a task that waits for an event loses no event, and the watch continues; cancelling"
    " a task that awaits or enters the watch ends it.": (
        "Interrupting a thread that waits for an event loses no event, and the watch continues."
    ),
    "Awaiting the watch, entering it or iterating over it creates it on the server. That may": (
        "It is created on the server before this returns. That may"
    ),
    "`watchstub` is a `Channel`, a view, or a service client on one.": "`watchstub` is a client.",
    "Each callback has a task of its own, so that a slow callback does not delay the others. A"
    " callback may be a plain function or a coroutine function; an exception that it raises is"
    " logged. `shutdown` ends all watches and waits for all tasks;": (
        "Each callback has a thread of its own, so that a slow callback does not delay the others,"
        " and may use the client. An exception that it raises is logged. `shutdown` ends all"
        " watches and waits for all callbacks;"
    ),
}

WHOLE: dict[str, str] = {
    "Lease.lost": """\
The loss of the lease: `lost.wait()` waits for it, `lost.wait(0)` checks for it.

`wait` returns, and does not raise, the `LeaseExpiredError` with the reason: the server no longer
has the lease, no renewal was acknowledged within its time to live, this client revoked it, or the
client was closed. Any number of threads may wait. After the machine was suspended, `wait` may
return later than `is_lost` becomes True, by up to half of the time to live if the lease is kept
alive.""",
    "Partitioner.run": """\
Be a member, and call `work(part)` for each part that is owned.

`work` runs in a thread for each part. `Part.ending` is set when the part must be given away. The
part is released when the work has returned, so it should return soon; while it does not, no other
member gets the part. If it returns before that, the part stays owned. An error that it raises ends
the membership, and is raised here after all parts were released. While etcd cannot be reached it
tries again; `ClientClosedError` is raised when the client is closed.

It runs until it is interrupted, as by Ctrl-C, or another thread closes the client. The work is
told to end then, and the parts are released, or end with the lease if it does not end in time.""",
    "WorkQueue.work": """\
Take jobs and call `handler(job)` for each.

`tasks` jobs are handled at the same time, each in a thread, with one session of `ttl` seconds. A
job is done when its handler returns. If it raises, the error is logged, and the job is given back;
give the queue a number of `attempts`, or it is tried for ever. `Job.ending` is set when the session
is lost. After a loss, or while etcd cannot be reached, it begins again with another session.

It runs until it is interrupted, as by Ctrl-C, or another thread closes the client. The handlers are
told to end then, and their jobs given back, or end with the lease if they do not end in time.""",
}
