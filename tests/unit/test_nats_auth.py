"""Keys and JWTs of the publishers' door, as the NATS server spells them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kit.clock import FakeClock
from kit.errors import InvalidArgument
from kit.nats_auth import nkeys
from kit.nats_auth.admission import (
    ONWARD,
    SYSTEM,
    Admission,
    Presented,
    Refusal,
    admit_publisher,
    admit_reader,
)
from kit.nats_auth.claims import REQUEST_BYTES_MAX, answer, read_request
from kit.nats_auth.nkeys import Issuer, issuer_of_secret, issuer_of_seed, make_issuer

ISSUER = issuer_of_secret("a password")
SERVER_KEY = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
USER_KEY = nkeys.encode_public(
    nkeys.USER, Ed25519PrivateKey.from_private_bytes(b"u" * 32).public_key().public_bytes_raw()
)
SERVER_ID = nkeys.encode_public(nkeys.SERVER, SERVER_KEY.public_key().public_bytes_raw())


# ---- keys ----------------------------------------------------------------------------------------------------------


def test_a_known_seed_has_the_public_key_that_nats_tools_print() -> None:
    # From the documentation of nats-server's auth callout.
    seed = "SAANDLKMXL6CUS3CP52WIXBEDN6YJ545GDKC65U5JZPPV6WH6ESWUA6YAI"
    issuer = issuer_of_seed(seed)
    assert issuer.public == "ABJHLOVMPA4CI6R5KLNGOB4GSLNIY7IOUPAJC4YFNDLQVIOBYQGUWVLA"
    assert issuer.seed == seed


def test_a_made_issuer_is_read_from_its_seed() -> None:
    seed, public = make_issuer()
    assert issuer_of_seed(f" {seed}\n").public == public
    assert public.startswith("A")
    assert seed.startswith("SA")


def test_a_password_always_makes_the_same_issuer() -> None:
    assert issuer_of_secret("a password").public == ISSUER.public != issuer_of_secret("another").public


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SA",
        ISSUER.public,
        ISSUER.seed[:-1],
        ISSUER.seed + "A",
        ISSUER.seed[:-1] + "7",
        "SU" + ISSUER.seed[2:],
        "0" * 58,
    ],
)
def test_what_is_no_seed_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(InvalidArgument, match="seed of a NATS account key") as caught:
        issuer_of_seed(text)
    assert len(text) < 3 or text not in str(caught.value)


def test_one_changed_letter_of_a_public_key_is_noticed() -> None:
    for index in range(len(USER_KEY)):
        other = "B" if USER_KEY[index] != "B" else "C"
        assert not nkeys.is_public(USER_KEY[:index] + other + USER_KEY[index + 1 :], nkeys.USER)


def test_a_key_of_another_kind_is_not_taken() -> None:
    assert nkeys.is_public(USER_KEY, nkeys.USER)
    assert not nkeys.is_public(USER_KEY, nkeys.SERVER)
    assert not nkeys.is_signed(USER_KEY, nkeys.SERVER, b"", b"")


# ---- questions -----------------------------------------------------------------------------------------------------


def claims() -> dict[str, Any]:
    """A server's question, as 2.15 asks it."""
    return {
        "aud": "nats-authorization-request",
        "exp": 1795327354,
        "iss": SERVER_ID,
        "sub": ISSUER.public,
        "nats": {
            "server_id": {"name": SERVER_ID, "host": "127.0.0.1", "id": SERVER_ID, "version": "2.15.1"},
            "user_nkey": USER_KEY,
            "client_info": {"host": "10.0.0.7", "id": 16, "user": "me", "kind": "Client", "type": "nats"},
            "connect_opts": {"user": "me", "pass": "onwk_k_secret", "name": "shop", "lang": "go", "protocol": 1},
            "type": "authorization_request",
            "version": 2,
        },
    }


def encoded(document: Any) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=")


def signed(document: Any, key: Ed25519PrivateKey = SERVER_KEY, algorithm: str = "ed25519-nkey") -> bytes:
    head = encoded({"typ": "JWT", "alg": algorithm}) + b"." + encoded(document)
    return head + b"." + base64.urlsafe_b64encode(key.sign(head)).rstrip(b"=")


def test_a_question_says_who_wants_in() -> None:
    request = read_request(signed(claims()), ISSUER.public)
    assert (request.user_key, request.server_id) == (USER_KEY, SERVER_ID)
    assert request.presented == Presented("me", "onwk_k_secret", "", "10.0.0.7", "shop", "Client", SERVER_ID, 16)


def test_a_token_goes_before_a_password() -> None:
    presented = read_request(signed(claims()), ISSUER.public).presented
    assert presented.secret == "onwk_k_secret"
    assert replace(presented, token="onwk_t_secret").secret == "onwk_t_secret"


def test_what_was_presented_is_not_printed() -> None:
    presented = replace(read_request(signed(claims()), ISSUER.public).presented, token="token")
    assert "secret" not in repr(presented)
    assert "token" not in repr(presented)


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for name in path[:-1]:
            document = document[name]
        del document[path[-1]]

    return change


def with_value(value: Any, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for name in path[:-1]:
            document = document[name]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        with_value("another-audience", "aud"),
        with_value(issuer_of_secret("another").public, "sub"),
        with_value(USER_KEY, "nats", "server_id", "id"),
        with_value(SERVER_ID, "nats", "user_nkey"),
        with_value(7, "nats", "connect_opts", "pass"),
        with_value([], "nats", "connect_opts"),
        with_value(7, "iss"),
        with_value(USER_KEY, "iss"),
        without("iss"),
        without("nats"),
        without("nats", "user_nkey"),
        without("nats", "server_id"),
        without("nats", "client_info"),
    ],
)
def test_a_question_that_is_not_a_servers_to_us_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    document = claims()
    change(document)
    with pytest.raises(InvalidArgument):
        read_request(signed(document), ISSUER.public)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"..",
        b"eyJ.eyJ.eyJ",
        b"\xff.\xff.\xff",
        signed([]),
        signed("text"),
        signed(claims(), algorithm="none"),
        signed(claims(), Ed25519PrivateKey.from_private_bytes(b"x" * 32)),
        signed(claims())[:-4],
        signed(claims()).replace(b".", b"!"),
        b"x" * (REQUEST_BYTES_MAX + 1),
    ],
)
def test_a_question_that_no_server_has_signed_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="no JWT that a server has signed"):
        read_request(data, ISSUER.public)


# ---- answers -------------------------------------------------------------------------------------------------------


def answered(decision: Admission | Refusal) -> dict[str, Any]:
    """The claims of an answer that is signed by the issuer."""
    request = read_request(signed(claims()), ISSUER.public)
    return opened(answer(ISSUER, FakeClock(), request, decision))


def opened(jwt: bytes, issuer: Issuer = ISSUER) -> dict[str, Any]:
    head, _, signature = jwt.rpartition(b".")
    header, body = (base64.urlsafe_b64decode(part + b"==") for part in head.split(b"."))
    assert json.loads(header) == {"typ": "JWT", "alg": "ed25519-nkey"}
    assert nkeys.is_signed(issuer.public, nkeys.ACCOUNT, head, base64.urlsafe_b64decode(signature + b"=="))
    found: dict[str, Any] = json.loads(body)
    assert found["iss"] == issuer.public
    return found


def admitted(admission: Admission) -> dict[str, Any]:
    found = answered(admission)
    assert (found["sub"], found["aud"]) == (USER_KEY, SERVER_ID)
    user = opened(found["nats"]["jwt"].encode())
    assert user["sub"] == USER_KEY
    return user


def test_a_refusal_names_its_reason_and_admits_nobody() -> None:
    found = answered(Refusal("the key is revoked"))
    assert found["nats"] == {"type": "authorization_response", "version": 2, "error": "the key is revoked"}


def test_a_publisher_may_publish_to_its_source_and_hear_its_inbox() -> None:
    user = admitted(admit_publisher("webkey000001", "acme", "web"))
    assert (user["aud"], user["name"]) == ("PUBLISHERS", "onwk_webkey000001")
    assert user["nats"]["pub"] == {"allow": ["events.acme.web"]}
    assert user["nats"]["sub"] == {"allow": ["_INBOX_webkey000001.>"]}
    assert user["nats"]["subs"] == 16
    assert "exp" not in user


def test_a_reader_may_publish_nothing() -> None:
    user = admitted(admit_reader("token0000001", "acme"))
    assert (user["aud"], user["name"]) == ("READERS", "onw_token0000001")
    assert user["nats"]["pub"] == {"deny": [">"]}
    assert user["nats"]["sub"] == {"allow": ["facts.*.acme.>", "_INBOX_token0000001.>"]}


def test_an_admission_may_expire() -> None:
    at = datetime(2026, 5, 1, 12, 0, 0, 999_999, tzinfo=UTC)
    assert admitted(admit_publisher("webkey000001", "acme", "web", expires_at=at))["exp"] == int(at.timestamp())


@pytest.mark.parametrize(
    ("workspace", "source"),
    [("*", "web"), (">", "web"), ("acme", "*"), ("acme.x", "web"), ("", "web"), ("acme", "a b")],
)
def test_an_id_with_a_wildcard_or_a_dot_admits_nobody(workspace: str, source: str) -> None:
    with pytest.raises(ValueError, match="is not an id"):
        admit_publisher("webkey000001", workspace, source)


@pytest.mark.parametrize("key_id", ["", "*", ">", "executor.x", "a" * 33, "UPPER"])
def test_a_key_id_that_is_none_admits_nobody(key_id: str) -> None:
    with pytest.raises(ValueError, match="is not an id"):
        admit_publisher(key_id, "acme", "web")
    with pytest.raises(ValueError, match="is not an id"):
        admit_reader(key_id, "acme")


def test_nobody_is_admitted_to_the_services_or_the_servers_account() -> None:
    accounts = {admit_publisher("webkey000001", "acme", "web").account, admit_reader("token0000001", "acme").account}
    assert accounts.isdisjoint({ONWARD, SYSTEM})
