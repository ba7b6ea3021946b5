"""Settings of a user that are missing."""

from __future__ import annotations

from typing import Any

import pytest

from etcd_client import Client


@pytest.mark.parametrize("username", ["", None])
@pytest.mark.parametrize("password", ["", None])
def test_an_empty_user_and_password_mean_no_user(username: Any, password: Any) -> None:
    assert Client(username=username, password=password).channel.username is None


@pytest.mark.parametrize(
    ("username", "password", "kind"),
    [
        ("", "secret", ValueError),
        ("root", None, ValueError),
        (b"", "", TypeError),
        ("", b"", ValueError),
        (0, "", TypeError),
    ],
)
def test_half_a_user_and_a_wrong_type_are_refused(
    username: Any, password: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        Client(username=username, password=password)
    assert "secret" not in str(caught.value)


def test_a_user_may_have_an_empty_password() -> None:
    assert Client(username="root", password="").channel.username == "root"
