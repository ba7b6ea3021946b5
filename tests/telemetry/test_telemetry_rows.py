"""The row of each RPC has all that its span needs."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from workspace import ROOT

from etcd_channel import Channel, ChannelView, Rpc

from .exported import Exported, attributes_of

PACKAGES = sorted(path.parent.name for path in ROOT.glob("packages/*/src/*/rpcs.py"))


def rows() -> list[Rpc[Any, Any]]:
    tables = [importlib.import_module(f"{package}.rpcs") for package in PACKAGES]
    return [getattr(table, name) for table in tables for name in table.__all__]


@pytest.mark.parametrize("rpc", rows(), ids=lambda rpc: rpc.name)
def test_a_row_names_its_method_and_its_operation(rpc: Rpc[Any, Any]) -> None:
    parts = re.fullmatch(r"/((etcdserverpb|v3lockpb|v3electionpb)\.(\w+)/(\w+))", rpc.path)
    assert parts is not None
    assert rpc.method == parts[1]
    assert rpc.operation == parts[4]
    assert rpc.name == f"{parts[3]}.{parts[4]}"


def test_no_two_rows_have_one_method() -> None:
    methods = [rpc.method for rpc in rows()]
    assert len(set(methods)) == len(methods)


async def test_the_span_of_an_rpc_says_what_its_row_says(exported: Exported) -> None:
    class Refusing(ChannelView):
        def rpc_for(self, rpc: Any) -> Any:
            raise LookupError

    view = exported.view(Refusing(Channel("10.0.0.1:2379")))
    for rpc in rows():
        with pytest.raises(LookupError):
            await view.call(rpc, rpc.request())
    assert [told(span) for span in exported.spans()] == [
        (rpc.method, rpc.method, rpc.operation) for rpc in rows()
    ]


def told(span: ReadableSpan) -> tuple[str, Any, Any]:
    attributes = attributes_of(span)
    return span.name, attributes["rpc.method"], attributes["db.operation.name"]
