"""Ports that stay with their server while it is down."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from etcd_testing._ports import ReservedPort

only_linux = pytest.mark.skipif(
    sys.platform != "linux",
    reason="only Linux lets a server listen on a port that another socket holds",
)


@only_linux
def test_a_reserved_port_cannot_be_bound_by_others_until_released() -> None:
    reserved = ReservedPort()
    with pytest.raises(OSError, match="in use"):
        bind(reserved.port)
    reserved.release()
    reserved.release()
    bind(reserved.port)


@only_linux
def test_a_server_can_listen_on_a_reserved_port_and_is_refused_without_one() -> None:
    reserved = ReservedPort()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", reserved.port))
    for _ in range(2):  # A server that goes and comes back.
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", reserved.port))
            server.listen()
            socket.create_connection(("127.0.0.1", reserved.port)).close()
    reserved.release()


@only_linux
def test_ports_are_not_those_of_outgoing_connections() -> None:
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if low <= 32000:
        pytest.skip("this machine gives out such ports to connections")
    reserved = [ReservedPort() for _ in range(20)]
    assert len({one.port for one in reserved}) == 20
    assert all(one.port < low for one in reserved)
    for one in reserved:
        one.release()


def test_a_given_port_is_used_unchanged() -> None:
    assert ReservedPort(port=23790).port == 23790


def bind(port: int) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", port))
