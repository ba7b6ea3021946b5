"""Checks of every test: nothing that it starts outlives it, and no log record keeps an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest


def is_of_an_earlier_loop(report: dict[str, Any]) -> bool:
    """Whether grpc handed an event of a loop that has been closed since to this test's loop.

    grpc.aio has one queue of events for all loops of a process, and any loop may be woken for the
    events of another. Each test has a loop of its own, so an event of an
    earlier test can come late.
    """
    late = isinstance(report.get("exception"), BlockingIOError | RuntimeError)
    return late and "PollerCompletionQueue._handle_events" in str(report.get("message"))


ENDS_BY_ITSELF = 30.0
"""Seconds to wait for tasks that are ending; only a failing test waits for all of them."""


@pytest.fixture(autouse=True)
async def no_task_outlives_its_test() -> AsyncIterator[None]:
    """Fails a test that leaves a task behind, or an exception that nobody retrieved.

    The event loop would cancel such a task silently when it closes, and only log the exception.
    Autouse and async: it is set up before a test's own fixtures and so ends after them.
    """
    loop = asyncio.get_running_loop()
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reports.append(context))
    before = asyncio.all_tasks()
    yield
    here = asyncio.current_task()
    left = {task for task in asyncio.all_tasks() - before if task is not here}
    if left:
        # Tasks that the test's last step cancelled or woke, gRPC's handlers among them, end in the
        # next turns of the loop. Others were left behind.
        _, left = await asyncio.wait(left, timeout=ENDS_BY_ITSELF)
    problems = [f"a task was left behind: {task!r}" for task in left]
    problems += [
        f"{report.get('message')}: {report.get('exception')!r}"
        for report in reports
        if not is_of_an_earlier_loop(report)
    ]
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture(autouse=True)
def no_log_record_refers_to_an_error(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails a test in which an error is logged as an object instead of its text.

    Handlers may keep records, as pytest's does. A record with an error keeps its traceback, whose
    frames refer to clients, requests and passwords.
    """
    yield
    for record in caplog.get_records("call"):
        arguments = record.args if isinstance(record.args, tuple) else (record.args,)
        if record.name.startswith("etcd_") and any(
            isinstance(argument, BaseException) for argument in arguments
        ):
            pytest.fail(f"{record.name} has logged an error object: {record.getMessage()}")
