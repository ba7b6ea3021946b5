"""A password is checked without being shown, and can be changed later."""

from __future__ import annotations

import traceback

import pytest

from etcd_channel import Channel
from etcd_channel.arguments import check_name, check_password

# Half a surrogate pair: a str that UTF-8 cannot hold.
BROKEN = "sec\udc80ret"


@pytest.mark.parametrize(
    ("password", "kind", "words"),
    [
        pytest.param(b"secret", TypeError, "password must be a str, not bytes", id="bytes"),
        pytest.param(
            BROKEN, ValueError, "password must be text that UTF-8 can encode", id="broken"
        ),
    ],
)
def test_a_password_that_is_refused_is_not_shown(
    password: object, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as raised:
        check_password("password", password)
    assert str(raised.value) == words
    assert raised.value.__context__ is None
    assert "sec" not in "".join(traceback.format_exception_only(raised.value))


def test_a_user_name_that_utf_8_cannot_encode_is_refused() -> None:
    with pytest.raises(ValueError, match="user must be text that UTF-8 can encode, not 'sec"):
        check_name("user", BROKEN)


def test_the_password_of_a_channel_can_be_changed_if_it_has_a_user() -> None:
    channel = Channel("localhost:1", username="alice", password="first")
    assert channel.username == "alice"
    channel.use_password("second")
    assert channel.username == "alice"
    with pytest.raises(ValueError, match="password must be text"):
        channel.use_password(BROKEN)
    with pytest.raises(ValueError, match="without username"):
        Channel("localhost:1").use_password("second")
    assert Channel("localhost:1").username is None
