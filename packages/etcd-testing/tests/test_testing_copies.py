"""What runs is neither copied nor pickled; its errors are both."""

from __future__ import annotations

import copy
import gc
import pickle

import pytest

from etcd_testing import EtcdCluster, EtcdctlError, EtcdctlSession, EtcdServer, FaultProxy


async def test_what_runs_is_refused_by_name_and_goes_on(etcd_server: EtcdServer) -> None:
    async with FaultProxy(etcd_server.endpoint) as proxy:
        for thing in (etcd_server, proxy):
            name = type(thing).__name__
            for make in (copy.copy, copy.deepcopy, pickle.dumps):
                with pytest.raises(TypeError, match=f"^an? {name} cannot be copied or pickled"):
                    make(thing)
    gc.collect()
    await etcd_server.etcdctl("endpoint", "health")


def test_what_was_only_half_made_is_dropped_in_silence() -> None:
    for kind in (EtcdServer, EtcdCluster, FaultProxy, EtcdctlSession):
        kind.__new__(kind)
    gc.collect()  # an exception in __del__ would be an error here


def test_an_error_of_etcdctl_keeps_what_it_left_behind() -> None:
    error = EtcdctlError("failed", returncode=3, stdout="out", stderr="err")
    for made in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(made) is EtcdctlError
        assert str(made) == "failed"
        assert vars(made) == vars(error)
