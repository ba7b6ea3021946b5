"""The arguments of TLS: an invalid certificate or key is refused at once, and no key is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from etcd_channel import TLS


class _Files:
    """An authority, and a certificate with its key."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost")
        self.ca = directory / "ca.pem"
        self.cert = directory / "cert.pem"
        self.key = directory / "key.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(self.key))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> _Files:
    return _Files(tmp_path_factory.mktemp("tls"))


def test_paths_and_bytes_are_accepted(files: _Files) -> None:
    TLS()
    TLS(ca_cert=files.ca)
    TLS(ca_cert=str(files.ca), client_cert=files.cert, client_key=str(files.key))
    TLS(
        ca_cert=files.ca.read_bytes(),
        client_cert=files.cert.read_bytes(),
        client_key=files.key.read_bytes(),
        server_name="etcd.example.org",
    )


def test_a_certificate_without_its_key_is_refused_and_a_key_without_its_certificate(
    files: _Files,
) -> None:
    with pytest.raises(ValueError, match="client_cert was given without client_key"):
        TLS(client_cert=files.cert)
    with pytest.raises(ValueError, match="client_key was given without client_cert"):
        TLS(client_key=files.key)


@pytest.mark.parametrize("name", ["ca_cert", "client_cert", "client_key"])
def test_a_file_that_cannot_be_read_is_named(name: str, files: _Files, tmp_path: Path) -> None:
    given: dict[str, Any] = {"client_cert": files.cert, "client_key": files.key}
    missing = tmp_path / "missing.pem"
    with pytest.raises(ValueError, match=f"^{name}: cannot read .*missing.pem.*No such file"):
        TLS(**{**given, name: missing})
    with pytest.raises(ValueError, match=f"^{name}: cannot read .*Is a directory"):
        TLS(**{**given, name: tmp_path})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no certificate",
        b"-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n",
        b"\xff\xfe\x00",
    ],
)
@pytest.mark.parametrize("name", ["ca_cert", "client_cert"])
def test_a_file_without_a_certificate_is_refused(
    name: str, content: bytes, files: _Files, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"client_cert": files.cert, "client_key": files.key}
    broken = tmp_path / "broken.pem"
    broken.write_bytes(content)
    for source in (content, broken):
        with pytest.raises(ValueError, match=f"^{name}: no PEM certificate in it"):
            TLS(**{**given, name: source})


def test_a_key_is_not_accepted_as_a_certificate_nor_the_reverse(files: _Files) -> None:
    with pytest.raises(ValueError, match=r"^ca_cert: no PEM certificate in it"):
        TLS(ca_cert=files.key)
    with pytest.raises(ValueError, match=r"^client_key: no PEM private key in it"):
        TLS(client_cert=files.cert, client_key=files.cert)


def test_an_encrypted_key_is_refused_as_encrypted(files: _Files) -> None:
    for head in ("ENCRYPTED PRIVATE KEY-----", "RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED"):
        key = f"-----BEGIN {head}\nMIIE\n-----END {head[:20]}".encode()
        with pytest.raises(ValueError, match=r"^client_key: the private key is encrypted"):
            TLS(client_cert=files.cert, client_key=key)


def test_pem_text_in_a_string_is_refused_and_not_shown(files: _Files) -> None:
    key = files.key.read_text()
    with pytest.raises(TypeError, match=r"^client_key: .*give it as bytes") as caught:
        TLS(client_cert=files.cert, client_key=key)
    shown = str(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)
    assert key.splitlines()[1] not in shown


@pytest.mark.parametrize("source", [1, True, ["ca.pem"], bytearray(b"x")])
def test_a_source_that_is_neither_a_path_nor_bytes_is_a_type_error(source: Any) -> None:
    with pytest.raises(TypeError, match=r"^ca_cert must be a path or bytes, not "):
        TLS(ca_cert=source)


def test_a_server_name_must_be_a_string_that_is_not_empty() -> None:
    number: Any = 1
    with pytest.raises(ValueError, match=r"^server_name must not be empty"):
        TLS(server_name="")
    with pytest.raises(TypeError, match=r"^server_name must be a str, not int"):
        TLS(server_name=number)


def test_the_repr_names_the_arguments_and_shows_no_key(files: _Files) -> None:
    tls = TLS(
        ca_cert=files.ca,
        client_cert=files.cert,
        client_key=files.key.read_bytes(),
        server_name="etcd.example.org",
    )
    assert repr(tls) == "TLS(ca_cert, client_cert, server_name='etcd.example.org')"
