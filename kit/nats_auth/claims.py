"""The JWTs between server and callout: Ed25519 over nkeys, claims below `nats` (nats-io/jwt, version 2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from kit.clock import Clock
from kit.errors import InvalidArgument
from kit.nats_auth import nkeys
from kit.nats_auth.admission import Admission, Presented, Refusal
from kit.nats_auth.nkeys import Issuer

REQUEST_AUDIENCE = "nats-authorization-request"
# A request of a client without certificates has about 1 KB; what a client says of itself is bounded by the
# server's control line of 4 KiB, certificates are not.
REQUEST_BYTES_MAX = 64 * 1024
_ALGORITHM = "ed25519-nkey"
_VERSION = 2
_UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class Request:
    """A server's question: who this is, and to which one-time key the answer must be made out."""

    presented: Presented
    user_key: str
    server_id: str


def read_request(data: bytes, issuer_public: str) -> Request:
    """The server's question; raises InvalidArgument where no server has signed it, or it is for another issuer.

    Its expiry is not looked at: the answer is good for this one connection alone, so a repeated question gains
    nothing, and clocks of two machines may differ.
    """
    claims = _verified(data)
    nats = _mapping(claims, "nats")
    server, options = _mapping(nats, "server_id"), _mapping(nats, "connect_opts")
    client = _mapping(nats, "client_info")
    user_key, server_id = _text(nats, "user_nkey"), _text(server, "id")
    if claims.get("aud") != REQUEST_AUDIENCE or claims.get("sub") != issuer_public:
        raise InvalidArgument("the request is for another issuer: is its key the one of the server's configuration?")
    if claims["iss"] != server_id or not nkeys.is_public(user_key, nkeys.USER):
        raise InvalidArgument("the request names another server than the one that signed it, or no user key")
    client_id = client.get("id", 0)
    presented = Presented(
        user=_text(options, "user"),
        password=_text(options, "pass"),
        token=_text(options, "auth_token"),
        host=_text(client, "host"),
        client_name=_text(options, "name"),
        kind=_text(client, "kind"),
        server_id=server_id,
        client_id=client_id if isinstance(client_id, int) else 0,
    )
    return Request(presented, user_key, server_id)


def answer(issuer: Issuer, clock: Clock, request: Request, decision: Admission | Refusal) -> bytes:
    """The signed answer that the server waits for."""
    nats: dict[str, Any] = {"type": "authorization_response", "version": _VERSION}
    if isinstance(decision, Refusal):
        nats["error"] = decision.reason
    else:
        nats["jwt"] = _signed(issuer, clock, _user(request, decision)).decode()
    return _signed(issuer, clock, {"sub": request.user_key, "aud": request.server_id, "nats": nats})


def _user(request: Request, admission: Admission) -> dict[str, Any]:
    nats = {
        "pub": _permission(admission.publish),
        "sub": _permission(admission.subscribe),
        "subs": admission.subscriptions_max,
        "data": _UNLIMITED,
        # A stream refuses what is too large and says so; a limit here would close the connection instead.
        "payload": _UNLIMITED,
        # Neither leaf nodes, which bring clients of their own, nor MQTT.
        "allowed_connection_types": ["STANDARD"],
        "tags": list(admission.tags),
        "type": "user",
        "version": _VERSION,
    }
    claims = {"sub": request.user_key, "aud": admission.account, "name": admission.name, "nats": nats}
    return claims if admission.expires_at is None else claims | {"exp": int(admission.expires_at.timestamp())}


def _permission(subjects: tuple[str, ...]) -> dict[str, list[str]]:
    # Nothing at all would mean everything.
    return {"allow": list(subjects)} if subjects else {"deny": [">"]}


def _signed(issuer: Issuer, clock: Clock, claims: Mapping[str, Any]) -> bytes:
    full = {**claims, "iat": int(clock.now().timestamp()), "iss": issuer.public}
    # As nats-io/jwt makes it: a hash of the claims.
    full["jti"] = base64.b32encode(hashlib.sha256(orjson.dumps(full)).digest()).decode().rstrip("=")
    head = _encode(orjson.dumps({"typ": "JWT", "alg": _ALGORITHM})) + b"." + _encode(orjson.dumps(full))
    return head + b"." + _encode(issuer.sign(head))


def _verified(data: bytes) -> dict[str, Any]:
    """The claims of a JWT that the server named in them has signed."""
    head, dot, signature = data.rpartition(b".")
    header, _, body = head.partition(b".")
    try:
        if len(data) > REQUEST_BYTES_MAX or not dot or orjson.loads(_decode(header))["alg"] != _ALGORITHM:
            raise ValueError
        claims = orjson.loads(_decode(body))
        if not nkeys.is_signed(claims["iss"], nkeys.SERVER, head, _decode(signature)):
            raise ValueError
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument("the request is no JWT that a server has signed") from error
    return dict(claims)


def _mapping(claims: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = claims.get(name)
    if not isinstance(value, dict):
        raise InvalidArgument(f"the request has no {name}")
    return value


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str):
        raise InvalidArgument(f"the request's {name} is no text")
    return value


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error
