"""Endpoints from SRV records: what DNS says, how it fails, and channels that use them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import dns.asyncresolver
import pytest
from channel_support import HANG, RANGE
from dns_server import SILENT, DNSServer

from etcd_channel import SRV, TLS, Channel, ConnectionFailedError, ConnectionTimeoutError
from etcd_testing import EtcdServer, TLSFiles, cancel_everywhere
from etcd_testing.played import messages
from etcd_testing.plugin import ServerFactory

SECURE = "_etcd-client-ssl._tcp.example.com"
PLAIN = "_etcd-client._tcp.example.com"
GET = messages.RangeRequest(key=b"k")


@pytest.fixture
async def server() -> AsyncIterator[DNSServer]:
    async with DNSServer() as server:
        yield server


def srv(server: DNSServer, domain: str = "example.com", **options: bool | str) -> SRV:
    return SRV(domain, nameservers=[server.address], **options)  # type: ignore[arg-type]  # a dict


def record(endpoint: str) -> str:
    """A record of a server of this machine."""
    return f"0 0 {endpoint.rpartition(':')[2]} localhost."


# The lookup -----------------------------------------------------------------------------


async def test_both_kinds_are_found_and_those_with_tls_come_first(server: DNSServer) -> None:
    server.answers = {SECURE: ["0 0 2379 a.example.com."], PLAIN: ["0 0 2380 b.example.com."]}
    assert await srv(server).lookup(timeout=HANG) == (
        "https://a.example.com:2379",
        "http://b.example.com:2380",
    )
    assert sorted(server.asked) == [SECURE, PLAIN]


@pytest.mark.parametrize("missing", ["NXDOMAIN", []])
async def test_one_kind_is_enough(missing: list[str] | str, server: DNSServer) -> None:
    server.answers = {SECURE: ["0 0 1 a."], PLAIN: missing}
    assert await srv(server).lookup(timeout=HANG) == ("https://a:1",)
    server.answers = {SECURE: missing, PLAIN: ["0 0 1 a."]}
    assert await srv(server).lookup(timeout=HANG) == ("http://a:1",)


async def test_only_those_with_tls_are_asked_for_if_no_others_are_wanted(server: DNSServer) -> None:
    server.answers = {SECURE: ["0 0 1 a."], PLAIN: ["0 0 2 b."]}
    assert await srv(server, secure_only=True).lookup(timeout=HANG) == ("https://a:1",)
    assert server.asked == [SECURE]


async def test_lower_priorities_come_first(server: DNSServer) -> None:
    server.answers = {PLAIN: [f"{priority} 1 1 p{priority}." for priority in (30, 5, 200, 10)]}
    expected = tuple(f"http://p{priority}:1" for priority in (5, 10, 30, 200))
    assert await srv(server).lookup(timeout=HANG) == expected


async def test_a_weight_of_zero_comes_last_among_its_priority(server: DNSServer) -> None:
    server.answers = {PLAIN: ["1 0 1 never.", "1 65535 1 often.", "0 0 1 first."]}
    found = [await srv(server).lookup(timeout=HANG) for _ in range(5)]
    # Once in 65536 times it does not.
    assert ("http://first:1", "http://often:1", "http://never:1") in found


async def test_equal_records_are_spread(server: DNSServer) -> None:
    server.answers = {PLAIN: [f"0 1 1 m{number}." for number in range(9)]}
    firsts = {(await srv(server).lookup(timeout=HANG))[0] for _ in range(30)}
    assert len(firsts) > 1


async def test_the_service_name_is_appended(server: DNSServer) -> None:
    server.answers = {"_etcd-client-ssl-prod._tcp.example.com": ["0 0 1 a."]}
    assert await srv(server, service_name="prod").lookup(timeout=HANG) == ("https://a:1",)


async def test_a_trailing_dot_is_removed(server: DNSServer) -> None:
    server.answers = {PLAIN: ["0 0 1 A.example.com."]}
    assert await srv(server, "example.com.").lookup(timeout=HANG) == ("http://A.example.com:1",)


async def test_many_records_come_by_tcp(server: DNSServer) -> None:
    server.truncated = True
    server.answers = {PLAIN: [f"{number} 0 1 member-{number}.example.com." for number in range(99)]}
    assert len(await srv(server).lookup(timeout=HANG)) == 99


async def test_the_resolver_that_the_program_configured_is_used(
    server: DNSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = {PLAIN: ["0 0 1 a."]}
    own = srv(server)._resolver()
    monkeypatch.setattr(dns.asyncresolver, "default_resolver", own)
    assert await SRV("example.com").lookup(timeout=HANG) == ("http://a:1",)


@pytest.mark.parametrize("nothing", ["NXDOMAIN", [], ["0 0 0 ."]])
async def test_no_record_is_an_error_that_names_them(
    nothing: list[str] | str, server: DNSServer
) -> None:
    server.answers = {SECURE: nothing, PLAIN: nothing}
    with pytest.raises(ConnectionFailedError) as error:
        await srv(server).lookup(timeout=HANG)
    assert str(error.value) == f"no SRV record {SECURE} or {PLAIN} names a member"
    with pytest.raises(ConnectionFailedError, match=f"no SRV record {SECURE} names a member"):
        await srv(server, secure_only=True).lookup(timeout=HANG)


@pytest.mark.parametrize("failing", [SECURE, PLAIN])
async def test_a_failure_for_one_kind_is_no_answer_for_it(failing: str, server: DNSServer) -> None:
    server.answers = {SECURE: ["0 0 1 a."], PLAIN: ["0 0 1 a."], failing: "SERVFAIL"}
    with pytest.raises(ConnectionFailedError, match=f"{failing} cannot be looked up: .*SERVFAIL"):
        await srv(server).lookup(timeout=HANG)


async def test_a_record_that_names_no_endpoint_is_an_error(server: DNSServer) -> None:
    server.answers = {PLAIN: ["0 0 0 a."]}
    with pytest.raises(ConnectionFailedError, match=f"records {PLAIN} are wrong: .* the port must"):
        await srv(server).lookup(timeout=HANG)


async def test_a_silent_server_is_waited_for_until_the_timeout(server: DNSServer) -> None:
    server.answers = {PLAIN: SILENT}
    with pytest.raises(
        ConnectionTimeoutError, match=f"no DNS server answered .*({SECURE}|{PLAIN})"
    ):
        await srv(server).lookup(timeout=0.2)


async def test_a_lookup_can_be_cancelled(server: DNSServer) -> None:
    server.answers = {SECURE: SILENT}
    lookup = asyncio.ensure_future(srv(server).lookup(timeout=HANG))
    await asyncio.wait_for(server.queried.wait(), HANG)
    lookup.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lookup


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"domain": ""}, ValueError, "domain must not be empty"),
        ({"domain": 7}, TypeError, "domain must be a str, not int"),
        ({"domain": "https://a"}, ValueError, "domain must be a name such as 'example.com', with"),
        ({"domain": "a:2379"}, ValueError, "without a scheme and a port, not 'a:2379'"),
        ({"domain": "a..b"}, ValueError, "domain must be a name"),
        ({"domain": "a" * 64}, ValueError, "domain must be a name"),
        ({"domain": "a", "service_name": "a.b"}, ValueError, "service_name must be at most 46"),
        ({"domain": "a", "service_name": None}, TypeError, "service_name must be a str"),
        ({"domain": "a", "secure_only": "yes"}, TypeError, "secure_only must be a bool"),
        ({"domain": "a", "nameservers": "10.0.0.1"}, TypeError, "nameservers must be a sequence"),
        ({"domain": "a", "nameservers": ["dns"]}, ValueError, "nameservers must be addresses such"),
        ({"domain": "a", "nameservers": ["10.0.0.1:x"]}, ValueError, "not '10.0.0.1:x'"),
    ],
)
def test_an_invalid_argument_is_named(
    arguments: dict[str, object], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as error:
        SRV(**arguments)  # type: ignore[arg-type]  # that is the test
    assert message in str(error.value)


def test_nameservers_have_a_port_or_not() -> None:
    addresses = ["10.0.0.1", "10.0.0.1:8600", "::1", "[::1]:8600"]
    assert repr(SRV("a", nameservers=addresses)) == f"SRV('a', nameservers={addresses})"


def test_what_is_missing_without_dnspython_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "etcd-channel\[srv\]"'):
        SRV("example.com")


# Channels -------------------------------------------------------------------------------


async def test_a_channel_looks_up_its_endpoints_at_the_first_call(
    server: DNSServer, etcd_endpoint: str
) -> None:
    server.answers = {PLAIN: [record(etcd_endpoint)]}
    channel = Channel(srv(server), connect_timeout=HANG)
    assert not channel.endpoints
    assert not channel.addresses
    assert channel.current_endpoint == PLAIN
    assert repr(channel) == f"Channel({PLAIN})"
    assert server.asked == []
    calls = [channel.call(RANGE, GET) for _ in range(20)]
    await asyncio.gather(*calls)
    assert sorted(server.asked) == [SECURE, PLAIN]
    port = etcd_endpoint.rpartition(":")[2]
    assert [*channel.endpoints] == [f"localhost:{port}"]
    assert [*channel.addresses] == [f"http://localhost:{port}"]
    await channel.close()


async def test_a_channel_begins_with_the_first_priority(
    server: DNSServer, etcd_server_factory: ServerFactory
) -> None:
    members = [etcd_server_factory() for _ in range(2)]
    ports = [member.endpoint.rpartition(":")[2] for member in members]
    server.answers = {PLAIN: [f"1 0 {ports[0]} localhost.", f"2 0 {ports[1]} localhost."]}
    for _ in range(8):
        async with Channel(srv(server), connect_timeout=HANG) as channel:
            assert channel.current_endpoint == f"localhost:{ports[0]}"
    await members[0].stop()
    async with Channel(srv(server), connect_timeout=HANG) as channel:
        await channel.call(RANGE, GET)
        assert channel.current_endpoint == f"localhost:{ports[1]}"


async def test_with_tls_only_records_for_tls_are_used(
    server: DNSServer, etcd_endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = TLSFiles.create(tmp_path_factory.mktemp("tls"))
    async with EtcdServer(tls=files) as etcd:
        server.answers = {SECURE: [record(etcd.endpoint)], PLAIN: [record(etcd_endpoint)]}
        async with Channel(srv(server), tls=TLS(ca_cert=files.ca), connect_timeout=HANG) as channel:
            await channel.call(RANGE, GET)
            assert channel.addresses == (f"https://localhost:{etcd.endpoint.rpartition(':')[2]}",)
        del server.answers[SECURE]
        with pytest.raises(ConnectionFailedError, match=f"no SRV record {SECURE} names a member"):
            await Channel(srv(server), tls=TLS(ca_cert=files.ca), connect_timeout=HANG).call(
                RANGE, GET
            )


async def test_a_failed_lookup_is_the_error_of_each_call_and_the_next_call_repeats_it(
    server: DNSServer, etcd_endpoint: str
) -> None:
    channel = Channel(srv(server), connect_timeout=HANG)
    errors = await asyncio.gather(
        *(channel.call(RANGE, GET) for _ in range(3)), return_exceptions=True
    )
    for error in errors:
        assert isinstance(error, ConnectionFailedError)
        assert "no SRV record" in str(error)
        assert error.method == "KV.Range"
        assert error.definite
    server.answers = {PLAIN: [record(etcd_endpoint)]}
    await channel.call(RANGE, GET)
    await channel.close()


async def test_a_lookup_takes_no_longer_than_the_call_may(server: DNSServer) -> None:
    server.answers = {SECURE: SILENT, PLAIN: SILENT}
    channel = Channel(srv(server), connect_timeout=HANG)
    with pytest.raises(ConnectionTimeoutError, match=f"records {PLAIN} were not found in time"):
        await channel.call(RANGE, GET, timeout=0.2)
    await channel.close()


async def test_closing_ends_a_lookup(server: DNSServer) -> None:
    server.answers = {SECURE: SILENT, PLAIN: SILENT}
    channel = Channel(srv(server), connect_timeout=HANG)
    call = asyncio.ensure_future(channel.call(RANGE, GET, timeout=HANG))
    await asyncio.wait_for(server.queried.wait(), HANG)
    await channel.close()
    with pytest.raises(Exception, match="closed"):
        await call


async def test_a_first_call_can_be_cancelled_everywhere(
    server: DNSServer, etcd_endpoint: str
) -> None:
    server.answers = {PLAIN: [record(etcd_endpoint)]}

    made: list[Channel] = []

    async def first_call() -> None:
        made.append(Channel(srv(server), connect_timeout=HANG))
        await made[-1].call(RANGE, GET)

    async def check() -> None:
        while made:
            await made.pop().close()

    assert await cancel_everywhere(first_call, check, every=3) > 0


async def test_records_are_looked_up_again_when_no_member_answers(
    server: DNSServer, etcd_server_factory: ServerFactory
) -> None:
    old = etcd_server_factory()
    server.answers = {PLAIN: [record(old.endpoint)]}
    async with Channel(srv(server), connect_timeout=HANG) as channel:
        new = etcd_server_factory()
        server.answers = {PLAIN: [record(new.endpoint)]}
        await old.stop()
        await channel.call(RANGE, GET, timeout=HANG)
        assert channel.endpoints == (f"localhost:{new.endpoint.rpartition(':')[2]}",)


async def test_endpoints_stay_when_the_records_are_gone(
    server: DNSServer, etcd_server_factory: ServerFactory
) -> None:
    etcd = etcd_server_factory()
    server.answers = {PLAIN: [record(etcd.endpoint)]}
    async with Channel(srv(server), connect_timeout=HANG) as channel:
        server.answers = {}
        server.asked.clear()
        server.queried.clear()
        await etcd.stop()
        call = asyncio.ensure_future(channel.call(RANGE, GET, timeout=HANG))
        await asyncio.wait_for(server.queried.wait(), HANG)
        await etcd.start()
        await call


async def test_given_endpoints_replace_the_records(server: DNSServer, etcd_endpoint: str) -> None:
    server.answers = {SECURE: SILENT, PLAIN: [record("127.0.0.1:1")]}
    channel = Channel(srv(server), connect_timeout=HANG)
    channel.set_endpoints(etcd_endpoint)
    await channel.call(RANGE, GET)
    await channel.close()
    assert server.asked == []
    assert channel.recreate().endpoints == (etcd_endpoint,)


async def test_a_channel_made_again_looks_up_the_records_again(
    server: DNSServer, etcd_endpoint: str
) -> None:
    server.answers = {PLAIN: [record(etcd_endpoint)]}
    async with Channel(srv(server), connect_timeout=HANG) as channel:
        pass
    async with channel.recreate() as again:
        await again.call(RANGE, GET)
    assert sorted(server.asked) == [SECURE, SECURE, PLAIN, PLAIN]


# The environment ------------------------------------------------------------------------


async def test_the_environment_names_the_domain(
    server: DNSServer,
    etcd_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dns.asyncresolver, "default_resolver", srv(server)._resolver())
    name = "_etcd-client-prod._tcp.example.com"
    server.answers = {name: [record(etcd_endpoint)]}
    environ = {
        "ETCDCTL_DISCOVERY_SRV": "example.com",
        "ETCDCTL_DISCOVERY_SRV_NAME": "prod",
        "ETCDCTL_ENDPOINTS": "127.0.0.1:1",
        "ETCDCTL_DIAL_TIMEOUT": "60s",
    }
    async with Channel.from_env(environ) as channel:
        await channel.call(RANGE, GET)
    environ["ETCDCTL_INSECURE_DISCOVERY"] = "false"
    with pytest.raises(ConnectionFailedError, match="no SRV record _etcd-client-ssl-prod"):
        await Channel.from_env(environ).call(RANGE, GET)


async def test_without_insecure_discovery_the_certificate_must_be_of_the_domain(
    server: DNSServer, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns.asyncresolver, "default_resolver", srv(server)._resolver())
    folder = tmp_path_factory.mktemp("tls")
    files = TLSFiles.create(folder, hosts=["localhost", "127.0.0.1", "example.com"])
    async with EtcdServer(tls=files) as etcd:
        environ = {"ETCDCTL_CACERT": str(files.ca), "ETCDCTL_INSECURE_DISCOVERY": "false"}
        for domain in ("example.com", "example.org"):
            server.answers[f"_etcd-client-ssl._tcp.{domain}"] = [record(etcd.endpoint)]
        async with Channel.from_env({**environ, "ETCDCTL_DISCOVERY_SRV": "example.com"}) as channel:
            await channel.call(RANGE, GET)
        other = Channel.from_env({**environ, "ETCDCTL_DISCOVERY_SRV": "example.org"})
        with pytest.raises(ConnectionFailedError):
            await other.call(RANGE, GET)
        await other.close()


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ETCDCTL_DISCOVERY_SRV": "https://a"}, "ETCDCTL_DISCOVERY_SRV must be a name such as"),
        (
            {"ETCDCTL_DISCOVERY_SRV": "a", "ETCDCTL_DISCOVERY_SRV_NAME": "a.b"},
            "ETCDCTL_DISCOVERY_SRV_NAME must be at most 46",
        ),
        ({"ETCDCTL_DISCOVERY_SRV_NAME": "a"}, "ETCDCTL_DISCOVERY_SRV_NAME is set without ETCD"),
        ({"ETCDCTL_INSECURE_DISCOVERY": "no"}, "ETCDCTL_INSECURE_DISCOVERY must be 'true' or"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError) as error:
        Channel.from_env(environ)
    assert message in str(error.value)
