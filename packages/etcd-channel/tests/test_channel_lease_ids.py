"""`lease_to_id`, as it is documented."""

from __future__ import annotations

import math
from typing import Any

import pytest

from etcd_channel import lease_to_id


@pytest.mark.parametrize("lease", [None, "x", "", "0x7", b"x", math.inf, math.nan, [], object()])
def test_what_cannot_be_cast_to_int_has_the_id_0(lease: Any) -> None:
    assert lease_to_id(lease) == 0


@pytest.mark.parametrize("lease", [7, "7", b"7", 7.0])
def test_what_can_be_cast_to_int_is_cast(lease: Any) -> None:
    assert lease_to_id(lease) == 7
