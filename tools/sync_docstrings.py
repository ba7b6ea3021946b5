"""Docstrings of the asynchronous classes, adapted to synchronous code.

The sentences that say something else of synchronous code are replaced (tools/sync_sentences.py),
then words: `async with` is `with`, a task is a thread, the channel is the client, and what was
cancelled was interrupted. Words of the asynchronous world that are left are an error, and so is
a replacement that is not used, so that a changed docstring is read again.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from sync_sentences import SENTENCES, WHOLE

__all__ = ["adapted", "unused"]

WORDS = [
    (r"\basync (with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\baclose\b", "close"),
    (r",? on a channel\b(?! or)", ""),
    (r" over a channel\b", ""),
    (r"\b(client), or a channel\b", r"\1"),
    (r"(?<!etcd_)(?<!gRPC )\bchannel(s?)\b", r"client\1"),
    (r"(?<!etcd_channel\.)`Channel`", "`etcd_channel.Channel`"),
    (r"\btask(s?)\b(?!`)", r"thread\1"),
    (r"\bTask(s?)\b", r"Thread\1"),
    (r"\b([Aa]) cancellation\b", r"\1n interruption"),
    (r"\bcancellation\b", "interruption"),
    (r"\bcancelled\b", "interrupted"),
    (r"\bCancelling\b", "Interrupting"),
    (r"\bcancelling\b", "interrupting"),
]

# `cancel` itself is a method of watches, which are `canceled` on the server.
LEFT = re.compile(
    r"\b(async|await\w*|aclos\w*|asyncio|tasks?|coroutines?|cancel(?:l\w+|lation)|"
    r"event loop|CancelledError|channels?|Channel\.\w+)\b(?!=)"
)
ALLOWED = re.compile(
    r"etcd_channel\.Channel\.from_env|gRPC channel options|`tasks`|`cancel_on_loss`"
    r"|a thread where an event loop runs"
)

_used: set[str] = set()


def adapted(text: str, where: str, width: int) -> str:
    """The docstring of a class or a member, in lines of at most `width` characters."""
    if where in WHOLE:
        _used.add(where)
        text = WHOLE[where]
    blocks = [adapted_block(block, where) for block in text.split("\n\n")]
    found = LEFT.search(ALLOWED.sub("", "\n\n".join(blocks)))
    if found is not None:
        raise SystemExit(f"sync_docstrings.py: {where} still says {found.group()!r}:\n{text}")
    # The quotation marks are in the first line.
    first, *others = (block for block in blocks if block)
    lines = [wrapped(f'"""{first}', width).removeprefix('"""')]
    return "\n\n".join(lines + [wrapped(block, width) for block in others])


def unused() -> list[str]:
    """What is to be replaced and stands in no docstring."""
    return sorted({*SENTENCES, *WHOLE} - _used)


def adapted_block(block: str, where: str) -> str:
    """A paragraph, a list or code, with each paragraph or item of a list in one line."""
    lines = block.split("\n") if block.startswith("    ") else list(unwrapped(block))
    return "\n".join(filter(None, (adapted_line(line) for line in lines)))


def unwrapped(block: str) -> Iterator[str]:
    """The paragraphs or items of a block, each in one line."""
    current = ""
    for line in block.split("\n"):
        if line.startswith("- ") and current:
            yield current
            current = ""
        current = f"{current} {line.strip()}".strip()
    yield current


def adapted_line(line: str) -> str:
    for old, new in SENTENCES.items():
        if old in line:
            _used.add(old)
            line = line.replace(old, new)
    for pattern, replacement in WORDS:
        line = re.sub(pattern, replacement, line)
    return line.rstrip()


def wrapped(block: str, width: int) -> str:
    if block.startswith("    "):
        return block
    return "\n".join(
        textwrap.fill(
            line.strip(),
            width,
            subsequent_indent="  " if line.startswith("- ") else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in block.split("\n")
    )
