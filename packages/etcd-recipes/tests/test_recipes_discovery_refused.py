"""Discoveries: keys whose value is not an endpoint."""

from __future__ import annotations

import asyncio

import pytest
from recipes_support import PATIENCE, Program

from etcd_recipes import Discovery


async def until_revision(discovery: Discovery, revision: int, program: Program) -> None:
    async def reached() -> None:
        while discovery.revision < revision:
            await program.kv.get(b"any")

    await asyncio.wait_for(reached(), PATIENCE)


async def test_a_key_that_is_gone_is_forgotten(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    async with program.recipes.discovery(b"web") as discovery:
        for _ in range(3):
            for value in (b"no endpoint", b"neither"):
                put = await program.kv.put(b"web/a", value)
                await until_revision(discovery, put.header.revision, program)
            deleted = await program.kv.delete_prefix(b"web/")
            await until_revision(discovery, deleted.header.revision, program)
        assert discovery.endpoints == ()
    # Once for each time that the key was there.
    assert caplog.text.count("the value of the key b'web/a' is not an endpoint") == 3
