"""H1: what everybody sees of lists, and how the other services decide by asking the registry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest
from google.protobuf import message_factory
from google.protobuf.message import Message

from kit.auth.authorizer import RegistryAuthorizer
from kit.auth.demand import Demand
from kit.auth.gate import Gate
from kit.auth.registry import registry_ask
from kit.errors import OnwardError
from kit.rpc.access import Access, declared_access
from kit.rpc.client import open_channel
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import resources_pb2 as r
from onward.registry.v1 import workspace_service_pb2 as wpb
from tests.integration.access_subsets import (
    LISTED_DELETED,
    LISTED_DESTINATIONS,
    LISTED_FUNCTIONS,
    PERMISSIONS,
    SUBSETS,
)
from tests.integration.access_table import (
    DESTINATIONS,
    FUNCTIONS,
    INSIDERS,
    INVALID,
    NEEDS,
    NOTHING,
    OPERATOR,
    OPERATORS,
    PLACES,
    PRINCIPALS,
    SERVICE,
    SERVICES,
    SOURCES,
    STRANGER,
    gone_for,
    holders,
    refusals,
)
from tests.integration.access_world import ACME, AccessWorld, Call, access_world, until_expired
from tests.integration.registry_world import SERVICE_TOKEN
from tools.permissions import methods, short_name

pytestmark = pytest.mark.integration

METHODS = {short_name(one): one for one in methods()}

# What their requests name, after `workspaces/{workspace}/`.
RESOURCES: Mapping[str, Sequence[str]] = {
    "delivery.DeliveryService.GetSummary": ("", *DESTINATIONS),
    "delivery.DeliveryService.GetSeries": ("", *DESTINATIONS),
    "delivery.DeliveryService.ListErrorGroups": ("", *DESTINATIONS),
    "delivery.DeliveryService.ListHostHealth": ("", *DESTINATIONS),
    "delivery.DeliveryService.GetUsage": ("", *DESTINATIONS),
    "delivery.DeliveryService.ListDeliveries": ("", *DESTINATIONS),
    "delivery.DeliveryService.GetDelivery": ("deliveries/d1",),
    "delivery.DeliveryService.WatchDeliveries": ("", *DESTINATIONS),
    "delivery.DeliveryService.RetryDelivery": ("deliveries/d1",),
    "delivery.DeliveryService.CancelDelivery": ("deliveries/d1",),
    "delivery.DeliveryService.ResetBreaker": DESTINATIONS,
    "delivery.DeliveryService.ListIngestFailures": ("",),
    "delivery.DeliveryService.ListUnmatchedIntegrations": ("",),
    "delivery.DeliveryService.GetHealth": ("", *DESTINATIONS),
    "delivery.DeliveryService.CreateSubscription": ("",),
    "delivery.DeliveryService.ListSubscriptions": ("",),
    "delivery.DeliveryService.DeleteSubscription": ("subscriptions/s1",),
    "delivery.ReplayService.CreateReplay": DESTINATIONS,
    "delivery.ReplayService.RedriveDeliveries": DESTINATIONS,
    "delivery.ReplayService.CancelReplay": ("replays/r1",),
    "delivery.ReplayService.GetReplay": ("replays/r1",),
    "delivery.ReplayService.ListReplays": ("", *DESTINATIONS),
    "delivery.ReplayService.WatchReplay": ("replays/r1",),
    "executor.ExecutionService.TestFunction": ("", *FUNCTIONS),
    "executor.ExecutionService.InvokeDestination": DESTINATIONS,
    "executor.ExecutionService.ListSampleEvents": SOURCES,
    "audit.AuditService.ListAuditEvents": ("",),
    "audit.AuditService.GetAuditEvent": ("auditEvents/1",),
    "audit.AuditService.WatchAuditEvents": ("",),
    "audit.AuditService.ExportAuditEvents": ("",),
    "audit.AuditService.GetCheckpoint": ("",),
    "audit.AuditService.GetInclusionProof": ("auditEvents/1",),
    "audit.AuditService.GetConsistencyProof": ("",),
}


@pytest.fixture
async def access(database: str, nats_url: str) -> AsyncIterator[AccessWorld]:
    async with access_world(database, nats_url) as access:
        await until_expired(access)
        yield access


def ids(names: Sequence[str]) -> str:
    return " ".join(one.rpartition("/")[2] for one in names)


async def test_destinations_are_listed_to_whom_they_concern(access: AccessWorld) -> None:
    """H1."""
    call = Call("registry.DestinationService.ListDestinations", dpb.ListDestinationsRequest(parent=ACME))
    found = {}
    for who in INSIDERS:
        answer = await access.ask(who, call)
        listed = dpb.ListDestinationsResponse.FromString(answer.response).destinations
        if answer.code == "OK":
            found[who] = ids([one.name for one in listed])
    assert found == LISTED_DESTINATIONS


@pytest.mark.parametrize(("show_deleted", "expected"), [(False, LISTED_FUNCTIONS), (True, LISTED_DELETED)])
async def test_functions_are_listed_whole_to_their_readers_and_by_name_to_members(
    access: AccessWorld, show_deleted: bool, expected: Mapping[str, tuple[str, str]]
) -> None:
    """H1."""
    request = fpb.ListFunctionsRequest(parent=ACME, show_deleted=show_deleted)
    found = {}
    for who in INSIDERS:
        answer = await access.ask(who, Call("registry.FunctionService.ListFunctions", request))
        listed = fpb.ListFunctionsResponse.FromString(answer.response).functions
        whole = [one.name for one in listed if one.etag]
        named = [one.name for one in listed if one == r.Function(name=one.name, display_name=one.display_name)]
        if answer.code == "OK":
            assert len(whole) + len(named) == len(listed), f"{who} is told more than names: {listed}"
            found[who] = ids(whole), ids(named)
    assert found == expected


async def test_a_list_of_filters_holds_those_of_its_place_alone(access: AccessWorld) -> None:
    """H1, C10."""
    for place in PLACES:
        name = f"{ACME}/{place}".rstrip("/")
        call = Call("registry.DestinationService.ListFilters", dpb.ListFiltersRequest(parent=name))
        answer = await access.ask("owner", call)
        listed = dpb.ListFiltersResponse.FromString(answer.response).filters
        assert [one.name for one in listed] == ([f"{name}/filters/bots"] if answer.code == "OK" else [])


async def test_everybody_is_told_his_permissions_and_no_others(access: AccessWorld) -> None:
    """H1."""
    wrong = []
    for resource in ("", *FUNCTIONS, *SOURCES, *DESTINATIONS):
        needed = PERMISSIONS[resource.partition("/")[0]]
        request = wpb.TestPermissionsRequest(name=f"{ACME}/{resource}".rstrip("/"), permissions=needed)
        call = Call("registry.WorkspaceService.TestPermissions", request)
        for who in INSIDERS:
            answer = await access.ask(who, call)
            told = set(wpb.TestPermissionsResponse.FromString(answer.response).permissions)
            has = {
                permission for permission, words in needed.items() if who in holders(words, seen(who, words, resource))
            }
            if told != has:
                wrong.append(f"{who} on {request.name}: {sorted(has)} expected, {sorted(told)} found")
    assert not wrong, "\n".join(wrong)


def seen(who: str, needed: str, resource: str) -> str:
    """What the resource is to somebody: to whom it is one that never was, it looks as such a one does."""
    return "functions/nil" if who in gone_for(needed, resource) else resource


# --- other services -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decision:
    """A method's demand on a resource, and the code for each principal; "OK" for those who are let in."""

    method: str
    demand: Demand
    codes: Mapping[str, str]


def elsewhere() -> list[str]:
    return [one for one in NEEDS if not one.startswith("registry.")]


def decisions() -> Iterator[Decision]:
    for method in elsewhere():
        access, needed = access_of(method), NEEDS[method]
        if needed in (NOTHING, OPERATORS, SERVICES):
            yield Decision(method, Demand(access.permission), outside(needed))
            continue
        for resource in RESOURCES[method]:
            codes = refusals(needed, "acme") | dict.fromkeys(gone_for(needed, resource), "NOT_FOUND")
            codes |= dict.fromkeys(holders(needed, resource), "OK")
            yield Decision(method, demand_on(method, f"{ACME}/{resource}".rstrip("/")), codes)
        apex = refusals(needed, "apex") | {STRANGER: "OK"}
        yield Decision(method, demand_on(method, f"workspaces/apex/{RESOURCES[method][0]}".rstrip("/")), apex)
        none = f"workspaces/none/{RESOURCES[method][0]}".rstrip("/")
        yield Decision(method, demand_on(method, none), refusals(needed, "none"))
    # The operator has a trail of its own, and sees no other.
    own = refusals("owner or auditor", "system") | {OPERATOR: "OK"}
    yield Decision("audit, own trail", demand_on("audit.AuditService.ListAuditEvents", "workspaces/system"), own)


def outside(needed: str) -> dict[str, str]:
    if needed == NOTHING:
        return dict.fromkeys(PRINCIPALS, "OK")
    codes = refusals(needed, "")
    if needed == OPERATORS:
        # The registry is asked, and looks tokens up.
        return codes | dict.fromkeys(INVALID, "UNAUTHENTICATED") | {OPERATOR: "OK"}
    return codes | {SERVICE: "OK"}


def access_of(method: str) -> Access:
    return declared_access(METHODS[method])


def demand_on(method: str, resource: str) -> Demand:
    request: Message = message_factory.GetMessageClass(METHODS[method].input_type)()
    access = access_of(method)
    setattr(request, access.resource_field, resource)
    return access.demand(request)


async def test_other_services_decide_as_the_table_says(access: AccessWorld) -> None:
    """H1: by asking the registry, with each method's own demand."""
    channel = open_channel(access.world.app.address, SERVICE_TOKEN, service="delivery")
    gate = Gate(RegistryAuthorizer(registry_ask(channel)), SERVICE_TOKEN)
    wrong = []
    for one in decisions():
        for who, expected in one.codes.items():
            found = await decided(gate, access.tokens[who], one.demand, who)
            if found != expected:
                wrong.append(f"{one.method} by {who} on {one.demand.resource}: {expected} expected, {found} found")
    await channel.close()
    assert not wrong, "\n".join(wrong)


async def decided(gate: Gate, token: str, demand: Demand, who: str) -> str:
    try:
        gate.require_token(token, demand.permission)
        caller = await gate.admit(token, "executor", demand)
    except OnwardError as error:
        return error.code
    if demand.partial and demand.workspace == "acme":
        # What a partial method answers keeps within these.
        assert (caller.functions, caller.sources) == SUBSETS[who]
    return "OK"


def test_every_method_of_other_services_has_its_resources_here() -> None:
    """H1."""
    named = {one for one in elsewhere() if NEEDS[one] not in (NOTHING, OPERATORS, SERVICES)}
    assert set(RESOURCES) == named
