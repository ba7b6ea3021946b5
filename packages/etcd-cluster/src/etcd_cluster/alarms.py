"""Alarms: what a member cries out, for the whole cluster to heed."""

from __future__ import annotations

import dataclasses
import enum
from typing import ClassVar, Final, cast

from etcd_channel import Channel, Record
from etcd_cluster.pb import maintenance_pb2 as pb
from etcd_cluster.rpcs import ALARM

__all__ = ["Alarm", "AlarmType", "alarm_request", "ask_alarms", "checked_alarm_type"]


class AlarmType(enum.IntEnum):
    """What is wrong. A type of a newer server, unknown here, keeps its number."""

    NONE = 0
    """No alarm; in a question, every type."""
    NOSPACE = 1
    """The database is at its quota (`--quota-backend-bytes`): the cluster refuses writes."""
    CORRUPT = 2
    """Members' data differ: the cluster refuses writes."""

    @classmethod
    def _missing_(cls, value: object) -> AlarmType | None:
        if not isinstance(value, int):
            return None
        made = int.__new__(cls, value)
        made._name_ = f"UNKNOWN_{value}"
        made._value_ = value
        return made


class Alarm(Record):
    """An alarm of a member of the cluster; it stays until it is disarmed."""

    __slots__ = ("alarm_type", "member_id")
    _fields: ClassVar[tuple[str, ...]] = __slots__

    alarm_type: AlarmType
    """What is wrong."""
    member_id: int
    """Whose alarm it is; 0 is one that was raised for all members together."""

    def __init__(self, alarm_type: int, member_id: int) -> None:
        self.alarm_type = AlarmType(alarm_type)
        self.member_id = member_id


_WORDS: Final = {
    "none": AlarmType.NONE,
    "no space": AlarmType.NOSPACE,
    "corrupt": AlarmType.CORRUPT,
}
_ACTIONS: Final = {
    "get": pb.AlarmRequest.GET,
    "activate": pb.AlarmRequest.ACTIVATE,
    "deactivate": pb.AlarmRequest.DEACTIVATE,
}
# Only what changes an alarm must not be sent twice.
_GET_ALARMS: Final = dataclasses.replace(ALARM, repeatable=True)


def checked_alarm_type(value: object, *, one: bool = False) -> AlarmType:
    """Return the alarm type that a word stands for, or that was given itself.

    `one` refuses "none", which stands for every type. A type that etcd does not know must
    not reach it: a member of 3.4 that is told to raise one panics, then and at each start.
    """
    words = [word for word in _WORDS if not (one and word == "none")]
    for word in words:
        kind = _WORDS[word]
        if value == word or (isinstance(value, AlarmType) and value is kind):
            return kind
    raise ValueError(f"alarm_type must be one of {', '.join(map(repr, words))}, not {value!r}")


def alarm_request(action: str, member_id: int, alarm_type: AlarmType) -> pb.AlarmRequest:
    """Build a request about alarms, of arguments that are checked already."""
    # The two enumerations have the same numbers, those of newer servers included.
    alarm = cast("pb.AlarmType", alarm_type.value)
    return pb.AlarmRequest(action=_ACTIONS[action], memberID=member_id, alarm=alarm)


async def ask_alarms(
    channel: Channel,
    member_id: int = 0,
    alarm_type: AlarmType = AlarmType.NONE,
    *,
    timeout: float | None = None,
    endpoint: str | None = None,
) -> list[Alarm]:
    """Ask for the alarms of a type, and choose those of a member: etcd sends everybody's.

    One that was raised for all together is each member's too.
    """
    request = alarm_request("get", member_id, alarm_type)
    response = await channel.call(_GET_ALARMS, request, timeout=timeout, endpoint=endpoint)
    alarms = [Alarm(alarm.alarm, alarm.memberID) for alarm in response.alarms]
    return [alarm for alarm in alarms if member_id == 0 or alarm.member_id in (0, member_id)]
