"""Each kind of change that is made in one statement: nobody sees a difference to those that are not."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.message import Message

from kit.errors import InvalidArgument, NotFound, Unavailable, WrongState
from kit.eventstore.postgres import PostgresEventStore
from kit.postgres.pool import connect_pool
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import resources_pb2 as pb
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry import projections
from services.registry.domain import ids
from services.registry.domain.evolve import fold
from services.registry.domain.state import DestinationState, State
from services.registry.handlers import filters
from services.registry.queries import filters as filter_queries
from tests.integration.functions_world import ACME, ALL, CRM, facts_of, projected
from tests.integration.registry_world import (
    CODE,
    Stubs,
    World,
    connect,
    definition,
    noting_outright,
    rebuild,
    rule,
    running,
    save,
    text,
)

pytestmark = pytest.mark.integration

WEB = f"{ACME}/sources/web"
CRM_EU = f"{ACME}/destinations/crm-eu"
HOSTS = pb.SettingValue(list_value=pb.StringList(values=["a", "b"]))
PARENTS = {"destination": CRM_EU, "source": WEB, "workspace": ACME}


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


@pytest.fixture
async def owner(world: World) -> Stubs:
    owner = await world.workspace()
    await populated(owner)
    return owner


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    return noting_outright(monkeypatch)


async def populated(owner: Stubs) -> None:
    """Two destinations of version 2 with values and labels, three filters at each parent, and a version 3."""
    request = fpb.CreateFunctionRequest(parent=ACME, function_id="crm", display_name="crm")
    await owner.functions.CreateFunction(request)
    hosts = definition("hosts", type=pb.SETTING_TYPE_STRING_LIST)
    definitions = [definition("region"), definition("apiKey", encrypted=True), hosts]
    await save(owner, definitions)
    labels = {"b": "2", "a": "1"}
    await owner.sources.CreateSource(
        spb.CreateSourceRequest(parent=ACME, source_id="web", display_name="web", labels=labels)
    )
    values = {"region": text("eu"), "apiKey": text("secret")}
    for destination in ("crm-eu", "crm-a"):
        await connect(owner, destination, labels=labels, settings=values)
    for parent in PARENTS.values():
        for title in ("One", "Two", "Three"):
            await owner.destinations.CreateFilter(dpb.CreateFilterRequest(parent=parent, rule=rule(title)))
    await save(owner, definitions, code=f"{CODE}// 3\n")
    await owner.functions.DeployVersion(
        fpb.DeployVersionRequest(name=f"{CRM}/versions/3", target=named(f"{ACME}/destinations/crm-a"))
    )
    await owner.functions.UpdateFunction(fpb.UpdateFunctionRequest(name=CRM, description="Known"))


def named(*names: str) -> fpb.DeploymentTarget:
    return fpb.DeploymentTarget(named=fpb.DestinationNames(names=names))


async def source(caller: Stubs) -> pb.Source:
    answer: spb.GetSourceResponse = await caller.sources.GetSource(spb.GetSourceRequest(name=WEB))
    return answer.source


async def destination(caller: Stubs) -> pb.Destination:
    answer: dpb.GetDestinationResponse = await caller.destinations.GetDestination(
        dpb.GetDestinationRequest(name=CRM_EU)
    )
    return answer.destination


async def version(caller: Stubs) -> pb.Version:
    answer: fpb.GetVersionResponse = await caller.functions.GetVersion(fpb.GetVersionRequest(name=f"{CRM}/versions/3"))
    return answer.version


async def listed(caller: Stubs, parent: str) -> list[pb.Filter]:
    answer: dpb.ListFiltersResponse = await caller.destinations.ListFilters(dpb.ListFiltersRequest(parent=parent))
    return list(answer.filters)


async def one_filter(caller: Stubs, parent: str, title: str) -> pb.Filter:
    (found,) = [one for one in await listed(caller, parent) if one.rule.title == title]
    return found


@dataclass(frozen=True)
class Kind:
    """A change, what its answer tells, how the same is read, and a later change of the same thing."""

    fact: str
    call: Callable[[Stubs, str], Awaitable[Any]]
    told: Callable[[Any], Any]
    read: Callable[[Stubs], Awaitable[Any]]
    later: Callable[[Stubs], Awaitable[Any]]
    # Whether it may be asked for once more, when nothing is left to do.
    again: bool = True


async def policy(caller: Stubs, request_id: str = "", **fields: Any) -> dpb.UpdateDeliveryPolicyResponse:
    request = dpb.UpdateDeliveryPolicyRequest(name=CRM_EU, policy=pb.DeliveryPolicy(**fields), request_id=request_id)
    answer: dpb.UpdateDeliveryPolicyResponse = await caller.destinations.UpdateDeliveryPolicy(request)
    return answer


async def setting(caller: Stubs, request_id: str = "", **fields: Any) -> dpb.SetSettingsResponse:
    request = dpb.SetSettingsRequest(name=CRM_EU, request_id=request_id, **fields)
    answer: dpb.SetSettingsResponse = await caller.destinations.SetSettings(request)
    return answer


async def switched(caller: Stubs, *, on: bool) -> Any:
    if on:
        return await caller.destinations.EnableDestination(dpb.EnableDestinationRequest(name=CRM_EU))
    return await caller.destinations.DisableDestination(dpb.DisableDestinationRequest(name=CRM_EU))


async def with_values(caller: Stubs) -> Any:
    return await caller.destinations.SetSettings(dpb.SetSettingsRequest(name=CRM_EU, set={"region": text("us")}))


def another_filter(parent: str) -> Callable[[Stubs], Awaitable[Any]]:
    request = dpb.CreateFilterRequest(parent=parent, rule=rule("Later"))
    return lambda caller: caller.destinations.CreateFilter(request)


def creating(parent: str) -> Kind:
    request = dpb.CreateFilterRequest(parent=parent, rule=rule("New", 'event = "ü $1"', description="'"))

    async def call(caller: Stubs, request_id: str) -> Any:
        request.request_id = request_id
        return await caller.destinations.CreateFilter(request)

    return Kind(
        "FilterCreated",
        call,
        lambda answer: answer.filter,
        lambda caller: one_filter(caller, parent, "New"),
        lambda caller: caller.destinations.DeleteFilter(dpb.DeleteFilterRequest(name=f"{parent}/filters/new")),
        again=False,
    )


def updating(parent: str) -> Kind:
    request = dpb.UpdateFilterRequest(name=f"{parent}/filters/two", rule=rule("2", 'type = "track"'))

    async def call(caller: Stubs, request_id: str) -> Any:
        request.request_id = request_id
        return await caller.destinations.UpdateFilter(request)

    return Kind(
        "FilterUpdated",
        call,
        lambda answer: answer.filter,
        lambda caller: one_filter(caller, parent, "2"),
        lambda caller: caller.destinations.DeleteFilter(dpb.DeleteFilterRequest(name=f"{parent}/filters/two")),
    )


def reordering(parent: str) -> Kind:
    names = [f"{parent}/filters/{one}" for one in ("three", "one", "two")]

    async def call(caller: Stubs, request_id: str) -> Any:
        request = dpb.ReorderFiltersRequest(parent=parent, filters=names, request_id=request_id)
        return await caller.destinations.ReorderFilters(request)

    return Kind(
        "FiltersReordered",
        call,
        lambda answer: list(answer.filters),
        lambda caller: listed(caller, parent),
        another_filter(parent),
    )


def deleting(parent: str) -> Kind:
    """The one in the middle."""

    async def call(caller: Stubs, request_id: str) -> Any:
        request = dpb.DeleteFilterRequest(name=f"{parent}/filters/two", request_id=request_id)
        return await caller.destinations.DeleteFilter(request)

    async def titles(caller: Stubs) -> list[str]:
        return [one.rule.title for one in await listed(caller, parent)]

    return Kind("FilterDeleted", call, lambda _: ["One", "Three"], titles, another_filter(parent), again=False)


def on_the_destination(fact: str, call: Callable[[Stubs, str], Awaitable[Any]], *, again: bool = True) -> Kind:
    return Kind(fact, call, lambda answer: answer.destination, destination, with_values, again)


def deployment(number: int, target: fpb.DeploymentTarget, request_id: str = "") -> fpb.DeployVersionRequest:
    return fpb.DeployVersionRequest(name=f"{CRM}/versions/{number}", target=target, request_id=request_id)


def deploying(target: fpb.DeploymentTarget) -> Kind:
    return Kind(
        "VersionDeployed",
        lambda caller, request_id: caller.functions.DeployVersion(deployment(3, target, request_id)),
        lambda answer: answer.version,
        version,
        lambda caller: caller.functions.DeployVersion(deployment(2, ALL)),
    )


KINDS = {
    "a source": Kind(
        "SourceUpdated",
        lambda caller, request_id: caller.sources.UpdateSource(
            spb.UpdateSourceRequest(
                name=WEB, display_name="'ü", labels=pb.Labels(labels={"z": "1", "y": "2"}), request_id=request_id
            )
        ),
        lambda answer: answer.source,
        source,
        lambda caller: caller.sources.UpdateSource(spb.UpdateSourceRequest(name=WEB, display_name="Later")),
    ),
    "a source's labels": Kind(
        "SourceUpdated",
        lambda caller, request_id: caller.sources.UpdateSource(
            spb.UpdateSourceRequest(name=WEB, labels=pb.Labels(), request_id=request_id)
        ),
        lambda answer: answer.source,
        source,
        lambda caller: caller.sources.UpdateSource(spb.UpdateSourceRequest(name=WEB, display_name="Later")),
    ),
    "a policy": on_the_destination(
        "DeliveryPolicyUpdated",
        lambda caller, request_id: policy(caller, request_id, max_per_second=2.5, batching=pb.Batching(max_events=5)),
    ),
    "switched on": on_the_destination(
        "DestinationEnabled",
        lambda caller, request_id: caller.destinations.EnableDestination(
            dpb.EnableDestinationRequest(name=CRM_EU, request_id=request_id)
        ),
    ),
    "a value": on_the_destination(
        "SettingsChanged",
        lambda caller, request_id: setting(caller, request_id, set={"region": text("'ü")}),
        again=False,
    ),
    "a value of another type, and one less": on_the_destination(
        "SettingsChanged",
        lambda caller, request_id: setting(caller, request_id, set={"hosts": HOSTS}, clear=["region"]),
        again=False,
    ),
    "a version for all": deploying(ALL),
    "a version for one": deploying(named(CRM_EU)),
    **{f"a new filter of a {kind}": creating(parent) for kind, parent in PARENTS.items()},
    **{f"another rule of a {kind}": updating(parent) for kind, parent in PARENTS.items()},
    **{f"another order of a {kind}": reordering(parent) for kind, parent in PARENTS.items()},
    **{f"a filter less of a {kind}": deleting(parent) for kind, parent in PARENTS.items()},
}


@pytest.mark.parametrize("name", KINDS)
async def test_the_answer_is_what_is_read_afterwards_now_and_when_repeated(
    world: World, owner: Stubs, database: str, made: list[bool], name: str
) -> None:
    """A3."""
    kind = KINDS[name]
    made.clear()
    first = await kind.call(owner, "once")
    assert made == [True]
    assert (await facts_of(world))[-1] == kind.fact
    assert kind.told(first) == await kind.read(owner)
    await same_when_rebuilt(world, database)
    assert all(found == list(range(len(found))) for found in (await places(world)).values())
    if kind.again:
        # The workspace's last fact is about something else.
        await owner.functions.UpdateFunction(fpb.UpdateFunctionRequest(name=CRM, description="Other"))
        again = await kind.call(owner, "again")
        assert kind.told(again) == kind.told(first)
    await kind.later(owner)
    assert await kind.call(owner, "once") == first
    assert not kind.again or await kind.call(owner, "again") == again
    assert made[-1] is False


async def places(world: World) -> dict[str, list[int]]:
    """The places of each parent's filters."""
    rows = await world.rows("SELECT parent, place FROM filters ORDER BY parent, place")
    grouped = itertools.groupby(rows, key=lambda row: row["parent"])
    return {parent: [row["place"] for row in group] for parent, group in grouped}


async def same_when_rebuilt(world: World, database: str) -> None:
    before = await projected(world)
    await rebuild(database)
    assert await projected(world) == before


@pytest.mark.parametrize("hold", [True, False])
async def test_a_switch_goes_both_ways(world: World, database: str, owner: Stubs, made: list[bool], hold: bool) -> None:
    await KINDS["switched on"].call(owner, "on")
    made.clear()
    request = dpb.DisableDestinationRequest(name=CRM_EU, hold=hold, request_id="off")
    first = await owner.destinations.DisableDestination(request)
    assert first.destination == await destination(owner)
    assert (first.destination.enabled, first.destination.held) == (False, hold)
    await same_when_rebuilt(world, database)
    again = dpb.DisableDestinationRequest(name=CRM_EU, hold=hold)
    # Nothing is left to do, and the answer says how it is.
    assert (await owner.destinations.DisableDestination(again)).destination == first.destination
    enabled = await owner.destinations.EnableDestination(dpb.EnableDestinationRequest(name=CRM_EU))
    assert enabled.destination == await destination(owner)
    assert (enabled.destination.enabled, enabled.destination.held) == (True, False)
    assert made == [True, False, True]
    assert await owner.destinations.DisableDestination(request) == first


async def test_a_deployment_that_encrypts_a_value_is_made_the_long_way(
    world: World, owner: Stubs, made: list[bool]
) -> None:
    await save(owner, [definition("region", encrypted=True), definition("apiKey", encrypted=True)], code=f"{CODE}// 4")
    made.clear()
    request = fpb.DeployVersionRequest(name=f"{CRM}/versions/4", target=ALL)
    await owner.functions.DeployVersion(request)
    assert made == [False]
    assert (await facts_of(world))[-3:] == ["VersionDeployed", "SettingsChanged", "SettingsChanged"]
    region = next(one for one in (await destination(owner)).settings if one.name == "region")
    assert (region.set, region.encrypted, region.HasField("value")) == (True, True, False)


async def test_a_change_of_an_encrypted_value_is_made_the_long_way(
    world: World, owner: Stubs, made: list[bool]
) -> None:
    ciphertext = "SELECT ciphertext FROM encrypted_settings WHERE destination = 'crm-eu'"
    first = await world.rows(ciphertext)
    made.clear()
    answer = await setting(owner, set={"region": text("us"), "apiKey": text("other")})
    assert answer.destination == await destination(owner)
    (second,) = await world.rows(ciphertext)
    assert [second] != first
    await setting(owner, clear=["apiKey"])
    assert await world.rows(ciphertext) == []
    await setting(owner, set={"apiKey": text("third")})
    assert len(await world.rows(ciphertext)) == 1
    assert made == [False, False, False]
    await setting(owner, set={"region": text("eu")})
    assert made[-1] is True


async def test_a_value_that_is_no_longer_encrypted_leaves_no_ciphertext(
    world: World, owner: Stubs, made: list[bool]
) -> None:
    # Another type: the deployment leaves the ciphertext for version 3.
    plain = definition("apiKey", type=pb.SETTING_TYPE_STRING_LIST)
    await save(owner, [plain], code=f"{CODE}// 4", deploy_to=ALL)
    made.clear()
    # What does not fit is none of this version's.
    limited = await policy(owner, max_per_second=2)
    assert limited.destination == await destination(owner)
    assert not any(one.set for one in limited.destination.settings)
    answer = await setting(owner, set={"apiKey": HOSTS})
    assert made == [True, False]
    assert answer.destination == await destination(owner)
    assert await world.rows("SELECT 1 FROM encrypted_settings WHERE destination = 'crm-eu'") == []


async def test_without_the_operators_key_what_needs_it_is_refused_and_nothing_else(
    world: World, owner: Stubs, made: list[bool]
) -> None:
    """Each of them, whichever way it takes."""
    await save(owner, [definition("region", encrypted=True)], code=f"{CODE}// 4")
    await world.rows("UPDATE data_keys SET key_id = 'elsewhere'")
    made.clear()
    await setting(owner, set={"region": text("us")})
    await owner.functions.DeployVersion(deployment(3, ALL))
    # The long way.
    await setting(owner, set={"region": text("us")}, clear=["apiKey"])
    for refused in (setting(owner, set={"apiKey": text("x")}), owner.functions.DeployVersion(deployment(4, ALL))):
        with pytest.raises(Unavailable, match="mended the keys"):
            await refused
    assert made == [True, True, False, False, False]


async def test_a_value_that_is_required_stays(owner: Stubs, made: list[bool]) -> None:
    await save(owner, [definition("region", required=True)], code=f"{CODE}// 4", deploy_to=ALL)
    await KINDS["switched on"].call(owner, "")
    made.clear()
    with pytest.raises(WrongState, match="region"):
        await setting(owner, clear=["region"])
    assert made == [False]


async def test_long_rules_are_read_beside_the_calls_of_others(
    owner: Stubs, made: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    in_a_thread = asyncio.to_thread

    async def noting(call: Any, *args: Any) -> Any:
        read.append(call)
        return await in_a_thread(call, *args)

    monkeypatch.setattr(asyncio, "to_thread", noting)
    await owner.destinations.CreateFilter(dpb.CreateFilterRequest(parent=CRM_EU, rule=rule("New")))
    assert read == []
    long = " or ".join(f'event = "{number}"' for number in range(filters.READ_AT_ONCE_BYTES_MAX // 12))
    made.clear()
    await owner.destinations.CreateFilter(dpb.CreateFilterRequest(parent=CRM_EU, rule=rule("Long", long)))
    # So is a short one beside it: all of a parent's count together.
    await owner.destinations.CreateFilter(dpb.CreateFilterRequest(parent=CRM_EU, rule=rule("Short")))
    assert len(read) == 2
    assert made == [True, True]


async def both(one: World, two: World) -> list[Stubs]:
    """The owner at two replicas."""
    request = wpb.CreateWorkspaceRequest(workspace_id="acme", display_name="Acme")
    token = (await one.operator.workspaces.CreateWorkspace(request)).owner_token
    await populated(one.caller(token))
    return [one.caller(token), two.caller(token)]


async def test_what_another_replica_deletes_while_it_is_read_is_not_answered(
    database: str, nats_url: str, made: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1."""
    async with running(database, nats_url) as one, running(database, nats_url) as two:
        callers = await both(one, two)
        read = filter_queries.list_filters

        async def after_a_deletion(*args: Any) -> list[pb.Filter]:
            monkeypatch.setattr(filter_queries, "list_filters", read)
            await KINDS["a filter less of a source"].call(callers[1], "")
            return await read(*args)

        monkeypatch.setattr(filter_queries, "list_filters", after_a_deletion)
        with pytest.raises(InvalidArgument, match=f"has {WEB}/filters/two, which"):
            await KINDS["another order of a source"].call(callers[0], "once")
        assert made[-1] is False
        assert [one.rule.title for one in await listed(callers[0], WEB)] == ["One", "Three"]


async def test_two_replicas_lose_nothing(database: str, nats_url: str, made: list[bool]) -> None:
    """C1: whatever else changes the same rows meanwhile."""
    async with running(database, nats_url) as first, running(database, nats_url) as second:
        callers = await both(first, second)
        before = len(await facts_of(first))
        made.clear()
        of_one = [
            *(policy(callers[n % 2], max_per_second=1 + n) for n in range(12)),
            *(setting(callers[n % 2], set={"region": text(f"r{n}")}) for n in range(12)),
            *(switched(callers[n % 2], on=n % 4 < 2) for n in range(12)),
        ]
        others = [
            *(callers[n % 2].functions.DeployVersion(deployment(2 + n % 2, ALL)) for n in range(8)),
            *(
                callers[n % 2].sources.UpdateSource(spb.UpdateSourceRequest(name=WEB, display_name=f"{n}"))
                for n in range(8)
            ),
            *(
                callers[n % 2].destinations.CreateFilter(dpb.CreateFilterRequest(parent=CRM_EU, rule=rule(f"No {n}")))
                for n in range(6)
            ),
            *(KINDS[f"{what} of a destination"].call(callers[n], what) for what in REPLICATED for n in range(2)),
        ]
        mixed = [call for pair in itertools.zip_longest(of_one, others) for call in pair if call is not None]
        answers: list[Any] = await asyncio.gather(*mixed, return_exceptions=True)
        refused = [one for one in answers if isinstance(one, BaseException)]
        assert {type(one) for one in refused} <= {InvalidArgument, NotFound}
        assert any(made)
        done = [one for one in answers if not isinstance(one, BaseException)]
        facts = await log_of(database)
        assert {one.position for one in done if one.position > before} == set(range(before + 1, len(facts) + 1))
        for one in done:
            if hasattr(one, "destination"):
                as_it_was(one.destination, fold(State(), facts[: one.position]).destinations["crm-eu"])
        await same_when_rebuilt(first, database)


def as_it_was(told: pb.Destination, state: DestinationState) -> None:
    (region,) = [one.value for one in told.settings if one.name == "region"]
    assert region == state.settings["region"].value
    assert (told.etag, told.version, told.enabled) == (ids.etag_of(state), state.version, state.enabled)
    assert told.policy == state.policy


async def log_of(database: str) -> list[Message]:
    pool = await connect_pool(database, application_name="test")
    facts = await PostgresEventStore(pool).read("acme", 0)
    await pool.close()
    return [fact.decode(projections.FACT_TYPES) for fact in facts]


# Where others are made meanwhile an order may lack some, and a filter may be gone.
REPLICATED = ("another rule", "another order", "a filter less")
