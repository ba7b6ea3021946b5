"""A put and a watch event go through the files and the pictures of ARCHITECTURE.md."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from workspace import ROOT, packages

from etcd_client import Client
from etcd_testing import EtcdServer

SOURCES = [path for package in packages().values() for path in package.imports]


class Walk:
    """The files and the functions that were called, in the order of their first calls."""

    def __init__(self) -> None:
        self.files: dict[str, None] = {}
        self.names: dict[str, None] = {}

    def profile(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and (file := file_of(code.co_filename)) is not None:
            self.files.setdefault(file)
            owner = frame.f_locals.get("self")
            for kind in type(owner).__mro__ if owner is not None else ():
                self.names.setdefault(f"{kind.__name__}.{code.co_name}")
                self.names.setdefault(kind.__name__)
            self.names.setdefault(code.co_name)


def file_of(path: str) -> str | None:
    """`etcd_kv/client.py` of a file of a package."""
    parts = Path(path).parts[-2:]
    return "/".join(parts) if parts[0] in {source.name for source in SOURCES} else None


@contextmanager
def walking() -> Iterator[Walk]:
    """Writes down all calls of this thread in the packages."""
    walk = Walk()
    before = sys.getprofile()
    sys.setprofile(walk.profile)
    try:
        yield walk
    finally:
        sys.setprofile(before)


def section(title: str) -> str:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    (found,) = re.findall(
        rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    return str(found)


def named_files(title: str) -> list[str]:
    """The files in the numbered steps of a section, without those that only hold rows of RPCs."""
    steps = re.findall(r"^\d\. .*?(?=^\d\. |^\n)", section(title), re.MULTILINE | re.DOTALL)
    files = re.findall(r"`(etcd_\w+/\w+\.py)`", "".join(steps))
    return [file for file in files if not file.endswith("/rpcs.py")]


def picture(title: str) -> list[str]:
    """The names in the picture of a section, in their order."""
    drawn = section(title).split("```")[1]
    return re.findall(r"[A-Za-z_]\w*(?:\.\w+)?", drawn)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client that has to connect yet, and to fetch a token."""
    async with EtcdServer() as server:
        async with Client(endpoints=server.endpoint) as founder:
            await founder.user_add("root", "secret")
            await founder.user_grant_role("root", "root")
            await founder.auth_enable()
        client = Client(endpoints=server.endpoint, username="root", password="secret")
        yield client
        await client.close()


async def test_a_put_goes_through_the_files_of_its_section(client: Client) -> None:
    with walking() as walk:
        await client.put(b"key", b"value")
    assert len(named_files("A put")) > 5
    assert [file for file in named_files("A put") if file not in walk.files] == []
    names = [name for name in picture("A put") if name not in ("grpc", "grpc.aio", "aio", "etcd")]
    assert names[:3] == ["KVClient.put", "put_request", "Channel.call"]
    assert_walked(names, walk)


async def test_a_watch_event_goes_through_the_files_of_its_section(client: Client) -> None:
    with walking() as walk:
        async with client.watch(b"key") as watch:
            await client.put(b"key", b"value")
            async for event in watch:
                assert event.kv.value == b"value"
                break
    assert len(named_files("A watch event")) > 4
    assert [file for file in named_files("A watch event") if file not in walk.files] == []
    names = [name for name in picture("A watch event") if name not in ("etcd", "async", "for")]
    assert "WatchStream" in names
    assert [name for name in names if name not in walk.names] == []


def assert_walked(names: list[str], walk: Walk) -> None:
    """All were called, each for the first time after the one before it."""
    assert [name for name in names if name not in walk.names] == []
    order = list(walk.names)
    assert sorted(names, key=order.index) == names
