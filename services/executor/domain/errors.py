"""What an error of user code means: the product's error types, and whether a retry may help."""

from __future__ import annotations

from dataclasses import dataclass

from onward.executor.v1 import outcomes_pb2 as pb

# Why an event was filtered, where no filter did it.
INTEGRATIONS = "integrations"
DROP_EVENT = "drop_event"
DUPLICATE = "duplicate"
# Statuses below 500 that a later attempt may well not see: request timeout, locked, too many requests.
RETRYABLE_STATUSES = frozenset({408, 423, 429})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an attempt; `result` and `error_type` are enum numbers of outcomes.proto."""

    result: int
    error_type: int


DELIVERED = Verdict(pb.RESULT_DELIVERED, pb.ERROR_TYPE_UNSPECIFIED)
FILTERED = Verdict(pb.RESULT_FILTERED, pb.ERROR_TYPE_UNSPECIFIED)
SKIPPED = Verdict(pb.RESULT_SKIPPED, pb.ERROR_TYPE_UNSPECIFIED)
CANCELLED = Verdict(pb.RESULT_CANCELLED, pb.ERROR_TYPE_UNSPECIFIED)
LOST = Verdict(pb.RESULT_LOST, pb.ERROR_TYPE_INTERNAL)
DEFERRED = Verdict(pb.RESULT_DEFERRED, pb.ERROR_TYPE_TOO_MANY_REQUESTS)
# It is whole, and waits for others of its batch.
GATHERING = Verdict(pb.RESULT_DEFERRED, pb.ERROR_TYPE_UNSPECIFIED)
INVALID_SETTINGS = Verdict(pb.RESULT_FAILED, pb.ERROR_TYPE_INVALID_SETTINGS)
BAD_REQUEST = Verdict(pb.RESULT_FAILED, pb.ERROR_TYPE_BAD_REQUEST)
RETRY = Verdict(pb.RESULT_RETRYABLE, pb.ERROR_TYPE_RETRY)
TIMEOUT = Verdict(pb.RESULT_RETRYABLE, pb.ERROR_TYPE_TIMEOUT)
INTERNAL = Verdict(pb.RESULT_RETRYABLE, pb.ERROR_TYPE_INTERNAL)

_BY_KIND = {
    "EventNotSupported": Verdict(pb.RESULT_FAILED, pb.ERROR_TYPE_UNSUPPORTED_EVENT_TYPE),
    "NotDefined": Verdict(pb.RESULT_FAILED, pb.ERROR_TYPE_UNSUPPORTED_EVENT_TYPE),
    "InvalidEventPayload": Verdict(pb.RESULT_FAILED, pb.ERROR_TYPE_MESSAGE_REJECTED),
    "ValidationError": Verdict(pb.RESULT_FAILED, pb.ERROR_TYPE_MESSAGE_REJECTED),
    "DropEvent": FILTERED,
    "RetryError": RETRY,
    "Timeout": TIMEOUT,
    "OutOfMemory": INTERNAL,
    "Internal": INTERNAL,
}


def judge(kind: str, http_status: int | None, *, network: bool, retry_only_explicit: bool) -> Verdict:
    """Judge an error by the class that it is of, then by the HTTP status that it carries.

    `kind` is the sandbox's word: one of the five error classes, "Timeout", "OutOfMemory" or "Error".
    """
    verdict = _BY_KIND.get(kind)
    if verdict is not None:
        return verdict
    if retry_only_explicit:
        return BAD_REQUEST
    if http_status is not None and http_status > 0:
        retryable = http_status >= 500 or http_status in RETRYABLE_STATUSES
        return RETRY if retryable else BAD_REQUEST
    return RETRY if network else BAD_REQUEST
