"""What the registry decides: given facts, when a request comes, then facts or a refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from kit.auth.demand import EVERYTHING
from kit.rpc.names import is_id
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import facts_pb2, resources_pb2
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry.domain import destinations, functions, ids, sources, versions, workspaces
from services.registry.domain.settings import SETTINGS_BYTES_MAX
from services.registry.templates import load_templates
from tests.unit.registry_given import Decide, Given

STRING = resources_pb2.SETTING_TYPE_STRING
BOOLEAN = resources_pb2.SETTING_TYPE_BOOLEAN
TEMPLATES = load_templates()


def definition(name: str, **changes: Any) -> resources_pb2.SettingDefinition:
    return resources_pb2.SettingDefinition(**{"name": name, "type": STRING, **changes})


def text(value: str) -> resources_pb2.SettingValue:
    return resources_pb2.SettingValue(string_value=value)


def keyed_hash(destination: str, name: str, value: resources_pb2.SettingValue) -> str:
    return f"hash of {destination}/{name}"


given = Given
WORKSPACE = facts_pb2.WorkspaceCreated(workspace="acme", display_name="Acme", functions_max=2)
SOURCE = facts_pb2.SourceCreated(source="web", display_name="Web")
FUNCTION = facts_pb2.FunctionCreated(function="crm", display_name="CRM")


def version(number: int, *definitions: resources_pb2.SettingDefinition) -> facts_pb2.FunctionVersionSaved:
    return facts_pb2.FunctionVersionSaved(function="crm", number=number, timeout_ms=5000, definitions=definitions)


def connected(destination: str = "crm-eu", **changes: Any) -> facts_pb2.DestinationConnected:
    values = {
        "destination": destination,
        "display_name": destination,
        "function": "crm",
        "source": "web",
        "version": 1,
        **changes,
    }
    return facts_pb2.DestinationConnected(**values)


def changed(*changes: facts_pb2.SettingChange, revision: int = 1) -> facts_pb2.SettingsChanged:
    return facts_pb2.SettingsChanged(destination="crm-eu", revision=revision, changes=changes)


def plain(name: str, value: str) -> facts_pb2.SettingChange:
    return facts_pb2.SettingChange(name=name, value=text(value))


def sealed(name: str) -> facts_pb2.SettingChange:
    return facts_pb2.SettingChange(name=name, keyed_hash=f"hash of crm-eu/{name}")


ENABLED = facts_pb2.DestinationEnabled(destination="crm-eu")
DISABLED = facts_pb2.DestinationDisabled(destination="crm-eu")


def create_function(**fields: Any) -> Decide:
    request = fpb.CreateFunctionRequest(**{"display_name": "CRM", **fields})
    return lambda state: functions.decide_create_function(state, request, "acme", TEMPLATES["default"])


def save(**fields: Any) -> Decide:
    request = fpb.SaveFunctionRequest(**{"name": "workspaces/acme/functions/crm", "code": "x", **fields})
    return lambda state: versions.decide_save_function(
        state, request, "acme", "crm", ["onTrack"], keyed_hash, EVERYTHING
    )


def deploy(number: int | None, **target: Any) -> Decide:
    asked = fpb.DeploymentTarget(**(target or {"all": True}))
    return lambda state: versions.decide_deploy(state, "acme", "crm", number, asked, keyed_hash, EVERYTHING)


def named(*destinations_: str) -> fpb.DestinationNames:
    return fpb.DestinationNames(names=[f"workspaces/acme/destinations/{one}" for one in destinations_])


def connect(source: str = "web", function: str = "crm", **fields: Any) -> Decide:
    request = dpb.ConnectDestinationRequest(**{"display_name": "CRM EU", **fields})
    return lambda state: destinations.decide_connect(state, request, "acme", source, function, keyed_hash)


def set_settings(**fields: Any) -> Decide:
    request = dpb.SetSettingsRequest(**fields)
    return lambda state: destinations.decide_set_settings(state, request, "acme", "crm-eu", keyed_hash)


def enable(**fields: Any) -> Decide:
    request = dpb.EnableDestinationRequest(**fields)
    return lambda state: destinations.decide_enable(state, request, "acme", "crm-eu")


def disable(**fields: Any) -> Decide:
    request = dpb.DisableDestinationRequest(**fields)
    return lambda state: destinations.decide_disable(state, request, "acme", "crm-eu")


# Workspaces and sources


def create_workspace(workspace: str) -> Decide:
    request = wpb.CreateWorkspaceRequest(display_name="Acme")
    return lambda state: workspaces.decide_create_workspace(state, request, workspace, "t1")


def test_a_workspace_begins_with_its_owner_and_ten_functions() -> None:
    given().when(create_workspace("acme")).then(
        facts_pb2.WorkspaceCreated(workspace="acme", display_name="Acme", functions_max=10),
        facts_pb2.MemberAdded(member="owner", kind=resources_pb2.MEMBER_KIND_SERVICE_ACCOUNT, display_name="Owner"),
        facts_pb2.RoleGranted(
            binding="owner", member="owner", grant=resources_pb2.RoleGrant(role=resources_pb2.ROLE_OWNER)
        ),
        facts_pb2.TokenCreated(token="t1", display_name="First token", member="owner"),
    )


def test_a_workspace_is_made_once_and_none_is_called_as_the_log_calls_its_own() -> None:
    given(WORKSPACE).when(create_workspace("acme")).refused("ALREADY_EXISTS", "ALREADY_EXISTS")
    given().when(create_workspace("system")).refused("ALREADY_EXISTS", "ALREADY_EXISTS")


def test_limits_change_and_the_same_limit_again_changes_nothing() -> None:
    def set_limits(most: int) -> Decide:
        return lambda state: workspaces.decide_set_limits(state, opb.SetLimitsRequest(functions_max=most))

    given(WORKSPACE).when(set_limits(7)).then(facts_pb2.LimitsSet(functions_max=7))
    given(WORKSPACE).when(set_limits(2)).then()


def allow(cidr: str) -> Decide:
    return lambda state: workspaces.decide_allow_egress_range(state, opb.AllowEgressRangeRequest(range=cidr))


@pytest.mark.parametrize(
    ("asked", "stored"), [("10.1.0.0/16", "10.1.0.0/16"), ("10.1.2.3", "10.1.2.3/32"), ("FD00::/8", "fd00::/8")]
)
def test_an_egress_range_is_kept_in_its_canonical_form(asked: str, stored: str) -> None:
    given(WORKSPACE).when(allow(asked)).then(facts_pb2.EgressRangeAllowed(range=stored))
    given(WORKSPACE, facts_pb2.EgressRangeAllowed(range=stored)).when(allow(asked)).then()


@pytest.mark.parametrize(
    "asked", ["10.1.2.3/16", "10.0.0.0/33", "here", "10.1/16", "1.2.3.4-1.2.3.9", "fe80::1%eth0/64x"]
)
def test_what_is_no_range_is_refused(asked: str) -> None:
    given(WORKSPACE).when(allow(asked)).refused("INVALID_ARGUMENT", "INVALID_FIELD")


def create_source(**fields: Any) -> Decide:
    request = spb.CreateSourceRequest(**{"display_name": "Web", **fields})
    return lambda state: sources.decide_create_source(state, request, "acme")


def test_a_source_gets_an_id_from_its_name_with_a_number_where_it_is_taken() -> None:
    given(WORKSPACE, SOURCE).when(create_source()).then(facts_pb2.SourceCreated(source="web-2", display_name="Web"))


def test_a_source_id_is_taken_once() -> None:
    given(WORKSPACE, SOURCE).when(create_source(source_id="web")).refused("ALREADY_EXISTS", "ALREADY_EXISTS")


@hypothesis_given(st.text(min_size=1, max_size=130), st.integers(0, 3))
def test_every_display_name_gives_an_id_that_is_free(display_name: str, taken: int) -> None:
    held: set[str] = set()
    for _ in range(taken + 1):
        made = ids.free_id(display_name, "source", held)
        assert is_id(made)
        assert made not in held
        held.add(made)


# Functions


def test_a_new_function_has_the_templates_code_definitions_and_handlers() -> None:
    created, saved = given(WORKSPACE).when(create_function(template="default", labels={"team": "a"})).decided()
    assert created.function == "crm"
    assert created.template == "default"
    assert created.labels == {"team": "a"}
    assert saved.number == 1
    assert saved.code == TEMPLATES["default"].code
    assert [(one.name, one.encrypted) for one in saved.definitions] == [("apiKey", True)]
    assert set(saved.handlers) == {"onIdentify", "onTrack", "onPage", "onScreen", "onGroup", "onAlias", "onDelete"}
    assert saved.timeout_ms == 5000


def test_functions_end_at_the_limit_which_the_error_names() -> None:
    other = facts_pb2.FunctionCreated(function="other")
    error = given(WORKSPACE, FUNCTION, other).when(create_function()).refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
    assert error.metadata == {"limit": "functions_max", "max": "2"}


def test_a_function_id_is_taken_once() -> None:
    given(WORKSPACE, FUNCTION).when(create_function(function_id="crm")).refused("ALREADY_EXISTS", "ALREADY_EXISTS")


def test_a_save_makes_the_next_version_and_keeps_the_timeout() -> None:
    first = version(1)
    first.timeout_ms = 7000
    (saved,) = given(WORKSPACE, FUNCTION, first).when(save(definitions=[definition("a")])).decided()
    assert (saved.number, saved.timeout_ms, list(saved.handlers)) == (2, 7000, ["onTrack"])
    assert saved.code_sha256 == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


def test_a_save_keeps_definitions_where_it_says_so() -> None:
    (saved,) = given(WORKSPACE, FUNCTION, version(1, definition("a"))).when(save(keep_definitions=True)).decided()
    assert list(saved.definitions) == [definition("a")]


def test_a_setting_is_defined_once() -> None:
    error = given(WORKSPACE, FUNCTION, version(1)).when(save(definitions=[definition("a"), definition("a")]))
    assert error.refused("INVALID_ARGUMENT", "INVALID_FIELD").violations[0][0] == "definitions[1].name"


def test_a_save_over_what_was_not_read_is_refused() -> None:
    given(WORKSPACE, FUNCTION, version(1)).when(save(etag="1")).refused("ABORTED", "CONFLICT")
    assert given(WORKSPACE, FUNCTION, version(1)).when(save(etag="2")).decided()


def test_a_save_of_a_function_that_does_not_exist_is_refused() -> None:
    given(WORKSPACE).when(save()).refused("NOT_FOUND", "NOT_FOUND")


def test_a_save_that_deploys_makes_both_facts() -> None:
    facts = given(WORKSPACE, SOURCE, FUNCTION, version(1), connected()).when(
        save(deploy_to=fpb.DeploymentTarget(all=True))
    )
    _saved, deployed = facts.decided()
    assert deployed == facts_pb2.VersionDeployed(function="crm", number=2, destinations=["crm-eu"])


def test_a_save_whose_deployment_is_refused_makes_no_version() -> None:
    required = definition("apiKey", required=True)
    refusal = given(WORKSPACE, SOURCE, FUNCTION, version(1), connected(), ENABLED).when(
        save(definitions=[required], deploy_to=fpb.DeploymentTarget(all=True))
    )
    error = refusal.refused("FAILED_PRECONDITION", "SETTINGS_MISSING")
    assert error.metadata == {"destinations": "crm-eu", "settings": "apiKey"}


# Deployments

RUNNING = (WORKSPACE, SOURCE, FUNCTION, version(1), version(2), connected())


def test_a_version_is_deployed_to_all_or_to_those_named() -> None:
    two = (*RUNNING, connected("crm-us"))
    given(*two).when(deploy(2)).then(
        facts_pb2.VersionDeployed(function="crm", number=2, destinations=["crm-eu", "crm-us"])
    )
    given(*two).when(deploy(None, named=named("crm-us", "crm-us"))).then(
        facts_pb2.VersionDeployed(function="crm", number=2, destinations=["crm-us"])
    )


def test_what_runs_the_version_already_is_left_alone() -> None:
    given(*RUNNING).when(deploy(1)).then()


def test_a_deployment_of_or_to_what_does_not_exist_is_refused_as_a_whole() -> None:
    given(*RUNNING).when(deploy(3)).refused("NOT_FOUND", "NOT_FOUND")
    given(*RUNNING).when(deploy(0)).refused("NOT_FOUND", "NOT_FOUND")
    given(*RUNNING).when(deploy(2, named=named("crm-eu", "nowhere"))).refused("NOT_FOUND", "NOT_FOUND")
    foreign = fpb.DestinationNames(names=["workspaces/other/destinations/crm-eu"])
    given(*RUNNING).when(deploy(2, named=foreign)).refused("NOT_FOUND", "NOT_FOUND")


def test_a_deployment_to_another_functions_destination_is_refused() -> None:
    other = (facts_pb2.FunctionCreated(function="other"), connected("theirs", function="other"))
    given(*RUNNING, *other).when(deploy(2, named=named("theirs"))).refused("FAILED_PRECONDITION", "WRONG_STATE")


def test_a_deployment_to_all_that_says_false_is_refused() -> None:
    given(*RUNNING).when(deploy(2, all=False)).refused("INVALID_ARGUMENT", "INVALID_FIELD")


def test_a_deployment_encrypts_values_whose_definition_became_encrypted() -> None:
    given(
        *(WORKSPACE, SOURCE, FUNCTION, version(1, definition("key", required=True))),
        *(
            version(2, definition("key", encrypted=True, required=True)),
            connected(),
            changed(plain("key", "s")),
            ENABLED,
        ),
    ).when(deploy(2)).then(
        facts_pb2.VersionDeployed(function="crm", number=2, destinations=["crm-eu"]),
        changed(sealed("key"), revision=2),
    )


def test_a_deployment_clears_values_whose_definition_is_encrypted_no_more() -> None:
    secret = version(1, definition("key", encrypted=True))
    given(WORKSPACE, SOURCE, FUNCTION, secret, version(2, definition("key")), connected(), changed(sealed("key"))).when(
        deploy(2)
    ).then(
        facts_pb2.VersionDeployed(function="crm", number=2, destinations=["crm-eu"]),
        changed(facts_pb2.SettingChange(name="key", cleared=True), revision=2),
    )


def test_a_deployment_that_would_clear_a_required_value_of_an_enabled_destination_is_refused() -> None:
    given(
        *(WORKSPACE, SOURCE, FUNCTION, version(1, definition("key", encrypted=True, required=True))),
        *(version(2, definition("key", required=True)), connected(), changed(sealed("key")), ENABLED),
    ).when(deploy(2)).refused("FAILED_PRECONDITION", "SETTINGS_MISSING")


@pytest.mark.parametrize("changed_definition", [definition("renamed"), definition("key", type=BOOLEAN)])
def test_a_new_name_or_type_keeps_the_value_for_the_version_that_it_was_given_for(
    changed_definition: resources_pb2.SettingDefinition,
) -> None:
    story = given(
        *(WORKSPACE, SOURCE, FUNCTION, version(1, definition("key", required=True)), version(2, changed_definition)),
        *(connected(), changed(plain("key", "kept"))),
    )
    story.when(deploy(2)).then(facts_pb2.VersionDeployed(function="crm", number=2, destinations=["crm-eu"]))
    story.when(deploy(1)).then(facts_pb2.VersionDeployed(function="crm", number=1, destinations=["crm-eu"]))
    story.when(enable()).then(ENABLED)


def test_a_value_of_another_type_does_not_satisfy_a_required_setting() -> None:
    given(
        *(WORKSPACE, SOURCE, FUNCTION, version(1, definition("key"))),
        *(version(2, definition("key", type=BOOLEAN, required=True)), connected(version=2, display_name="x")),
    ).when(enable()).refused("FAILED_PRECONDITION", "SETTINGS_MISSING")


# Destinations

CONNECTABLE = (WORKSPACE, SOURCE, FUNCTION, version(1, definition("key"), definition("secret", encrypted=True)))


def test_a_destination_runs_the_newest_version_unless_it_says_which() -> None:
    given(*CONNECTABLE, version(2)).when(connect()).then(connected("crm-eu", display_name="CRM EU", version=2))
    given(*CONNECTABLE, version(2)).when(connect(version=1)).then(connected("crm-eu", display_name="CRM EU"))


def test_values_come_with_the_connection_and_secrets_only_as_hashes() -> None:
    given(*CONNECTABLE).when(connect(settings={"key": text("v"), "secret": text("hush")})).then(
        connected("crm-eu", display_name="CRM EU"), changed(plain("key", "v"), sealed("secret"))
    )


@pytest.mark.parametrize(
    "decide",
    [connect(source="nowhere"), connect(function="nothing"), connect(version=9)],
)
def test_a_connection_of_what_does_not_exist_is_refused(decide: Decide) -> None:
    given(*CONNECTABLE).when(decide).refused("NOT_FOUND", "NOT_FOUND")


def test_display_names_are_unique_within_a_source_only() -> None:
    app = facts_pb2.SourceCreated(source="app", display_name="App")
    taken = connected("one", display_name="CRM EU")
    given(*CONNECTABLE, app, taken).when(connect()).refused("ALREADY_EXISTS", "ALREADY_EXISTS")
    assert given(*CONNECTABLE, app, taken).when(connect(source="app")).decided()


def test_a_destination_id_is_taken_once() -> None:
    given(*CONNECTABLE, connected()).when(connect(destination_id="crm-eu")).refused("ALREADY_EXISTS", "ALREADY_EXISTS")


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        ({"nope": text("v")}, "nope"),
        ({"key": resources_pb2.SettingValue(bool_value=True)}, "key"),
        ({"secret": resources_pb2.SettingValue(list_value=resources_pb2.StringList(values=["a"]))}, "secret"),
        ({"key": resources_pb2.SettingValue()}, "key"),
    ],
)
def test_a_value_without_definition_or_of_another_type_is_refused(values: dict[str, Any], setting: str) -> None:
    error = (
        given(*CONNECTABLE, connected()).when(set_settings(set=values)).refused("INVALID_ARGUMENT", "INVALID_SETTING")
    )
    assert error.metadata == {"setting": setting, "known": "key, secret"}
    given(*CONNECTABLE).when(connect(settings=values)).refused("INVALID_ARGUMENT", "INVALID_SETTING")


def test_settings_count_their_changes_and_can_be_cleared() -> None:
    story = given(*CONNECTABLE, connected(), changed(plain("key", "v"), sealed("secret")))
    story.when(set_settings(set={"key": text("w")}, clear=["secret"])).then(
        changed(plain("key", "w"), facts_pb2.SettingChange(name="secret", cleared=True), revision=2)
    )
    story.when(set_settings(clear=["secret"])).then()


def test_a_setting_that_is_unknown_or_set_as_well_cannot_be_cleared() -> None:
    given(*CONNECTABLE, connected()).when(set_settings(clear=["nope"])).refused("INVALID_ARGUMENT", "INVALID_SETTING")
    both = set_settings(set={"key": text("v")}, clear=["key"])
    given(*CONNECTABLE, connected()).when(both).refused("INVALID_ARGUMENT", "INVALID_SETTING")


def test_a_value_left_from_another_version_can_be_cleared() -> None:
    story = given(*CONNECTABLE, version(2), connected(), changed(plain("key", "v")))
    story.when(deploy(2)).then(facts_pb2.VersionDeployed(function="crm", number=2, destinations=["crm-eu"]))
    story.when(set_settings(clear=["key"])).then(changed(facts_pb2.SettingChange(name="key", cleared=True), revision=2))


def test_all_values_of_a_destination_are_bounded() -> None:
    long = resources_pb2.StringList(values=["x" * 4096] * (SETTINGS_BYTES_MAX // 4096))
    lists = version(1, definition("key", type=resources_pb2.SETTING_TYPE_STRING_LIST))
    error = given(WORKSPACE, SOURCE, FUNCTION, lists, connected()).when(
        set_settings(set={"key": resources_pb2.SettingValue(list_value=long)})
    )
    error.refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED")


def test_an_encrypted_value_and_the_number_of_stored_ones_are_bounded() -> None:
    lists = resources_pb2.SETTING_TYPE_STRING_LIST
    secret = version(1, definition("key", type=lists, encrypted=True))
    long = resources_pb2.SettingValue(list_value=resources_pb2.StringList(values=["x" * 4096] * 7))
    given(WORKSPACE, SOURCE, FUNCTION, secret, connected()).when(set_settings(set={"key": long})).refused(
        "INVALID_ARGUMENT", "INVALID_SETTING"
    )
    left = [plain(f"left{number}", "v") for number in range(200)]
    full = given(WORKSPACE, SOURCE, FUNCTION, version(1, definition("key")), connected(), changed(*left))
    one_more = {"key": text("v")}
    assert full.when(set_settings(set=one_more, clear=["left0"])).decided()
    full.when(set_settings(set=one_more)).refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED")


REQUIRED = (
    *(WORKSPACE, SOURCE, FUNCTION),
    *(version(1, definition("key", required=True), definition("secret", required=True, encrypted=True)), connected()),
)


def test_a_destination_is_enabled_only_with_all_required_values_and_the_error_names_each() -> None:
    error = given(*REQUIRED).when(enable()).refused("FAILED_PRECONDITION", "SETTINGS_MISSING")
    assert error.metadata == {"destinations": "crm-eu", "settings": "key,secret"}
    given(*REQUIRED, changed(plain("key", "v"), sealed("secret"))).when(enable()).then(ENABLED)


def test_an_enabled_destination_keeps_its_required_values() -> None:
    given(*REQUIRED, changed(plain("key", "v"), sealed("secret")), ENABLED).when(set_settings(clear=["key"])).refused(
        "FAILED_PRECONDITION", "SETTINGS_MISSING"
    )


def test_a_destination_begins_where_it_is_told_to_else_at_its_mark_else_now() -> None:
    held = facts_pb2.DestinationDisabled(destination="crm-eu", hold=True)
    since = facts_pb2.DestinationEnabled(destination="crm-eu", start=resources_pb2.ENABLE_START_SINCE_DISABLED)
    given(*RUNNING, ENABLED).when(disable(hold=True)).then(held)
    story = given(*RUNNING, ENABLED, held)
    story.when(enable()).then(since)
    given(*RUNNING, ENABLED, held).when(enable(start=resources_pb2.ENABLE_START_NOW)).then(ENABLED)
    given(*RUNNING).when(enable(start=resources_pb2.ENABLE_START_SINCE_DISABLED)).then(since)
    # A mark is good for once.
    given(*RUNNING, ENABLED, held, since, DISABLED).when(enable()).then(ENABLED)
    given(*RUNNING).when(enable(start=resources_pb2.ENABLE_START_TIME)).refused("INVALID_ARGUMENT", "INVALID_FIELD")


def test_enabling_and_disabling_twice_changes_nothing() -> None:
    story = given(*RUNNING)
    story.when(disable()).then()
    story.when(enable()).then(ENABLED)
    story.when(enable()).then()
    story.when(disable()).then(DISABLED)
    story.when(disable()).then()


@pytest.mark.parametrize("decide", [set_settings(etag="1.2"), enable(etag="0.1"), disable(etag="2.1")])
def test_a_stale_etag_of_a_destination_is_refused(decide: Decide) -> None:
    given(*RUNNING).when(decide).refused("ABORTED", "CONFLICT")


def test_a_deployment_changes_a_destinations_etag() -> None:
    story = given(*RUNNING)
    before = ids.etag_of(story.state.destinations["crm-eu"])
    story.when(deploy(2)).then(facts_pb2.VersionDeployed(function="crm", number=2, destinations=["crm-eu"]))
    assert ids.etag_of(story.state.destinations["crm-eu"]) != before


def test_a_destination_that_does_not_exist_is_not_found() -> None:
    for decide in (set_settings(), enable(), disable()):
        given(WORKSPACE).when(decide).refused("NOT_FOUND", "NOT_FOUND")


def test_the_state_counts_each_stream_as_the_log_does() -> None:
    story = given(*RUNNING, changed(plain("key", "v")), ENABLED, DISABLED)
    assert story.state.stream_version("workspace") == 1
    assert story.state.stream_version("functions/crm") == 3
    assert story.state.stream_version("destinations/crm-eu") == 4
    assert story.state.stream_version("sources/web") == 1
    assert story.state.stream_version("functions/none") == 0
    assert story.state.stream_version("tokens/t1") == 0


def test_the_state_holds_no_code() -> None:
    saved = version(2)
    saved.code = "the code itself"
    assert "the code itself" not in repr(given(WORKSPACE, FUNCTION, version(1), saved).state)


# Templates


def test_every_template_has_an_event_definitions_and_a_text_for_people() -> None:
    assert {"default", "http-post", "teams-message", "subscription-sync"} <= set(TEMPLATES)
    for template in TEMPLATES.values():
        assert template.description
        assert json.loads(template.sample_event)["type"]
        names = [one.name for one in template.definitions]
        assert len(names) == len(set(names))
        assert all(f"{handler}" in template.code for handler in template.handlers)
