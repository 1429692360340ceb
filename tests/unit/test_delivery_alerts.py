"""What subscriptions are told, and when what was not taken is sent again."""

from __future__ import annotations

import json

import pytest

from onward.delivery.v1 import alerts_pb2 as pb
from onward.delivery.v1 import facts_pb2 as facts
from services.delivery.domain.alerts import (
    CONDITIONS,
    COUNTED_WINDOWS_MAX,
    TYPES,
    Counts,
    Interest,
    WindowSpan,
    counted_span,
    low_success,
    origin_of,
    span_of,
    volume_changed,
)
from services.delivery.domain.signatures import secret_of, shown_secret, signed_headers
from services.delivery.domain.webhooks import BACKOFF_S, is_taken, next_try_us, webhook_body


def interest(**fields: object) -> Interest:
    values: dict[str, object] = {
        "subscription": "s1",
        "kinds": frozenset(TYPES),
        "destination": "",
        "source": "",
        "window_minutes": 15,
        "success_rate_min": 0.9,
        "volume_change_max": 0.5,
        "count_min": 10,
        "all_sources": True,
        "sources": frozenset(),
    }
    return Interest(**{**values, **fields})  # type: ignore[arg-type]  # whatever a test names


def test_every_kind_has_a_word_and_conditions_are_among_them() -> None:
    assert set(TYPES) == set(pb.AlertKind.values()) - {0}
    assert set(TYPES) > CONDITIONS


@pytest.mark.parametrize(
    ("fields", "source", "destination", "covered"),
    [
        ({}, "web", "crm", True),
        ({"all_sources": False, "sources": frozenset({"ios"})}, "web", "crm", False),
        ({"all_sources": False, "sources": frozenset({"ios"})}, "ios", "crm", True),
        ({"all_sources": False}, "", "", False),
        ({"destination": "crm"}, "web", "erp", False),
        ({"destination": "crm"}, "web", "crm", True),
        ({"source": "ios"}, "web", "crm", False),
        ({"source": "web"}, "web", "", True),
        ({"source": "ios", "all_sources": False, "sources": frozenset({"web"})}, "ios", "crm", False),
    ],
)
def test_a_subscription_covers_what_it_names_among_what_its_creator_sees(
    fields: dict[str, object], source: str, destination: str, covered: bool
) -> None:
    assert interest(**fields).covers(source, destination) is covered


@pytest.mark.parametrize(("until", "span"), [(101, (99, 101)), (102, (99, 101)), (103, (99, 101)), (104, (102, 104))])
def test_windows_of_a_subscription_begin_at_multiples_of_their_length(until: int, span: tuple[int, int]) -> None:
    assert span_of(interest(), until) == WindowSpan(*span)
    assert span_of(interest(judged=span[1]), until) is None


def test_the_span_before_is_as_long_and_touches() -> None:
    assert WindowSpan(99, 101).before == WindowSpan(96, 98)
    assert WindowSpan(99, 101).end_us == WindowSpan(102, 104).start_us


def test_what_is_counted_is_counted_from_the_last_look_on_for_a_day_at_most() -> None:
    assert counted_span(interest(judged=90), WindowSpan(99, 101)) == WindowSpan(91, 101)
    assert counted_span(interest(judged=98), WindowSpan(99, 101)) == WindowSpan(99, 101)
    assert counted_span(interest(judged=1), WindowSpan(999, 1001)).first == 1001 - COUNTED_WINDOWS_MAX + 1


@pytest.mark.parametrize(
    ("attempts", "failures", "low"), [(9, 9, None), (10, 1, False), (10, 2, True), (100, 11, True), (0, 0, None)]
)
def test_too_few_successes_are_below_the_share_that_was_asked_for(
    attempts: int, failures: int, low: bool | None
) -> None:
    assert low_success(interest(), Counts(attempts, failures)) is low


@pytest.mark.parametrize(
    ("events", "before", "changed"),
    [(100, 100, False), (150, 100, False), (151, 100, True), (49, 100, True), (0, 10, True), (10, 0, True),
     (9, 0, False), (0, 9, False)],
)  # fmt: skip
def test_a_volume_has_changed_by_more_than_the_share_that_was_asked_for(
    events: int, before: int, changed: bool
) -> None:
    assert volume_changed(interest(), events, before) is changed


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://hooks.example.com/a?b=c", "https://hooks.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://[::1]:99/x", "https://[::1]:99"),
        ("https://u@example.com/", ""),
        ("https://example.com\\@evil.example/", ""),
        ("javascript:alert(1)", ""),
        ("https://example.com:99999/", ""),
        ("https://exa\nmple.com/", ""),
        ("", ""),
    ],
)
def test_the_origin_of_a_url_is_what_the_log_may_have(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def test_a_signature_is_that_of_the_standard() -> None:
    """The values are those of the specification's own example."""
    import base64

    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_secrets_of_two_subscriptions_have_nothing_in_common() -> None:
    made = [
        secret_of(key, workspace, subscription, salt)
        for key in (b"k" * 32, b"l" * 32)
        for workspace, subscription in (("acme", "s1"), ("acme", "s2"), ("apex", "s1"))
        for salt in (b"1" * 16, b"2" * 16)
    ]
    assert len(set(made)) == 12
    assert secret_of(b"k" * 32, "acme", "s1", b"1" * 16) == made[0]
    assert shown_secret(made[0]).startswith("whsec_")


def test_waits_grow_to_half_an_hour_and_differ_by_a_fifth() -> None:
    waits = [next_try_us(tries, 0, lambda: 0.5) // 1_000_000 for tries in range(1, 9)]
    assert waits == [*BACKOFF_S, 1800, 1800]
    assert next_try_us(1, 0, lambda: 0.0) == 4_000_000
    assert next_try_us(1, 0, lambda: 1.0) == 6_000_000


@pytest.mark.parametrize(
    ("status", "taken"), [(200, True), (204, True), (301, False), (400, False), (500, False), (0, False)]
)
def test_a_webhook_is_taken_by_an_answer_of_2xx_alone(status: int, taken: bool) -> None:
    assert is_taken(status) is taken


def test_a_webhook_says_what_its_kind_has_and_nothing_else() -> None:
    alert = facts.AlertRaised(
        alert="a",
        subscription="s1",
        kind=pb.ALERT_KIND_VOLUME,
        destination="crm",
        source="web",
        count=5,
        count_before=90,
    )
    alert.start_time.FromMicroseconds(0)
    body = json.loads(webhook_body("acme", alert, 1_000_000))
    assert body == {
        "type": "destination.volume",
        "timestamp": "1970-01-01T00:00:01Z",
        "data": {
            "workspace": "workspaces/acme",
            "subscription": "workspaces/acme/subscriptions/s1",
            "destination": "workspaces/acme/destinations/crm",
            "source": "workspaces/acme/sources/web",
            "start_time": "1970-01-01T00:00:00Z",
            "count": 5,
            "count_before": 90,
        },
    }
