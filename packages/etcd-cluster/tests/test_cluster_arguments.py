"""Bad arguments are refused by name, before anything is sent."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etcd_channel import Channel
from etcd_cluster import AlarmType, ClusterClient, MaintenanceClient, Member

Call = Callable[[ClusterClient, MaintenanceClient], Any]


async def attempt(call: Call, channel: Channel) -> None:
    await call(ClusterClient(channel), MaintenanceClient(channel))


@pytest.mark.parametrize(
    ("urls", "error", "match"),
    [
        ([], ValueError, "urls must not be empty"),
        ("http://localhost:2380", TypeError, "urls must be a sequence of URLs, not str"),
        (b"http://localhost:2380", TypeError, "urls must be a sequence of URLs, not bytes"),
        (2380, TypeError, "urls must be a sequence of URLs, not int"),
        (None, TypeError, "urls must be a sequence of URLs, not NoneType"),
        ([""], ValueError, r"urls\[0\] must begin with http://"),
        ([2380], TypeError, r"urls\[0\] must be a str, not int"),
        (["http://localhost:2380", "localhost:2380"], ValueError, r"urls\[1\] must begin with"),
        (["ftp://localhost:2380"], ValueError, "must begin with http://"),
        (["http://localhost"], ValueError, "must have a host and a port"),
        (["http://:2380"], ValueError, "must have a host and a port"),
        (["http://localhost:2380/peer"], ValueError, "must end with its port"),
        (["http://localhost:2380?peer"], ValueError, "must end with its port"),
        (["http://[::1:2380"], ValueError, r"urls\[0\] must be a URL"),
    ],
)
async def test_invalid_peer_urls_are_refused(
    nobody: Channel, urls: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        await ClusterClient(nobody).add_member(urls)
    with pytest.raises(error, match=match.replace("urls", "peer_urls")):
        await ClusterClient(nobody).update_member(1, urls)
    member = Member(1, "m", ["http://localhost:2380"], [], ClusterClient(nobody))
    with pytest.raises(error, match=match.replace("urls", "peer_urls")):
        await member.update(urls)
    assert member.peer_urls == ["http://localhost:2380"]


@pytest.mark.parametrize(
    "call",
    [
        lambda c, _, bad: c.remove_member(bad),
        lambda c, _, bad: c.update_member(bad, ["http://localhost:2380"]),
        lambda c, _, bad: c.promote_member(bad),
        lambda _, m, bad: m.move_leader(bad),
        lambda _, m, bad: m.create_alarm(bad),
        lambda _, m, bad: m.list_alarms(bad),
        lambda _, m, bad: m.disarm_alarm(bad),
    ],
)
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ("1", TypeError),
        (True, TypeError),
        (None, TypeError),
        (-1, ValueError),
        (1 << 64, ValueError),
    ],
)
async def test_an_invalid_member_id_is_refused(
    nobody: Channel, call: Callable[..., Any], bad: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="member_id must be"):
        await call(ClusterClient(nobody), MaintenanceClient(nobody), bad)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda c, _: c.remove_member(0), ValueError, "member_id must be at least 1"),
        (lambda _, m: m.move_leader(0), ValueError, "member_id must be at least 1"),
        (lambda c, _: c.members(linearizable=2), TypeError, "linearizable must be a bool"),
        (
            lambda c, _: c.add_member(["http://localhost:2380"], learner="yes"),
            TypeError,
            "learner must be a bool",
        ),
        (lambda _, m: m.hash_kv(-1), ValueError, "revision must be at least 0"),
        (lambda _, m: m.hash_kv("1"), TypeError, "revision must be an int"),
        (lambda _, m: m.validate_downgrade(""), ValueError, "version must not be empty"),
        (lambda _, m: m.validate_downgrade(3.4), TypeError, "version must be a str"),
        (lambda _, m: m.enable_downgrade(None), TypeError, "version must be a str"),
        (lambda _, m: m.status(timeout=0), ValueError, "timeout must be a positive"),
        (lambda _, m: m.status(endpoint="nowhere:"), ValueError, "endpoint 'nowhere:'"),
        (lambda _, m: m.status_cluster(timeout="1"), TypeError, "timeout must be a number"),
        (lambda _, m: m.defragment(timeout=-1), ValueError, "timeout must be a positive"),
        (lambda _, m: m.defragment_cluster(timeout=0), ValueError, "timeout must be a positive"),
        (
            lambda _, m: m.defragment_cluster(health_timeout=None),
            TypeError,
            "health_timeout must be a number",
        ),
    ],
)
async def test_other_invalid_arguments_are_refused(
    nobody: Channel, call: Call, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        await attempt(call, nobody)


@pytest.mark.parametrize("bad", ["nospace", "", "NONE", None, 1, True, AlarmType(99), "none "])
async def test_an_unknown_alarm_type_is_refused(nobody: Channel, bad: Any) -> None:
    maintenance = MaintenanceClient(nobody)
    match = "alarm_type must be one of 'none', 'no space', 'corrupt', not"
    with pytest.raises(ValueError, match=match):
        await maintenance.list_alarms(alarm_type=bad)
    with pytest.raises(ValueError, match=match):
        await maintenance.disarm_alarm(alarm_type=bad)
    with pytest.raises(ValueError, match="alarm_type must be one of 'no space', 'corrupt', not"):
        await maintenance.create_alarm(alarm_type=bad)


async def test_an_alarm_without_a_type_is_not_raised(nobody: Channel) -> None:
    """Such a request makes a member of etcd 3.4 panic, then and at each start."""
    nothing: tuple[Any, ...] = ("none", AlarmType.NONE)
    for none in nothing:
        with pytest.raises(ValueError, match="alarm_type must be one of 'no space', 'corrupt'"):
            await MaintenanceClient(nobody).create_alarm(alarm_type=none)


@pytest.mark.parametrize(
    ("target", "error", "match"),
    [
        (None, TypeError, "file_obj must be a path or a file object with a write method"),
        (3, TypeError, "file_obj must be a path or a file object"),
        (b"snapshot.db", TypeError, "file_obj must be a path or a file object"),
        ("", ValueError, "file_obj must not be an empty path"),
        (io.StringIO(), TypeError, "file_obj must be a binary file"),
        (io.BufferedReader(io.BytesIO()), ValueError, "file_obj must be open for writing"),
    ],
)
async def test_an_invalid_destination_of_a_snapshot_is_refused(
    nobody: Channel, target: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        await MaintenanceClient(nobody).snapshot(target)


async def test_a_progress_that_is_not_callable_is_refused(nobody: Channel, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="progress must be callable, not bool"):
        await MaintenanceClient(nobody).snapshot(tmp_path / "a", progress=True)  # type: ignore[arg-type]  # on purpose

    async def waits(done: int, total: int) -> None: ...

    with pytest.raises(TypeError, match="progress must be a plain function, not a coroutine"):
        await MaintenanceClient(nobody).snapshot(tmp_path / "a", progress=waits)
    assert not os.listdir(tmp_path)
