"""Tokens, ids, and who is let in."""

from itertools import pairwise

import pytest

from kit.auth.authorizer import LEASE_S_MAX, Grant, RegistryAuthorizer
from kit.auth.caller import Caller
from kit.auth.demand import Demand
from kit.auth.gate import SERVICE_TOKEN_REFUSED, Gate
from kit.auth.tokens import (
    BEARER_LENGTH_MAX,
    format_token,
    format_write_key,
    hash_secret,
    parse_token,
    parse_write_key,
    secret_matches,
)
from kit.clock import FakeClock
from kit.errors import InvalidToken, OnwardError, PermissionDenied, Unavailable
from kit.ids import SystemIds
from onward.common.v1 import access_pb2

VIEW = access_pb2.PERMISSION_FUNCTION_VIEW
SERVICE = access_pb2.PERMISSION_SERVICE
OPERATE = access_pb2.PERMISSION_OPERATE
USER_TOKEN = format_token("abcd1234", "s" * 32)
WRITE_KEY = format_write_key("abcd1234", "s" * 32)
SERVICE_TOKEN = "the services share this"


class Registry:
    """Answers what it is told to, and counts the questions."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Grant | OnwardError = Grant("token:abc", 60.0)

    async def ask(self, token: str, demand: Demand) -> Grant:
        self.asked += 1
        if isinstance(self.answer, OnwardError):
            raise self.answer
        return self.answer


class Nobody:
    """An authorizer that refuses."""

    async def authorize(self, token: str, demand: Demand) -> Caller:
        raise InvalidToken("unknown")


def test_a_made_token_parses_to_its_parts() -> None:
    ids = SystemIds()
    token_id, secret = ids.token_id(), ids.token_secret()
    token = parse_token(format_token(token_id, secret))
    assert (token.id, token.secret) == (token_id, secret)
    assert secret not in repr(token)


@pytest.mark.parametrize("text", ["", "onw_", "onw_abcd_short", "onw__" + "s" * 32, USER_TOKEN + "\n", "x" * 10**6])
def test_anything_else_is_no_token(text: str) -> None:
    with pytest.raises(InvalidToken):
        parse_token(text)


def test_a_made_write_key_parses_to_its_parts() -> None:
    ids = SystemIds()
    key_id, secret = ids.token_id(), ids.token_secret()
    key = parse_write_key(format_write_key(key_id, secret))
    assert (key.id, key.secret) == (key_id, secret)
    assert secret not in repr(key)


@pytest.mark.parametrize("text", ["", "onwk_", "onwk_abcd_short", "onwk__" + "s" * 32, WRITE_KEY + "\n", "x" * 10**6])
def test_anything_else_is_no_write_key(text: str) -> None:
    with pytest.raises(InvalidToken, match="onwk_"):
        parse_write_key(text)


def test_a_token_is_no_write_key_and_a_write_key_no_token() -> None:
    with pytest.raises(InvalidToken):
        parse_write_key(USER_TOKEN)
    with pytest.raises(InvalidToken):
        parse_token(WRITE_KEY)


async def test_the_gate_looks_at_tokens_as_long_as_an_identity_providers_and_no_longer() -> None:
    gate = Gate(Nobody(), SERVICE_TOKEN, operator_token="the operator has this")
    gate.require_token("x" * BEARER_LENGTH_MAX, VIEW)
    with pytest.raises(InvalidToken, match="8193 characters; 8192 are allowed"):
        gate.require_token("x" * (BEARER_LENGTH_MAX + 1), VIEW)
    with pytest.raises(InvalidToken, match="needed"):
        gate.require_token("", VIEW)
    for permission in (SERVICE, OPERATE):
        with pytest.raises(InvalidToken):
            await gate.admit("x" * BEARER_LENGTH_MAX, "executor", Demand(permission, ""))


async def test_an_identity_providers_token_is_a_users_where_services_and_operator_are_asked_for() -> None:
    gate = Gate(Nobody(), SERVICE_TOKEN, operator_token="the operator has this")
    for permission in (SERVICE, OPERATE):
        with pytest.raises(PermissionDenied):
            await gate.admit("eyJh.eyJz.c2ln", "executor", Demand(permission, ""))


def test_a_secret_matches_its_hash_alone() -> None:
    assert secret_matches("right", hash_secret("right"))
    assert not secret_matches("wrong", hash_secret("right"))


def test_uuids_of_one_process_sort_in_the_order_made_even_when_the_clock_goes_back() -> None:
    clock = FakeClock()
    ids = SystemIds(clock)
    made = [ids.uuid7() for _ in range(5_000)]
    clock.set_now(clock.now().replace(year=2020))
    made += [ids.uuid7() for _ in range(5_000)]
    assert all(earlier < later for earlier, later in pairwise(made))
    assert {text[14] for text in made} == {"7"}


async def test_a_yes_is_kept_for_a_second_at_most() -> None:
    registry, clock = Registry(), FakeClock()
    authorizer = RegistryAuthorizer(registry.ask, clock)
    await authorizer.authorize("t", Demand(VIEW, "workspaces/a"))
    clock.advance(LEASE_S_MAX - 0.01)
    caller = await authorizer.authorize("t", Demand(VIEW, "workspaces/a"))
    assert (caller.principal, caller.workspace, registry.asked) == ("token:abc", "a", 1)
    clock.advance(0.02)
    registry.answer = InvalidToken("revoked")
    with pytest.raises(InvalidToken):
        await authorizer.authorize("t", Demand(VIEW, "workspaces/a"))


async def test_a_yes_for_one_thing_is_none_for_another() -> None:
    registry = Registry()
    authorizer = RegistryAuthorizer(registry.ask, FakeClock())
    await authorizer.authorize("t", Demand(VIEW, "workspaces/a"))
    registry.answer = PermissionDenied("no")
    for token, permission, resource in (
        ("u", VIEW, "workspaces/a"),
        ("t", VIEW + 1, "workspaces/a"),
        ("t", VIEW, "workspaces/b"),
    ):
        with pytest.raises(PermissionDenied):
            await authorizer.authorize(token, Demand(permission, resource))


@pytest.mark.parametrize(
    ("one", "other", "asked"),
    [
        ("workspaces/a/auditEvents/1", "workspaces/a/auditEvents/2", 1),
        ("workspaces/a", "workspaces/a/auditEvents/2", 1),
        ("workspaces/a/destinations/crm/deliveries/1", "workspaces/a/destinations/crm/deliveries/2", 1),
        ("workspaces/a/destinations/crm", "workspaces/a/destinations/mail", 2),
        ("workspaces/a/functions/crm/versions/1", "workspaces/a/functions/mail/versions/1", 2),
        ("workspaces/a/sources/web", "workspaces/a/functions/web", 2),
        ("workspaces/a/sources", "workspaces/a/sources/web", 2),
        ("workspaces/a/auditEvents/1", "workspaces/b/auditEvents/1", 2),
    ],
)
async def test_a_yes_holds_for_what_is_decided_alike(one: str, other: str, asked: int) -> None:
    registry = Registry()
    authorizer = RegistryAuthorizer(registry.ask, FakeClock())
    for resource in (one, other):
        demand = Demand(VIEW, resource, ((VIEW + 1, resource),))
        assert (await authorizer.authorize("t", demand)).demand == demand
    assert registry.asked == asked


async def test_a_no_is_asked_about_again() -> None:
    registry = Registry()
    authorizer = RegistryAuthorizer(registry.ask, FakeClock())
    registry.answer = InvalidToken("not yet")
    with pytest.raises(InvalidToken):
        await authorizer.authorize("t", Demand(VIEW, "workspaces/a"))
    registry.answer = Grant("token:abc", 1)
    assert (await authorizer.authorize("t", Demand(VIEW, "workspaces/a"))).principal == "token:abc"


async def test_without_the_registry_calls_are_refused_as_unavailable() -> None:
    registry = Registry()
    registry.answer = Unavailable("down")
    with pytest.raises(Unavailable, match="refused"):
        await RegistryAuthorizer(registry.ask).authorize("t", Demand(VIEW, "workspaces/a"))


async def test_the_memory_of_answers_is_bounded() -> None:
    registry = Registry()
    authorizer = RegistryAuthorizer(registry.ask, FakeClock(), leases_max=10)
    for i in range(100):
        await authorizer.authorize(f"t{i}", Demand(VIEW, "workspaces/a"))
    asked = registry.asked
    await authorizer.authorize("t99", Demand(VIEW, "workspaces/a"))
    assert registry.asked == asked
    await authorizer.authorize("t0", Demand(VIEW, "workspaces/a"))
    assert registry.asked == asked + 1


async def test_the_service_token_opens_what_is_for_services_and_nothing_else() -> None:
    gate = Gate(Nobody(), SERVICE_TOKEN, operator_token="the operator has this")
    caller = await gate.admit(SERVICE_TOKEN, "executor", Demand(SERVICE, ""))
    assert caller.principal == "service:executor"
    for permission in (OPERATE, VIEW):
        with pytest.raises(InvalidToken):
            await gate.admit(SERVICE_TOKEN, "executor", Demand(permission, "workspaces/a"))


async def test_a_users_token_is_denied_what_is_for_services() -> None:
    gate = Gate(Nobody(), SERVICE_TOKEN)
    with pytest.raises(PermissionDenied) as caught:
        await gate.admit(USER_TOKEN, "executor", Demand(SERVICE, ""))
    assert caught.value.metadata == SERVICE_TOKEN_REFUSED


async def test_a_service_can_not_call_itself_anything() -> None:
    caller = await Gate(Nobody(), SERVICE_TOKEN).admit(SERVICE_TOKEN, "operator\n", Demand(SERVICE, ""))
    assert caller.principal == "service:unnamed"


async def test_the_operators_token_opens_what_is_for_the_operator() -> None:
    gate = Gate(Nobody(), SERVICE_TOKEN, operator_token="the operator has this")
    assert (await gate.admit("the operator has this", "", Demand(OPERATE, ""))).principal == "operator"
    with pytest.raises(PermissionDenied):
        await gate.admit(USER_TOKEN, "", Demand(OPERATE, ""))
