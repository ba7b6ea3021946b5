"""Encodes the operations of a transaction by hand, so that protobuf parses all of them at once.

To set the operations of a `TxnRequest` one by one takes twice the time, and more to copy requests.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from etcd_kv.pb import kv_pb2 as pb

__all__ = [
    "DELETE",
    "GET",
    "PUT",
    "delete_operation",
    "field",
    "get_operation",
    "key_operation",
    "operation_of",
    "put_operation",
    "transaction_of",
]

# The wire type of a field of bytes or of a message: its length, and then its bytes.
_LENGTH_DELIMITED: Final = 2


def _varint(number: int) -> bytes:
    """Encode a number: seven bits in each byte, the lowest first; all but the last have bit 8."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(number: int) -> bytes:
    """Return the tag of a field that is a message."""
    return _varint(number << 3 | _LENGTH_DELIMITED)


# The kinds of operations: the field of the request in a `RequestOp`.
GET: Final = field(pb.RequestOp.REQUEST_RANGE_FIELD_NUMBER)
PUT: Final = field(pb.RequestOp.REQUEST_PUT_FIELD_NUMBER)
DELETE: Final = field(pb.RequestOp.REQUEST_DELETE_RANGE_FIELD_NUMBER)

# The same number in each request on a key.
_KEY: Final = field(pb.RangeRequest.KEY_FIELD_NUMBER)
_VALUE: Final = field(pb.PutRequest.VALUE_FIELD_NUMBER)
_SERIALIZABLE: Final = pb.RangeRequest(serializable=True).SerializeToString()
_SUCCESS: Final = field(pb.TxnRequest.SUCCESS_FIELD_NUMBER)


def transaction_of(operations: Iterable[bytes]) -> pb.TxnRequest:
    """Return the transaction that executes the operations."""
    return pb.TxnRequest.FromString(b"".join(operations))


def operation_of(tag: bytes, request: bytes) -> bytes:
    """Return an operation of a `TxnRequest` with its request, which is encoded already."""
    head = tag + _varint(len(request))
    return b"".join((_SUCCESS, _varint(len(head) + len(request)), head, request))


def get_operation(key: bytes, serializable: bool = False) -> bytes:
    """Return the operation that reads a key."""
    if serializable:
        return _key_head(GET, len(key), len(_SERIALIZABLE)) + key + _SERIALIZABLE
    return _key_head(GET, len(key), 0) + key


def put_operation(key: bytes, value: bytes) -> bytes:
    """Return the operation that puts a key."""
    key_head, value_head = _put_heads(len(key), len(value))
    return b"".join((key_head, key, value_head, value))


def delete_operation(key: bytes) -> bytes:
    """Return the operation that deletes a key."""
    return _key_head(DELETE, len(key), 0) + key


def key_operation(tag: bytes, key_size: int, rest_size: int) -> bytes:
    """Return what precedes the key in an operation of a `TxnRequest` on one key.

    The key and the other fields of the request, of `rest_size` bytes, follow it. `tag` is the
    field of the request in `RequestOp`.
    """
    key_head = _KEY + _varint(key_size)
    head = tag + _varint(len(key_head) + key_size + rest_size)
    return _SUCCESS + _varint(len(head) + len(key_head) + key_size + rest_size) + head + key_head


# What precedes keys and values depends on few sizes, which repeat.
_key_head = lru_cache(maxsize=1024)(key_operation)


@lru_cache(maxsize=1024)
def _put_heads(key_size: int, value_size: int) -> tuple[bytes, bytes]:
    """Return what precedes the key and what precedes the value in the operation of a put."""
    value_head = _VALUE + _varint(value_size) if value_size else b""
    return key_operation(PUT, key_size, len(value_head) + value_size), value_head
