"""The tree of Onward's errors: what a caller may be told, and what it can do about it.

Every class stands for one gRPC status and carries one reason of `onward.common.v1.ErrorReason`. A service's
own errors subclass these and set `reason`. kit.rpc makes them `google.rpc.Status` on the way out and back
into the same classes on the way in, so `except NotFound` works on both sides. Anything that is not an
`OnwardError` is a fault of ours: callers see INTERNAL and a request id, the log has the rest.
"""

# Names are gRPC's own terms, as callers and the protos know them; an Error suffix would hide that.
# ruff: noqa: N818

from collections.abc import Iterable, Mapping


class OnwardError(Exception):
    """An error whose message is meant for the caller: it says what is wrong and what to do, without secrets.

    `violations` are pairs of (path of the field, what is wrong with it); `retry_after_s` is set where waiting
    helps.
    """

    # The name of the gRPC status code; kit.errors itself needs no gRPC.
    code: str = "UNKNOWN"
    reason: str = "UNSPECIFIED"
    # Who was refused, where that was proven. For the trail: no caller is told.
    principal: str = ""

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[tuple[str, str]] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason
        self.metadata: dict[str, str] = dict(metadata or {})
        self.violations: list[tuple[str, str]] = list(violations)
        self.retry_after_s = retry_after_s


class InvalidArgument(OnwardError):
    """A field of the request breaks a rule; the same request will never succeed."""

    code = "INVALID_ARGUMENT"
    reason = "INVALID_FIELD"


class InvalidPageToken(InvalidArgument):
    """A page token that this list did not make, or made for another filter."""

    reason = "INVALID_PAGE_TOKEN"


class InvalidToken(OnwardError):
    """No token was presented, or one that is unknown, expired or revoked."""

    code = "UNAUTHENTICATED"
    reason = "INVALID_TOKEN"


class PermissionDenied(OnwardError):
    """The caller is known, and its roles do not allow this."""

    code = "PERMISSION_DENIED"
    reason = "PERMISSION_DENIED"


class NotFound(OnwardError):
    """It does not exist, or the caller may not know that it does."""

    code = "NOT_FOUND"
    reason = "NOT_FOUND"


class AlreadyExists(OnwardError):
    """The id or the name is taken."""

    code = "ALREADY_EXISTS"
    reason = "ALREADY_EXISTS"


class RequestIdReused(AlreadyExists):
    """The request_id belongs to another request of the same principal."""

    reason = "REQUEST_ID_REUSED"


class Conflict(OnwardError):
    """Somebody else changed it meanwhile: read it again, then try again."""

    code = "ABORTED"
    reason = "CONFLICT"


class LimitReached(OnwardError):
    """A limit is reached; the metadata names it."""

    code = "RESOURCE_EXHAUSTED"
    reason = "LIMIT_REACHED"


class Overloaded(LimitReached):
    """Too many calls at once: wait, then try again."""

    reason = "OVERLOADED"


class WrongState(OnwardError):
    """The state of the resource does not allow this."""

    code = "FAILED_PRECONDITION"
    reason = "WRONG_STATE"


class Unavailable(OnwardError):
    """Something that the call needs does not answer; the same call may be tried again."""

    code = "UNAVAILABLE"
    reason = "UNAVAILABLE"


class DeadlineExceeded(OnwardError):
    """The call's deadline passed; what was asked may or may not have happened."""

    code = "DEADLINE_EXCEEDED"
    reason = "DEADLINE_EXCEEDED"


class Unimplemented(OnwardError):
    """The server does not know this method: client and server are of different versions."""

    code = "UNIMPLEMENTED"


class Internal(OnwardError):
    """A fault of Onward's own; the log has it under the request id."""

    code = "INTERNAL"
    reason = "INTERNAL"
