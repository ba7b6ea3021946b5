"""The alarms of a cluster: their types, requests and results."""

from __future__ import annotations

import dataclasses
import enum
from typing import Final, Literal, cast

from etcd_channel import ChannelLike
from etcd_cluster.pb import maintenance_pb2 as pb
from etcd_cluster.rpcs import ALARM

__all__ = ["Alarm", "AlarmName", "AlarmType", "alarm_request", "ask_alarms", "checked_alarm_type"]


class AlarmType(enum.IntEnum):
    """The type of an alarm; an unknown type from a newer server keeps its number."""

    NONE = 0
    """No alarm; in a request, every type."""
    NOSPACE = 1
    """The database is at its quota (`--quota-backend-bytes`): the cluster refuses writes."""
    CORRUPT = 2
    """The members' data differ: the cluster refuses writes."""

    @classmethod
    def _missing_(cls, value: object) -> AlarmType | None:
        if not isinstance(value, int):
            return None
        made = int.__new__(cls, value)
        made._name_ = f"UNKNOWN_{value}"
        made._value_ = value
        return made


AlarmName = Literal["none", "no space", "corrupt"]
"""The documented names of the alarm types; "none" means every type."""


@dataclasses.dataclass(frozen=True, slots=True, init=False)
class Alarm:
    """An alarm of a member of the cluster; it is active until it is disarmed."""

    alarm_type: AlarmType
    """The type of the alarm."""
    member_id: int
    """The id of its member; 0 if it was raised for all members together."""

    def __init__(self, alarm_type: int, member_id: int) -> None:
        object.__setattr__(self, "alarm_type", AlarmType(alarm_type))
        object.__setattr__(self, "member_id", member_id)


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
# Reading the alarms may be repeated, in contrast to changing them.
_GET_ALARMS: Final = dataclasses.replace(ALARM, repeatable=True)


def checked_alarm_type(value: object, *, one: bool = False) -> AlarmType:
    """Return the alarm type with this name; an `AlarmType` is returned as it is.

    `one` refuses "none", which means every type. A type that etcd does not know must not be
    sent: a request to raise one makes a member of etcd 3.4 panic, then and at each start.
    """
    words = [word for word in _WORDS if not (one and word == "none")]
    for word in words:
        kind = _WORDS[word]
        if value == word or (isinstance(value, AlarmType) and value is kind):
            return kind
    raise ValueError(f"alarm_type must be one of {', '.join(map(repr, words))}, not {value!r}")


def alarm_request(action: str, member_id: int, alarm_type: AlarmType) -> pb.AlarmRequest:
    """Build a request about alarms from checked arguments."""
    # The two enumerations have the same numbers, those of newer servers included.
    alarm = cast("pb.AlarmType", alarm_type.value)
    return pb.AlarmRequest(action=_ACTIONS[action], memberID=member_id, alarm=alarm)


async def ask_alarms(
    channel: ChannelLike,
    member_id: int = 0,
    alarm_type: AlarmType = AlarmType.NONE,
    *,
    timeout: float | None = None,
    endpoint: str | None = None,
) -> list[Alarm]:
    """Return the active alarms of a type, of one member or, with 0, of all members.

    etcd returns the alarms of all members. An alarm for all members together is included for each.
    """
    request = alarm_request("get", member_id, alarm_type)
    response = await channel.call(_GET_ALARMS, request, timeout=timeout, endpoint=endpoint)
    alarms = [Alarm(alarm.alarm, alarm.memberID) for alarm in response.alarms]
    return [alarm for alarm in alarms if member_id == 0 or alarm.member_id in (0, member_id)]
