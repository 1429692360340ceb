"""Events of a small shop, of all seven types: the same ones for the same seed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

Event = dict[str, Any]

# How many of each type in 2,000; other numbers are scaled.
SHARES = {"track": 1000, "identify": 300, "page": 300, "screen": 160, "group": 100, "alias": 80, "delete": 60}
TRACK_NAMES = ("Product Viewed", "Product Added", "Order Completed", "Signed Up", "App Uninstalled")
# Track events that don't say who it was: a survey can't invite anybody because of them.
WITHOUT_EMAIL_SHARE = 0.15

_FIRST = ("Ada", "Björn", "Chloé", "Dmitri", "Emeka", "Fatima", "Goran", "Hana", "İbrahim", "Jun", "Kira", "Luis")
_LAST = ("Lovelace", "Sørensen", "Dupont", "Petrov", "Okafor", "Haddad", "Kovač", "Sato", "Yılmaz", "Park")
_PLANS = ("free", "team", "enterprise")
_PATHS = ("/", "/pricing", "/docs/getting-started", "/blog/how-to", "/checkout")
_SCREENS = ("Home", "Search", "Product", "Cart", "Profile")
_SKUS = tuple(f"SKU-{number}" for number in range(5000, 5050))


def make_events(count: int = 2000, seed: int = 2026, now: datetime | None = None) -> list[Event]:
    """Give `count` events, the last one sent at `now`."""
    rng = random.Random(seed)  # noqa: S311 - the same events every time, no secrets
    end = now or datetime.now(UTC)
    kinds = _kinds(count)
    rng.shuffle(kinds)
    moments = (end - timedelta(milliseconds=40 * (count - number)) for number in range(1, count + 1))
    return [
        _event(rng, number, kind, moment) for number, (kind, moment) in enumerate(zip(kinds, moments, strict=True), 1)
    ]


def _kinds(count: int) -> list[str]:
    """Give types in the shares above."""
    total = sum(SHARES.values())
    kinds = [kind for kind, share in SHARES.items() for _ in range(round(count * share / total))]
    return (kinds + ["track"] * count)[:count]


def _event(rng: random.Random, number: int, kind: str, moment: datetime) -> Event:
    user = rng.randrange(1, 400)
    sent = moment + timedelta(milliseconds=rng.randrange(20, 800))
    event: Event = {
        "type": kind,
        "messageId": f"demo-{number:05d}",
        "userId": f"u-{user:04d}",
        "anonymousId": f"anonymous-{rng.getrandbits(64):016x}",
        "originalTimestamp": _iso(moment),
        "sentAt": _iso(sent),
        "context": {
            "library": {"name": "analytics.js", "version": "2.11.1"},
            "locale": rng.choice(("en-US", "de-DE", "fr-FR", "ja-JP")),
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
        },
    }
    return event | _fields(rng, kind, user, event["context"])


def _fields(rng: random.Random, kind: str, user: int, context: dict[str, Any]) -> Event:
    match kind:
        case "track":
            return _track(rng, user, context)
        case "identify":
            return {"traits": _person(user) | {"plan": rng.choice(_PLANS)}}
        case "page":
            path = rng.choice(_PATHS)
            return {
                "name": path.strip("/") or "home",
                "properties": {"path": path, "url": f"https://shop.example{path}"},
            }
        case "screen":
            return {"name": rng.choice(_SCREENS), "properties": {"build": f"3.{rng.randrange(9)}.0"}}
        case "group":
            company = rng.randrange(1, 60)
            return {"groupId": f"g-{company:03d}", "traits": {"name": f"Company {company}", "plan": rng.choice(_PLANS)}}
        case "alias":
            return {"previousId": f"lead-{rng.randrange(10_000):04d}"}
        case _:
            return {}


def _track(rng: random.Random, user: int, context: dict[str, Any]) -> Event:
    name = rng.choice(TRACK_NAMES)
    if rng.random() >= WITHOUT_EMAIL_SHARE:
        context["traits"] = _person(user)
    return {"event": name, "properties": _properties(rng, name)}


def _properties(rng: random.Random, name: str) -> dict[str, Any]:
    price = round(rng.uniform(3, 250), 2)
    match name:
        case "Order Completed":
            quantities = [rng.randrange(1, 5) for _ in range(3)]
            lines = [{"sku": rng.choice(_SKUS), "quantity": quantity, "price": price} for quantity in quantities]
            total = round(sum(quantities) * price, 2)
            return {"orderId": f"o-{rng.randrange(100_000):05d}", "total": total, "currency": "EUR", "products": lines}
        case "App Uninstalled":
            return {"version": f"3.{rng.randrange(9)}.0", "daysInUse": rng.randrange(400)}
        case "Signed Up":
            return {"plan": rng.choice(_PLANS), "referrer": rng.choice(("search", "friend", "conference"))}
        case _:
            return {"sku": rng.choice(_SKUS), "price": price, "currency": "EUR"}


def _person(user: int) -> dict[str, Any]:
    first, last = _FIRST[user % len(_FIRST)], _LAST[user % len(_LAST)]
    return {"name": f"{first} {last}", "email": f"customer{user}@example.com"}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
