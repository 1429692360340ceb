"""Secrets in every form in which they turn up in logs, errors and captured requests."""

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.runtime.cuts import (
    CONSOLE_LINE_MAX,
    CONSOLE_TOTAL_MAX,
    CUT_MARK,
    ERROR_MESSAGE_MAX,
    SPLIT_NOTE,
    VALUE_MAX,
    cut_text,
    redacted_lines,
    redacted_text,
    redacted_value,
)
from services.executor.runtime.egress import EgressError, EgressRequest, EgressResponse
from services.executor.runtime.egress_capture import BODY_BYTES_MAX, captured, kept, kept_response
from services.executor.runtime.jobs import LogLine
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


def test_the_parts_of_a_secret_that_was_split_are_masked() -> None:
    """G1"""
    redactor = Redactor(["hunter2-hunter2"])
    assert redactor.mask_splits(["my key is hunter2-", "hun", "ter2 ok"]) == [
        f"my key is {REDACTED}",
        REDACTED,
        f"{REDACTED} ok",
    ]
    for harmless in (["hunter2-hunter2", "other"], ["nothing", "here"], ["hunter2-"], []):
        assert redactor.mask_splits(harmless) == harmless


def test_a_split_secret_is_found_beside_a_whole_one() -> None:
    assert Redactor(["hunter2-hunter2"]).mask_splits(["hunter2-hunter2", "hunter2-", "hunter2"])[1:] == [REDACTED] * 2


def test_a_key_that_is_logged_line_by_line_is_masked() -> None:
    key = "-----BEGIN-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQ\n-----END-----\n"
    redactor = Redactor([key])
    assert redactor.mask_splits(["it is", *key.splitlines(), "!"]) == ["it is", *[REDACTED] * 4, "!"]
    assert redactor.text(f"<{key.strip()}>") == f"<{REDACTED}>"


def test_an_indented_or_inspected_key_is_masked_line_by_line() -> None:
    redactor = Redactor(["-----BEGIN-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQ\n-----END-----\n"])
    assert redactor.text("  MIIEvQIBADANBg\n  kqhkiG9w0BAQ\n") == f"  {REDACTED}\n  {REDACTED}\n"
    assert redactor.text("'MIIEvQIBADANBg\\n' +") == f"'{REDACTED}\\n' +"
    assert Redactor(['{"key": "a\\nb"}']).text("""'{"key": "a\\\\nb"}'""") == f"'{REDACTED}'"


@given(st.text(), st.text(min_size=6, max_size=30), st.data())
def test_no_head_of_a_secret_is_left_by_a_cut(text: str, secret: str, data: st.DataObject) -> None:
    size = data.draw(st.integers(3, len(secret)))
    assert Redactor([secret]).cut_text(text + secret[:size]).endswith(REDACTED)


def test_the_longest_head_at_a_cut_is_masked_and_no_other_secret_is_torn() -> None:
    assert Redactor(["abcabcabc"]).cut_text("x abcabca") == f"x {REDACTED}"
    assert Redactor(["secret", "secret-and-more"]).cut_text("x secret-and") == f"x {REDACTED}"
    assert Redactor(["1234abc", "abcdefg"]).cut_text("x 1234abc") == f"x {REDACTED}"
    assert Redactor(["12345-abc-", "abc-defg"]).cut_text("x 12345-abc-d") == f"x {REDACTED}"
    assert Redactor(["secret"]).cut_text("x se") == "x se"


@pytest.mark.parametrize("name", FORMS)
def test_the_head_of_every_common_form_is_masked(name: str) -> None:
    cut = "x " + FORMS[name][: len(FORMS[name]) // 2]
    assert Redactor([SECRET]).cut_text(cut).endswith(REDACTED)
    assert "sk_" not in Redactor([SECRET]).cut_text(cut)


def test_the_cut_of_an_error_leaves_nothing_of_a_secret() -> None:
    """G1: the sandbox cuts before anybody knows the secret."""
    redactor = Redactor(["hunter2-hunter2"])
    text = "m" * (ERROR_MESSAGE_MAX - 9) + "hunter2-h" + CUT_MARK
    kept = redacted_text(redactor, text, ERROR_MESSAGE_MAX)
    assert "hun" not in kept
    assert kept.endswith(CUT_MARK)
    assert len(kept) == ERROR_MESSAGE_MAX + len(CUT_MARK)


def test_a_text_that_redaction_makes_longer_is_cut_again() -> None:
    kept = redacted_text(Redactor(["123456"]), "123456 " * 10, 70)
    assert kept == (f"{REDACTED} " * 10)[:70] + CUT_MARK
    assert cut_text(kept, 70) == kept
    assert redacted_text(Redactor([]), "as it is", 8) == "as it is"


def test_a_cut_value_keeps_no_head_of_a_secret() -> None:
    """G1"""
    redactor = Redactor(["hunter2-hunter2"])
    value = b'"' + b"v" * (VALUE_MAX - 8) + b"hunter2"
    shown, cut = redacted_value(redactor, value, cut=True)
    assert (b"hun" in shown, len(shown), cut) == (False, VALUE_MAX, True)
    assert redacted_value(redactor, b'"hunter2-hunter2"', cut=False) == (f'"{REDACTED}"'.encode(), False)


@pytest.mark.parametrize(
    ("secret", "value", "shown"),
    [
        ("12345678", '{"account":12345678}', {"account": REDACTED}),
        ("12345678", '[-12345678.5,1,"a \\"12345678\\""]', [f"-{REDACTED}.5", 1, f'a "{REDACTED}"']),
        ("234567", '{"234567":12345678}', {REDACTED: f"1{REDACTED}8"}),
        # Over several tokens, and from within an escape on.
        ('1,"next"', '[11,"next"]', REDACTED),
        ("nnnnnn", '["\\nnnnnn"]', REDACTED),
    ],
)
def test_a_value_without_its_secrets_is_still_json(secret: str, value: str, shown: object) -> None:
    found, cut = redacted_value(Redactor([secret]), value.encode(), cut=False)
    assert (json.loads(found), cut) == (shown, False)


def test_a_value_that_its_masks_made_too_long_is_cut_and_says_so() -> None:
    value = json.dumps(["secret"] * (VALUE_MAX // 10)).encode()
    found, cut = redacted_value(Redactor(["secret"]), value, cut=False)
    assert (len(found), cut) == (VALUE_MAX, True)


def _lines(*texts: str) -> list[LogLine]:
    return [LogLine("log", number, text) for number, text in enumerate(texts)]


def test_a_console_line_keeps_no_head_of_a_secret() -> None:
    """G1"""
    redactor = Redactor(["hunter2-hunter2"])
    lines = redacted_lines(redactor, _lines("k" * (CONSOLE_LINE_MAX - 7) + "hunter2" + CUT_MARK, "hunter2-hunter2"))
    assert "hun" not in "".join(line.text for line in lines)
    assert [len(line.text) for line in lines] == [CONSOLE_LINE_MAX + len(CUT_MARK), len(REDACTED)]


def test_a_secret_split_over_two_lines_is_masked_and_told_of() -> None:
    """G1"""
    lines = redacted_lines(Redactor(["hunter2-hunter2"]), _lines("my key is hunter2-", "hunter2 ok"))
    assert lines[:2] == _lines(f"my key is {REDACTED}", f"{REDACTED} ok")
    assert lines[2:] == [LogLine("warn", 1, SPLIT_NOTE)]


def test_a_console_that_redaction_makes_longer_is_cut_again() -> None:
    lines = redacted_lines(Redactor(["123456"]), _lines(*["123456" * 100] * 100))
    assert sum(len(line.text) for line in lines) == CONSOLE_TOTAL_MAX + len(CUT_MARK)
    assert lines[-1].text.endswith(CUT_MARK)


def test_a_console_without_secrets_is_kept_as_it_is() -> None:
    lines = _lines("a", "b" * CONSOLE_LINE_MAX)
    assert redacted_lines(Redactor([]), lines) == lines
    assert redacted_lines(Redactor(["123456"]), []) == []


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


def test_a_secret_as_a_method_or_in_a_headers_name_is_masked() -> None:
    """G1"""
    request = EgressRequest(
        "Hunter2-Hunter2", "https://api.test/", [("X-Hunter2-Hunter2", "1"), ("Accept", "*/*")], b""
    )
    record = _captured(request)
    assert (record["method"], record["headers"]) == (REDACTED, [[f"x-{REDACTED}", "1"], ["Accept", "*/*"]])
    longer = _captured(EgressRequest("Hunter2-Hunter2" + "-" * 20, "https://api.test/", [], b""))
    assert longer["method"] == "... [cut]"


def test_binary_bodies_are_captured_in_base64_and_split_characters_are_no_reason_for_it() -> None:
    binary = _captured(EgressRequest("POST", "https://api.test/", [], b"\xff\xfe"))["body"]
    assert binary == {"bytes": 2, "cut": False, "base64": True, "text": base64.b64encode(b"\xff\xfe").decode()}
    umlauts = b"x" + "ä".encode() * BODY_BYTES_MAX
    split = _captured(EgressRequest("POST", "https://api.test/", [], umlauts))["body"]
    assert isinstance(split, dict)
    assert "base64" not in split
    assert split["text"].endswith("ä")


def test_no_half_of_a_secret_stays_where_masks_shorten_what_was_cut() -> None:
    """G1: so many secrets that the cut comes into view once they are masked."""
    secret = "hunter2-hunter2"
    many = secret * 5_000
    response = EgressResponse(200, many, f"https://api.test/{many}", False, [("x-a", many)], many.encode(), [], 0.0, 0)
    request = EgressRequest("POST", f"https://api.test/{many}", [("x-b", many)], many.encode())
    record = _captured(kept(request), kept_response(response))
    assert "hunter" not in json.dumps(record)


@pytest.mark.parametrize(
    "long",
    [
        {"method": "M" * 100_000},
        {"url": "https://api.test/" + "x" * 100_000},
        {"headers": [("x-a", "x" * 100_000)]},
        {"headers": [("x" * 100_000, "a")]},
        {"headers": [("", "")] * 20_000},
        {"body": b"x" * 100_000},
        {"reason": "x" * 100_000},
        {"request_headers": [("", "")] * 20_000},
    ],
)
def test_what_waits_for_its_attempts_end_is_bounded_in_every_part(long: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"method": "POST", "url": "https://api.test/", "headers": [("x-b", "1")], "body": b"{}"}
    answer: dict[str, Any] = {
        "status": 200, "reason": "OK", "url": "https://api.test/", "redirected": False, "headers": [("x-a", "1")],
        "body": b"{}", "request_headers": [], "elapsed_ms": 0.0, "wire_bytes": 2,
    }  # fmt: skip
    kinds: list[tuple[Any, Any, dict[str, Any]]] = [
        (EgressRequest, kept, asked),
        (EgressResponse, kept_response, answer),
    ]
    for whole, keep, parts in kinds:
        short = whole(**parts)
        assert keep(short) == short
        if long.keys() <= parts.keys():
            assert len(repr(keep(whole(**parts | long)))) < 80_000
