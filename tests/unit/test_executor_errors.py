"""The product's error table: what is retried and what is not."""

from __future__ import annotations

import pytest

from onward.executor.v1 import outcomes_pb2 as pb
from services.executor.domain.errors import BAD_REQUEST, FILTERED, INTERNAL, RETRY, TIMEOUT, judge


@pytest.mark.parametrize(
    ("kind", "error_type"),
    [
        ("EventNotSupported", pb.ERROR_TYPE_UNSUPPORTED_EVENT_TYPE),
        ("NotDefined", pb.ERROR_TYPE_UNSUPPORTED_EVENT_TYPE),
        ("InvalidEventPayload", pb.ERROR_TYPE_MESSAGE_REJECTED),
        ("ValidationError", pb.ERROR_TYPE_MESSAGE_REJECTED),
    ],
)
def test_a_rejection_is_final_whatever_status_it_carries(kind: str, error_type: int) -> None:
    verdict = judge(kind, 503, network=True, retry_only_explicit=False)
    assert (verdict.result, verdict.error_type) == (pb.RESULT_FAILED, error_type)


@pytest.mark.parametrize("status", [408, 423, 429, 500, 502, 503, 504, 599])
def test_a_status_that_may_pass_is_retried(status: int) -> None:
    assert judge("Error", status, network=False, retry_only_explicit=False) == RETRY


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 410, 422, 451])
def test_a_status_that_will_not_pass_is_not_retried(status: int) -> None:
    assert judge("Error", status, network=False, retry_only_explicit=False) == BAD_REQUEST


def test_a_retry_error_wins_over_the_status_that_it_carries() -> None:
    assert judge("RetryError", 400, network=False, retry_only_explicit=True) == RETRY


def test_an_uncaught_network_failure_is_retried() -> None:
    assert judge("Error", None, network=True, retry_only_explicit=False) == RETRY


@pytest.mark.parametrize(("status", "network"), [(503, False), (None, True), (None, False)])
def test_the_letter_of_the_document_is_an_option(status: int | None, network: bool) -> None:
    assert judge("Error", status, network=network, retry_only_explicit=True) == BAD_REQUEST


def test_any_other_error_is_a_bad_request() -> None:
    assert judge("Error", None, network=False, retry_only_explicit=False) == BAD_REQUEST


def test_a_dropped_event_is_no_failure() -> None:
    assert judge("DropEvent", None, network=False, retry_only_explicit=False) == FILTERED


def test_what_the_sandbox_ends_is_retried() -> None:
    assert judge("Timeout", None, network=False, retry_only_explicit=True) == TIMEOUT
    assert judge("OutOfMemory", None, network=False, retry_only_explicit=True) == INTERNAL
