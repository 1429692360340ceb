"""What the registry decides on functions and versions: given facts, when a request comes, then facts or a refusal."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from kit.auth.demand import EVERYTHING, NOTHING, Subset
from kit.errors import OnwardError
from onward.registry.v1 import facts_pb2, resources_pb2
from onward.registry.v1 import function_service_pb2 as pb
from services.registry.domain import functions, ids, versions
from services.registry.domain.functions import DISCONNECTIONS_MAX
from services.registry.domain.rights import OWNER, Rights
from services.registry.domain.visibility import ShownFunctions, shown_functions
from services.registry.errors import SourcesRefused
from services.registry.templates import load_templates
from tests.unit.registry_given import Decide, Given

given = Given
CRM = "workspaces/acme/functions/crm"
TEMPLATES = load_templates()


def labels(**values: str) -> resources_pb2.Labels:
    return resources_pb2.Labels(labels=values)


def version(number: int, *required: str, **changes: Any) -> facts_pb2.FunctionVersionSaved:
    definitions = [
        resources_pb2.SettingDefinition(name=name, type=resources_pb2.SETTING_TYPE_STRING, required=True)
        for name in required
    ]
    values = {"function": "crm", "number": number, "timeout_ms": 5000, "definitions": definitions, **changes}
    return facts_pb2.FunctionVersionSaved(**values)


def connected(destination: str, source: str = "web", function: str = "crm") -> facts_pb2.DestinationConnected:
    return facts_pb2.DestinationConnected(
        destination=destination, display_name=destination, function=function, source=source, version=1
    )


def disconnected(destination: str) -> facts_pb2.DestinationDisconnected:
    return facts_pb2.DestinationDisconnected(destination=destination)


BEGUN = (
    facts_pb2.WorkspaceCreated(workspace="acme", display_name="Acme", functions_max=2),
    facts_pb2.SourceCreated(source="web", display_name="Web"),
    facts_pb2.SourceCreated(source="app", display_name="App"),
    facts_pb2.FunctionCreated(function="crm", display_name="CRM", description="To the CRM", labels={"team": "growth"}),
    version(1, code_sha256="1"),
)
DELETED = facts_pb2.FunctionDeleted(function="crm")
TWO = (connected("crm-web"), connected("crm-app", "app"))


def keyed_hash(destination: str, name: str, value: resources_pb2.SettingValue) -> str:
    return f"hash of {destination}/{name}"


def create(**fields: Any) -> Decide:
    request = pb.CreateFunctionRequest(**{"display_name": "CRM", **fields})
    return lambda state: functions.decide_create_function(state, request, "acme", TEMPLATES["default"])


def update(**fields: Any) -> Decide:
    request = pb.UpdateFunctionRequest(name=CRM, **fields)
    return lambda state: functions.decide_update_function(state, request, "acme", "crm")


def delete(sources: Subset = EVERYTHING, **fields: Any) -> Decide:
    request = pb.DeleteFunctionRequest(name=CRM, **fields)
    return lambda state: functions.decide_delete_function(state, request, "acme", "crm", sources)


def save(sources: Subset = EVERYTHING, **fields: Any) -> Decide:
    request = pb.SaveFunctionRequest(**{"name": CRM, "code": "x", **fields})
    return lambda state: versions.decide_save_function(state, request, "acme", "crm", [], keyed_hash, sources)


def restore(number: int | None, sources: Subset = EVERYTHING, **fields: Any) -> Decide:
    request = pb.RestoreVersionRequest(name=f"{CRM}/versions/{number}", **fields)
    return lambda state: versions.decide_restore_version(
        state, request, "acme", "crm", number, "old code", keyed_hash, sources
    )


def deploy(number: int | None, sources: Subset = EVERYTHING, **fields: Any) -> Decide:
    request = pb.DeployVersionRequest(**{"target": ALL, **fields})
    return lambda state: versions.decide_deploy_version(state, request, "acme", "crm", number, keyed_hash, sources)


ALL = pb.DeploymentTarget(all=True)


def named(*destinations: str) -> pb.DeploymentTarget:
    full = [f"workspaces/acme/destinations/{one}" for one in destinations]
    return pb.DeploymentTarget(named=pb.DestinationNames(names=full))


def deployed(number: int, *destinations: str) -> facts_pb2.VersionDeployed:
    return facts_pb2.VersionDeployed(function="crm", number=number, destinations=destinations)


def saved(number: int, code: str, **changes: Any) -> facts_pb2.FunctionVersionSaved:
    return version(number, code=code, code_sha256=hashlib.sha256(code.encode()).hexdigest(), **changes)


# Updating


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"display_name": "New"}, {"display_name": "New"}),
        ({"description": ""}, {"description": ""}),
        ({"labels": labels()}, {"labels": labels()}),
        ({"display_name": "CRM", "description": "New", "labels": labels(team="growth")}, {"description": "New"}),
    ],
)
def test_an_update_tells_what_differs(asked: dict[str, Any], told: dict[str, Any]) -> None:
    given(*BEGUN).when(update(**asked)).then(facts_pb2.FunctionUpdated(function="crm", **told))


@pytest.mark.parametrize(
    "asked", [{}, {"display_name": "CRM", "description": "To the CRM", "labels": labels(team="growth")}]
)
def test_an_update_that_changes_nothing_is_no_fact(asked: dict[str, Any]) -> None:
    given(*BEGUN).when(update(**asked)).then()


def test_what_was_updated_is_what_the_next_update_is_compared_with() -> None:
    updated = facts_pb2.FunctionUpdated(function="crm", display_name="New", description="", labels=labels(a="b"))
    given(*BEGUN, updated).when(update(display_name="New", description="", labels=labels(a="b"))).then()


@pytest.mark.parametrize("decide", [update, delete, save, lambda **f: restore(1, **f), lambda **f: deploy(1, **f)])
def test_a_stale_etag_is_refused_and_the_current_one_is_not(decide: Any) -> None:
    stale = given(*BEGUN).when(decide(etag="1")).refused("ABORTED", "CONFLICT")
    assert stale.metadata == {"resource": CRM, "etag": "2"}
    given(*BEGUN).when(decide(etag="2")).decided()


@pytest.mark.parametrize("decide", [update(), delete(), save(), restore(1), restore(None), deploy(1), deploy(None)])
def test_a_function_that_is_not_there_can_not_be_changed_nor_can_a_deleted_one(decide: Decide) -> None:
    given(BEGUN[0]).when(decide).refused("NOT_FOUND", "NOT_FOUND")
    given(*BEGUN, DELETED).when(decide).refused("NOT_FOUND", "NOT_FOUND")


# Deleting


def test_a_function_without_destinations_is_deleted_by_whoever_edits_it() -> None:
    given(*BEGUN).when(delete(NOTHING)).then(DELETED)
    given(*BEGUN).when(delete(NOTHING, disconnect=True)).then(DELETED)


def test_a_deletion_names_the_destinations_that_are_connected() -> None:
    error = given(*BEGUN, *TWO).when(delete()).refused("FAILED_PRECONDITION", "WRONG_STATE")
    assert error.metadata == {"resource": CRM, "used_by": "crm-app,crm-web"}
    assert "crm-app, crm-web" in error.message


def test_a_deletion_may_disconnect_them_first() -> None:
    facts = [disconnected("crm-app"), disconnected("crm-web"), DELETED]
    given(*BEGUN, *TWO).when(delete(Subset.of(["web", "app"]), disconnect=True)).then(*facts)


def test_other_functions_destinations_stay() -> None:
    other = (facts_pb2.FunctionCreated(function="other"), version(1, function="other"))
    given(*BEGUN, *other, connected("theirs", function="other")).when(delete(NOTHING)).then(DELETED)


def test_a_deletion_that_disconnects_needs_every_source_that_it_touches() -> None:
    decide = delete(Subset.of(["web"]), disconnect=True)
    error = given(*BEGUN, *TWO).when(decide).refused("PERMISSION_DENIED", "PERMISSION_DENIED")
    assert error.metadata["sources"] == "app"
    assert "app" in error.message


def test_a_destination_that_was_disconnected_before_needs_nothing() -> None:
    given(*BEGUN, *TWO, disconnected("crm-app"), disconnected("crm-web")).when(delete(NOTHING)).then(DELETED)


def test_a_deletion_disconnects_as_many_as_one_append_holds() -> None:
    many = [connected(f"d{number:04}") for number in range(DISCONNECTIONS_MAX)]
    facts = given(*BEGUN, *many).when(delete(disconnect=True)).decided()
    assert len(facts) == DISCONNECTIONS_MAX + 1
    one_more = given(*BEGUN, *many, connected("one-more")).when(delete(disconnect=True))
    error = one_more.refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
    assert error.metadata == {"limit": "disconnections", "max": str(DISCONNECTIONS_MAX)}


def test_a_deleted_functions_id_is_never_given_again() -> None:
    error = given(*BEGUN, DELETED).when(create(function_id="crm")).refused("ALREADY_EXISTS", "ALREADY_EXISTS")
    assert "was deleted" in error.message
    living = given(*BEGUN).when(create(function_id="crm")).refused("ALREADY_EXISTS", "ALREADY_EXISTS")
    assert "exists already" in living.message
    created, _ = given(*BEGUN, DELETED).when(create(display_name="CRM")).decided()
    assert created.function == "crm-2"


def test_a_name_whose_ids_are_used_up_is_refused() -> None:
    with pytest.raises(OnwardError) as caught:
        ids.free_id("CRM", "function", set(ids.choices("CRM", "function")))
    assert (caught.value.code, caught.value.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_REACHED")


def test_deleted_functions_do_not_count_for_the_limit() -> None:
    second = facts_pb2.FunctionCreated(function="second")
    given(*BEGUN, second, version(1, function="second")).when(create()).refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
    assert given(*BEGUN, second, version(1, function="second"), DELETED).when(create()).decided()


# Two roles


@pytest.mark.parametrize("target", [ALL, named("crm-web", "crm-app")], ids=["all", "named"])
@pytest.mark.parametrize(
    "decide",
    [
        lambda sources, target: deploy(2, sources, target=target),
        lambda sources, target: save(sources, deploy_to=target),
        lambda sources, target: restore(1, sources, deploy_to=target),
    ],
    ids=["deploy", "save", "restore"],
)
def test_a_deployment_needs_every_source_that_it_touches(decide: Any, target: pb.DeploymentTarget) -> None:
    begun = (*BEGUN, version(2), *TWO)
    for sources, lacking in ((NOTHING, "app,web"), (Subset.of(["web"]), "app"), (Subset.of(["app", "x"]), "web")):
        error = given(*begun).when(decide(sources, target)).refused("PERMISSION_DENIED", "PERMISSION_DENIED")
        assert error.metadata["sources"] == lacking
    assert given(*begun).when(decide(Subset.of(["web", "app"]), target)).decided()


def test_a_deployment_to_one_source_needs_that_one_only() -> None:
    decide = deploy(2, Subset.of(["app"]), target=named("crm-app"))
    given(*BEGUN, version(2), *TWO).when(decide).then(deployed(2, "crm-app"))


def test_a_destination_that_runs_the_version_already_is_touched_too() -> None:
    decide = deploy(1, NOTHING)
    given(*BEGUN, *TWO).when(decide).refused("PERMISSION_DENIED", "PERMISSION_DENIED")
    given(*BEGUN, *TWO).when(deploy(1)).then()


def test_a_deployment_to_all_of_no_destinations_needs_no_source() -> None:
    given(*BEGUN).when(deploy(1, NOTHING)).then()


def test_another_functions_destination_is_unknown_to_whoever_may_not_see_it() -> None:
    other = (facts_pb2.FunctionCreated(function="other"), version(1, function="other"))
    begun = (*BEGUN, *other, connected("theirs", function="other"))
    given(*begun).when(deploy(1, NOTHING, target=named("theirs"))).refused("NOT_FOUND", "NOT_FOUND")
    given(*begun).when(deploy(1, Subset.of(["web"]), target=named("theirs"))).refused(
        "FAILED_PRECONDITION", "WRONG_STATE"
    )


def test_the_sources_of_a_refusal_are_a_bounded_list() -> None:
    error = SourcesRefused([f"source-{number}" for number in range(500)])
    assert len(error.metadata["sources"].split(",")) == SourcesRefused.SHOWN_MAX
    assert "490 more" in error.message


# Restoring


def test_a_restored_version_is_the_old_one_with_the_next_number() -> None:
    old = version(2, "apiKey", timeout_ms=9000, handlers=["onTrack"])
    facts = saved(4, "old code", definitions=old.definitions, timeout_ms=9000, handlers=["onTrack"], restored_from=2)
    given(*BEGUN, old, version(3)).when(restore(2)).then(facts)


def test_a_restored_version_may_be_deployed_at_once() -> None:
    facts = [saved(3, "old code", restored_from=1), deployed(3, "crm-web")]
    given(*BEGUN, version(2), connected("crm-web")).when(restore(1, deploy_to=ALL)).then(*facts)


@pytest.mark.parametrize("number", [2, None])
def test_restoring_the_newest_version_makes_no_other_one(number: int | None) -> None:
    begun = (*BEGUN, version(2), connected("crm-web"))
    given(*begun).when(restore(number)).then()
    given(*begun).when(restore(number, deploy_to=ALL)).then(deployed(2, "crm-web"))


def test_a_version_that_is_not_there_can_not_be_restored() -> None:
    given(*BEGUN).when(restore(2)).refused("NOT_FOUND", "NOT_FOUND")


@pytest.mark.parametrize("decide", [restore(1, deploy_to=ALL), deploy(1), save(keep_definitions=True, deploy_to=ALL)])
def test_no_deployment_leaves_an_enabled_destination_invalid(decide: Decide) -> None:
    needing, enabled = version(1, "apiKey"), facts_pb2.DestinationEnabled(destination="crm-web")
    begun = [*BEGUN[:4], needing, version(2), *TWO, deployed(2, "crm-web", "crm-app"), enabled, version(3, "apiKey")]
    error = given(*begun).when(decide).refused("FAILED_PRECONDITION", "SETTINGS_MISSING")
    assert error.metadata == {"destinations": "crm-web", "settings": "apiKey"}
    # The version that runs there does not define it, so to set it first is no way out.
    assert "disable the destination, deploy, set them and enable it" in error.message


# What lists show


def test_a_list_shows_each_role_what_it_may_see() -> None:
    some = Subset.of(["crm"])
    assert shown_functions(OWNER, show_deleted=True) == ShownFunctions(live=True, deleted=True, whole=EVERYTHING)
    reader = shown_functions(Rights(view=True, read=some), show_deleted=False)
    assert reader == ShownFunctions(live=True, deleted=False, whole=some)
    auditor = shown_functions(Rights(audit=True), show_deleted=True)
    assert auditor == ShownFunctions(live=False, deleted=True, whole=NOTHING)


def test_deleted_functions_are_for_owners_and_auditors() -> None:
    with pytest.raises(OnwardError) as caught:
        shown_functions(Rights(view=True, read=EVERYTHING, edit=EVERYTHING), show_deleted=True)
    assert caught.value.code == "PERMISSION_DENIED"
