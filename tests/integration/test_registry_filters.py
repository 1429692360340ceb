"""Filters as callers of the registry see them."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kit.filters import FilterChain
from kit.filters.rules import chain_of, spec_of
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import internal_service_pb2 as ipb
from onward.registry.v1 import resources_pb2 as pb
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry import projections
from tests.integration.registry_world import (
    Stubs,
    World,
    a_function,
    a_source,
    connect,
    rebuild,
    refused,
    rule,
    running,
)

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"
WEB = f"{ACME}/sources/web"
CRM_EU = f"{ACME}/destinations/crm-eu"
# In the order in which an event meets them.
PARENTS = (ACME, WEB, CRM_EU)
DROP = pb.FilterAction(drop=True)


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


@pytest.fixture
async def owner(world: World) -> Stubs:
    return await a_workspace(world)


async def a_workspace(world: World, workspace: str = "acme") -> Stubs:
    """One with a source, a function and a destination."""
    owner = await world.workspace(workspace)
    await a_function(owner, [], workspace=workspace)
    await a_source(owner, workspace=workspace)
    source, function = f"workspaces/{workspace}/sources/web", f"workspaces/{workspace}/functions/crm"
    await connect(owner, source=source, function=function)
    return owner


def paths(*names: str) -> pb.FieldPaths:
    return pb.FieldPaths(paths=names)


def creation(
    parent: str = CRM_EU, *, filter_id: str = "", request_id: str = "", **fields: Any
) -> dpb.CreateFilterRequest:
    return dpb.CreateFilterRequest(parent=parent, filter_id=filter_id, request_id=request_id, rule=rule(**fields))


async def create(owner: Stubs, parent: str = CRM_EU, **fields: Any) -> pb.Filter:
    answer: dpb.CreateFilterResponse = await owner.destinations.CreateFilter(creation(parent, **fields))
    return answer.filter


async def listed(owner: Stubs, parent: str = CRM_EU) -> list[pb.Filter]:
    answer: dpb.ListFiltersResponse = await owner.destinations.ListFilters(dpb.ListFiltersRequest(parent=parent))
    return list(answer.filters)


async def preview(owner: Stubs, event: Any, parent: str = CRM_EU, **fields: Any) -> dpb.PreviewFilterResponse:
    text = event if isinstance(event, str) else json.dumps(event)
    request = dpb.PreviewFilterRequest(parent=parent, event=text, **fields)
    answer: dpb.PreviewFilterResponse = await owner.destinations.PreviewFilter(request)
    return answer


async def resolved(world: World, name: str = CRM_EU) -> ipb.ResolveDestinationResponse:
    request = ipb.ResolveDestinationRequest(name=name)
    answer: ipb.ResolveDestinationResponse = await world.service.internal.ResolveDestination(request)
    return answer


async def disconnect(owner: Stubs) -> None:
    await owner.destinations.DisconnectDestination(dpb.DisconnectDestinationRequest(name=CRM_EU))


async def etag_of(owner: Stubs, parent: str) -> str:
    if parent == CRM_EU:
        found = (await owner.destinations.GetDestination(dpb.GetDestinationRequest(name=parent))).destination
    elif parent == WEB:
        found = (await owner.sources.GetSource(spb.GetSourceRequest(name=parent))).source
    else:
        found = (await owner.workspaces.GetWorkspace(wpb.GetWorkspaceRequest(name=parent))).workspace
    return str(found.etag)


# --- each RPC -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parent", PARENTS)
async def test_filters_are_made_changed_ordered_and_deleted_at_every_level(owner: Stubs, parent: str) -> None:
    etags = [await etag_of(owner, parent)]
    first = await create(owner, parent, description="For people.")
    etags.append(await etag_of(owner, parent))
    assert first.name == f"{parent}/filters/no-robots"
    assert first.rule == rule(description="For people.")
    assert first.create_time == first.update_time
    second = await create(owner, parent, filter_id="second", title="Second", enabled=False)
    assert await listed(owner, parent) == [first, second]
    etags.append(await etag_of(owner, parent))

    change = dpb.UpdateFilterRequest(name=first.name, etag=first.etag, rule=rule("Changed"))
    changed = (await owner.destinations.UpdateFilter(change)).filter
    assert (changed.name, changed.rule, changed.create_time) == (first.name, rule("Changed"), first.create_time)
    assert changed.etag != first.etag
    assert changed.update_time.ToNanoseconds() > first.update_time.ToNanoseconds()
    etags.append(await etag_of(owner, parent))

    order = dpb.ReorderFiltersRequest(parent=parent, filters=[second.name, first.name])
    reordered = await owner.destinations.ReorderFilters(order)
    assert list(reordered.filters) == await listed(owner, parent) == [second, changed]
    etags.append(await etag_of(owner, parent))

    removed = await owner.destinations.DeleteFilter(dpb.DeleteFilterRequest(name=second.name, etag=second.etag))
    assert removed.position > reordered.position
    assert await listed(owner, parent) == [changed]
    etags.append(await etag_of(owner, parent))
    assert len(set(etags)) == len(etags)
    # The last one goes, and the next is the last again.
    third = await create(owner, parent, title="Third")
    assert await listed(owner, parent) == [changed, third]


async def test_a_repeated_request_gets_the_first_answer_and_does_nothing_twice(world: World, owner: Stubs) -> None:
    """A3."""
    made = await create(owner)
    other = await create(owner, title="Other")
    calls: list[tuple[Any, Any, Any]] = [
        (
            owner.destinations.CreateFilter,
            creation(title="New", request_id="r1"),
            creation(title="Newer", request_id="r1"),
        ),
        (
            owner.destinations.UpdateFilter,
            dpb.UpdateFilterRequest(name=made.name, rule=rule("U"), request_id="r2"),
            dpb.UpdateFilterRequest(name=made.name, rule=rule("V"), request_id="r2"),
        ),
        (
            owner.destinations.ReorderFilters,
            dpb.ReorderFiltersRequest(
                parent=CRM_EU, filters=[f"{CRM_EU}/filters/new", other.name, made.name], request_id="r3"
            ),
            dpb.ReorderFiltersRequest(parent=CRM_EU, filters=[other.name, made.name], request_id="r3"),
        ),
        (
            owner.destinations.DeleteFilter,
            dpb.DeleteFilterRequest(name=made.name, request_id="r4"),
            dpb.DeleteFilterRequest(name=other.name, request_id="r4"),
        ),
    ]
    for call, request, another in calls:
        first = await call(request)
        assert await call(request) == first
        async with refused("ALREADY_EXISTS", "REQUEST_ID_REUSED"):
            await call(another)
        rows = await world.rows("SELECT max(position) AS head FROM facts WHERE workspace = 'acme'")
        assert rows[0]["head"] == first.position


async def test_each_refusal_has_its_code(owner: Stubs) -> None:
    made = await create(owner)
    update = dpb.UpdateFilterRequest(name=made.name, rule=rule("Next"), etag=made.etag)
    await owner.destinations.UpdateFilter(update)
    for stale in (
        owner.destinations.UpdateFilter(update),
        owner.destinations.DeleteFilter(dpb.DeleteFilterRequest(name=made.name, etag=made.etag)),
    ):
        async with refused("ABORTED", "CONFLICT"):
            await stale
    async with refused("ALREADY_EXISTS", "ALREADY_EXISTS"):
        await create(owner, filter_id="no-robots", title="Another")
    async with refused("ALREADY_EXISTS", "ALREADY_EXISTS"):
        await create(owner, title="Next")
    async with refused("INVALID_ARGUMENT", "INVALID_FIELD") as told:
        await owner.destinations.ReorderFilters(dpb.ReorderFiltersRequest(parent=CRM_EU))
    assert made.name in told["message"]
    for n in range(9):
        await create(owner, title=f"F{n}")
    async with refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED") as told:
        await create(owner, title="Eleventh")
    assert (told["limit"], told["max"]) == ("filters_max", "10")


async def test_a_bad_condition_is_refused_at_save_with_its_place(owner: Stubs) -> None:
    bad = rule("A", "event = 'A' and\n  b = = 2", enabled=False)
    calls: list[Any] = [
        lambda: owner.destinations.CreateFilter(dpb.CreateFilterRequest(parent=WEB, rule=bad)),
        lambda: preview(owner, {}, rule=bad),
    ]
    for call in calls:
        async with refused("INVALID_ARGUMENT", "INVALID_FIELD") as told:
            await call()
        assert (told["line"], told["column"]) == ("2", "7")
        assert "rule.condition" in told["violations"]
    async with refused("INVALID_ARGUMENT", "INVALID_FIELD") as told:
        await create(owner, condition="a = 'x'".ljust(5121))
    assert "rule.condition" in told["violations"]
    actions = [DROP, pb.FilterAction(hash_fields=paths("type"))]
    async with refused("INVALID_ARGUMENT", "INVALID_FIELD") as told:
        await owner.destinations.CreateFilter(
            dpb.CreateFilterRequest(parent=WEB, rule=pb.FilterRule(title="A", condition="all", actions=actions))
        )
    assert "rule.actions[1].hash_fields.paths[0]" in told["violations"]
    assert await listed(owner, WEB) == []


async def test_what_does_not_exist_is_not_found_by_any_call(owner: Stubs) -> None:
    await create(owner)
    for parent in (f"{ACME}/sources/none", f"{ACME}/destinations/none"):
        for call in (
            owner.destinations.CreateFilter(creation(parent)),
            owner.destinations.ListFilters(dpb.ListFiltersRequest(parent=parent)),
            owner.destinations.ReorderFilters(dpb.ReorderFiltersRequest(parent=parent)),
            preview(owner, {}, parent),
            preview(owner, {}, parent, rule=rule()),
        ):
            async with refused("NOT_FOUND", "NOT_FOUND"):
                await call
    for name in (f"{CRM_EU}/filters/none", f"{WEB}/filters/no-robots", f"{ACME}/filters/no-robots"):
        for call in (
            owner.destinations.UpdateFilter(dpb.UpdateFilterRequest(name=name, rule=rule())),
            owner.destinations.DeleteFilter(dpb.DeleteFilterRequest(name=name)),
        ):
            async with refused("NOT_FOUND", "NOT_FOUND"):
                await call


async def test_a_name_of_another_form_is_refused(owner: Stubs) -> None:
    for parent in (f"{ACME}/functions/crm", f"{ACME}/members/owner", f"{CRM_EU}/filters/a"):
        async with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
            await listed(owner, parent)
    for name in (CRM_EU, f"{ACME}/functions/crm/filters/a"):
        async with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
            await owner.destinations.DeleteFilter(dpb.DeleteFilterRequest(name=name))


# --- who may ------------------------------------------------------------------------------------------------


async def somebody(world: World, owner: Stubs, member: str, *grants: pb.RoleGrant) -> Stubs:
    await owner.workspaces.AddMember(
        wpb.AddMemberRequest(parent=ACME, member_id=member, kind=pb.MEMBER_KIND_PERSON, grants=grants)
    )
    token = wpb.CreateTokenRequest(member=f"{ACME}/members/{member}", display_name="Laptop")
    return world.caller((await owner.workspaces.CreateToken(token)).secret)


def grant(role: pb.Role.ValueType, *names: str) -> pb.RoleGrant:
    scope = pb.RoleScope(names=pb.ResourceNames(names=names)) if names else None
    return pb.RoleGrant(role=role, scope=scope)


async def test_filters_belong_to_those_who_administer_their_parent(world: World, owner: Stubs) -> None:
    """The table of actions: a destination's need Source Admin and read on the function, the workspace's an owner."""
    made = {parent: await create(owner, parent) for parent in PARENTS}
    source_admin = await somebody(world, owner, "source", grant(pb.ROLE_SOURCE_ADMIN, WEB))
    reads = grant(pb.ROLE_FUNCTIONS_READ_ONLY, f"{ACME}/functions/crm")
    both = await somebody(world, owner, "both", grant(pb.ROLE_SOURCE_ADMIN, WEB), reads)
    reader = await somebody(world, owner, "reader", reads)
    member = await somebody(world, owner, "member", grant(pb.ROLE_MEMBER))
    table: list[tuple[Stubs, set[str], set[str]]] = [
        (source_admin, set(PARENTS), {WEB}),
        (both, set(PARENTS), {WEB, CRM_EU}),
        (reader, {CRM_EU}, set()),
        (member, set(), set()),
    ]
    for caller, sees, changes in table:
        for parent in PARENTS:
            name = made[parent].name
            await allowed(lambda p=parent, c=caller: listed(c, p), parent in sees)
            await allowed(lambda p=parent, c=caller: preview(c, {"a": 1}, p), parent in sees)
            calls = caller.destinations
            for call, request in (
                (calls.UpdateFilter, dpb.UpdateFilterRequest(name=name, rule=rule())),
                (calls.ReorderFilters, dpb.ReorderFiltersRequest(parent=parent, filters=[name])),
                (calls.CreateFilter, creation(parent, title="New")),
                (calls.DeleteFilter, dpb.DeleteFilterRequest(name=f"{parent}/filters/new")),
            ):
                await allowed(lambda c=call, r=request: c(r), parent in changes)


async def test_a_preview_tells_nothing_of_filters_that_its_caller_may_not_list(world: World, owner: Stubs) -> None:
    """Neither by title nor by what they do to the event."""
    drops = pb.FilterAction(drop_fields=paths("secret"))
    actions = {"title": "Merger", "condition": "event = 'Merger'"}
    await create(owner, ACME, **actions)
    await owner.destinations.CreateFilter(
        dpb.CreateFilterRequest(parent=WEB, rule=rule("Hide", "all", drops, pb.FilterAction(hash_fields=paths("a"))))
    )
    await create(owner, CRM_EU, title="Own", condition="event = 'Own'")
    reader = await somebody(world, owner, "reader", grant(pb.ROLE_FUNCTIONS_READ_ONLY, f"{ACME}/functions/crm"))
    source_admin = await somebody(world, owner, "source", grant(pb.ROLE_SOURCE_ADMIN, WEB))

    for event in ({"event": "Merger"}, {"secret": 1, "a": 2}):
        shown = await preview(reader, event)
        assert (json.loads(shown.event), shown.incomplete) == (event, True)
    shown = await preview(reader, {"event": "Own"})
    assert (shown.dropped_by, shown.incomplete) == ("Own", True)
    # One filter alone is complete.
    assert not (await preview(reader, {}, rule=rule())).incomplete

    for caller in (owner, source_admin):
        shown = await preview(caller, {"event": "Merger"})
        assert (shown.dropped_by, shown.incomplete) == ("Merger", False)
        shown = await preview(caller, {"secret": 1})
        assert (json.loads(shown.event), shown.incomplete) == ({}, False)


async def test_a_preview_is_computed_beside_the_event_loop(owner: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second of it would keep everybody else's calls waiting."""
    threads: list[threading.Thread] = []

    class Noting(FilterChain):
        def __init__(self, *groups: Any) -> None:
            threads.append(threading.current_thread())
            super().__init__(*groups)

    monkeypatch.setattr("kit.filters.rules.FilterChain", Noting)
    await create(owner)
    tried: list[dict[str, Any]] = [{}, {"rule": rule()}]
    for fields in tried:
        assert (await preview(owner, {}, **fields)).dropped
    assert len(threads) == 2
    assert threading.main_thread() not in threads


async def allowed(call: Any, may: bool) -> None:
    if may:
        await call()
        return
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await call()


async def test_two_workspaces_with_equal_ids_know_nothing_of_each_others_filters(world: World, owner: Stubs) -> None:
    """C10."""
    other = await a_workspace(world, "other")
    there = "workspaces/other/destinations/crm-eu"
    for parent in PARENTS:
        mine = await create(owner, parent, filter_id="f", title="Mine")
        theirs = parent.replace("acme", "other")
        assert await listed(other, theirs) == []
        await create(other, theirs, filter_id="f", title="Theirs", enabled=False)
        await other.destinations.DeleteFilter(dpb.DeleteFilterRequest(name=f"{theirs}/filters/f"))
        assert await listed(owner, parent) == [mine]
        for call in (
            listed(other, parent),
            preview(other, {}, parent),
            other.destinations.CreateFilter(creation(parent)),
            other.destinations.UpdateFilter(dpb.UpdateFilterRequest(name=mine.name, rule=rule())),
            other.destinations.DeleteFilter(dpb.DeleteFilterRequest(name=mine.name)),
            other.destinations.ReorderFilters(dpb.ReorderFiltersRequest(parent=parent, filters=[mine.name])),
        ):
            async with refused("NOT_FOUND", "NOT_FOUND"):
                await call
    assert not (await preview(other, {"a": 1}, there)).dropped
    assert not (await resolved(world, there)).filters
    assert len((await resolved(world)).filters) == 3


# --- preview ------------------------------------------------------------------------------------------------


async def test_a_preview_shows_what_one_filter_makes_of_an_event(owner: Stubs) -> None:
    await create(owner, title="Drops all")
    event = {"z": 1, "type": "track", "context": {"ip": "::1", "b": 2, "a": 1}, "properties": {"total": 1.5}}
    removes = pb.FilterAction(drop_fields=paths("context.ip"))
    # The saved filters are not asked, and this one as if it were enabled.
    shown = await preview(owner, event, rule=rule("A", "type = 'track'", removes, enabled=False))
    assert (shown.dropped, shown.dropped_by) == (False, "")
    assert shown.event == '{"z":1,"type":"track","context":{"b":2,"a":1},"properties":{"total":1.5}}'
    shown = await preview(owner, event, rule=rule("A", "properties.total > 1"))
    assert (shown.event, shown.dropped, shown.dropped_by) == ("", True, "A")


async def test_a_preview_without_a_filter_shows_what_is_left_on_the_way_to_a_place(owner: Stubs) -> None:
    for parent, name in zip(PARENTS, "abc", strict=True):
        removes = pb.FilterAction(drop_fields=paths(f"properties.{name}"))
        request = dpb.CreateFilterRequest(parent=parent, rule=rule(f"Drops {name}", "all", removes))
        await owner.destinations.CreateFilter(request)
    await create(owner, ACME, title="Off", enabled=False)
    # What the workspace removed, no filter of a destination looks at.
    await create(owner, title="Sees a", condition="properties.a = 1")
    await create(owner, title="Sees d", condition="properties.d = 1")
    event = {"properties": {"a": 1, "b": 1, "c": 1, "e": 1}}
    assert [json.loads((await preview(owner, event, parent)).event)["properties"] for parent in PARENTS] == [
        {"b": 1, "c": 1, "e": 1},
        {"c": 1, "e": 1},
        {"e": 1},
    ]
    event["properties"]["d"] = 1
    shown = await preview(owner, event)
    assert (shown.dropped, shown.dropped_by) == (True, "Sees d")


async def test_a_preview_keeps_what_may_be_kept_at_random_and_is_exact_by_a_field(owner: Stubs) -> None:
    def sampled(rate: float, path: str = "") -> pb.FilterRule:
        return rule("A", "all", pb.FilterAction(sample=pb.Sampling(rate=rate, path=path)))

    assert not (await preview(owner, {"userId": "u1"}, rule=sampled(0.01))).dropped
    assert (await preview(owner, {"userId": "u1"}, rule=sampled(0))).dropped
    chain_says = []
    shown = []
    for n in range(20):
        event = {"userId": f"u{n}"}
        chain = FilterChain([spec_of("f", sampled(0.5, "userId"))])
        chain_says.append(chain.apply(event, lambda: 1.0).event is None)
        shown.append((await preview(owner, event, rule=sampled(0.5, "userId"))).dropped)
    assert shown == chain_says
    assert {True, False} == set(shown)


@pytest.mark.parametrize("event", ["[]", "null", "12", '"{}"', "{]", '{"a": NaN}', '{"a":' * 300 + "1" + "}" * 300])
async def test_what_is_no_event_is_not_previewed(owner: Stubs, event: str) -> None:
    async with refused("INVALID_ARGUMENT", "INVALID_FIELD") as told:
        await preview(owner, event)
    assert "('event', " in told["violations"]


async def test_a_preview_leaves_no_trace(world: World, owner: Stubs) -> None:
    """H5."""
    await create(owner)
    before = await everything(world)
    await preview(owner, {"a": 1})
    await preview(owner, {"a": 1}, rule=rule())
    assert await everything(world) == before


async def everything(world: World) -> dict[str, list[str]]:
    tables = (*projections.PROJECTED_TABLES, "facts")
    return {name: [row[0] for row in await world.rows(f"SELECT t::text FROM {name} t ORDER BY 1")] for name in tables}


# --- what the executor gets ---------------------------------------------------------------------------------


async def test_a_destination_is_resolved_with_the_filters_of_three_levels(world: World, owner: Stubs) -> None:
    before = await resolved(world)
    assert (list(before.filters), before.filter_revision) == ([], 0)
    revisions = []
    for parent in (CRM_EU, ACME, WEB):
        await create(owner, parent, title="On")
        await create(owner, parent, title="Off", enabled=False)
        revisions.append((await resolved(world)).filter_revision)
    found = await resolved(world)
    assert [[one.name for one in group.filters] for group in found.filters] == [
        [f"{parent}/filters/on"] for parent in PARENTS
    ]
    assert found.filter_revision == found.position
    assert chain_of(found.filters).apply({"a": 1}, lambda: 0.0) == (None, f"{ACME}/filters/on")
    await owner.destinations.DeleteFilter(dpb.DeleteFilterRequest(name=f"{ACME}/filters/off"))
    revisions.append((await resolved(world)).filter_revision)
    order = [f"{WEB}/filters/off", f"{WEB}/filters/on"]
    await owner.destinations.ReorderFilters(dpb.ReorderFiltersRequest(parent=WEB, filters=order))
    revisions.append((await resolved(world)).filter_revision)
    assert revisions == sorted(set(revisions))
    # Another source's filters and other changes are none of this destination's.
    await a_source(owner, "app")
    await create(owner, f"{ACME}/sources/app")
    assert (await resolved(world)).filter_revision == revisions[-1]


async def test_all_that_a_destination_may_have_fits_into_an_answer(world: World, owner: Stubs) -> None:
    fields = paths(*(f"properties.{n:03}{'x' * 290}" for n in range(95)))
    for parent in PARENTS:
        for n in range(10):
            large = rule(f"F{n}", "all", pb.FilterAction(drop_fields=fields))
            await owner.destinations.CreateFilter(dpb.CreateFilterRequest(parent=parent, rule=large))
    found = await resolved(world)
    assert sum(len(group.filters) for group in found.filters) == 30
    chain_of(found.filters)


async def test_filters_go_with_their_destination_and_their_source(world: World, owner: Stubs) -> None:
    for parent in PARENTS:
        await create(owner, parent)
    await disconnect(owner)
    await owner.sources.DeleteSource(spb.DeleteSourceRequest(name=WEB))
    for parent in (WEB, CRM_EU):
        async with refused("NOT_FOUND", "NOT_FOUND"):
            await listed(owner, parent)
        async with refused("NOT_FOUND", "NOT_FOUND"):
            await preview(owner, {}, parent)
        async with refused("NOT_FOUND", "NOT_FOUND"):
            await create(owner, parent, title="Late")
    assert [row["parent"] for row in await world.rows("SELECT parent FROM filters")] == [""]


# --- storage ------------------------------------------------------------------------------------------------


async def test_rows_of_filters_made_again_from_the_log_are_the_live_rows(
    world: World, owner: Stubs, database: str
) -> None:
    """C3."""
    for parent in PARENTS:
        a, b, c = [await create(owner, parent, title=title) for title in "abc"]
        await owner.destinations.UpdateFilter(dpb.UpdateFilterRequest(name=b.name, rule=rule("B", "a = 1")))
        order = dpb.ReorderFiltersRequest(parent=parent, filters=[c.name, a.name, b.name])
        await owner.destinations.ReorderFilters(order)
        await owner.destinations.DeleteFilter(dpb.DeleteFilterRequest(name=a.name))
        await create(owner, parent, filter_id="a", title="Again")
    await disconnect(owner)
    live = await everything(world)
    assert len(live["filters"]) == 6
    await rebuild(database)
    assert await everything(world) == live


async def test_a_registry_that_starts_anew_knows_the_filters_and_their_etags(database: str, nats_url: str) -> None:
    async with running(database, nats_url) as world:
        made = await world.operator.workspaces.CreateWorkspace(wpb.CreateWorkspaceRequest(display_name="Acme"))
        kept = await create(world.caller(made.owner_token), ACME)
    async with running(database, nats_url) as world:
        owner = world.caller(made.owner_token)
        assert await listed(owner, ACME) == [kept]
        update = dpb.UpdateFilterRequest(name=kept.name, etag=kept.etag, rule=rule("Next"))
        assert (await owner.destinations.UpdateFilter(update)).filter.rule.title == "Next"


@pytest.mark.parametrize("text", ["'; DROP TABLE filters; --", "%_\\", "$.a ? (@ > 1)", '{"a"}', "ア\u202e"])
async def test_meta_characters_are_stored_literally(owner: Stubs, text: str) -> None:
    """H12."""
    quoted = "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    hashes = pb.FilterAction(hash_fields=paths("".join(f"\\{character}" for character in text)))
    kept = rule(text, f"event = {quoted}", hashes, description=text)
    made = (await owner.destinations.CreateFilter(dpb.CreateFilterRequest(parent=CRM_EU, rule=kept))).filter
    assert made.rule == kept
    assert await listed(owner) == [made]
    shown = await preview(owner, {"event": text, text: "x"})
    assert len(json.loads(shown.event)[text]) == 64


async def test_a_deployment_keeps_the_filters(world: World, owner: Stubs) -> None:
    made = await create(owner)
    request = fpb.SaveFunctionRequest(
        name=f"{ACME}/functions/crm",
        code="async function onTrack(event, settings) {}",
        deploy_to=fpb.DeploymentTarget(all=True),
    )
    await owner.functions.SaveFunction(request)
    assert [list(group.filters) for group in (await resolved(world)).filters] == [[made]]
