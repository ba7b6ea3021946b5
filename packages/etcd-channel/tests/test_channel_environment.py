"""`Channel.from_env`: what the variables of etcdctl say, and what is wrong with them."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from channel_support import RANGE

from etcd_channel import TLS, Channel
from etcd_channel._environment import channel_arguments
from etcd_channel.arguments import MAX_TIMEOUT
from etcd_testing import EtcdServer, TLSFiles
from etcd_testing.played import messages


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    return TLSFiles.create(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_variables(files: TLSFiles) -> dict[str, str]:
    assert files.client_cert is not None
    assert files.client_key is not None
    return {
        "ETCDCTL_CACERT": str(files.ca),
        "ETCDCTL_CERT": str(files.client_cert),
        "ETCDCTL_KEY": str(files.client_key),
    }


def test_without_variables_the_endpoint_is_that_of_etcdctl() -> None:
    assert channel_arguments({}) == {"endpoints": ["127.0.0.1:2379"]}
    channel = Channel.from_env({"PATH": "/bin", "ETCD_NAME": "a"})
    assert channel.endpoints == ("127.0.0.1:2379",)
    assert channel.timeout == Channel().timeout
    assert channel.username is None


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCDCTL_ENDPOINTS", "a:1")
    assert Channel.from_env().endpoints == ("a:1",)


def test_an_empty_variable_counts_as_not_set() -> None:
    names = ("ENDPOINTS", "CACERT", "CERT", "KEY", "USER", "PASSWORD", "DIAL_TIMEOUT", "ENDPONTS")
    assert channel_arguments({f"ETCDCTL_{name}": "" for name in names}) == channel_arguments({})


@pytest.mark.parametrize(
    ("text", "endpoints"),
    [
        ("a:1", ("a:1",)),
        ("a:1,http://b:2, c:3", ("a:1", "b:2", "c:3")),
        ('"http://a:1","http://b:2"', ("a:1", "b:2")),
        ("unix:///run/etcd.sock", ("unix:/run/etcd.sock",)),
        ("http://[::1]:2379", ("[::1]:2379",)),
    ],
)
def test_endpoints_are_written_as_for_etcdctl(text: str, endpoints: tuple[str, ...]) -> None:
    assert Channel.from_env({"ETCDCTL_ENDPOINTS": text}).endpoints == endpoints


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5.0),
        ("1m30s", 90.0),
        ("300ms", 0.3),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("+2s", 2.0),
        ("1h2m3s4ms5us6ns", 3723.004005006),
        ("5µs", 0.000005),
        ("9999999h", MAX_TIMEOUT),
    ],
)
def test_durations_are_written_as_in_go(text: str, seconds: float) -> None:
    arguments = channel_arguments(
        {
            "ETCDCTL_DIAL_TIMEOUT": text,
            "ETCDCTL_COMMAND_TIMEOUT": text,
            "ETCDCTL_KEEPALIVE_TIME": text,
            "ETCDCTL_KEEPALIVE_TIMEOUT": text,
        }
    )
    assert arguments["connect_timeout"] == pytest.approx(seconds)
    assert arguments["timeout"] == pytest.approx(seconds)
    assert arguments["keepalive_time"] == pytest.approx(seconds)
    assert arguments["keepalive_timeout"] == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["5", "s", "5 s", "-5s", "0", "0s", "5sec", "5s!", "1e3s", "\u0665s"]
)
def test_an_invalid_duration_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"ETCDCTL_DIAL_TIMEOUT must be a positive duration") as e:
        channel_arguments({"ETCDCTL_DIAL_TIMEOUT": text})
    assert repr(text) in str(e.value)


def test_the_password_is_in_its_own_variable_or_behind_the_user() -> None:
    both = {"ETCDCTL_USER": "app", "ETCDCTL_PASSWORD": "a:b"}
    assert channel_arguments(both)["username"] == "app"
    assert channel_arguments(both)["password"] == "a:b"
    one = channel_arguments({"ETCDCTL_USER": "app:a:b"})
    assert (one["username"], one["password"]) == ("app", "a:b")


def test_the_whole_variable_is_the_user_if_the_password_is_given_apart() -> None:
    found = channel_arguments({"ETCDCTL_USER": "app:x", "ETCDCTL_PASSWORD": "y"})
    assert (found["username"], found["password"]) == ("app:x", "y")


def test_variables_of_etcdctl_itself_are_accepted() -> None:
    names = ("HEX", "DEBUG", "WRITE_OUT", "WATCH_KEY", "WATCH_RANGE_END", "CLUSTER")
    given = {f"ETCDCTL_{name}": "anything" for name in names}
    assert channel_arguments({**given, "ETCDCTL_API": "3"}) == channel_arguments({})


def test_an_argument_replaces_its_variables(tls_variables: dict[str, str], files: TLSFiles) -> None:
    environ = {
        "ETCDCTL_ENDPOINTS": "ftp://wrong",
        "ETCDCTL_USER": "somebody",
        "ETCDCTL_CERT": "/nowhere",
        "ETCDCTL_INSECURE_SKIP_TLS_VERIFY": "true",
        "ETCDCTL_COMMAND_TIMEOUT": "wrong",
        "ETCDCTL_DIAL_TIMEOUT": "wrong",
        "ETCDCTL_KEEPALIVE_TIME": "wrong",
        "ETCDCTL_KEEPALIVE_TIMEOUT": "wrong",
    }
    channel = Channel.from_env(
        environ,
        endpoints="https://a:1",
        username="app",
        password="secret",
        tls=TLS(ca_cert=files.ca),
        timeout=1,
        connect_timeout=1,
        keepalive_time=1,
        keepalive_timeout=1,
    )
    assert channel.endpoints == ("a:1",)
    assert channel.username == "app"
    assert channel.timeout == 1


def test_a_password_can_be_given_for_the_user_of_the_environment() -> None:
    environ = {"ETCDCTL_USER": "app", "ETCDCTL_PASSWORD": "old"}
    assert Channel.from_env(environ, password="new").username == "app"
    assert Channel.from_env({"ETCDCTL_PASSWORD": "secret"}, username="app").username == "app"


def test_from_env_has_every_argument_of_the_constructor() -> None:
    own = inspect.signature(Channel.from_env).parameters
    assert own.keys() == {"environ", *inspect.signature(Channel).parameters}


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"ETCDCTL_ENDPONTS": "a:1"},
            "ETCDCTL_ENDPONTS is no variable of etcdctl: is it E",
        ),
        ({"ETCDCTL_PASSWROD": "hunter2"}, ": is it ETCDCTL_PASSWORD?"),
        ({"ETCDCTL_CERT_FILE": "a"}, "for etcd's API v3: use ETCDCTL_CERT"),
        ({"ETCDCTL_ZZZ": "hunter2"}, "ETCDCTL_ZZZ is no variable of etcdctl: unset it"),
        ({"ETCDCTL_AUTH_JWT_TOKEN": "hunter2"}, "that is supported: use ETCDCTL_USER and"),
        ({"ETCDCTL_API": "2"}, "ETCDCTL_API must be 3, not 2"),
        ({"ETCDCTL_ENDPOINTS": "ftp://a"}, "ETCDCTL_ENDPOINTS: endpoint 'ftp://a': unknown scheme"),
        ({"ETCDCTL_ENDPOINTS": "a:1\nb:2"}, "ETCDCTL_ENDPOINTS must be endpoints with commas in"),
        ({"ETCDCTL_ENDPOINTS": "a:x"}, "ETCDCTL_ENDPOINTS: endpoint 'a:x': the port"),
        ({"ETCDCTL_ENDPOINTS": "http://me:hunter2@a"}, "ETCDCTL_ENDPOINTS: an endpoint must not"),
        ({"ETCDCTL_CERT": "a"}, "ETCDCTL_CERT is set without ETCDCTL_KEY"),
        ({"ETCDCTL_KEY": "a"}, "ETCDCTL_KEY is set without ETCDCTL_CERT"),
        ({"ETCDCTL_CACERT": "/nowhere"}, "ETCDCTL_CACERT: cannot read '/nowhere': No such file"),
        ({"ETCDCTL_CACERT": "-----BEGIN hunter2"}, "ETCDCTL_CACERT: a str is a path"),
        (
            {"ETCDCTL_ENDPOINTS": "https://a", "SSL_CERT_FILE": "/nowhere"},
            "SSL_CERT_FILE: cannot read '/nowhere'",
        ),
        (
            {"ETCDCTL_ENDPOINTS": "http://a:1", "ETCDCTL_CACERT": "/nowhere"},
            "ETCDCTL_ENDPOINTS: 'http://a:1' does not use TLS, but ETCDCTL_CACERT is set",
        ),
        (
            {"ETCDCTL_ENDPOINTS": "http://a:1", "ETCDCTL_INSECURE_TRANSPORT": "false"},
            "'http://a:1' does not use TLS, but ETCDCTL_INSECURE_TRANSPORT is false",
        ),
        (
            {"ETCDCTL_ENDPOINTS": "http://a:1,https://b:2"},
            "'http://a:1' does not use TLS, but another endpoint has https://",
        ),
        ({"ETCDCTL_INSECURE_TRANSPORT": "no"}, "ETCDCTL_INSECURE_TRANSPORT must be 'true' or 'f"),
        ({"ETCDCTL_INSECURE_SKIP_TLS_VERIFY": "1"}, "is not supported: without verification"),
        ({"ETCDCTL_USER": "app"}, "ETCDCTL_USER has no password"),
        ({"ETCDCTL_USER": ":hunter2"}, "ETCDCTL_USER has no name before the colon"),
        ({"ETCDCTL_PASSWORD": "hunter2"}, "ETCDCTL_PASSWORD is set without ETCDCTL_USER"),
    ],
)
def test_what_is_wrong_is_named_and_no_password_is_shown(
    environ: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError) as error:
        Channel.from_env(environ)
    assert message in str(error.value)
    assert "hunter2" not in repr(error.value)


def test_an_environment_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(TypeError, match="environ must be a mapping, not str"):
        Channel.from_env("ETCDCTL_ENDPOINTS=a:1")  # type: ignore[arg-type]  # refused


async def test_an_endpoint_without_a_scheme_uses_tls_if_there_are_files(
    tls_variables: dict[str, str], files: TLSFiles
) -> None:
    async with EtcdServer(tls=files, client_cert_auth=True) as server:
        environ = {**tls_variables, "ETCDCTL_ENDPOINTS": server.endpoint}
        async with Channel.from_env(environ) as channel:
            await channel.call(RANGE, messages.RangeRequest(key=b"k"))


@pytest.mark.parametrize("scheme", ["https://", ""])
async def test_the_authorities_of_the_system_are_trusted_without_cacert(
    scheme: str, files: TLSFiles, tmp_path: Path
) -> None:
    system = tmp_path / "system.pem"
    system.write_bytes(files.ca.read_bytes())
    async with EtcdServer(tls=files) as server:
        environ = {"ETCDCTL_ENDPOINTS": scheme + server.endpoint, "SSL_CERT_FILE": str(system)}
        if not scheme:
            environ["ETCDCTL_INSECURE_TRANSPORT"] = "false"
        async with Channel.from_env(environ) as channel:
            await channel.call(RANGE, messages.RangeRequest(key=b"k"))
