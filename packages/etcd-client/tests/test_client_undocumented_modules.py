"""The undocumented modules of the reference that programs import."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import aetcd
import aetcd.rpc
import aetcd.transactions
from etcd_client import Client, Transactions

# etcd's enum numbers (api/etcdserverpb/rpc.proto), which programs compare with.
ENUMS = {
    "RangeRequest.NONE": 0,
    "RangeRequest.ASCEND": 1,
    "RangeRequest.DESCEND": 2,
    "RangeRequest.KEY": 0,
    "RangeRequest.VERSION": 1,
    "RangeRequest.CREATE": 2,
    "RangeRequest.MOD": 3,
    "RangeRequest.VALUE": 4,
    "Compare.EQUAL": 0,
    "Compare.GREATER": 1,
    "Compare.LESS": 2,
    "Compare.NOT_EQUAL": 3,
    "Compare.VERSION": 0,
    "Compare.CREATE": 1,
    "Compare.MOD": 2,
    "Compare.VALUE": 3,
    "Event.PUT": 0,
    "Event.DELETE": 1,
    "AlarmRequest.GET": 0,
    "AlarmRequest.ACTIVATE": 1,
    "AlarmRequest.DEACTIVATE": 2,
    "WatchCreateRequest.NOPUT": 0,
    "WatchCreateRequest.NODELETE": 1,
    "Permission.READ": 0,
    "Permission.WRITE": 1,
    "Permission.READWRITE": 2,
    "NONE": 0,
    "NOSPACE": 1,
    "CORRUPT": 2,
}


def test_the_enums_have_the_numbers_of_etcd() -> None:
    for path, number in ENUMS.items():
        found: Any = aetcd.rpc
        for name in path.split("."):
            found = getattr(found, name)
        assert found == number, path


async def test_errors_of_grpc_can_be_imported() -> None:
    client = Client(endpoints="127.0.0.1:1", connect_wait_timeout=2)
    with pytest.raises(aetcd.ClientError) as caught:
        await client.get(b"k")
    cause = caught.value.__cause__
    await client.close()
    assert isinstance(cause, aetcd.rpc.AioRpcError)
    assert isinstance(cause, aetcd.rpc.RpcError)
    assert cause.code() is aetcd.rpc.StatusCode.UNAVAILABLE


def test_the_module_registers_no_name_of_etcd_in_the_protobuf_pool() -> None:
    program = (
        "import aetcd.rpc\n"
        "from google.protobuf import descriptor_pool\n"
        "for name in ('etcdserverpb.RangeRequest', 'mvccpb.Event', 'authpb.Permission'):\n"
        "    try:\n"
        "        descriptor_pool.Default().FindMessageTypeByName(name)\n"
        "    except KeyError:\n"
        "        print(name)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout.split() == ["etcdserverpb.RangeRequest", "mvccpb.Event", "authpb.Permission"]


def test_the_transactions_module_has_the_clients_own_classes() -> None:
    for name in ("Value", "Version", "Create", "Mod", "Put", "Get", "Delete", "Txn"):
        assert getattr(aetcd.transactions, name) is getattr(Transactions, name.lower())
