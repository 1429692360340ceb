"""Secrets in every form in which they turn up in logs, errors and captured requests."""

import base64
import json
import re
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.runtime.egress import EgressError, EgressRequest, EgressResponse
from services.executor.runtime.egress_capture import BODY_BYTES_MAX, captured
from services.executor.runtime.redaction import REDACTED, Redactor, is_sensitive_header

SECRET = 'sk_live+ä/"quoted\\"?&=x'
RAW = SECRET.encode()
B64 = base64.b64encode(RAW).decode()
URLSAFE = base64.urlsafe_b64encode(RAW).decode()

FORMS = {
    "plain": SECRET,
    "base64": B64,
    "base64 without padding": B64.rstrip("="),
    "base64url": URLSAFE,
    "base64url without padding": URLSAFE.rstrip("="),
    "URL": quote(SECRET, safe=""),
    "URL in lower case": re.sub("%..", lambda escape: escape.group().lower(), quote(SECRET, safe="")),
    "form": quote_plus(SECRET),
    "JSON": json.dumps(SECRET, ensure_ascii=False),
    "JSON in ASCII": json.dumps(SECRET),
    "JSON in JSON": json.dumps(json.dumps({"k": SECRET})),
    "hex": RAW.hex(),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_secret_is_removed_in_every_common_form(name: str) -> None:
    """G1"""
    text = f"before {FORMS[name]} after"
    redacted = Redactor([SECRET]).text(text)
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    assert REDACTED in redacted
    assert "sk_live" not in redacted
    assert len(redacted) < len("before  after") + len(REDACTED) * 2 + 14


@given(before=st.binary(max_size=20), after=st.binary(max_size=20), secret=st.text(min_size=8, max_size=60))
def test_base64_of_anything_around_a_secret_does_not_carry_it(before: bytes, after: bytes, secret: str) -> None:
    """G1: Authorization: Basic base64("key:") is the common case."""
    raw = secret.encode()
    encoded = base64.b64encode(before + raw + after).decode()
    redacted = Redactor([secret]).text(encoded)
    assert REDACTED in redacted
    # The characters left belong to the neighbours, or to one byte at each edge that is shared with them.
    assert len(redacted) - len(REDACTED) <= (len(before) + len(after)) * 4 // 3 + 8


@given(st.text(), st.lists(st.text(min_size=6, max_size=20), max_size=3))
def test_no_plain_secret_survives(text: str, secrets: list[str]) -> None:
    redactor = Redactor(secrets)
    salted = text.join(["", *secrets, ""])
    without_marks = redactor.text(salted).replace(REDACTED, "\0")
    assert not any(secret in without_marks for secret in secrets)


def test_values_shorter_than_six_characters_are_no_secrets() -> None:
    assert Redactor(["true", "12345"]).text("true 12345") == "true 12345"
    assert Redactor(["123456"]).text("a123456b") == f"a{REDACTED}b"


def test_a_secret_within_another_leaves_nothing_of_the_longer_one() -> None:
    assert Redactor(["secret", "secret-and-more"]).text("secret-and-more secret") == f"{REDACTED} {REDACTED}"


def test_without_secrets_the_very_same_text_comes_back() -> None:
    text = "nothing to hide"
    data = b"\xff\xfe"
    assert Redactor([]).text(text) is text
    assert Redactor([]).data(data) is data


def test_bytes_that_are_no_text_keep_their_value() -> None:
    assert Redactor(["hunter22"]).data(b"\xff\x00hunter22\xfe") == b"\xff\x00" + REDACTED.encode() + b"\xfe"


def test_a_secret_split_across_two_log_calls_is_noticed() -> None:
    """G1"""
    redactor = Redactor(["hunter2-hunter2"])
    assert redactor.split_across(["my key is hunter2-", "hunter2 ok"])
    assert not redactor.split_across(["hunter2-hunter2", "other"])
    assert not redactor.split_across(["nothing", "here"])


@pytest.mark.parametrize(
    "name",
    ["Authorization", "proxy-authorization", "Cookie", "set-cookie", "X-API-Key", "x-auth-token",
     "X-Amz-Security-Token",
     "api_key", "apikey", "X-Secret", "X-Hub-Signature-256", "DD-APPLICATION-KEY", "X-Auth", "www-authenticate"],
)  # fmt: skip
def test_headers_that_carry_credentials_are_masked_whole(name: str) -> None:
    """G1"""
    assert is_sensitive_header(name)
    assert Redactor([]).headers([(name, "value")]) == [(name, REDACTED)]


@pytest.mark.parametrize("name", ["Content-Type", "Idempotency-Key", "X-Request-Id", "Author", "Keyboard", "ETag"])
def test_other_headers_are_kept(name: str) -> None:
    assert Redactor([]).headers([(name, "value")]) == [(name, "value")]


def _captured(request: EgressRequest, response: EgressResponse | None = None, **more: object) -> dict[str, object]:
    error = more.pop("error", None)
    assert error is None or isinstance(error, EgressError)
    return captured(
        request,
        response,
        error,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        duration_ms=1.5,
        redactor=Redactor(["hunter2-hunter2"]),
    )


def _response(body: bytes) -> EgressResponse:
    return EgressResponse(
        status=200,
        reason="OK",
        url="https://api.test/hunter2-hunter2",
        redirected=False,
        headers=[("Set-Cookie", "a=b"), ("X-Echo", "hunter2-hunter2")],
        body=body,
        request_headers=[("Authorization", "Bearer x"), ("Accept", "*/*")],
        elapsed_ms=1.0,
        wire_bytes=len(body),
    )


def test_a_capture_holds_no_secret_in_url_header_or_body() -> None:
    """G1"""
    request = EgressRequest(
        "POST", "https://hunter2-hunter2:pw@api.test/?key=hunter2-hunter2", [], b'{"key":"hunter2-hunter2"}'
    )
    error = EgressError("ECONNRESET", "system", "to https://u:pw@api.test/hunter2-hunter2")
    text = json.dumps(_captured(request, _response(b"echo hunter2-hunter2"), error=error))
    assert "hunter2-hunter2" not in text
    assert "pw@" not in text
    assert "Bearer x" not in text
    assert "a=b" not in text


def test_a_body_past_16_kib_is_cut_and_marked_and_no_half_of_a_secret_stays() -> None:
    """G1"""
    body = b"x" * (BODY_BYTES_MAX - 5) + b"hunter2-hunter2" + b"y" * 100
    record = _captured(EgressRequest("POST", "https://api.test/", [], body))["body"]
    assert isinstance(record, dict)
    assert record["cut"] is True
    assert record["bytes"] == len(body)
    assert len(record["text"]) == BODY_BYTES_MAX
    assert "hunter" not in record["text"]


def test_binary_bodies_are_captured_in_base64_and_split_characters_are_no_reason_for_it() -> None:
    binary = _captured(EgressRequest("POST", "https://api.test/", [], b"\xff\xfe"))["body"]
    assert binary == {"bytes": 2, "cut": False, "base64": True, "text": base64.b64encode(b"\xff\xfe").decode()}
    umlauts = b"x" + "ä".encode() * BODY_BYTES_MAX
    split = _captured(EgressRequest("POST", "https://api.test/", [], umlauts))["body"]
    assert isinstance(split, dict)
    assert "base64" not in split
    assert split["text"].endswith("ä")
