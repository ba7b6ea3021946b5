"""The table of the report: which faults, judges, scenarios and tests show what.

A row counts the faults of its names in a run, and the operations that were in progress meanwhile.
A problem belongs to a run, not to one fault: it counts in each row of its judge.
"""

from __future__ import annotations

from dataclasses import dataclass

from programme.claimer import TTL
from programme.found import KINDS, OTHER, Judged, by_kind

__all__ = ["HEAD", "ROWS", "Row", "cells"]


@dataclass(frozen=True)
class Row:
    """One row."""

    name: str
    injected: str
    faults: tuple[str, ...] = ()
    """The names of the faults in a history."""
    judges: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    """Tests of the suite, each "file::name"."""
    least: float = 0.0
    """Faults that lasted for fewer seconds do not count."""


_SILENT = ("SIGSTOP", "black hole", "partition", "forget")
_CLIENT = ("client SIGSTOP", "client SIGKILL", "client SIGTERM")
_CHANNEL = "packages/etcd-channel/tests/test_channel_"
_CLIENTS = "packages/etcd-client/tests/test_client_"
_KV = "packages/etcd-kv/tests/test_kv_"
_WATCH = "packages/etcd-watch/tests/test_watch_"
_LEASE = "packages/etcd-lease/tests/test_lease_"
_LOCK = "packages/etcd-lock/tests/test_lock_"
_COEXISTENCE = "tests/coexistence/test_coexistence_"

ROWS = (
    Row(
        "T1",
        "SIGKILL of a member, most often of the one in use",
        ("SIGKILL",),
        ("truth", "writes", "order", "register", "reads"),
    ),
    Row(
        "T2",
        "a request arrives and its reply does not",
        ("lost replies",),
        ("writes",),
        ("lost reply",),
    ),
    Row(
        "T3",
        "a member is silent: black hole, SIGSTOP, partition, forgotten connections",
        _SILENT,
        ("truth", "writes", "order", "register", "reads", "recovery"),
    ),
    Row(
        "T4",
        "T1 and T3 under watches and transactions of several keys",
        ("SIGKILL", *_SILENT),
        ("watches",),
    ),
    Row(
        "T5",
        "a compaction past the position of a watch that is cut off",
        ("black hole",),  # Meanwhile there are several compactions a second.
        ("watches",),
        ("compacted while cut off",),
    ),
    Row(
        "T6",
        "a stream ends: EOF, GOAWAY, half-close, no leader, watch ID -1",
        ("half-close",),
        ("watches",),
        ("ends of streams", "GOAWAY"),
    ),
    Row(
        "T7",
        "a member is cut off until it needs a snapshot, or is removed, emptied and added",
        ("replace",),
        ("watches", "reads"),
        ("behind by a snapshot",),
    ),
    Row(
        "T8",
        "tokens expire, members restart, users are added",
        tests=(
            f"{_CHANNEL}tokens.py::test_a_token_that_expires_is_renewed",
            f"{_CHANNEL}tokens.py::test_a_jwt_token_that_expires_is_renewed",
            f"{_CHANNEL}tokens.py::test_calls_survive_a_restart_that_invalidates_all_tokens",
            f"{_CHANNEL}tokens.py::test_a_token_that_a_new_user_makes_outdated_is_renewed",
            f"{_CHANNEL}tokens.py::test_a_wrong_password_is_tried_once_for_a_call",
            f"{_CHANNEL}tokens.py::test_many_concurrent_first_calls_fetch_one_token",
            f"{_CHANNEL}tokens.py::test_many_calls_with_an_invalid_token_fetch_one_token",
            f"{_WATCH}refused.py::test_a_watch_outlives_its_token",
            f"{_LEASE}keep_alive.py::test_a_lease_is_kept_alive_when_tokens_expire",
        ),
    ),
    Row(
        "T9",
        "a client process is stopped, or its event loop is blocked, for longer than its lease",
        ("client SIGSTOP",),
        ("leases",),
        ("blocked loop",),
        least=TTL,
    ),
    Row(
        "T10",
        "holders contend for a lock under T1, T3 and T9",
        ("SIGKILL", *_SILENT, *_CLIENT),
        ("locks", "left"),
    ),
    Row(
        "T11",
        "a call is cancelled at every point at which it waits",
        tests=(
            f"{_CHANNEL}closing.py::test_a_call_can_be_cancelled_at_any_moment",
            f"{_WATCH}left_behind.py::"
            "test_cancellation_at_any_moment_leaves_nothing_and_loses_nothing",
            f"{_LEASE}faults.py::test_a_grant_that_is_cancelled_anywhere_leaves_no_lease",
            f"{_LOCK}cancelled_again.py::test_cancelling_the_acquisition_of_a_lock_leaves_nothing",
            f"{_LOCK}cancelled_again.py::test_cancelling_a_wait_for_a_mutex_leaves_nothing",
            f"{_KV}coalescing_faults.py::test_nothing_is_left_behind_wherever_a_call_is_cancelled",
        ),
    ),
    Row(
        "T12",
        "a slow reader of a watch beside a fast one",
        tests=(
            f"{_WATCH}slow.py::test_a_slow_reader_gets_everything_and_others_do_not_wait",
            f"{_WATCH}left_behind.py::test_a_slow_reader_does_not_make_memory_grow",
        ),
    ),
    Row(
        "T13",
        "writes while very many keys are read in pages",
        tests=(
            f"{_KV}scans.py::test_writes_during_a_scan_do_not_change_its_result",
            f"{_KV}scan_pages.py::test_any_scan_returns_what_a_sorted_list_has",
            f"{_KV}scan_memory.py::test_a_scan_of_eighty_megabytes_needs_a_part_of_that",
            f"{_KV}large.py::test_a_response_of_sixty_thousand_keys_is_received",
        ),
    ),
    Row(
        "T14",
        "an older snapshot is restored under a connected client",
        scenarios=("older snapshot",),
        tests=(
            f"{_WATCH}restored.py::test_another_history_raises_and_is_not_mistaken_for_the_old_one",
        ),
    ),
    Row(
        "T15",
        "several event loops, forks, no close, other clients of etcd, old and new versions",
        tests=(
            f"{_CHANNEL}process.py::test_a_process_may_use_several_event_loops_in_turn",
            f"{_CHANNEL}process.py::test_a_channel_may_be_constructed_without_a_running_loop",
            f"{_CHANNEL}process.py::test_a_program_that_ends_without_closing_is_warned_and_ends",
            f"{_CHANNEL}process.py::test_a_program_that_calls_and_closes_writes_nothing_to_stderr",
            f"{_CLIENTS}forks.py::test_a_child_is_refused_at_once_if_its_parent_has_an_open_client",
            f"{_COEXISTENCE}peers.py::"
            "test_a_peer_and_this_client_read_each_others_keys_in_one_process",
        ),
    ),
    Row(
        "T16",
        "all members are down, then up",
        scenarios=("all members down",),
        tests=(
            f"{_CHANNEL}outages.py::"
            "test_an_outage_is_one_warning_however_much_fails_and_one_line_at_its_end",
        ),
    ),
)

HEAD = ["", "injected", "times", "operations", *KINDS, OTHER, "held by"]


def cells(row: Row, runs: list[Judged]) -> list[object]:
    """A row as the cells of a table, over all runs."""
    times = operations = 0
    problems: list[str] = []
    for run in runs:
        history = run.history
        faults = [
            fault
            for fault in history.faults
            if fault.name in row.faults and fault.end - fault.begin >= row.least
        ]
        times += len(faults)
        operations += sum(
            any(each.call < fault.end and fault.begin < (each.end or fault.end) for fault in faults)
            for each in history.operations
        )
        if faults:
            for judge in row.judges:
                problems += run.verdicts[judge].problems
        for scenario in history.scenarios:
            if scenario.name in row.scenarios:
                times += scenario.times
                operations += scenario.operations
                problems += scenario.problems
    held = [*row.judges, *row.scenarios]
    if row.tests:
        held.append(f"{len(row.tests)} tests" if len(row.tests) > 1 else "a test")
    counted: list[object] = [times, operations, *by_kind(problems).values()]
    if not row.faults and not row.scenarios:
        counted = [""] * len(counted)
    return [row.name, row.injected, *counted, ", ".join(held)]
