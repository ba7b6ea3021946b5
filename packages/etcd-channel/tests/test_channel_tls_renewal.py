"""Certificates that are renewed on disk are used by the next connection, without a restart."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import trustme
from channel_support import HANG, LEASE_GRANT, RANGE, WATCH

from etcd_channel import (
    TLS,
    Channel,
    ClientError,
    ConnectionFailedError,
    ConnectionTimeoutError,
    Rpc,
)
from etcd_testing import EtcdServer, FaultProxy, TLSFiles
from etcd_testing.played import messages

GET = messages.RangeRequest(key=b"k")
LOCK: Rpc[Any, Any] = Rpc("/v3lockpb.Lock/Lock", messages.LockRequest, messages.LockResponse)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    return TLSFiles.create(tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    """Of another authority."""
    return TLSFiles.create(tmp_path_factory.mktemp("second"))


class Renewed:
    """The files of a client, which are replaced as a certificate manager does it."""

    def __init__(self, directory: Path, files: TLSFiles) -> None:
        self.ca = directory / "ca.pem"
        self.cert = directory / "client.pem"
        self.key = directory / "client-key.pem"
        self.install(files)
        self.tls = TLS(ca_cert=self.ca, client_cert=self.cert, client_key=self.key)

    def install(self, files: TLSFiles) -> None:
        assert files.client_cert is not None
        assert files.client_key is not None
        for source, target in (
            (files.ca, self.ca),
            (files.client_cert, self.cert),
            (files.client_key, self.key),
        ):
            beside = target.with_suffix(".new")
            shutil.copyfile(source, beside)
            beside.replace(target)


@pytest.fixture
def renewed(tmp_path: Path, first: TLSFiles) -> Renewed:
    return Renewed(tmp_path, first)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "etcd_channel")
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and "TLS" in record.getMessage()
    ]


class Watcher:
    """A handler of a stream that watches a key, and wakes when it was opened and broke."""

    def __init__(self) -> None:
        self.created = asyncio.Event()
        self.broken_by: list[ClientError] = []

    def opened(self) -> Iterable[Any]:
        return [messages.WatchRequest(create_request={"key": b"k"})]

    def received(self, response: Any) -> None:
        self.created.set()

    def broken(self, error: ClientError) -> None:
        self.broken_by.append(error)
        self.created.clear()

    def ended(self, error: ClientError) -> None:
        pass

    async def is_open(self) -> None:
        await asyncio.wait_for(self.created.wait(), HANG)


# Reading -----------------------------------------------------------------------------------


def test_files_are_read_again_only_if_they_have_changed(
    renewed: Renewed, first: TLSFiles, second: TLSFiles
) -> None:
    tls = renewed.tls
    assert not tls.reload()
    renewed.install(first)  # other files with the same contents
    assert not tls.reload()
    assert tls.generation == 0
    renewed.install(second)
    assert tls.reload()
    assert not tls.reload()
    assert tls.generation == 1


def test_contents_that_were_given_as_bytes_are_never_read_again(first: TLSFiles) -> None:
    tls = TLS(ca_cert=first.ca.read_bytes())
    assert not tls.reload()


def test_a_file_is_found_after_the_program_has_changed_its_directory(
    renewed: Renewed, second: TLSFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tls = TLS(ca_cert="ca.pem")
    monkeypatch.chdir("/")
    renewed.install(second)
    assert tls.reload()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
@pytest.mark.parametrize("damage", [_cut, _empty, Path.unlink])
def test_a_half_written_file_is_not_used_and_reported_once(
    damage: Callable[[Path], None],
    name: str,
    renewed: Renewed,
    second: TLSFiles,
    warnings: Callable[[], list[str]],
) -> None:
    path: Path = getattr(renewed, name)
    key = renewed.key.read_text().splitlines()[1]
    renewed.install(second)
    damage(path)
    for _ in range(3):
        assert not renewed.tls.reload()
    [warning] = warnings()
    assert "the old ones stay in use" in warning
    assert key not in warning
    renewed.install(second)
    assert renewed.tls.reload()
    damage(path)
    assert not renewed.tls.reload()
    assert len(warnings()) == 2, "another renewal, another warning"


def test_a_certificate_whose_key_was_not_written_yet_is_not_used(
    renewed: Renewed, second: TLSFiles, warnings: Callable[[], list[str]]
) -> None:
    assert second.client_cert is not None
    shutil.copyfile(second.client_cert, renewed.cert)
    assert not renewed.tls.reload()
    assert "client_cert and client_key do not belong together" in warnings()[0]
    renewed.install(second)
    assert renewed.tls.reload()


def test_a_file_that_cannot_be_read_any_more_is_not_used(
    renewed: Renewed, second: TLSFiles, warnings: Callable[[], list[str]]
) -> None:
    renewed.install(second)
    renewed.key.unlink()
    renewed.key.mkdir()
    assert not renewed.tls.reload()
    assert "Is a directory" in warnings()[0]


# With a server -----------------------------------------------------------------------------


async def test_a_channel_reaches_a_server_that_only_the_renewed_files_fit(
    renewed: Renewed, first: TLSFiles, second: TLSFiles
) -> None:
    watcher = Watcher()
    async with (
        EtcdServer(tls=first, client_cert_auth=True) as before,
        EtcdServer(tls=second, client_cert_auth=True) as after,
        FaultProxy(before.endpoint) as proxy,
        Channel(proxy.endpoint, tls=renewed.tls, timeout=HANG, connect_timeout=HANG) as channel,
    ):
        await channel.call(RANGE, GET)
        channel.stream(WATCH, watcher)
        await watcher.is_open()
        renewed.install(second)
        proxy.upstream = after.endpoint
        proxy.cut()
        await channel.call(RANGE, GET)
        await watcher.is_open()
        assert renewed.tls.generation == 1


async def test_a_half_written_file_does_not_disturb_new_connections(
    renewed: Renewed, first: TLSFiles, second: TLSFiles, warnings: Callable[[], list[str]]
) -> None:
    async with (
        EtcdServer(tls=first, client_cert_auth=True) as server,
        FaultProxy(server.endpoint) as proxy,
        Channel(proxy.endpoint, tls=renewed.tls, timeout=HANG) as channel,
    ):
        _cut(renewed.key)
        for _ in range(3):
            proxy.cut()
            await channel.call(RANGE, GET)
            watcher = Watcher()
            stream = channel.stream(WATCH, watcher)
            await watcher.is_open()
            await stream.close()
        assert len(warnings()) == 1


async def test_an_expired_certificate_is_replaced_by_the_renewed_one(tmp_path: Path) -> None:
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    paths = {name: tmp_path / f"{name}.pem" for name in ("ca", "server_cert", "server_key")}
    authority.cert_pem.write_to_path(str(paths["ca"]))
    server.cert_chain_pems[0].write_to_path(str(paths["server_cert"]))
    server.private_key_pem.write_to_path(str(paths["server_key"]))
    client_cert, client_key = tmp_path / "client.pem", tmp_path / "client-key.pem"

    def issue(not_after: dt.datetime | None = None) -> None:
        issued = authority.issue_cert("localhost", not_after=not_after)
        issued.cert_chain_pems[0].write_to_path(str(client_cert))
        issued.private_key_pem.write_to_path(str(client_key))

    issue(dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1))
    tls = TLS(ca_cert=paths["ca"], client_cert=client_cert, client_key=client_key)
    files = TLSFiles(**paths, client_cert=client_cert, client_key=client_key)
    mutual = EtcdServer(tls=files, client_cert_auth=True)
    await mutual.start(wait=False)
    channel = Channel(mutual.endpoint, tls=tls, connect_timeout=2)
    try:
        with pytest.raises((ConnectionFailedError, ConnectionTimeoutError)):
            await channel.call(RANGE, GET)
        issue()

        async def reaches() -> None:
            while True:
                # While the server starts.
                with contextlib.suppress(ConnectionFailedError, ConnectionTimeoutError):
                    await channel.call(RANGE, GET)
                    return
                await asyncio.sleep(0.05)

        await asyncio.wait_for(reaches(), HANG)
    finally:
        await channel.close()
        await mutual.close()


async def test_what_is_in_flight_goes_on_when_files_are_renewed(
    renewed: Renewed, first: TLSFiles, second: TLSFiles
) -> None:
    async with (
        EtcdServer(tls=first) as server,
        Channel(
            server.endpoint,
            tls=TLS(ca_cert=renewed.ca),
            timeout=HANG,
            keepalive_timeout=HANG,
        ) as channel,
    ):
        for lease in (1, 2):
            await channel.call(LEASE_GRANT, messages.LeaseGrantRequest(ID=lease, TTL=600))
        watcher = Watcher()
        channel.stream(WATCH, watcher)
        await watcher.is_open()
        first_lock, second_lock = (messages.LockRequest(name=b"n", lease=n) for n in (1, 2))
        await channel.call(LOCK, first_lock)
        waiting = asyncio.create_task(channel.call(LOCK, second_lock))
        renewed.ca.write_bytes(first.ca.read_bytes() + second.ca.read_bytes())
        connection = channel._pool.current
        channel._pool.mark_failed(connection)  # so that the member is probed
        await channel.call(RANGE, GET)
        assert connection.calls.generation == 1
        assert not waiting.done()
        await server.etcdctl("lease", "revoke", "1")
        await asyncio.wait_for(waiting, HANG)
        assert watcher.broken_by == []
        while len(connection._transports) > 2:  # noqa: ASYNC110  # closed without an event
            await asyncio.sleep(0.05)
        await channel.call(RANGE, GET)
