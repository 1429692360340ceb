"""The registry over real gRPC, Postgres and NATS: what each call does and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from kit.errors import OnwardError, Unavailable
from onward.executor.v1 import execution_service_pb2
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from tests.integration.registry_world import (
    CODE,
    World,
    a_function,
    a_source,
    connect,
    definition,
    refused,
    running,
    save,
    text,
)

pytestmark = pytest.mark.integration

ALL = fpb.DeploymentTarget(all=True)
CRM = "workspaces/acme/functions/crm"
CRM_EU = "workspaces/acme/destinations/crm-eu"


@pytest.fixture
async def world(database: str, nats_url: str) -> AsyncIterator[World]:
    async with running(database, nats_url) as world:
        yield world


def create(display_name: str, **fields: Any) -> fpb.CreateFunctionRequest:
    return fpb.CreateFunctionRequest(parent="workspaces/acme", display_name=display_name, **fields)


# Workspaces


async def test_a_workspace_is_created_by_the_operator_and_opened_by_its_token(world: World) -> None:
    request = wpb.CreateWorkspaceRequest(display_name="Acme & Söhne")
    made = await world.operator.workspaces.CreateWorkspace(request)
    assert made.workspace.name == "workspaces/acme-sohne"
    assert (made.workspace.functions_max, made.position) == (10, 4)
    owner = world.caller(made.owner_token)
    got = await owner.workspaces.GetWorkspace(wpb.GetWorkspaceRequest(name=made.workspace.name, at_least_position=4))
    assert got.workspace == made.workspace
    again = await world.operator.workspaces.CreateWorkspace(request)
    assert again.workspace.name == "workspaces/acme-sohne-2"
    assert again.owner_token != made.owner_token


async def test_a_workspace_id_is_taken_once(world: World) -> None:
    await world.workspace()
    for taken in ("acme", "system"):
        async with refused("ALREADY_EXISTS", "ALREADY_EXISTS"):
            await world.workspace(taken)


async def test_workspaces_are_listed_to_the_operator_by_page(world: World) -> None:
    for workspace in ("gamma", "alpha", "beta"):
        owner = await world.workspace(workspace)
    first = await world.operator.workspaces.ListWorkspaces(wpb.ListWorkspacesRequest(page_size=2))
    assert [one.name for one in first.workspaces] == ["workspaces/alpha", "workspaces/beta"]
    request = wpb.ListWorkspacesRequest(page_size=2, page_token=first.next_page_token)
    second = await world.operator.workspaces.ListWorkspaces(request)
    assert [one.name for one in second.workspaces] == ["workspaces/gamma"]
    assert second.next_page_token == ""
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await owner.workspaces.ListWorkspaces(wpb.ListWorkspacesRequest())


async def test_the_operator_sets_limits_and_allows_ranges(world: World) -> None:
    await world.workspace()
    limits = opb.SetLimitsRequest(name="workspaces/acme", functions_max=3)
    assert (await world.operator.operator.SetLimits(limits)).workspace.functions_max == 3
    allow = opb.AllowEgressRangeRequest(name="workspaces/acme", range="10.1.0.0/16")
    allowed = await world.operator.operator.AllowEgressRange(allow)
    assert (list(allowed.workspace.egress_ranges), allowed.position) == (["10.1.0.0/16"], 6)
    async with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        bad = opb.AllowEgressRangeRequest(name="workspaces/acme", range="10.1.2.3/16")
        await world.operator.operator.AllowEgressRange(bad)
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await world.operator.operator.SetLimits(opb.SetLimitsRequest(name="workspaces/none", functions_max=3))


# Who may


async def test_outsiders_find_nothing_and_strangers_get_nowhere(world: World) -> None:
    """H1."""
    owner, other = await world.workspace(), await world.workspace("other")
    await a_function(owner, [])
    for name in (CRM, "workspaces/acme/functions/none"):
        async with refused("NOT_FOUND", "NOT_FOUND"):
            await other.functions.GetFunction(fpb.GetFunctionRequest(name=name))
    for token in ("", "nonsense", "onw_t0000_0000000000000000", "onw_abcd_" + "0" * 32):
        async with refused("UNAUTHENTICATED", "INVALID_TOKEN"):
            await world.caller(token).functions.GetFunction(fpb.GetFunctionRequest(name=CRM))
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await world.operator.functions.GetFunction(fpb.GetFunctionRequest(name=CRM))
    async with refused("PERMISSION_DENIED", "PERMISSION_DENIED"):
        await owner.workspaces.CreateWorkspace(wpb.CreateWorkspaceRequest(display_name="Mine"))


async def test_a_function_of_another_workspace_cannot_be_connected(world: World) -> None:
    owner, other = await world.workspace(), await world.workspace("other")
    await a_function(other, [], workspace="other")
    await a_source(owner)
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await connect(owner, function="workspaces/other/functions/crm")


@pytest.mark.parametrize(
    "name", ["", "functions/crm", "workspaces/acme/functions/CRM", "workspaces/acme/functions/a/b"]
)
async def test_a_malformed_name_is_refused(world: World, name: str) -> None:
    owner = await world.workspace()
    async with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        await owner.functions.GetFunction(fpb.GetFunctionRequest(name=name))


# Repeating, conflicts, limits


async def test_a_repeated_request_gets_the_first_answer_without_the_secret(world: World) -> None:
    """A3."""
    request = wpb.CreateWorkspaceRequest(display_name="Acme", request_id="r1")
    first = await world.operator.workspaces.CreateWorkspace(request)
    again = await world.operator.workspaces.CreateWorkspace(request)
    assert first.owner_token
    assert again.owner_token == ""
    again.owner_token = first.owner_token
    assert again == first
    other = wpb.CreateWorkspaceRequest(display_name="Other", request_id="r1")
    async with refused("ALREADY_EXISTS", "REQUEST_ID_REUSED"):
        await world.operator.workspaces.CreateWorkspace(other)


async def test_a_repeated_mutation_does_nothing_twice_and_another_body_is_refused(world: World) -> None:
    """A3."""
    owner = await world.workspace()
    request = create("CRM", request_id="r1")
    first = await owner.functions.CreateFunction(request)
    assert await owner.functions.CreateFunction(request) == first
    async with refused("ALREADY_EXISTS", "REQUEST_ID_REUSED"):
        await owner.functions.CreateFunction(create("Other", request_id="r1"))
    listed = await owner.functions.ListFunctions(fpb.ListFunctionsRequest(parent="workspaces/acme"))
    assert [one.name for one in listed.functions] == [CRM]


async def test_the_same_request_at_once_is_done_once(world: World) -> None:
    """A3."""
    owner = await world.workspace()
    answers = await asyncio.gather(
        *(owner.functions.CreateFunction(create("CRM", request_id="r1")) for _ in range(8)),
        *(
            world.operator.workspaces.CreateWorkspace(wpb.CreateWorkspaceRequest(display_name="B", request_id="r2"))
            for _ in range(4)
        ),
        return_exceptions=True,
    )
    assert len({one.function.name for one in answers[:8] if not isinstance(one, BaseException)}) == 1
    # Of the creations some may be told to repeat themselves; none makes a second workspace.
    assert {one.code for one in answers[8:] if isinstance(one, OnwardError)} <= {"ABORTED"}
    listed = await world.operator.workspaces.ListWorkspaces(wpb.ListWorkspacesRequest())
    assert [one.name for one in listed.workspaces] == ["workspaces/acme", "workspaces/b"]


async def test_a_repeated_save_is_answered_without_the_executor(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    first = await save(owner, [], request_id="r1")
    world.executor.away = Unavailable("away")
    assert await save(owner, [], request_id="r1") == first


async def test_the_eleventh_function_is_refused_with_the_limit(world: World) -> None:
    owner = await world.workspace()
    for number in range(10):
        await owner.functions.CreateFunction(create(f"Function {number}"))
    async with refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED") as metadata:
        await owner.functions.CreateFunction(create("One more"))
    assert (metadata["limit"], metadata["max"]) == ("functions_max", "10")


async def test_functions_created_at_once_stop_at_the_limit(world: World) -> None:
    """A check-then-act race is settled by the workspace's lock."""
    owner = await world.workspace()
    answers = await asyncio.gather(
        *(owner.functions.CreateFunction(create("Same")) for _ in range(14)), return_exceptions=True
    )
    made = sorted(one.function.name for one in answers if not isinstance(one, BaseException))
    assert len(set(made)) == 10
    assert {one.code for one in answers if isinstance(one, OnwardError)} == {"RESOURCE_EXHAUSTED"}


async def test_of_two_saves_over_the_same_version_one_wins(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    etag = (await owner.functions.GetFunction(fpb.GetFunctionRequest(name=CRM))).function.etag
    answers = await asyncio.gather(*(save(owner, [], etag=etag) for _ in range(4)), return_exceptions=True)
    assert sorted(isinstance(one, OnwardError) for one in answers) == [False, True, True, True]
    assert {(one.code, one.reason) for one in answers if isinstance(one, OnwardError)} == {("ABORTED", "CONFLICT")}


async def test_saves_at_once_make_contiguous_versions(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    answers = await asyncio.gather(*(save(owner, []) for _ in range(8)))
    assert sorted(one.version.number for one in answers) == list(range(3, 11))


# Functions


async def test_a_new_function_is_made_from_a_template(world: World) -> None:
    owner = await world.workspace()
    made = await owner.functions.CreateFunction(
        fpb.CreateFunctionRequest(
            parent="workspaces/acme",
            display_name="Teams!",
            template="teams-message",
            labels={"a": "b"},
            description="d",
        )
    )
    assert made.function.name == "workspaces/acme/functions/teams"
    assert made.function.latest_version == 1
    assert made.function.kind == resources_pb2.FUNCTION_KIND_DESTINATION
    assert dict(made.function.labels) == {"a": "b"}
    assert "async function onTrack" in made.version.code
    assert [one.name for one in made.version.definitions] == ["endpoint", "events"]
    assert made.version.principal == "member:owner"
    got = await owner.functions.GetFunction(fpb.GetFunctionRequest(name=made.function.name))
    assert got.function == made.function
    async with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        await owner.functions.CreateFunction(create("X", template="no-such"))


async def test_templates_are_listed_to_anybody(world: World) -> None:
    listed = await world.caller("").functions.ListTemplates(fpb.ListTemplatesRequest())
    assert [one.name for one in listed.templates][:3] == ["batch", "default", "enrichment"]
    assert all(one.code and one.sample_event for one in listed.templates)


async def test_a_save_answers_the_version_and_what_deserves_a_look(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [definition("apiKey", encrypted=True)])
    found = execution_service_pb2.CodeWarning(rule="logs-event", message="This logs it.", line=2, column=9)
    world.executor.warnings = [found]
    saved = await save(owner, [], code="// hm\nconsole.log(event)\n", keep_definitions=True, timeout_ms=9000)
    assert (saved.version.number, saved.function.latest_version) == (3, 3)
    assert saved.version.timeout_ms == 9000
    assert [one.name for one in saved.version.definitions] == ["apiKey"]
    assert [(one.rule, one.message, one.line, one.column) for one in saved.warnings] == [
        ("logs-event", "This logs it.", 2, 9)
    ]


async def test_code_is_checked_with_the_settings_that_it_is_saved_with(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [definition("apiKey")])
    await save(owner, [], keep_definitions=True)
    assert world.executor.setting_names == ["apiKey"]
    await save(owner, [definition("region"), definition("endpoint")])
    assert world.executor.setting_names == ["region", "endpoint"]


async def test_code_that_does_not_parse_makes_no_version(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    async with refused("INVALID_ARGUMENT", "SYNTAX_ERROR") as metadata:
        await save(owner, [], code="// fine\n\nsyntax error")
    assert (metadata["line"], metadata["column"]) == ("3", "7")
    latest = await owner.functions.GetVersion(fpb.GetVersionRequest(name=f"{CRM}/versions/latest"))
    assert latest.version.number == 2


async def test_nothing_is_saved_while_no_executor_answers(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    world.executor.away = Unavailable("No executor answers.")
    async with refused("UNAVAILABLE", "UNAVAILABLE"):
        await save(owner, [])
    world.executor.away = None
    assert (await save(owner, [])).version.number == 3


async def test_a_setting_is_defined_once_and_named_as_javascript_names(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    for definitions in ([definition("a"), definition("a")], [definition("no-name")], [definition("a", type=0)]):
        async with refused("INVALID_ARGUMENT", "INVALID_FIELD") as metadata:
            await save(owner, definitions)
        assert "definitions[" in metadata["violations"]


async def test_versions_are_listed_newest_first_without_code(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    await a_source(owner)
    await connect(owner)
    await save(owner, [])
    first = await owner.functions.ListVersions(fpb.ListVersionsRequest(parent=CRM, page_size=2))
    assert [one.number for one in first.versions] == [3, 2]
    assert all(one.code == "" and one.code_sha256 for one in first.versions)
    assert [list(one.deployed_to) for one in first.versions] == [[], [CRM_EU]]
    request = fpb.ListVersionsRequest(parent=CRM, page_size=2, page_token=first.next_page_token)
    second = await owner.functions.ListVersions(request)
    assert [one.number for one in second.versions] == [1]
    one = await owner.functions.GetVersion(fpb.GetVersionRequest(name=f"{CRM}/versions/2"))
    assert one.version.code == CODE
    for name in (f"{CRM}/versions/4", f"{CRM}/versions/0", f"{CRM}/versions/999999999999999999"):
        async with refused("NOT_FOUND", "NOT_FOUND"):
            await owner.functions.GetVersion(fpb.GetVersionRequest(name=name))
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await owner.functions.ListVersions(fpb.ListVersionsRequest(parent="workspaces/acme/functions/none"))


async def test_a_list_stays_stable_while_things_are_added(world: World) -> None:
    owner = await world.workspace()
    for display_name in ("b", "d", "f"):
        await owner.functions.CreateFunction(create(display_name))
    first = await owner.functions.ListFunctions(fpb.ListFunctionsRequest(parent="workspaces/acme", page_size=2))
    for display_name in ("a", "c", "e"):
        await owner.functions.CreateFunction(create(display_name))
    request = fpb.ListFunctionsRequest(parent="workspaces/acme", page_size=2, page_token=first.next_page_token)
    second = await owner.functions.ListFunctions(request)
    assert [one.display_name for one in (*first.functions, *second.functions)] == ["b", "d", "e", "f"]


async def test_a_page_ends_before_it_is_too_large_to_be_carried(world: World) -> None:
    owner = await world.workspace()
    lists = definition("list", type=resources_pb2.SETTING_TYPE_STRING_LIST)
    await a_function(owner, [lists])
    await a_source(owner)
    long = resources_pb2.SettingValue(list_value=resources_pb2.StringList(values=["x" * 4096] * 60))
    for number in range(20):
        await connect(owner, f"d{number:02}", settings={"list": long})
    found: list[str] = []
    request = dpb.ListDestinationsRequest(parent="workspaces/acme", page_size=1000)
    while True:
        page = await owner.destinations.ListDestinations(request)
        found += [one.display_name for one in page.destinations]
        if not page.next_page_token:
            break
        assert len(page.destinations) < 20
        request.page_token = page.next_page_token
    assert found == [f"d{number:02}" for number in range(20)]


async def test_a_forged_page_token_is_refused(world: World) -> None:
    owner = await world.workspace()
    for display_name in ("a", "b"):
        await owner.functions.CreateFunction(create(display_name))
        await a_source(owner, display_name)
    request = fpb.ListFunctionsRequest(parent="workspaces/acme", page_size=1)
    token = (await owner.functions.ListFunctions(request)).next_page_token
    for forged in (token[:-2] + "AA", "AAAA", "%", "' OR 1=1 --"):
        async with refused("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN"):
            await owner.functions.ListFunctions(
                fpb.ListFunctionsRequest(parent="workspaces/acme", page_size=1, page_token=forged)
            )
    async with refused("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN"):
        await owner.sources.ListSources(spb.ListSourcesRequest(parent="workspaces/acme", page_token=token))
    async with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        await owner.functions.ListFunctions(fpb.ListFunctionsRequest(parent="workspaces/acme", page_size=-1))


# Sources


async def test_a_source_tells_its_subject(world: World) -> None:
    owner = await world.workspace()
    request = spb.CreateSourceRequest(parent="workspaces/acme", display_name="Web Shop", labels={"a": "b"})
    made = await owner.sources.CreateSource(request)
    assert made.source.subject == "events.acme.web-shop"
    got = await owner.sources.GetSource(spb.GetSourceRequest(name=made.source.name))
    assert got.source == made.source
    listed = await owner.sources.ListSources(spb.ListSourcesRequest(parent="workspaces/acme"))
    assert list(listed.sources) == [made.source]
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await owner.sources.GetSource(spb.GetSourceRequest(name="workspaces/acme/sources/none"))
    async with refused("ALREADY_EXISTS", "ALREADY_EXISTS"):
        await a_source(owner, "web-shop")


# Destinations


async def test_a_destination_is_connected_set_enabled_and_disabled(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [definition("region", required=True), definition("apiKey", required=True, encrypted=True)])
    await a_source(owner)
    made = (await connect(owner, labels={"a": "b"})).destination
    assert (made.enabled, made.version) == (False, 2)
    assert [(one.name, one.set) for one in made.settings] == [("region", False), ("apiKey", False)]
    async with refused("FAILED_PRECONDITION", "SETTINGS_MISSING") as metadata:
        await owner.destinations.EnableDestination(dpb.EnableDestinationRequest(name=CRM_EU))
    assert metadata["settings"] == "apiKey,region"
    values = {"region": text("eu"), "apiKey": text("hush-hush")}
    was_set = await owner.destinations.SetSettings(dpb.SetSettingsRequest(name=CRM_EU, set=values, etag=made.etag))
    region, api_key = was_set.destination.settings
    assert (region.set, region.value.string_value) == (True, "eu")
    assert (api_key.set, api_key.encrypted, api_key.HasField("value")) == (True, True, False)
    assert api_key.update_time.seconds > 0
    enabled = await owner.destinations.EnableDestination(dpb.EnableDestinationRequest(name=CRM_EU))
    assert enabled.destination.enabled
    again = await owner.destinations.EnableDestination(dpb.EnableDestinationRequest(name=CRM_EU))
    assert again == enabled
    got = await owner.destinations.GetDestination(
        dpb.GetDestinationRequest(name=CRM_EU, at_least_position=enabled.position)
    )
    assert got.destination == enabled.destination
    disabled = await owner.destinations.DisableDestination(dpb.DisableDestinationRequest(name=CRM_EU))
    assert not disabled.destination.enabled
    listed = await owner.destinations.ListDestinations(dpb.ListDestinationsRequest(parent="workspaces/acme"))
    assert list(listed.destinations) == [disabled.destination]


async def test_what_a_destination_refuses(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [definition("region")])
    await a_source(owner)
    made = await connect(owner)
    async with refused("ALREADY_EXISTS", "ALREADY_EXISTS"):
        await connect(owner, "other", display_name="crm-eu")
    async with refused("ALREADY_EXISTS", "ALREADY_EXISTS"):
        await connect(owner, display_name="Other")
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await connect(owner, "other", source="workspaces/acme/sources/none")
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await connect(owner, "other", version=7)
    async with refused("INVALID_ARGUMENT", "INVALID_SETTING") as metadata:
        await owner.destinations.SetSettings(dpb.SetSettingsRequest(name=CRM_EU, set={"nope": text("x")}))
    assert (metadata["setting"], metadata["known"]) == ("nope", "region")
    await owner.destinations.SetSettings(dpb.SetSettingsRequest(name=CRM_EU, set={"region": text("eu")}))
    async with refused("ABORTED", "CONFLICT"):
        await owner.destinations.EnableDestination(
            dpb.EnableDestinationRequest(name=CRM_EU, etag=made.destination.etag)
        )
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await owner.destinations.EnableDestination(
            dpb.EnableDestinationRequest(name="workspaces/acme/destinations/none")
        )


async def test_settings_of_every_type_come_back_as_they_were_given(world: World) -> None:
    types = {
        "s": (resources_pb2.SETTING_TYPE_STRING, text("")),
        "b": (resources_pb2.SETTING_TYPE_BOOLEAN, resources_pb2.SettingValue(bool_value=False)),
        "l": (
            resources_pb2.SETTING_TYPE_STRING_LIST,
            resources_pb2.SettingValue(list_value=resources_pb2.StringList(values=["a", ""])),
        ),
        "m": (
            resources_pb2.SETTING_TYPE_STRING_MAP,
            resources_pb2.SettingValue(map_value=resources_pb2.StringMap(values={"k": "v", "": "w"})),
        ),
    }
    owner = await world.workspace()
    await a_function(owner, [definition(name, type=kind) for name, (kind, _) in types.items()])
    await a_source(owner)
    made = await connect(owner, settings={name: value for name, (_, value) in types.items()})
    assert {one.name: one.value for one in made.destination.settings} == {n: v for n, (_, v) in types.items()}


# Deployments


async def test_a_version_is_deployed_and_says_where_it_runs(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    await a_source(owner)
    await connect(owner)
    await connect(owner, "crm-us")
    saved = await save(owner, [], deploy_to=ALL)
    assert list(saved.version.deployed_to) == [CRM_EU, "workspaces/acme/destinations/crm-us"]
    one = fpb.DeploymentTarget(named=fpb.DestinationNames(names=[CRM_EU]))
    back = await owner.functions.DeployVersion(fpb.DeployVersionRequest(name=f"{CRM}/versions/2", target=one))
    assert list(back.version.deployed_to) == [CRM_EU]
    again = await owner.functions.DeployVersion(fpb.DeployVersionRequest(name=f"{CRM}/versions/2", target=one))
    assert again == back
    latest = await owner.functions.DeployVersion(fpb.DeployVersionRequest(name=f"{CRM}/versions/latest", target=ALL))
    assert latest.version.number == 3
    async with refused("NOT_FOUND", "NOT_FOUND"):
        await owner.functions.DeployVersion(fpb.DeployVersionRequest(name=f"{CRM}/versions/0", target=ALL))
    async with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        await owner.functions.DeployVersion(fpb.DeployVersionRequest(name=f"{CRM}/versions/2"))


async def test_a_deployment_that_leaves_a_required_value_missing_is_refused_as_a_whole(world: World) -> None:
    owner = await world.workspace()
    await a_function(owner, [])
    await a_source(owner)
    await connect(owner)
    await owner.destinations.EnableDestination(dpb.EnableDestinationRequest(name=CRM_EU))
    async with refused("FAILED_PRECONDITION", "SETTINGS_MISSING") as metadata:
        await save(owner, [definition("apiKey", required=True)], deploy_to=ALL)
    assert (metadata["destinations"], metadata["settings"]) == ("crm-eu", "apiKey")
    function = (await owner.functions.GetFunction(fpb.GetFunctionRequest(name=CRM))).function
    assert function.latest_version == 2
    # Saved without deploying it, the same version can't be deployed either.
    await save(owner, [definition("apiKey", required=True)])
    async with refused("FAILED_PRECONDITION", "SETTINGS_MISSING"):
        await owner.functions.DeployVersion(fpb.DeployVersionRequest(name=f"{CRM}/versions/3", target=ALL))


# Strings


@pytest.mark.parametrize(
    "odd", ["' OR 1=1; --", "%_\\", '$.a ? (@ == "x")', '"; DROP TABLE functions;', "{$1}", "\u202e𝕏\ud7ff"]
)
async def test_meta_characters_are_stored_literally(world: World, odd: str) -> None:
    """H12."""
    owner = await world.workspace()
    request = fpb.CreateFunctionRequest(
        parent="workspaces/acme",
        function_id="crm",
        display_name=odd,
        description=odd,
        labels={odd: odd},
        request_id=odd,
    )
    made = await owner.functions.CreateFunction(request)
    assert (made.function.display_name, made.function.description, dict(made.function.labels)) == (odd, odd, {odd: odd})
    saved = await save(owner, [definition("s", label=odd, description=odd)], code=f"// {odd}")
    assert saved.version.code == f"// {odd}"
    assert saved.version.definitions[0].description == odd
    source = spb.CreateSourceRequest(parent="workspaces/acme", source_id="web", display_name=odd, labels={odd: odd})
    assert (await owner.sources.CreateSource(source)).source.display_name == odd
    made = await connect(owner, display_name=odd, settings={"s": text(odd)}, labels={odd: odd})
    assert (made.destination.display_name, made.destination.settings[0].value.string_value) == (odd, odd)
    async with refused("INVALID_ARGUMENT", "INVALID_SETTING"):
        await owner.destinations.SetSettings(dpb.SetSettingsRequest(name=CRM_EU, set={odd: text(odd)}))
    for name in (f"workspaces/acme/functions/{odd}", odd):
        async with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
            await owner.functions.GetFunction(fpb.GetFunctionRequest(name=name))
    async with refused("ABORTED", "CONFLICT"):
        await save(owner, [], etag=odd)


async def test_a_nul_character_is_refused_wherever_it_stands(world: World) -> None:
    """H12: Postgres can't store it, so it must be told, not fail."""
    owner = await world.workspace()
    await a_function(owner, [definition("s"), definition("m", type=resources_pb2.SETTING_TYPE_STRING_MAP)])
    await a_source(owner)
    mapped = resources_pb2.SettingValue(map_value=resources_pb2.StringMap(values={"k\0": "v"}))
    listed = resources_pb2.SettingValue(list_value=resources_pb2.StringList(values=["a", "b\0"]))
    for call, field in (
        (owner.functions.CreateFunction(create("a\0b")), "display_name"),
        (owner.functions.CreateFunction(create("a", request_id="\0")), "request_id"),
        (save(owner, [], code="a\0"), "code"),
        (save(owner, [definition("a", description="\0")]), "definitions[0].description"),
        (connect(owner, settings={"s": text("\0")}), "settings['s'].string_value"),
        (connect(owner, settings={"s": listed}), "settings['s'].list_value.values[1]"),
        (connect(owner, settings={"m": mapped}), "settings['m'].map_value.values (a key)"),
        (connect(owner, labels={"a": "\0"}), "labels['a']"),
    ):
        async with refused("INVALID_ARGUMENT", "INVALID_FIELD") as metadata:
            await call
        assert field in metadata["message"]


# Reads after writes


async def test_a_read_waits_for_a_position_and_says_so_when_it_does_not_come(world: World) -> None:
    owner = await world.workspace()
    async with refused("UNAVAILABLE", "UNAVAILABLE") as metadata:
        await owner.workspaces.GetWorkspace(
            wpb.GetWorkspaceRequest(name="workspaces/acme", at_least_position=1_000_000)
        )
    assert metadata["position"] == "4"


async def test_a_client_without_our_kit_sees_the_status_with_its_details(world: World) -> None:
    async with grpc.aio.insecure_channel(world.app.address) as channel:
        call: Any = channel.unary_unary("/onward.registry.v1.FunctionService/GetFunction")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(fpb.GetFunctionRequest(name=CRM).SerializeToString())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert any(key == "grpc-status-details-bin" for key, _ in caught.value.trailing_metadata() or ())
