"""What a worker may send as a request, and what it receives."""

import base64
import math
from typing import Any

import pytest

from services.executor.runtime.egress import EgressError, EgressRequest, EgressResponse, body_error, system_error

PAYLOAD: dict[str, Any] = {
    "method": "POST",
    "url": "https://api.test/",
    "headers": [["A", "b"]],
    "body": base64.b64encode(b"body").decode(),
    "redirect": "manual",
    "follow": 20,
    "timeout_ms": None,
    "size": 0,
    "compress": True,
}


def test_a_request_is_read_from_its_payload() -> None:
    request = EgressRequest.from_payload(PAYLOAD)
    assert request == EgressRequest("POST", "https://api.test/", [("A", "b")], b"body", "manual", 20, 0, 0, True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": 1},
        {"url": None},
        {"headers": [["A"]]},
        {"headers": [["A", 1]]},
        {"headers": "AB"},
        {"headers": None},
        {"body": 5},
        {"body": "not base64!"},
        {"follow": "many"},
        {"timeout_ms": math.nan},
    ],
)
def test_a_malformed_payload_is_a_type_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(EgressError) as caught:
        EgressRequest.from_payload(PAYLOAD | wrong)
    assert caught.value.type == "type-error"


def test_numbers_without_sense_are_bounded() -> None:
    request = EgressRequest.from_payload(PAYLOAD | {"follow": math.inf, "size": -5, "timeout_ms": 1e300})
    assert request.size == 0
    assert request.follow == request.timeout_ms == 1 << 53


def test_an_answer_is_json_ready() -> None:
    response = EgressResponse(200, "OK", "https://api.test/", False, [("A", "b")], b"body", [], 1.0, 4)
    assert response.as_answer() == {
        "status": 200,
        "statusText": "OK",
        "url": "https://api.test/",
        "redirected": False,
        "headers": [("A", "b")],
        "body": base64.b64encode(b"body").decode(),
    }


def test_error_texts_are_node_fetchs() -> None:
    error = system_error("ENOTFOUND", "getaddrinfo ENOTFOUND foo")
    error.url = "https://foo/"
    assert error.text == "request to https://foo/ failed, reason: getaddrinfo ENOTFOUND foo"
    assert error.as_rejection()["text"] == error.text
    error = body_error("https://foo/", "ECONNRESET", "aborted")
    assert error.text == "Invalid response body while trying to fetch https://foo/: aborted"


def test_a_number_in_a_text_counts_as_in_javascript() -> None:
    assert EgressRequest.from_payload(PAYLOAD | {"timeout_ms": "5000"}).timeout_ms == 5000
