"""The forms of an endpoint, and the errors for invalid ones."""

from __future__ import annotations

from typing import Any

import pytest

from etcd_channel import TLS, Channel
from etcd_channel.endpoints import parse_endpoint, parse_endpoints


@pytest.mark.parametrize(
    ("text", "name", "tls"),
    [
        ("localhost:2379", "localhost:2379", None),
        ("localhost", "localhost:2379", None),
        ("127.0.0.1:1", "127.0.0.1:1", None),
        ("etcd-0.etcd.svc.cluster.local:65535", "etcd-0.etcd.svc.cluster.local:65535", None),
        ("my_host:2379", "my_host:2379", None),
        ("example.org.:2379", "example.org.:2379", None),
        ("dns:2379", "dns:2379", None),
        ("http://localhost:2379", "localhost:2379", False),
        ("https://localhost:2379", "localhost:2379", True),
        ("https://localhost:2379/", "localhost:2379", True),
        ("HTTP://localhost:2379", "localhost:2379", False),
        ("Https://localhost:2379", "localhost:2379", True),
        ("https://localhost", "localhost:2379", True),
        ("[::1]:2379", "[::1]:2379", None),
        ("[::1]", "[::1]:2379", None),
        ("http://[fe80::1%eth0]:2379", "[fe80::1%eth0]:2379", False),
        ("https://[2001:db8::2]:443", "[2001:db8::2]:443", True),
        ("[::ffff:127.0.0.1]:2379", "[::ffff:127.0.0.1]:2379", None),
    ],
)
def test_an_address_is_parsed(text: str, name: str, tls: bool | None) -> None:
    endpoint = parse_endpoint(text)
    assert (endpoint.name, endpoint.tls) == (name, tls)
    # With gRPC's scheme, so that a host may be called "dns" or "unix".
    assert endpoint.target == f"dns:///{name}"
    assert parse_endpoint(endpoint.address) == endpoint


@pytest.mark.parametrize("text", ["unix:/run/etcd.sock", "unix:///run/etcd.sock"])
def test_a_unix_socket_is_parsed(text: str) -> None:
    endpoint = parse_endpoint(text)
    assert endpoint.name == endpoint.target == "unix:/run/etcd.sock"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no valid host"),
        (" ", "no valid host"),
        (":2379", "no valid host"),
        ("-host:2379", "no valid host"),
        ("two words:2379", "no valid host"),
        ("höst:2379", "no valid host"),
        ("host/path:2379", "no valid host"),
        ("http://", "no valid host"),
        ("http://host:2379/v3", "port must be a number from 1 to 65535"),
        ("host:0", "port must be a number from 1 to 65535"),
        (f"host:{'9' * 9999}", "port must be a number from 1 to 65535"),
        ("host:70000", "port must be a number from 1 to 65535"),
        ("host:-1", "port must be a number from 1 to 65535"),
        ("host:", "port must be a number from 1 to 65535"),
        ("host:http", "port must be a number from 1 to 65535"),
        ("host:²", "port must be a number from 1 to 65535"),
        ("[::1]:0", "port must be a number from 1 to 65535"),
        ("[::1]:", "port must be a number from 1 to 65535"),
        ("::1:2379", "in brackets"),
        ("[::1:2379", "malformed IPv6"),
        ("[]:2379", "malformed IPv6"),
        ("[localhost]:2379", "malformed IPv6"),
        ("[:::]:2379", "malformed IPv6"),
        ("[127.0.0.1]:2379", "malformed IPv6"),
        ("[::1]x:2379", "malformed IPv6"),
        ("ftp://host:2379", "unknown scheme 'ftp'"),
        ("etcd://host:2379", "unknown scheme 'etcd'"),
        ("://host:2379", "unknown scheme ''"),
        ("unix:etcd.sock", "absolute path"),
        ("unix://etcd.sock", "absolute path"),
        ("unix:", "absolute path"),
    ],
)
def test_an_invalid_endpoint_is_refused_by_name(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="endpoint") as caught:
        Channel(text)
    assert complaint in str(caught.value)
    assert repr(text.strip()) in str(caught.value)


def test_a_password_in_an_endpoint_is_refused_and_not_shown() -> None:
    for text in ("http://root:s3cret@host:2379", "root:s3cret@host", "etcd://root:s3cret@host"):
        with pytest.raises(ValueError, match="username= and password=") as caught:
            Channel(text)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoints", "names"),
    [
        ("a:1", ("a:1",)),
        ("a:1,b:2", ("a:1", "b:2")),
        ("a:1,", ("a:1",)),
        ("a:1, b:2, ", ("a:1", "b:2")),
        (" a:1 , http://b:2 ", ("a:1", "b:2")),
        (["a:1", "b:2"], ("a:1", "b:2")),
        (("a:1",), ("a:1",)),
        ((text for text in ("a:1", "b:2")), ("a:1", "b:2")),
        (["a:1", "b:2", "a:1"], ("a:1", "b:2")),
    ],
)
def test_several_endpoints_are_parsed(endpoints: Any, names: tuple[str, ...]) -> None:
    assert tuple(endpoint.name for endpoint in parse_endpoints(endpoints)) == names


def test_a_channel_has_its_endpoints() -> None:
    channel = Channel(["http://a:1", "https://b:2", "[::1]", "unix:///run/etcd.sock"])
    assert channel.endpoints == ("a:1", "b:2", "[::1]:2379", "unix:/run/etcd.sock")
    assert repr(channel) == "Channel(a:1, b:2, [::1]:2379, unix:/run/etcd.sock)"
    assert Channel().endpoints == ("localhost:2379",)


@pytest.mark.parametrize("endpoints", [[], (), iter(())])
def test_an_empty_list_of_endpoints_is_refused(endpoints: Any) -> None:
    with pytest.raises(ValueError, match="endpoints must not be empty"):
        Channel(endpoints)


@pytest.mark.parametrize("endpoints", [",", "a:1,,b:2", ",a:1", "a:1,,"])
def test_an_empty_endpoint_among_others_is_refused(endpoints: str) -> None:
    with pytest.raises(ValueError, match="endpoint ''"):
        Channel(endpoints)


@pytest.mark.parametrize("endpoints", [None, 2379, b"localhost:2379", [b"a:1"], [None], [["a:1"]]])
def test_what_is_no_string_is_refused(endpoints: Any) -> None:
    with pytest.raises(TypeError, match=r"must be a str.*not (NoneType|int|bytes|list)"):
        Channel(endpoints)


@pytest.mark.parametrize("endpoints", ["http://a:1", ["https://a:1", "http://b:1"]])
def test_tls_and_an_http_endpoint_contradict_each_other(endpoints: Any) -> None:
    with pytest.raises(ValueError, match="does not use TLS, but tls was given"):
        Channel(endpoints, tls=TLS())
