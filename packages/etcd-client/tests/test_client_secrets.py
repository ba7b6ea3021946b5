"""The value of a key appears in no error and no log, even if it is passed by mistake."""

from __future__ import annotations

import contextlib
import inspect
import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from etcd_client import Client, ClientError

SECRET = "hunter2-and-no-other"
# Parameters whose arguments may be shown: keys and parts of keys, names of users and roles,
# choices. Also callbacks, and arguments that would stop the test's server.
SHOWN = {
    "key",
    "keys",
    "pairs",
    "key_prefix",
    "prefix",
    "range_start",
    "range_end",
    "start_after",
    "name",
    "parts",
    "service",
    "user",
    "role",
    "new_name",
    "sort_order",
    "sort_target",
    "alarm_type",
    "action",
    "version",
    "candidate",
    "kind",
    "kinds",
    "path",
    "endpoint",
    "endpoints",
    "urls",
    "peer_urls",
    "file_obj",
}
SKIPPED = {"close", "connect", "on"}


def _in_wrong_types() -> list[Any]:
    return [
        SECRET,
        SECRET.encode(),
        bytearray(SECRET.encode()),
        memoryview(SECRET.encode()),
        [SECRET],
        {SECRET: SECRET},
        (SECRET.encode(),),
        SECRET * 1000,
        SECRET.encode() * 200_000,
    ]


def _usual(parameter: inspect.Parameter, key: bytes) -> Any:
    """Return a valid argument, so that the call checks the other ones."""
    usual = {
        "lease": None,
        "ttl": 60,
        "lease_id": 77,
        "revision": 1,
        "value": b"v",
        "member_id": 1,
        "peer_urls": ["http://127.0.0.1:1"],
        "urls": ["http://127.0.0.1:1"],
        "compare": None,
        "callback": print,
    }
    return usual.get(parameter.name, key)


def _calls() -> Iterator[tuple[str, str]]:
    for name, method in inspect.getmembers(Client, callable):
        if name.startswith("_") or name in SKIPPED or inspect.isclass(method):
            continue
        for parameter in list(inspect.signature(method).parameters.values())[1:]:
            if parameter.kind is not parameter.VAR_KEYWORD and parameter.name not in SHOWN:
                yield name, parameter.name


async def _done(result: Any) -> None:
    if inspect.isawaitable(result):
        result = await result
    if hasattr(result, "__aiter__"):
        await result.__aiter__().__anext__()
    if hasattr(result, "__aenter__"):
        async with result:
            pass
    if hasattr(result, "cancel") and inspect.iscoroutinefunction(result.cancel):
        await result.cancel()


async def _error_of(function: Any, given: dict[str, Any]) -> BaseException | None:
    try:
        await _done(function(**given))
    except (ClientError, TypeError, ValueError, AttributeError, StopAsyncIteration) as error:
        return error
    return None


def _texts(error: BaseException | None) -> str:
    """Return the text of the error and its causes as it would be logged, without source lines."""
    if error is None:
        return ""
    lines = [str(error), repr(error)]
    for each in (error.__cause__, error.__context__):
        if each is not None:
            lines += ["".join(traceback.format_exception_only(each)), repr(each)]
    return "\n".join(lines)


@pytest.mark.parametrize(("method", "argument"), [*_calls()])
async def test_a_value_that_is_passed_as_any_argument_is_not_shown(
    client: Client,
    key_prefix: bytes,
    caplog: pytest.LogCaptureFixture,
    method: str,
    argument: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    function = getattr(client, method)
    parameters = inspect.signature(function).parameters
    for wrong in _in_wrong_types():
        given = {
            name: _usual(parameter, key_prefix)
            for name, parameter in parameters.items()
            if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        }
        given[argument] = wrong
        if "timeout" in parameters and argument != "timeout":
            given["timeout"] = 0.2
        error = await _error_of(function, given)
        assert SECRET not in _texts(error), (type(wrong), error)
    with contextlib.suppress(ClientError):
        await client.delete_prefix(key_prefix)
    assert SECRET not in caplog.text
    assert SECRET not in repr(client)


TRANSACTION_ERRORS = [
    lambda t: t.value(b"k") == [SECRET],
    lambda t: t.value(b"k") <= SECRET,
    lambda t: t.version(b"k") == SECRET,
    lambda t: t.mod(b"k") > SECRET.encode(),
    lambda t: t.create(b"k") == [SECRET],
    lambda t: t.lease(b"k") == SECRET,
    lambda t: t.put(b"k", {SECRET: 1}),
    lambda t: t.put(b"k", SECRET, lease=SECRET),
    lambda t: t.put(b"k", SECRET, prev_kv=SECRET),
    lambda t: t.put(b"k", SECRET, ignore_value=True),
    lambda t: bool(t.value(b"k") == SECRET),
    lambda t: t.txn(t.value(b"k") == SECRET),
    lambda t: t.txn([SECRET]),
    lambda t: t.txn([], [SECRET]),
    lambda t: t.txn([], [t.value(b"k") == SECRET]),
    lambda t: t.txn([t.put(b"k", SECRET)]),
]


@pytest.mark.parametrize("mistake", TRANSACTION_ERRORS)
def test_a_value_in_a_wrong_transaction_is_not_shown(mistake: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        mistake(Client.transactions)
    assert SECRET not in _texts(caught.value)


async def test_a_value_that_the_server_refuses_is_not_shown(
    client: Client, key_prefix: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    put = client.transactions.put(key_prefix, SECRET)
    for call in (
        client.put(key_prefix, SECRET.encode() * 200_000),
        client.put(key_prefix, SECRET.encode(), lease=77),
        client.transaction([], [put, put]),
        client.transaction([], [client.transactions.put(b"%d" % n, SECRET) for n in range(200)]),
    ):
        with pytest.raises(ClientError) as caught:
            await call
        assert SECRET not in _texts(caught.value)
    nobody = Client(endpoints=["127.0.0.1:1"], connect_wait_timeout=0.2)
    with pytest.raises(ClientError) as caught:
        await nobody.put(key_prefix, SECRET.encode())
    await nobody.close()
    assert SECRET not in _texts(caught.value)
    assert SECRET not in caplog.text
