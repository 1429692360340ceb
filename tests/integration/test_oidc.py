"""Tokens of an OIDC issuer that really answers, or does not."""

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.utils import base64url_encode
from structlog.testing import capture_logs

from kit.auth.issuer import DOCUMENT_BYTES_MAX
from kit.auth.issuer_keys import (
    FAILURE_PAUSE_S,
    FAILURE_PAUSE_WITHOUT_KEYS_S,
    FRESH_S,
    STALE_S_MAX,
    UNKNOWN_KEY_PAUSE_S,
    WAITERS_MAX,
)
from kit.auth.oidc import LEEWAY_S, OidcVerifier
from kit.auth.tokens import BEARER_LENGTH_MAX
from kit.clock import FakeClock
from kit.errors import InvalidToken, OnwardError, Unavailable
from kit.testing.eventually import eventually
from tests.integration.oidc_world import World, private_key, public_jwk
from tests.integration.rpc_probe import Probe, calling, saying, serving


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World(FakeClock())
    world.open.set()
    await world.start()
    try:
        yield world
    finally:
        world.open.set()
        await world.stop()


@pytest.fixture
async def verifier(world: World) -> AsyncIterator[OidcVerifier]:
    async with world.verifier() as verifier:
        yield verifier


def part(document: Any) -> str:
    return base64url_encode(json.dumps(document).encode()).decode()


async def test_a_good_token_says_who_it_is(world: World, verifier: OidcVerifier) -> None:
    token = world.token(email="ada@example.com", email_verified=True, name="Ada Lovelace", aud=["others", "onward"])
    identity = await verifier.verify(token)
    assert (identity.issuer, identity.subject) == (world.url, "ada")
    assert (identity.email, identity.name) == ("ada@example.com", "Ada Lovelace")
    assert identity.expires_at == world.clock.now() + timedelta(seconds=600)
    await verifier.verify(world.token(sub="grace"))
    assert world.asked == ["/realm/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize("kind", ["RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
async def test_each_allowed_algorithm_is_accepted_with_its_key(world: World, verifier: OidcVerifier, kind: str) -> None:
    world.keys = [public_jwk("other", "RS256", 1), public_jwk("one", kind)]
    assert (await verifier.verify(world.token(kind))).subject == "ada"


async def test_the_keys_are_where_the_setting_says(world: World) -> None:
    async with world.verifier(jwks_url=f"http://127.0.0.1:{world.port}/keys") as verifier:
        await verifier.verify(world.token())
    assert world.asked == ["/keys"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://elsewhere.example"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"aud": "somebody else"}, "audience"),
        ({"aud": ["somebody", "else"]}, "audience"),
        ({"aud": "onwardly"}, "audience"),
        ({"aud": None}, "audience"),
        ({"exp": None}, "no expiry"),
        ({"exp": 1}, "expired"),
        ({"exp": "never"}, "exp is no time"),
        ({"exp": True}, "exp is no time"),
        ({"nbf": 2**33}, "not valid yet"),
        ({"iat": 2**33}, "not valid yet"),
        ({"sub": None}, "subject"),
        ({"sub": ""}, "subject"),
        ({"sub": 7}, "subject"),
        ({"sub": "s" * 256}, "subject"),
        ({"sub": "ada\n"}, "printable"),
    ],
)
async def test_wrong_claims_are_refused_by_name_and_cost_the_issuer_nothing(
    world: World, verifier: OidcVerifier, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidToken, match=reason):
        await verifier.verify(world.token(**changes))
    assert world.asked == []


async def test_a_token_expires_at_once_and_begins_with_leeway_by_the_clock_that_is_given(
    world: World, verifier: OidcVerifier
) -> None:
    now = world.clock.now().timestamp()
    early = world.token(nbf=now + LEEWAY_S + 1, iat=now + LEEWAY_S + 1)
    with pytest.raises(InvalidToken, match="not valid yet"):
        await verifier.verify(early)
    world.clock.advance(1)
    await verifier.verify(early)
    world.clock.advance(598.9)
    await verifier.verify(early)
    world.clock.advance(0.1)
    with pytest.raises(InvalidToken, match="expired"):
        await verifier.verify(early)


async def test_a_token_that_was_changed_is_refused(world: World, verifier: OidcVerifier) -> None:
    header, _, signature = world.token().split(".")
    with pytest.raises(InvalidToken, match="signature is wrong"):
        await verifier.verify(f"{header}.{part(world.claims(sub='root'))}.{signature}")


async def test_a_token_by_somebody_elses_key_under_a_known_id_is_refused(world: World, verifier: OidcVerifier) -> None:
    with pytest.raises(InvalidToken, match="signature is wrong"):
        await verifier.verify(world.token(number=1))


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
async def test_the_public_key_as_an_hmac_secret_opens_nothing(
    world: World, verifier: OidcVerifier, form: PublicFormat
) -> None:
    pem = private_key("RS256").public_key().public_bytes(Encoding.PEM, form)
    said = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'one'})}.{part(world.claims())}"
    signature = base64url_encode(hmac.digest(pem, said.encode(), hashlib.sha256)).decode()
    with pytest.raises(InvalidToken, match="signed by one of"):
        await verifier.verify(f"{said}.{signature}")


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "", None, ["RS256"], "HS512", "ES256K"])
async def test_an_algorithm_that_is_not_listed_is_refused(
    world: World, verifier: OidcVerifier, algorithm: object
) -> None:
    for signature in ("", world.token().split(".")[2]):
        with pytest.raises(InvalidToken, match="signed by one of"):
            await verifier.verify(f"{part({'alg': algorithm, 'kid': 'one'})}.{part(world.claims())}.{signature}")


@pytest.mark.parametrize(("published", "used"), [({"alg": "RS256"}, "PS256"), ({}, "ES256"), ({"use": "enc"}, "RS256")])
async def test_a_key_is_used_for_nothing_but_its_own_algorithms(
    world: World, verifier: OidcVerifier, published: dict[str, Any], used: str
) -> None:
    world.keys = [public_jwk("one", "RS256", **published)]
    with pytest.raises(InvalidToken, match="by no key"):
        await verifier.verify(world.token(used, number=0))


async def test_keys_and_addresses_in_the_header_are_not_looked_at(world: World, verifier: OidcVerifier) -> None:
    mine = public_jwk("mine", "RS256", 1)
    brought = {"jwk": mine, "jku": f"http://127.0.0.1:{world.port}/mine", "x5u": f"http://127.0.0.1:{world.port}/x5u"}
    for kid, reason in (("one", "signature is wrong"), ("mine", "by no key")):
        with pytest.raises(InvalidToken, match=reason):
            await verifier.verify(world.signed(world.claims(), {"kid": kid, **brought}, number=1))
    assert {"/mine", "/x5u"}.isdisjoint(world.asked)


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "/dev/null", "one/../one", "one'; --", "\x00", "One", "", "o" * 512]
)
async def test_a_key_id_is_compared_and_nothing_else(world: World, verifier: OidcVerifier, kid: str) -> None:
    with pytest.raises(InvalidToken, match="by no key"):
        await verifier.verify(world.token(kid=kid))
    assert set(world.asked) == {"/realm/.well-known/openid-configuration", "/keys"}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"typ": "logout+jwt"}, "type"),
        ({"crit": ["b64"], "b64": True}, "crit"),
        ({"kid": "k" * 513}, "kid"),
    ],
)
async def test_headers_that_demand_more_are_refused(
    world: World, verifier: OidcVerifier, headers: dict[str, Any], reason: str
) -> None:
    header = {"alg": "RS256", "kid": "one", **headers}
    with pytest.raises(InvalidToken, match=reason):
        await verifier.verify(f"{part(header)}.{part(world.claims())}.{world.token().split('.')[2]}")


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c.d.e", "onw_abcd_" + "s" * 32, "ä.b.c", "e30.e30.", "a.b.c"])
async def test_what_is_no_jwt_is_refused(world: World, verifier: OidcVerifier, token: str) -> None:
    with pytest.raises(InvalidToken):
        await verifier.verify(token)
    assert world.asked == []


async def test_a_long_token_is_accepted_and_one_that_is_too_long_is_not(world: World, verifier: OidcVerifier) -> None:
    room = BEARER_LENGTH_MAX - len(world.token(groups=""))
    await verifier.verify(world.token(groups="g" * (room // 4 * 3 - 8)))
    with pytest.raises(InvalidToken, match="longer than"):
        await verifier.verify(world.token(groups="g" * (room // 4 * 3 + 8)))


async def test_without_a_key_id_the_only_key_is_meant_and_of_two_none(world: World, verifier: OidcVerifier) -> None:
    world.keys.append(public_jwk("elliptic", "ES256"))
    await verifier.verify(world.token(kid=None))
    world.keys.append(public_jwk("two", "RS256", 1))
    world.clock.advance(FRESH_S)
    with pytest.raises(InvalidToken, match="by no key"):
        await verifier.verify(world.token(kid=None))


async def test_a_new_key_works_at_once_and_the_old_one_until_it_is_withdrawn(
    world: World, verifier: OidcVerifier
) -> None:
    await verifier.verify(world.token())
    world.keys.append(public_jwk("two", "ES256", 1))
    await verifier.verify(world.token("ES256", "two", 1))
    await verifier.verify(world.token())
    del world.keys[0]
    world.clock.advance(FRESH_S)
    with pytest.raises(InvalidToken, match="by no key"):
        await verifier.verify(world.token())
    await verifier.verify(world.token("ES256", "two", 1))


async def test_made_up_key_ids_cost_the_issuer_one_question_in_a_while(world: World, verifier: OidcVerifier) -> None:
    await verifier.verify(world.token())

    async def try_some(offset: int) -> None:
        for i in range(5):
            with pytest.raises(InvalidToken, match="by no key"):
                await verifier.verify(world.token(kid=f"made-up-{offset + i}"))

    await try_some(0)
    assert world.asked_for_keys() == 2
    world.clock.advance(UNKNOWN_KEY_PAUSE_S - 0.1)
    await try_some(10)
    assert world.asked_for_keys() == 2
    world.clock.advance(0.1)
    await try_some(20)
    assert world.asked_for_keys() == 3


async def test_many_tokens_at_once_ask_once_and_all_are_answered(world: World, verifier: OidcVerifier) -> None:
    world.open.clear()
    async with asyncio.TaskGroup() as tasks:
        verified = [tasks.create_task(verifier.verify(world.token(sub=f"s{i}"))) for i in range(WAITERS_MAX)]
        await eventually(lambda: world.asked)
        verified[0].cancel()
        world.open.set()
    assert verified[0].cancelled()
    assert [task.result().subject for task in verified[1:]] == [f"s{i}" for i in range(1, WAITERS_MAX)]
    assert world.asked_for_keys() == 1


async def test_tokens_by_a_new_key_that_come_at_once_ask_once(world: World, verifier: OidcVerifier) -> None:
    await verifier.verify(world.token())
    world.keys.append(public_jwk("two", "ES256", 1))
    world.open.clear()
    async with asyncio.TaskGroup() as tasks:
        verified = [tasks.create_task(verifier.verify(world.token("ES256", "two", 1))) for _ in range(WAITERS_MAX)]
        await eventually(lambda: len(world.asked) == 3)
        world.open.set()
    assert all(task.result().subject == "ada" for task in verified)
    assert world.asked_for_keys() == 2


@pytest.mark.parametrize("has_keys", [False, True])
async def test_no_more_than_a_few_calls_wait_for_a_slow_issuer(
    world: World, verifier: OidcVerifier, has_keys: bool
) -> None:
    """Made up tokens of the right issuer must not hold all places for calls."""
    if has_keys:
        await verifier.verify(world.token())
    world.open.clear()
    async with asyncio.TaskGroup() as tasks:
        waiting = [
            tasks.create_task(_outcome(verifier, world.token("ES256", f"two{i}", 1))) for i in range(WAITERS_MAX)
        ]
        await eventually(lambda: len(world.asked) == (3 if has_keys else 1))
        assert await _outcome(verifier, world.token("ES256", "two", 1)) == "UNAVAILABLE"
        if has_keys:
            # Who needs no answer does not wait for one, even where it is time to ask.
            world.clock.advance(FRESH_S)
            assert (await verifier.verify(world.token())).subject == "ada"
        assert not any(one.done() for one in waiting)
        world.open.set()
    assert {one.result() for one in waiting} == {"UNAUTHENTICATED"}


async def _outcome(verifier: OidcVerifier, token: str) -> str:
    try:
        await verifier.verify(token)
    except OnwardError as error:
        return error.code
    return "OK"


async def test_known_keys_outlive_an_outage_of_a_day_and_no_longer(world: World, verifier: OidcVerifier) -> None:
    await verifier.verify(world.token())
    await world.stop()
    world.clock.advance(STALE_S_MAX - 1)
    await verifier.verify(world.token())
    world.clock.advance(1)
    with pytest.raises(Unavailable, match="can't be fetched"):
        await verifier.verify(world.token())
    await world.start()
    world.clock.advance(FAILURE_PAUSE_WITHOUT_KEYS_S)
    await verifier.verify(world.token())


async def test_without_any_keys_a_token_is_refused_as_unavailable_and_works_when_the_issuer_is_back(
    world: World, verifier: OidcVerifier
) -> None:
    await world.stop()
    with pytest.raises(Unavailable, match="can't be fetched") as caught:
        await verifier.verify(world.token())
    assert caught.value.retry_after_s == FAILURE_PAUSE_WITHOUT_KEYS_S
    await world.start()
    with pytest.raises(Unavailable):
        await verifier.verify(world.token())
    assert world.asked == []
    world.clock.advance(FAILURE_PAUSE_WITHOUT_KEYS_S)
    await verifier.verify(world.token())


async def test_an_issuer_that_is_down_is_asked_once_in_a_while(world: World, verifier: OidcVerifier) -> None:
    await verifier.verify(world.token())
    world.answer = lambda _request: web.Response(status=503)
    world.clock.advance(FRESH_S)
    world.asked.clear()
    for _ in range(5):
        await verifier.verify(world.token())
        with pytest.raises(InvalidToken, match="by no key"):
            await verifier.verify(world.token(kid="made up"))
    assert len(world.asked) == 1
    world.clock.advance(FAILURE_PAUSE_S)
    await verifier.verify(world.token())
    assert len(world.asked) == 2


async def test_an_issuer_that_never_answers_is_given_up(world: World) -> None:
    world.open.clear()
    async with world.verifier(fetch_timeout_s=0.05) as verifier:
        with capture_logs() as lines, pytest.raises(Unavailable):
            await verifier.verify(world.token())
    assert [(line["event"], "0.05 s" in line["failure"]) for line in lines] == [("issuer_keys_unavailable", True)]


async def test_a_slow_issuer_does_not_hold_up_tokens_by_known_keys(world: World) -> None:
    async with world.verifier(refresh_wait_s=0.01) as verifier:
        await verifier.verify(world.token())
        world.keys = [public_jwk("two", "ES256", 1)]
        world.clock.advance(FRESH_S)
        world.open.clear()
        await verifier.verify(world.token())
        world.open.set()
        await eventually(lambda: world.asked_for_keys() == 2)
        await verifier.verify(world.token("ES256", "two", 1))
        with pytest.raises(InvalidToken, match="by no key"):
            await verifier.verify(world.token())


async def test_a_verifier_that_is_closed_leaves_nothing_under_way(world: World) -> None:
    world.open.clear()

    async def refused(verifier: OidcVerifier) -> None:
        with pytest.raises(Unavailable):
            await verifier.verify(world.token())

    async with asyncio.TaskGroup() as tasks, world.verifier() as verifier:
        tasks.create_task(refused(verifier))
        await eventually(lambda: world.asked)
        await verifier.close()
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "issuer-keys"]


def huge(_request: web.Request) -> web.Response:
    return web.Response(body=b'{"keys": []' + b" " * DOCUMENT_BYTES_MAX + b"}", content_type="application/json")


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (huge, "more than"),
        (lambda _: web.Response(status=500, text="oops"), "status 500"),
        (lambda _: web.Response(status=302, headers={"location": "/elsewhere"}), "status 302"),
        (lambda _: web.Response(text="<html>"), "JSON"),
        (lambda _: web.json_response([]), "JSON object|no list"),
        (lambda _: web.Response(body=b"\x1f\x8b", headers={"content-encoding": "gzip"}), "JSON"),
    ],
)
@pytest.mark.parametrize("path", ["/keys", "/realm/.well-known/openid-configuration"])
async def test_an_answer_that_is_none_is_told_to_the_log_and_keeps_older_keys(
    world: World, verifier: OidcVerifier, path: str, answer: Any, failure: str
) -> None:
    await verifier.verify(world.token())
    world.answer = lambda request: answer(request) if request.path == path else None
    world.clock.advance(FRESH_S)
    with capture_logs() as lines:
        await verifier.verify(world.token())
    assert [line["event"] for line in lines] == ["issuer_keys_unavailable"]
    assert re.search(failure, lines[0]["failure"])
    assert "/elsewhere" not in world.asked


@pytest.mark.parametrize(
    ("metadata", "failure"),
    [
        ({"issuer": "https://elsewhere.example"}, "another issuer"),
        ({"issuer": None}, "another issuer"),
        ({"jwks_uri": None}, "jwks_uri"),
        ({"jwks_uri": "http://keys.example/keys"}, "https"),
        ({"jwks_uri": "file:///etc/passwd"}, "host"),
    ],
)
async def test_a_configuration_that_leads_elsewhere_is_not_followed(
    world: World, verifier: OidcVerifier, metadata: dict[str, Any], failure: str
) -> None:
    world.metadata = metadata
    with capture_logs() as lines, pytest.raises(Unavailable):
        await verifier.verify(world.token())
    assert failure in lines[0]["failure"]
    assert world.asked_for_keys() == 0


async def test_the_longest_token_reaches_a_service_every_time() -> None:
    token = "e30." + "A" * (BEARER_LENGTH_MAX - 8) + ".c2l"
    assert len(token) == BEARER_LENGTH_MAX
    async with serving(Probe()) as server, calling(server, token) as stub:
        # gRPC refuses what is above its soft limit by chance: about 6 calls in 100 are, were it the default.
        for _ in range(150):
            with pytest.raises(InvalidToken, match="unknown"):
                await stub.Say(saying("x"))
