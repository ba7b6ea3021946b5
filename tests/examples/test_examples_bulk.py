"""examples/bulk.py: loads a file, exports a prefix, and shows how far it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from example_program import PATIENT, running

from etcd_client import Client
from etcd_testing.plugin import ServerFactory

WITHOUT_RICH = "raise ImportError('rich is not installed')"


async def test_what_is_loaded_is_exported_again(key_prefix: bytes) -> None:
    async with running("bulk.py", "--keys=3000", prefix=key_prefix) as example:
        await example.until("load", "100%")
        await example.until("export", "100%")
        await example.until("3000 keys were loaded and exported; the files are the same: True")
        assert await example.status() == 0


async def test_without_rich_it_counts(key_prefix: bytes, tmp_path: Path) -> None:
    (tmp_path / "rich.py").write_text(WITHOUT_RICH)
    async with running(
        "bulk.py", "--keys=3000", prefix=key_prefix, PYTHONPATH=str(tmp_path)
    ) as example:
        await example.until("load: 3000 of 3000")
        await example.until("export: 3000 of 3000")
        assert await example.status() == 0


async def test_keys_and_values_of_any_bytes_survive_a_round_trip(
    etcd_server_factory: ServerFactory, key_prefix: bytes, tmp_path: Path
) -> None:
    endpoint, file = etcd_server_factory().endpoint, tmp_path / "keys.jsonl"
    pairs = {bytes([number]): bytes([255 - number]) * 10_000 for number in range(256)}
    async with Client(endpoints=endpoint, **PATIENT) as client:
        for key, value in pairs.items():
            await client.put(key_prefix + key, value)
        arguments = (f"--endpoints={endpoint}", "export", file)
        async with running("bulk.py", *arguments, prefix=key_prefix) as example:
            await example.until("exported 256 keys")
            assert await example.status() == 0
        assert len([json.loads(line) for line in file.read_text().splitlines()]) == 256
        assert os.listdir(tmp_path) == [file.name]
        copy = b"copy-of-" + key_prefix
        # 2.5 MB: more than etcd takes in one request.
        arguments = (f"--endpoints={endpoint}", "load", file)
        async with running("bulk.py", *arguments, prefix=copy) as example:
            await example.until("loaded 256 keys")
            assert await example.status() == 0
        loaded = await client.get_prefix(copy)
        assert {kv.key.removeprefix(copy): kv.value for kv in loaded} == pairs


@pytest.mark.parametrize("action", ["load", "export"])
async def test_an_error_is_told_in_one_line(
    etcd_endpoint: str, key_prefix: bytes, tmp_path: Path, action: str
) -> None:
    file = tmp_path / "missing" / "keys.jsonl"
    name = file if action == "load" else file.with_name("keys.jsonl.partial")
    told = f"It failed: FileNotFoundError: [Errno 2] No such file or directory: '{name}'\n"
    arguments = (f"--endpoints={etcd_endpoint}", action, file)
    async with running("bulk.py", *arguments, prefix=key_prefix, stderr=told) as example:
        assert await example.status() == 1
