"""examples/fenced_file.py: a writer that was stopped for too long is refused."""

from __future__ import annotations

from pathlib import Path

from example_program import PATIENT, nothing_is_left, running

from etcd_client import Client
from etcd_testing.plugin import ServerFactory


async def test_no_line_of_an_earlier_holder_follows_one_of_a_later_one(
    etcd_server_factory: ServerFactory, key_prefix: bytes, tmp_path: Path
) -> None:
    endpoint, file = etcd_server_factory().endpoint, tmp_path / "ledger.txt"
    async with Client(endpoints=endpoint, **PATIENT) as client:
        arguments = (f"--endpoints={endpoint}", "--ttl=1", f"--file={file}")
        async with running("fenced_file.py", *arguments, prefix=key_prefix) as example:
            late = (await example.until("stopping has the lock")).split()[-1]
            await example.until("SIGCONT to stopping")
            await example.until(f"stopping was refused: token {late} is lower than")
            await example.until("18 lines, each once, tokens rising: True")
            assert await example.status() == 0
        assert await nothing_is_left(client, key_prefix)
    lines = [line.split() for line in file.read_text().splitlines()]
    assert sorted(line[1] for line in lines) == 6 * ["anna"] + 6 * ["ben"] + 6 * ["stopping"]
    tokens = [int(line[0]) for line in lines]
    assert tokens == sorted(tokens)
    assert (tmp_path / "ledger.txt.token").read_text() == str(tokens[-1])
