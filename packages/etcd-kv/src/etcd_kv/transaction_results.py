"""The results of transactions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final, TypeVar

from etcd_channel import HeaderLike, KeyValue, Record, ResponseHeader
from etcd_channel.arguments import check_flag
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.results import DeleteRange, Get, GetRange, Put

__all__ = [
    "OperationResponse",
    "OperationResult",
    "PutResponse",
    "TransactionResponse",
    "TransactionResult",
    "TxnResponse",
]

ResultT = TypeVar("ResultT", bound="OperationResult")

_new = object.__new__
_NO_HEADER: Final = ResponseHeader()
_EMPTY: Final = KeyValue(key=b"")


class PutResponse(Put):
    """A `Put` in the shape of etcd's response message, for programs written for aetcd.

    Where `Put.prev_kv` is None, its `prev_kv` is a key with empty fields.
    """

    __slots__ = ()

    @property
    def prev_kv(self) -> KeyValue:
        """The key before the put; all its fields are empty if there was none."""
        return _EMPTY if self._prev_kv is None else self._prev_kv

    def HasField(self, name: str) -> bool:
        """Whether `prev_kv` or `header` was sent, as in a protobuf message."""
        return _is_set(name, {"header": True, "prev_kv": self._prev_kv is not None})

    def __reduce__(self) -> tuple[Any, ...]:
        return PutResponse, (self.header, self._prev_kv)


class TxnResponse(Record):
    """The result of a nested transaction in the shape of etcd's response message."""

    _fields: ClassVar[tuple[str, ...]] = ("header", "succeeded", "responses")
    __slots__ = ("_result",)

    def __init__(self, result: TransactionResult) -> None:
        self._result = result

    @property
    def header(self) -> ResponseHeader:
        """The response header, with the revision of the outermost transaction."""
        return self._result.header

    @property
    def succeeded(self) -> bool:
        """Whether all compares of the nested transaction were true."""
        return self._result.succeeded

    @property
    def responses(self) -> list[OperationResponse]:
        """The responses to the operations, gets included, in the order of the operations."""
        return self._result._operations

    def __reduce__(self) -> tuple[Any, ...]:
        return TxnResponse, (self._result,)


class OperationResponse(Record):
    """The response to one operation, in the shape of etcd's response message.

    It has an attribute for each kind of operation; those of the other kinds are empty.
    """

    _fields: ClassVar[tuple[str, ...]] = ("result",)
    __slots__ = ("_header", "_source")

    def __init__(self, result: OperationResult) -> None:
        if not isinstance(result, (GetRange, Put, DeleteRange, TransactionResult)):
            raise TypeError(
                "results must hold GetRange, Put, DeleteRange or TransactionResult,"
                f" not {type(result).__name__}"
            )
        self._header = result.header
        # The message of a response until its result is first accessed, then the result.
        self._source: pb.ResponseOp | OperationResult = result

    @property
    def result(self) -> OperationResult:
        """The result of the operation."""
        source = self._source
        if isinstance(source, pb.ResponseOp):
            source = self._source = _result(self._header, source)
        return source

    @property
    def response_range(self) -> GetRange:
        """The result of a get."""
        result = self.result
        return result if isinstance(result, GetRange) else GetRange()

    @property
    def response_put(self) -> PutResponse:
        """The result of a put."""
        result = self.result
        if not isinstance(result, Put):
            return PutResponse()
        return PutResponse(result.header, result.prev_kv)

    @property
    def response_delete_range(self) -> DeleteRange:
        """The result of a delete."""
        result = self.result
        return result if isinstance(result, DeleteRange) else DeleteRange()

    @property
    def response_txn(self) -> TxnResponse:
        """The result of a nested transaction."""
        result = self.result
        if not isinstance(result, TransactionResult):
            result = TransactionResult(succeeded=False)
        return TxnResponse(result)

    def WhichOneof(self, name: str) -> str:
        """The name of the attribute that is not empty, as in a protobuf message.

        Raises `ValueError` if `name` is not "response".
        """
        if name != "response":
            raise ValueError(f"name must be 'response', not {name!r}")
        result = self.result
        return next(field for field, kind in _KINDS.items() if isinstance(result, kind))

    def HasField(self, name: str) -> bool:
        """Whether an attribute is not empty, as in a protobuf message.

        Raises `ValueError` if there is no attribute of this name.
        """
        kind = self.WhichOneof("response")
        return _is_set(name, {field: field == kind for field in _KINDS})

    def __reduce__(self) -> tuple[Any, ...]:
        return OperationResponse, (self.result,)


TransactionResponse = list[tuple[bytes, Get]] | OperationResponse
"""The response to one operation: a list of `(value, Get)` for a get, an object for the others."""


class TransactionResult(tuple[bool, list[TransactionResponse]]):
    """The result of a transaction: attributes by kind of operation, and the documented pair.

    `gets`, `puts`, `deletes` and `txns` hold the results of the executed operations, those of
    `success` or those of `failure`, each kind in the order of its operations. A result of a
    nested transaction, in `txns`, has the same attributes:

        unless_it_exists = [txn.version(key) == 0]
        result = await kv.transaction(unless_it_exists, [txn.put(key, value)], [txn.get(key)])
        print(result.revision)
        if not result.succeeded:
            print(result.gets[0][0].value)

    As a tuple it is `(succeeded, responses)`. The response to a get is a list of `(value, Get)`;
    the response to a put, a delete or a nested transaction is an object with the attribute
    `response_put`, `response_delete_range` or `response_txn`.

    A test can construct a result from those of its operations, in their order:
    `TransactionResult(True, [Put(), GetRange(kvs=[KeyValue(key=b"k")])])`.
    """

    # The results are accessed by kind and position, not by the operation that was sent: a result
    # keeps no operations, so it can be constructed and pickled, and each kind has its exact type.

    header: ResponseHeader
    """The response header: the member that answered, and the revision of the transaction."""
    _operations: list[OperationResponse]

    def __new__(
        cls,
        succeeded: bool = True,
        results: Iterable[OperationResult] = (),
        header: HeaderLike = _NO_HEADER,
    ) -> TransactionResult:
        operations = [OperationResponse(result) for result in results]
        responses: list[TransactionResponse] = [
            [(kv.value, Get(result.header, kv)) for kv in result]
            if isinstance(result := operation.result, GetRange)
            else operation
            for operation in operations
        ]
        return _transaction_result(
            check_flag("succeeded", succeeded), responses, operations, ResponseHeader(header)
        )

    @classmethod
    def from_response(cls, header: HeaderLike, message: pb.TxnResponse) -> TransactionResult:
        """Build a result from a response; `header` is that of the outermost transaction."""
        header = ResponseHeader(header)
        operations: list[OperationResponse] = []
        responses: list[TransactionResponse] = []
        for op in message.responses:
            operation = _new(OperationResponse)
            operation._header = header
            operation._source = op
            operations.append(operation)
            if op.HasField("response_range"):
                pairs = [(kv.value, Get.from_response(header, kv)) for kv in op.response_range.kvs]
                responses.append(pairs)
            else:
                responses.append(operation)
        return _transaction_result(message.succeeded, responses, operations, header)

    @property
    def succeeded(self) -> bool:
        """Whether all compares were true: True if `success` was executed, False if `failure`."""
        return self[0]

    @property
    def responses(self) -> list[TransactionResponse]:
        """The responses to the operations, in the order of the operations."""
        return self[1]

    @property
    def revision(self) -> int:
        """The revision of the store after the transaction, which is that of its writes."""
        return self.header.revision

    @property
    def gets(self) -> list[GetRange]:
        """The results of the gets, one `GetRange` for each."""
        return self._results_of_kind(GetRange)

    @property
    def puts(self) -> list[Put]:
        """The results of the puts."""
        return self._results_of_kind(Put)

    @property
    def deletes(self) -> list[DeleteRange]:
        """The results of the deletes."""
        return self._results_of_kind(DeleteRange)

    @property
    def txns(self) -> list[TransactionResult]:
        """The results of the nested transactions."""
        return self._results_of_kind(TransactionResult)

    def _results_of_kind(self, kind: type[ResultT]) -> list[ResultT]:
        results = [operation.result for operation in self._operations]
        return [result for result in results if isinstance(result, kind)]

    def __repr__(self) -> str:
        return (
            f"TransactionResult(succeeded={self.succeeded}, revision={self.revision},"
            f" responses={self.responses})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        results = [operation.result for operation in self._operations]
        return TransactionResult, (self.succeeded, results, self.header)


OperationResult = GetRange | Put | DeleteRange | TransactionResult
"""The result of one operation."""

_KINDS: Final[dict[str, type[OperationResult]]] = {
    "response_range": GetRange,
    "response_put": Put,
    "response_delete_range": DeleteRange,
    "response_txn": TransactionResult,
}


def _transaction_result(
    succeeded: bool,
    responses: list[TransactionResponse],
    operations: list[OperationResponse],
    header: ResponseHeader,
) -> TransactionResult:
    made = tuple.__new__(TransactionResult, (succeeded, responses))
    made.header = header
    made._operations = operations
    return made


def _result(header: ResponseHeader, message: pb.ResponseOp) -> OperationResult:
    match message.WhichOneof("response"):
        case "response_put":
            put = message.response_put
            return Put(header, put.prev_kv if put.HasField("prev_kv") else None)
        case "response_delete_range":
            deletion = message.response_delete_range
            return DeleteRange.from_response(header, deletion.deleted, deletion.prev_kvs)
        case "response_txn":
            return TransactionResult.from_response(header, message.response_txn)
        case _:
            found = message.response_range
            return GetRange.from_response(header, found.kvs, found.more, found.count)


def _is_set(name: str, fields: dict[str, bool]) -> bool:
    if name not in fields:
        raise ValueError(f"name must be one of {', '.join(fields)}, not {name!r}")
    return fields[name]
