"""Runs the Python of a page as one program, against an etcd of its own."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import signal
import sys
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from doc_pages import PYTHON, Block

from etcd_client import Client
from etcd_testing import EtcdServer

__all__ = ["BlockError", "compiled", "run_page"]

HANG = 100.0
"""Seconds after which a block has hung; nothing is measured by it."""

PATIENT: dict[str, Any] = {"connect_wait_timeout": 60, "keepalive_timeout": 60, "timeout": 60}
"""The options of the client of a page, whose calls are to outlast a pause of a busy machine."""

PYTEST = """\
[pytest]
addopts = -p no:cacheprovider
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
"""The settings of the tests of a block."""

SHOWN = re.compile(
    r"""print\(.*\)\ \ \#\ (True|False|None|-?\d+|b['"].*|\[.*\]|(?:PUT|DELETE)\ .*|User\(.*)$""",
    re.MULTILINE | re.VERBOSE,
)
"""A print of which a comment shows what it prints."""


class BlockError(Exception):
    """A block failed; the message begins with its page and line."""


class Page:
    """One run of a page: what its blocks share."""

    def __init__(self, server: EtcdServer, client: Client, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.output = io.StringIO()
        self.background: list[tuple[Block, asyncio.Task[None]]] = []
        self.cleanup = contextlib.AsyncExitStack()
        self.names: dict[str, Any] = {
            "__name__": "page",
            "asyncio": asyncio,
            "cleanup": self.cleanup,
            "client": client,
            "printed": self.output.getvalue,
        }

    async def run(self, block: Block) -> None:
        before = len(self.output.getvalue())
        try:
            await asyncio.wait_for(self._run(block), HANG)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            raise failed(block, error) from error
        self.check_prints(block, self.output.getvalue()[before:])

    async def _run(self, block: Block) -> None:
        if block.is_tests:
            settings = self.folder / "pytest.ini"
            settings.write_text(PYTEST, encoding="utf-8")
            await self.run_process(block, "-m", "pytest", "-q", "-c", settings.name)
        elif block.is_program:
            await self.run_process(block, "-u", "-W", "error")
        else:
            code = compiled(block, self.here(block.text))
            value = eval(code, self.names)
            if inspect.iscoroutine(value):
                await value

    def start(self, block: Block) -> None:
        """Run a block while the following ones run."""
        self.background.append((block, asyncio.create_task(self._run(block))))

    async def run_process(self, block: Block, *options: str) -> None:
        """Run a block in a process of its own; it must succeed and write nothing to stderr."""
        path = self.folder / f"test_block_{block.line}.py"
        # Lines of a traceback are then those of the page.
        path.write_text("\n" * (block.line - 1) + self.here(block.text), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *options, str(path)),
            cwd=self.folder,
            env={**os.environ, "PYTEST_ADDOPTS": ""},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        stderr = asyncio.create_task(process.stderr.read())
        before = len(self.output.getvalue())
        try:
            async for line in process.stdout:
                self.output.write(line.decode())
            await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL)
                await process.wait()
            said = (await stderr).decode()
        if process.returncode != 0 or said:
            stdout = self.output.getvalue()[before:]
            raise BlockError(f"exit code {process.returncode}\n{stdout}{said}")

    def check_background(self) -> None:
        """A block in the background may have ended, but not by an error."""
        for block, task in self.background:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise failed(block, error) from error

    async def end(self) -> None:
        await self.cleanup.aclose()
        for _, task in self.background:
            task.cancel()
        ended = await asyncio.gather(*(task for _, task in self.background), return_exceptions=True)
        for (block, _), result in zip(self.background, ended, strict=True):
            if isinstance(result, Exception):
                raise failed(block, result) from result
            self.check_prints(block, self.output.getvalue())

    def check_prints(self, block: Block, output: str) -> None:
        for shown in SHOWN.findall(block.text):
            if shown not in output:
                raise BlockError(f"{block.place}: the block did not print {shown!r}, but\n{output}")

    def here(self, text: str) -> str:
        """The text with this server's address for etcd's usual one."""
        host, _, port = self.server.endpoint.rpartition(":")
        text = re.sub(r"\b(127\.0\.0\.1|localhost):2379\b", self.server.endpoint, text)
        return re.sub(r'"(127\.0\.0\.1|localhost)", 2379\b', f'"{host}", {port}', text)


def compiled(block: Block, text: str | None = None) -> Any:
    """The code of a block, which may await at its top level; its lines are those of the page."""
    source = "\n" * (block.line - 1) + (block.text if text is None else text)
    try:
        return compile(
            source, block.place.rpartition(":")[0], "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
    except SyntaxError as error:
        raise BlockError(f"{block.place}: this is no Python: {error}") from error


def failed(block: Block, error: BaseException) -> BlockError:
    if isinstance(error, BlockError) and not str(error).startswith("exit code"):
        return error
    if isinstance(error, asyncio.TimeoutError) and not str(error):
        return BlockError(f"{block.place}: the block has not ended after {HANG:.0f} s")
    # The frames of the page; those of this module say nothing.
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "asyncio" not in frame.filename
    ]
    lines = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
    told = "".join(traceback.format_exception_only(type(error), error)).rstrip()
    return BlockError("\n".join([f"{block.place}: the block failed", *lines, told]))


@contextlib.asynccontextmanager
async def page_with_server(folder: Path) -> AsyncIterator[Page]:
    async with EtcdServer() as server:
        async with Client(endpoints=server.endpoint, **PATIENT) as client:
            page = Page(server, client, folder)
            with contextlib.redirect_stdout(page.output):
                try:
                    yield page
                except BaseException:
                    with contextlib.suppress(BlockError):
                        await page.end()
                    raise
                else:
                    await page.end()


async def run_page(blocks: list[Block], folder: Path) -> str:
    """Run the Python among the blocks of a page; return what it has printed."""
    async with page_with_server(folder) as page:
        for block in blocks:
            if block.language not in PYTHON:
                continue
            compiled(block)
            if block.kind == "background":
                page.start(block)
            elif block.kind != "types-only":
                await page.run(block)
            page.check_background()
    return page.output.getvalue()
