"""onward alerts"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import sys
import time
from collections.abc import Sequence

from cyclopts import App

from cli.alert_text import COLUMNS, Kind, kind_of, subscription_row
from cli.commands.deliveries import delivery_stub
from cli.confirmation import Yes, confirm
from cli.durations import parse_duration
from cli.failures import CommandError, Exit, UsageError
from cli.options import DEFAULTS, Options
from cli.output import last_part, tell, tell_list
from cli.session import Session
from kit.ids import uuid7
from onward.delivery.v1 import alerts_pb2 as pb

app = App(name="alerts", help="Have a URL told of destinations that fail.")

BOTH: tuple[Kind, ...] = ("unhealthy", "healthy")
# What each threshold is for.
JUDGED_BY: dict[str, tuple[Kind, ...]] = {
    "window": ("success-rate", "volume", "exhausted", "ingest-failures"),
    "success_rate": ("success-rate",),
    "volume_change": ("volume",),
    "count_min": ("success-rate", "volume"),
}
SECRET_MARK = "whsec_"  # noqa: S105  # what secrets begin with
# As the Standard Webhooks advise: what is older may be somebody's copy.
TOLERANCE_S = 300


@app.command
async def create(
    url: str,
    /,
    *,
    on: list[Kind] | None = None,
    destination: str = "",
    source: str = "",
    window: str | None = None,
    success_rate: float | None = None,
    volume_change: float | None = None,
    count_min: int | None = None,
    options: Options = DEFAULTS,
) -> None:
    """Have webhooks sent to a URL; the secret that signs them is shown this once.

    Private addresses are closed until the operator opens them:
    onward workspaces allow-egress.

    Example: onward alerts create https://hooks.example.com/onward \\
        --on unhealthy --on healthy --on success-rate --success-rate 0.95

    Parameters
    ----------
    url
        Where they go: http or https.
    on
        What is told, may be repeated: unhealthy, healthy, success-rate, volume, breaker-opened, breaker-closed,
        exhausted, ingest-failures. Unhealthy and healthy where absent.
    destination
        Only of this one.
    source
        Only of this one and its destinations.
    window
        What success-rate, volume, exhausted and ingest-failures are judged by: a multiple of 5m, 15m where absent.
    success_rate
        Told of by success-rate below this share, 0 to 1; 0.9 where absent.
    volume_change
        Told of by volume where a window differs from the one before by more than this share of it; 0.5 where absent.
    count_min
        Windows with fewer attempts or events are not judged by success-rate and volume; 10 where absent.
    """
    kinds = list(dict.fromkeys(on or BOTH))
    require_judged(kinds, window=window, success_rate=success_rate, volume_change=volume_change, count_min=count_min)
    minutes = parse_duration(window or "0s") / 60
    if minutes != int(minutes):
        raise UsageError("--window is a multiple of 5 minutes, such as 15m")
    wanted = pb.Subscription(
        url=url,
        kinds=[kind_of(word) for word in kinds],
        thresholds=pb.AlertThresholds(
            window_minutes=int(minutes),
            success_rate_min=success_rate or 0,
            volume_change_max=volume_change or 0,
            count_min=count_min or 0,
        ),
    )
    async with Session(options) as session:
        wanted.destination = session.name("destinations", destination) if destination else ""
        wanted.source = session.name("sources", source) if source else ""
        request = pb.CreateSubscriptionRequest(parent=session.workspace_name, subscription=wanted, request_id=uuid7())
        made = await delivery_stub(session).CreateSubscription(request)
    tell(
        made,
        f"Made the subscription {last_part(made.subscription.name)}. Its secret is shown this once, so keep it now:",
        made.secret,
        "docs/alerts.md says how a receiver verifies what it gets.",
        as_json=options.json,
    )


def require_judged(kinds: Sequence[Kind], **thresholds: float | str | None) -> None:
    """Raises UsageError where a threshold was named and nothing of what is told is judged by it."""
    for name, value in thresholds.items():
        judged = JUDGED_BY[name]
        if value is not None and not set(kinds) & set(judged):
            option, wanted = name.replace("_", "-"), " or ".join(f"--on {kind}" for kind in judged)
            raise UsageError(f"--{option} says nothing about {' and '.join(kinds)}: add {wanted}")


@app.command(name="list")
async def list_subscriptions(*, options: Options = DEFAULTS) -> None:
    """List who is told of what, and how the last webhook went.

    Example: onward alerts list
    """
    async with Session(options) as session:
        request = pb.ListSubscriptionsRequest(parent=session.workspace_name)
        found = await delivery_stub(session).ListSubscriptions(request)
    empty = "There is none: onward alerts create"
    tell_list("subscriptions", found.subscriptions, COLUMNS, subscription_row, empty=empty, as_json=options.json)


@app.command
async def delete(subscription: str, /, *, yes: Yes = False, options: Options = DEFAULTS) -> None:
    """End a subscription; what waits to be sent is not sent.

    Example: onward alerts delete 7c1x9k2m4q0z

    Parameters
    ----------
    subscription
        Its id, from `onward alerts list`.
    """
    async with Session(options) as session:
        name = session.name("subscriptions", subscription)
        confirm(f"End the subscription {subscription}? Nothing is sent to it from then on.", yes=yes)
        request = pb.DeleteSubscriptionRequest(name=name, request_id=uuid7())
        answer = await delivery_stub(session).DeleteSubscription(request)
    tell(answer, f"Ended the subscription {last_part(name)}.", as_json=options.json)


@app.command
def verify(
    *, secret: str, id: str, timestamp: int, signature: str, any_time: bool = False, options: Options = DEFAULTS
) -> None:
    """Tell whether a webhook, whose body comes by stdin, is signed with a secret; asks no server.

    For whoever writes a receiver. Exit codes: 0 it is, 1 it is not.

    Example: onward alerts verify --secret whsec_... --id 018f0000-0001 \\
        --timestamp 1767225600 --signature v1,K5oZfzN95Z9UVu1EsfQmfVNQ

    Parameters
    ----------
    secret
        As `onward alerts create` showed it.
    id
        The header webhook-id.
    timestamp
        The header webhook-timestamp.
    signature
        The header webhook-signature.
    any_time
        Also where the timestamp is more than 5 minutes from now.
    """
    body = sys.stdin.buffer.read()
    expected = "v1," + base64.b64encode(
        hmac.new(_key(secret), f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    ).decode("ascii")
    if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in signature.split()):
        raise CommandError(
            "it is not signed with this secret: the id, the timestamp and every byte of the body count", Exit.FAILED
        )
    if not any_time and abs(time.time() - timestamp) > TOLERANCE_S:
        raise CommandError("it is signed, but its time is not now: refuse it, or say --any-time", Exit.FAILED)
    tell({"signed": True}, "It is signed with this secret.", as_json=options.json)


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_MARK), validate=True)
    except binascii.Error:
        key = b""
    if not key or not secret.startswith(SECRET_MARK):
        raise UsageError("--secret is no secret of a subscription: these begin with whsec_")
    return key
