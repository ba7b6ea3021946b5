"""Blocks of locks and elections belong to the thread that has entered them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import etcd_sync

TIME = 60.0


@pytest.fixture
def client(etcd_endpoint: str) -> Iterator[etcd_sync.Client]:
    with etcd_sync.Client(endpoints=etcd_endpoint) as client:
        yield client


@pytest.mark.parametrize("kind", ["lock", "mutex", "leadership"])
def test_a_block_whose_body_releases_and_acquires_again_releases_at_its_end(
    client: etcd_sync.Client, key_prefix: bytes, kind: str
) -> None:
    with client.session(60) as session:
        if kind == "leadership":
            election = etcd_sync.Election(session, key_prefix)
            with election.lead(b"first"):
                assert election.resign()
                assert election.campaign(b"second")
        else:
            mutex = etcd_sync.Mutex(session, key_prefix)
            with client.lock(key_prefix, 60) if kind == "lock" else mutex as lock:
                assert lock.release()
                assert lock.acquire()
        assert client.get_prefix(key_prefix, count_only=True).count == 0


def test_a_block_leaves_what_another_thread_has_acquired_meanwhile(
    client: etcd_sync.Client, key_prefix: bytes
) -> None:
    lock = client.lock(key_prefix, 60)
    with ThreadPoolExecutor(1) as threads:
        with lock:
            assert lock.release()
            assert threads.submit(lock.acquire).result(TIME)
        assert lock.is_acquired()
        assert lock.release()


def test_a_thread_that_leads_cannot_enter_another_lead(
    client: etcd_sync.Client, key_prefix: bytes
) -> None:
    with client.session(60) as session:
        election = etcd_sync.Election(session, key_prefix)
        with election.lead(b"first"):
            with pytest.raises(RuntimeError, match="is in a `lead` block"):
                election.lead(b"second").__enter__()
