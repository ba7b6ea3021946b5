"""docs/from: the tables have every call of the other client, and what they name here is there."""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any, NamedTuple

import pytest
from workspace import ROOT

import etcd_client
from etcd_client import Channel, Client, Lease

DOCUMENTS = ROOT / "docs" / "from"

PYTHON_ETCD3 = """
close get get_response get_prefix get_prefix_response get_range get_range_response get_all
get_all_response put put_if_not_exists replace delete delete_prefix transaction compact
add_watch_callback add_watch_prefix_callback watch watch_response watch_prefix
watch_prefix_response watch_once watch_once_response watch_prefix_once watch_prefix_once_response
cancel_watch lease revoke_lease refresh_lease get_lease_info lock add_member remove_member
update_member members status defragment hash create_alarm list_alarms disarm_alarm snapshot
client transactions ca_cert cert_cert cert_key timeout user password grpc_options
Etcd3Exception ConnectionFailedError ConnectionTimeoutError InternalServerError
PreconditionFailedError RevisionCompactedError WatchTimedOut
"""
"""The public methods of `Etcd3Client` of etcd3 0.12.0, its arguments, and the errors."""

GO = """
New NewFromURL NewFromURLs WithRequireLeader
Client.Close Client.Ctx Client.Endpoints Client.SetEndpoints Client.Sync Client.ActiveConnection
Client.Dial
Config.Endpoints Config.AutoSyncInterval Config.DialTimeout Config.DialKeepAliveTime
Config.DialKeepAliveTimeout Config.MaxCallSendMsgSize Config.MaxCallRecvMsgSize Config.TLS
Config.Username Config.Password Config.Token Config.RejectOldCluster Config.DialOptions
Config.Context Config.Logger Config.LogConfig Config.PermitWithoutStream Config.MaxUnaryRetries
Config.BackoffWaitBetween Config.BackoffJitterFraction
KV.Put KV.Get KV.Delete KV.Compact KV.Do KV.Txn Txn.If Txn.Then Txn.Else Txn.Commit
OpPut OpGet OpDelete OpTxn Compare Value Version CreateRevision ModRevision LeaseValue
Cmp.WithRange Cmp.WithPrefix GetPrefixRangeEnd
WithPrefix WithRange WithFromKey WithLimit WithRev WithSort WithSerializable WithKeysOnly
WithCountOnly WithMinModRev WithMaxModRev WithMinCreateRev WithMaxCreateRev WithFirstCreate
WithLastCreate WithFirstRev WithLastRev WithFirstKey WithLastKey WithLease WithPrevKV
WithIgnoreValue WithIgnoreLease WithAttachedKeys WithCreatedNotify WithProgressNotify
WithFilterPut WithFilterDelete WithFragment
Watcher.Watch Watcher.RequestProgress Watcher.Close WatchResponse.Err
WatchResponse.CompactRevision WatchResponse.IsProgressNotify Event.IsCreate Event.IsModify
Lease.Grant Lease.Revoke Lease.TimeToLive Lease.Leases Lease.KeepAlive Lease.KeepAliveOnce
Lease.Close
Cluster.MemberList Cluster.MemberAdd Cluster.MemberAddAsLearner Cluster.MemberRemove
Cluster.MemberUpdate Cluster.MemberPromote
Maintenance.AlarmList Maintenance.AlarmDisarm Maintenance.Defragment Maintenance.Status
Maintenance.HashKV Maintenance.Snapshot Maintenance.SnapshotWithVersion Maintenance.MoveLeader
Maintenance.Downgrade
Auth.Authenticate Auth.AuthEnable Auth.AuthDisable Auth.AuthStatus Auth.UserAdd
Auth.UserAddWithOptions Auth.UserDelete Auth.UserChangePassword Auth.UserGrantRole
Auth.UserRevokeRole Auth.UserGet Auth.UserList Auth.RoleAdd Auth.RoleGet Auth.RoleList
Auth.RoleDelete Auth.RoleGrantPermission Auth.RoleRevokePermission
concurrency.NewSession concurrency.WithTTL concurrency.WithLease concurrency.WithContext
Session.Lease Session.Done Session.Ctx Session.Client Session.Orphan Session.Close
concurrency.NewMutex Mutex.Lock Mutex.TryLock Mutex.Unlock Mutex.IsOwner Mutex.Key Mutex.Header
concurrency.NewLocker concurrency.NewElection concurrency.ResumeElection Election.Campaign
Election.Proclaim Election.Resign Election.Leader Election.Observe Election.Key Election.Rev
Election.Header concurrency.NewSTM
"""
"""The methods and options of etcd's Go client 3.6, packages clientv3 and concurrency, without those
that only inspect an `Op` or that construct a part of a client."""

PAGES = {"python-etcd3.md": PYTHON_ETCD3, "go.md": GO}

CODE = re.compile(r"`([^`]+)`")


class Row(NamedTuple):
    theirs: list[str]
    ours: list[str]
    text: str


def rows(page: str) -> list[Row]:
    """The rows of the tables, which all have a column `here`."""
    found, here = [], False
    for line in (DOCUMENTS / page).read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            here = False
            continue
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) > 1 and cells[1] == "here":
            here = True
        elif here and not set(line) <= set("|-"):
            found.append(Row(CODE.findall(cells[0]), CODE.findall(cells[1]), line))
    return found


def name_of(code: str) -> str:
    return code.partition("(")[0]


@pytest.mark.parametrize("page", PAGES)
def test_every_call_of_the_other_client_has_a_row(page: str) -> None:
    named = [name_of(code) for row in rows(page) for code in row.theirs]
    missing = [name for name in PAGES[page].split() if name not in named]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_no_call_of_the_other_client_has_two_rows(page: str) -> None:
    named = [name_of(code) for row in rows(page) for code in row.theirs]
    twice = {name for name in named if named.count(name) > 1}
    assert not twice


@pytest.mark.parametrize("page", PAGES)
def test_what_a_row_names_is_there(page: str) -> None:
    wrong = [code for row in rows(page) for code in row.ours if not is_there(code)]
    assert not wrong


@pytest.mark.parametrize("page", PAGES)
def test_a_row_names_something_or_says_that_there_is_nothing(page: str) -> None:
    assert not [row.text for row in rows(page) if not row.ours and " | none |" not in row.text]


def is_there(code: str) -> bool:
    """Whether there is such a method or class, with the arguments that are named."""
    if not re.match(r"[\w.]+(\(|$)", code):
        return True  # an expression, which the reader understands
    found = look_up(name_of(code))
    if found is None:
        return False
    named = re.findall(r"(\w+)=", code)
    return not named or set(named) <= set(inspect.signature(found).parameters)


@cache
def look_up(name: str) -> Any:
    """Find a name of the client, of a class in etcd_client, or of its errors."""
    for scope in (Client, etcd_client, etcd_client.errors):
        found: Any = scope
        for part in name.split("."):
            found = inspect.getattr_static(found, part, None)
        if found is not None:
            return found
    return None


def test_a_name_is_looked_up_with_its_arguments() -> None:
    assert is_there("get_prefix(limit=…)")
    assert is_there("Lease.keep_alive")
    assert is_there("ConnectionFailedError")
    assert not is_there("get_prefix(no_such_argument=…)")
    assert not is_there("Lease.no_such_method")
    assert look_up("Channel.set_endpoints") is vars(Channel)["set_endpoints"]
    assert look_up("Lease.refresh") is vars(Lease)["refresh"]


def test_rows_are_found_in_tables_that_compare() -> None:
    assert len(rows("go.md")) > 100
    assert len(rows("python-etcd3.md")) > 50


def test_no_name_is_listed_twice() -> None:
    for text in PAGES.values():
        listed = text.split()
        assert len(listed) == len(set(listed))
