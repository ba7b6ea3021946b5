"""`Channel.from_env` with the authorities of SSL_CERT_FILE and SSL_CERT_DIR."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from channel_support import RANGE

from etcd_channel import Channel, errors
from etcd_testing import EtcdServer, TLSFiles
from etcd_testing.played import messages

GET = messages.RangeRequest(key=b"k")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    return TLSFiles.create(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The certificate of an authority that signed nothing."""
    return TLSFiles.create(tmp_path_factory.mktemp("other")).ca.read_bytes()


@pytest.fixture
def folder(tmp_path: Path, files: TLSFiles, other: bytes) -> Path:
    """A folder as /etc/ssl/certs, with the server's authority among others."""
    folder = tmp_path / "certs"
    (folder / "java").mkdir(parents=True)
    (folder / "README").write_text("no certificate: für Menschen", "utf-8")
    (folder / "a.pem").write_bytes(other)
    (folder / "b.pem").write_bytes("Größe\n".encode("latin-1") + files.ca.read_bytes().strip())
    (folder / "12345678.0").symlink_to("b.pem")
    (folder / "gone.pem").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    return folder


async def connect(server: EtcdServer, **environ: str) -> None:
    environ["ETCDCTL_ENDPOINTS"] = f"https://{server.endpoint}"
    async with Channel.from_env(environ) as channel:
        await channel.call(RANGE, GET)


async def test_the_authorities_in_the_directories_are_trusted(
    files: TLSFiles, folder: Path, other: bytes, tmp_path: Path
) -> None:
    file, empty = tmp_path / "other.pem", tmp_path / "empty"
    file.write_bytes(other)
    empty.mkdir()
    async with EtcdServer(tls=files) as server:
        await connect(server, SSL_CERT_DIR=str(folder))
        await connect(server, SSL_CERT_DIR=f"{empty}:/nowhere:{folder}")
        # As with Go, those of the file are trusted too.
        await connect(server, SSL_CERT_DIR=str(folder), SSL_CERT_FILE=str(file))
        await connect(server, SSL_CERT_DIR=str(empty), SSL_CERT_FILE=str(files.ca))
        # ETCDCTL_CACERT replaces both.
        with pytest.raises(errors.TLSHandshakeError):
            await connect(server, SSL_CERT_DIR=str(folder), ETCDCTL_CACERT=str(file))


@pytest.mark.parametrize("folders", ["/nowhere", "{tmp}", "/nowhere:{tmp}"])
def test_directories_without_a_certificate_are_refused(folders: str, tmp_path: Path) -> None:
    folders = folders.format(tmp=tmp_path)
    with pytest.raises(ValueError, match="SSL_CERT_DIR: no PEM certificate in ") as caught:
        Channel.from_env({"ETCDCTL_ENDPOINTS": "https://a", "SSL_CERT_DIR": folders})
    assert folders in str(caught.value)


def test_a_damaged_certificate_is_refused_by_the_name_of_the_variable(tmp_path: Path) -> None:
    text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    (tmp_path / "a.pem").write_text(text)
    environ = {"ETCDCTL_ENDPOINTS": "https://a", "SSL_CERT_DIR": str(tmp_path)}
    with pytest.raises(ValueError, match="SSL_CERT_DIR: no PEM certificate in it"):
        Channel.from_env(environ)


def test_a_file_that_cannot_be_read_is_refused_by_the_name_of_its_variable(folder: Path) -> None:
    environ = {
        "ETCDCTL_ENDPOINTS": "https://a",
        "SSL_CERT_DIR": str(folder),
        "SSL_CERT_FILE": "/nowhere",
    }
    with pytest.raises(ValueError, match="SSL_CERT_FILE: cannot read '/nowhere'"):
        Channel.from_env(environ)
