"""Health and alerts on the command line, and the receiver that docs/alerts.md shows."""

from __future__ import annotations

import base64
import io
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.alert_text import Kind, kind_of, kind_word, subscription_row
from cli.commands.alerts import require_judged, verify
from cli.failures import CommandError, UsageError
from cli.health_text import health_row, health_summary, hour_line
from onward.delivery.v1 import alerts_pb2 as pb
from onward.delivery.v1 import health_pb2
from onward.executor.v1 import outcomes_pb2
from services.delivery.domain.signatures import secret_of, shown_secret, signed_headers

ACME = "workspaces/acme"
PAGE = Path(__file__).parents[2] / "docs" / "alerts.md"
KEY = secret_of(b"k" * 32, "acme", "s1", b"s" * 16)
SECRET = shown_secret(KEY)
BODY = '{"type":"destination.unhealthy","data":{"name":"Zoë"}}'.encode()


def headers(body: bytes = BODY, at: float | None = None) -> Mapping[str, str]:
    return signed_headers(KEY, "018f-1", int(time.time() if at is None else at), body)


def verified(monkeypatch: pytest.MonkeyPatch, body: bytes, sent: Mapping[str, str], **options: Any) -> None:
    class Stdin:
        buffer = io.BytesIO(body)

    monkeypatch.setattr(sys, "stdin", Stdin)
    values = {"secret": SECRET, "id": sent["webhook-id"], "timestamp": int(sent["webhook-timestamp"])}
    verify(**{**values, "signature": sent["webhook-signature"], **options})


def test_what_is_signed_is_verified(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    verified(monkeypatch, BODY, headers())
    assert "It is signed" in capsys.readouterr().out
    several = {**headers(), "webhook-signature": "v1,AAAA " + headers()["webhook-signature"]}
    verified(monkeypatch, BODY, several)


@pytest.mark.parametrize(
    "options",
    [
        {"id": "018f-2"},
        {"timestamp": 1},
        {"signature": "v1,AAAA"},
        {"secret": shown_secret(b"x" * 32)},
        {"signature": ""},
    ],
)
def test_what_was_changed_is_not(monkeypatch: pytest.MonkeyPatch, options: Any) -> None:
    with pytest.raises(CommandError, match="not signed"):
        verified(monkeypatch, BODY, headers(), **options)
    with pytest.raises(CommandError, match="not signed"):
        verified(monkeypatch, BODY + b"\n", headers())


def test_what_is_old_is_refused_unless_any_time_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="its time is not now"):
        verified(monkeypatch, BODY, headers(at=1_700_000_000))
    verified(monkeypatch, BODY, headers(at=1_700_000_000), any_time=True)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%%", base64.b64encode(b"k" * 32).decode()])
def test_what_is_no_secret_is_told_so(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    with pytest.raises(UsageError, match="whsec_"):
        verified(monkeypatch, BODY, headers(), secret=secret)


def test_the_receiver_of_the_documentation_takes_what_is_signed_and_nothing_else() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)
    assert found["verified"](SECRET, headers(), BODY)
    assert not found["verified"](SECRET, headers(), BODY + b" ")
    assert not found["verified"](SECRET, {**headers(), "webhook-id": "other"}, BODY)
    assert not found["verified"](SECRET, headers(at=time.time() - 400), BODY)
    assert not found["verified"](shown_secret(b"x" * 32), headers(), BODY)


def test_every_kind_has_a_word_on_the_command_line() -> None:
    words = Kind.__args__  # type: ignore[attr-defined]  # a Literal's
    assert {kind_of(word) for word in words} == set(pb.AlertKind.values()) - {0}
    assert [kind_word(kind_of(word)) for word in words] == list(words)


def test_the_documentation_names_every_kind() -> None:
    page = PAGE.read_text()
    assert [name for name in pb.AlertKind.keys()[1:] if f"`{name.removeprefix('ALERT_KIND_')}`" not in page] == []


def subscription(**fields: Any) -> pb.Subscription:
    kinds = [pb.ALERT_KIND_UNHEALTHY, pb.ALERT_KIND_SUCCESS_RATE]
    return pb.Subscription(name=f"{ACME}/subscriptions/s1", url="https://x.example/", kinds=kinds, **fields)


def test_a_subscription_says_what_it_covers_and_how_its_last_webhook_went() -> None:
    failed = pb.WebhookResult(http_status=503, error="it answered 503")
    failed.time.FromSeconds(1_000_000)
    row = subscription_row(subscription(all_sources=True, undelivered=2, pending=3, last_result=failed))
    assert row[:5] == ("s1", "unhealthy, success-rate", "everything", "https://x.example/", 3)
    assert "it answered 503; 2 given up" in str(row[5])
    assert subscription_row(subscription(sources=[f"{ACME}/sources/a", f"{ACME}/sources/b"]))[2] == "sources a, b"
    assert subscription_row(subscription(destination=f"{ACME}/destinations/crm"))[2] == "crm"


def destination(**fields: Any) -> health_pb2.DestinationHealth:
    return health_pb2.DestinationHealth(destination=f"{ACME}/destinations/crm", **fields)


def test_an_hour_is_a_line_of_blocks_that_grow_with_failures() -> None:
    windows = [(0, 0), (10, 0), (10, 2), (10, 5), (10, 10)]
    line = hour_line([health_pb2.HealthWindow(attempts=all_, failures=failed) for all_, failed in windows])
    assert line.plain == "·▁▂▅█"
    assert [span.style for span in line.spans] == ["dim", "green", "yellow", "red", "red"]


def test_a_destination_says_why_it_fails_and_shows_nothing_that_a_terminal_obeys() -> None:
    sick = destination(
        state=health_pb2.HEALTH_STATE_UNHEALTHY,
        attempts=40,
        failures=30,
        failure_rate=0.75,
        error_type=outcomes_pb2.ERROR_TYPE_RETRY,
        error_message="down\x1b[31m",
        sample_delivery=f"{ACME}/deliveries/d1-0-aa",
    )
    name, state, _, rate, attempts, _, why = map(str, health_row(sick))
    assert (name, state, rate, attempts) == ("crm", "unhealthy", "75%", "40")
    assert why == "retry: down\\x1b[31m; d1-0-aa"
    assert health_summary([sick, destination()]) == "1 of 2 destinations is unhealthy."
    assert health_summary([destination()]) == "1 destination, and none is unhealthy."


def test_a_threshold_of_what_is_not_told_is_refused_instead_of_doing_nothing() -> None:
    with pytest.raises(UsageError, match="--success-rate says nothing about unhealthy and healthy: add --on succ"):
        require_judged(["unhealthy", "healthy"], success_rate=0.9)
    require_judged(["unhealthy", "success-rate"], success_rate=0.9, volume_change=None, window="30m")
