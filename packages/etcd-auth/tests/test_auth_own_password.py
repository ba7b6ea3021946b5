"""Changes of the channel's own password that fail."""

from __future__ import annotations

import pytest

from etcd_auth import AuthClient
from etcd_channel import Channel, errors
from etcd_testing import EtcdServer, FaultProxy


async def test_a_failed_change_leaves_the_password_of_an_earlier_one_possible() -> None:
    async with EtcdServer() as server, FaultProxy(server.endpoint) as proxy:
        async with Channel(server.endpoint) as channel:
            auth = AuthClient(channel)
            await auth.user_add("root", "original")
            await auth.user_grant_role("root", "root")
            await auth.auth_enable()
        async with Channel(proxy.endpoint, username="root", password="original") as channel:
            auth = AuthClient(channel)
            await auth.user_list()
            # The first change is applied, and its answer is lost.
            killed = proxy.kill_next_reply()
            with pytest.raises(errors.ConnectionFailedError) as unknown:
                await auth.user_change_password("root", "applied")
            await killed
            assert not unknown.value.definite
            # The second one does not reach the server.
            proxy.refuse()
            proxy.cut()
            with pytest.raises(errors.ClientError) as failed:
                await auth.user_change_password("root", "never sent", timeout=0.5)
            proxy.heal()
            assert await auth.user_list() == ["root"]
            for error in (unknown.value, failed.value):
                assert "applied" not in repr(error).replace("may have been applied", "")
                assert "never sent" not in f"{error!r} {error}"
            assert "never sent" not in repr(channel)


async def test_a_refused_change_is_not_tried_as_a_password() -> None:
    async with EtcdServer() as server:
        async with Channel(server.endpoint) as channel:
            auth = AuthClient(channel)
            for user in ("root", "user"):
                await auth.user_add(user, "original")
            await auth.user_grant_role("root", "root")
            await auth.auth_enable()
        async with (
            Channel(server.endpoint, username="root", password="original") as channel,
            Channel(server.endpoint, username="user", password="original") as own,
        ):
            with pytest.raises(errors.PermissionDeniedError) as refused:
                await AuthClient(own).user_change_password("user", "refused")
            assert refused.value.definite
            await AuthClient(channel).user_change_password("user", "another")
            before = await authentications(server)
            with pytest.raises(errors.AuthFailedError):
                await AuthClient(own).user_list()
            assert await authentications(server) == before + 1


async def authentications(server: EtcdServer) -> float:
    """The number of requests for a token that the server has refused."""
    return sum(
        value
        for name, value in (await server.metrics()).items()
        if name.startswith("grpc_server_handled_total")
        and 'grpc_method="Authenticate"' in name
        and 'grpc_code="OK"' not in name
    )
