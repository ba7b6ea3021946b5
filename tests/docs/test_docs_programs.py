"""Every block of Python in the READMEs and in docs/ runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from doc_pages import PAGES, PYTHON, Block, blocks_of, name_of
from doc_programs import BlockError, run_page
from workspace import ROOT

READMES = [ROOT / "README.md", *sorted((ROOT / "packages").glob("*/README.md"))]
WITH_PYTHON = [page for page in PAGES if any(block.language in PYTHON for block in blocks_of(page))]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
async def test_the_code_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    problem = ""
    try:
        await run_page(blocks_of(page), tmp_path)
    except BlockError as error:
        problem = str(error)
    if problem:
        pytest.fail(problem, pytrace=False)


def shown(page: Path) -> list[Block]:
    return [
        block for block in blocks_of(page) if block.language in PYTHON and block.kind != "hidden"
    ]


def test_every_block_of_the_first_readme_is_a_program() -> None:
    assert len(shown(READMES[0])) >= 4
    assert all(block.is_program for block in shown(READMES[0]))


@pytest.mark.parametrize("readme", READMES, ids=name_of)
def test_the_first_block_of_a_readme_is_a_program(readme: Path) -> None:
    # Those of etcd-testing are tests.
    assert shown(readme)[0].is_program or shown(readme)[0].is_tests


def test_the_readmes_make_results_and_events_by_hand_in_tests() -> None:
    with_tests = {
        readme.parent.name for readme in READMES for block in shown(readme) if block.is_tests
    }
    assert {"etcd-kv", "etcd-watch", "etcd-testing"} <= with_tests


async def test_the_view_of_the_readme_sees_every_call(tmp_path: Path) -> None:
    readme = ROOT / "packages" / "etcd-channel" / "README.md"
    program = [block for block in shown(readme) if "Prints how long each call" in block.text]
    said = await run_page(program, tmp_path)
    seen = [line.split()[:2] for line in said.splitlines()]
    assert seen[:3] == [["KV.Put", "ok"], ["Lease.LeaseGrant", "ok"], ["KV.Txn", "ok"]]
    assert ["KV.Range", "ok"] in seen


async def run_text(text: str, folder: Path) -> str:
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    return await run_page(blocks_of(page), folder)


async def test_the_blocks_of_a_page_share_their_names(tmp_path: Path) -> None:
    text = """
```python
await client.put(b"key", b"1")
found = await client.get(b"key")
```

<!-- run: background -->
```python
print("waiting")
await asyncio.Event().wait()
```

<!-- run: hidden
while "waiting" not in printed():
    await asyncio.sleep(0)
-->
```python
print(found.value)  # b'1'
```

<!-- run: types-only it would fail -->
```python
raise ValueError
```
"""
    assert await run_text(text, tmp_path) == "waiting\nb'1'\n"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("x = 1\nraise KeyError(x)", "page.md:2: the block failed\npage.md:3 in <module>"),
        ("x = = 1", "page.md:2: this is no Python"),
        ("print(2)  # 3", "page.md:2: the block did not print '3'"),
        ("import asyncio\nasyncio.run(main())", "page.md:2: the block failed\n.*exit code 1"),
        ("def test_x():\n    assert False", "page.md:2: the block failed\n.*exit code 1"),
    ],
)
async def test_a_block_that_fails_is_named_by_page_and_line(
    code: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(BlockError, match=problem):
        await run_text(f"```python\n{code}\n```\n", tmp_path)


@pytest.mark.parametrize(
    "comment", ["<!-- run: types-only -->", "<!-- run: never -->", "<!-- run: background\n-->"]
)
def test_a_steering_comment_that_does_not_exist_is_refused(comment: str, tmp_path: Path) -> None:
    text = f"{comment}\n```python\n```\n"
    with pytest.raises(ValueError, match=r"page\.md:1: the comment must be"):
        blocks_of(tmp_path / "page.md", text)
