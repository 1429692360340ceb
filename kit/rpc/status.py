"""`OnwardError` to `google.rpc.Status` and back."""

import math
from collections.abc import Iterator
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf import any_pb2, message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the package has no types

from kit import errors
from kit.errors import OnwardError

M = TypeVar("M", bound=message.Message)

DOMAIN = "onward"
# Where gRPC keeps the serialized Status in the trailing metadata.
DETAILS_KEY = "grpc-status-details-bin"

# gRPC refuses trailing metadata above 8 KiB, and the caller would then see RESOURCE_EXHAUSTED instead of the
# error. The message travels twice, once percent-encoded (up to three times its size).
MESSAGE_CHARACTERS_MAX = 512
STATUS_BYTES_MAX = 4_096
VIOLATIONS_MAX = 20
DESCRIPTION_CHARACTERS_MAX = 200
METADATA_VALUE_CHARACTERS_MAX = 1_000

_CLASSES: tuple[type[OnwardError], ...] = (
    errors.InvalidArgument,
    errors.InvalidPageToken,
    errors.InvalidToken,
    errors.PermissionDenied,
    errors.NotFound,
    errors.AlreadyExists,
    errors.RequestIdReused,
    errors.Conflict,
    errors.LimitReached,
    errors.Overloaded,
    errors.WrongState,
    errors.Unavailable,
    errors.DeadlineExceeded,
    errors.Unimplemented,
    errors.Internal,
)
_BY_REASON = {(c.code, c.reason): c for c in _CLASSES}
# The first class of a code is its most general one.
_BY_CODE = {c.code: c for c in reversed(_CLASSES)}


def to_status(error: OnwardError) -> status_pb2.Status:
    """The status with ErrorInfo and, where they apply, BadRequest and RetryInfo; cut to what gRPC carries."""
    shown = _cut(error.message, MESSAGE_CHARACTERS_MAX)
    status = status_pb2.Status(code=grpc.StatusCode[error.code].value[0], message=shown)
    _add(status, _error_info(error))
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(math.ceil(error.retry_after_s * 1000))
        _add(status, retry)
    if error.violations:
        _add(status, _bad_request(error, STATUS_BYTES_MAX - status.ByteSize()))
    return status


def _error_info(error: OnwardError) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    for key, value in error.metadata.items():
        info.metadata[key] = _cut(value, METADATA_VALUE_CHARACTERS_MAX)
        if info.ByteSize() > STATUS_BYTES_MAX // 2:
            del info.metadata[key]
    return info


def _bad_request(error: OnwardError, bytes_max: int) -> error_details_pb2.BadRequest:
    bad = error_details_pb2.BadRequest()
    for field, description in error.violations[:VIOLATIONS_MAX]:
        bad.field_violations.add(
            field=_cut(field, DESCRIPTION_CHARACTERS_MAX),
            description=_cut(description, DESCRIPTION_CHARACTERS_MAX),
        )
        # Its type's name and length go around it.
        if bad.ByteSize() + 64 > bytes_max:
            del bad.field_violations[-1]
            break
    return bad


def _add(status: status_pb2.Status, detail: message.Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _cut(text: str, characters_max: int) -> str:
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"


def from_status(status: status_pb2.Status) -> OnwardError | None:
    """The error that `to_status` was given, None if the status is not one of Onward's."""
    info = next(_details(status, error_details_pb2.ErrorInfo), None)
    if info is None or info.domain != DOMAIN:
        return None
    code = _code_name(status.code)
    cls = _BY_REASON.get((code, info.reason)) or _BY_CODE.get(code, OnwardError)
    error = cls(status.message, reason=info.reason, metadata=info.metadata)
    error.code = code
    for bad in _details(status, error_details_pb2.BadRequest):
        error.violations += [(v.field, v.description) for v in bad.field_violations]
    for retry in _details(status, error_details_pb2.RetryInfo):
        error.retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    return error


def from_rpc_error(error: grpc.aio.AioRpcError, method: str) -> OnwardError:
    """The error that a callee raised, or the one that stands for gRPC's own (no connection, no time).

    gRPC's own texts name addresses, which our callers need not know: they stay in the cause.
    """
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            ours = from_status(_parsed(value))
            if ours is not None:
                return ours
    code = error.code().name
    if code == "CANCELLED":
        # Our own cancelling is an asyncio.CancelledError, so this was the server: it stopped as the call came in.
        return errors.Unavailable(f"{method.strip('/')} was cut off by the server's stop.")
    cls = _BY_CODE.get(code, OnwardError)
    foreign = cls(f"{method.strip('/')} failed with {code}.")
    foreign.code = code
    return foreign


def _parsed(data: bytes) -> status_pb2.Status:
    try:
        return status_pb2.Status.FromString(data)
    except message.DecodeError:
        return status_pb2.Status()


def _details(status: status_pb2.Status, kind: type[M]) -> Iterator[M]:
    for packed in status.details:
        detail = kind()
        if packed.Is(kind.DESCRIPTOR) and packed.Unpack(detail):
            yield detail


def _code_name(number: int) -> str:
    return next((code.name for code in grpc.StatusCode if code.value[0] == number), "UNKNOWN")
