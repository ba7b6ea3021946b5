"""docs/errors.md lists every error, and says of each whether it is definite."""

from __future__ import annotations

import re

import pytest
from workspace import ROOT

from etcd_client import errors

ROW = re.compile(r"^\| \[`(\w+)`\]\[([\w.]+)\] \| ([\w ]+) \| (.+) \| (.+) \|$", re.MULTILINE)
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
ROWS = {match[1]: match for match in ROW.finditer(PAGE)}

# Only the failure itself tells.
CONDITIONS = {
    "BulkError": "if nothing was done",
    "ClientClosedError": "if nothing was sent",
    "ConnectionFailedError": "if nothing was sent",
    "ConnectionTimeoutError": "if nothing was sent",
}


def test_every_error_is_listed_once() -> None:
    assert sorted(match[1] for match in ROW.finditer(PAGE)) == sorted(errors.__all__)


@pytest.mark.parametrize("name", errors.__all__)
def test_the_page_says_whether_an_error_is_definite(name: str) -> None:
    told = ROWS[name][3]
    if name in CONDITIONS:
        assert told == CONDITIONS[name]
        return
    kind = getattr(errors, name)
    error = kind(7) if name == "RevisionCompactedError" else kind()
    assert told == ("yes" if error.definite else "no")
