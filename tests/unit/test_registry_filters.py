"""What the registry decides about filters, and how their protos become filters that can be applied."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from kit.eventstore.facts import NewFact
from kit.filters import AllowFields, Drop, DropFields, FilterError, FilterSpec, HashFields, Sample
from kit.filters.rules import chain_of, rule_cost, rule_violations, spec_of
from kit.rpc import names
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import facts_pb2, internal_service_pb2
from onward.registry.v1 import resources_pb2 as pb
from services.registry.domain import filters
from services.registry.domain.evolve import evolve
from services.registry.domain.evolving_connections import filters_of
from services.registry.domain.state import State
from tests.unit.registry_given import Decide, Given

given = Given
WORKSPACE = facts_pb2.WorkspaceCreated(workspace="acme", display_name="Acme", functions_max=2)
SOURCE = facts_pb2.SourceCreated(source="web", display_name="Web")
CONNECTED = facts_pb2.DestinationConnected(
    destination="crm-eu", display_name="CRM", function="crm", source="web", version=1
)
BASE = (WORKSPACE, SOURCE, CONNECTED)
PARENTS = ["", "sources/web", "destinations/crm-eu"]
DROP = pb.FilterAction(drop=True)


def paths(*names: str) -> pb.FieldPaths:
    return pb.FieldPaths(paths=names)


def rule(title: str = "Own people", condition: str = "all", *actions: pb.FilterAction, **fields: Any) -> pb.FilterRule:
    return pb.FilterRule(**{"title": title, "condition": condition, "actions": actions or [DROP], **fields})


def made(filter_id: str = "own-people", parent: str = "", **fields: Any) -> facts_pb2.FilterCreated:
    return facts_pb2.FilterCreated(parent=parent, filter=filter_id, rule=rule(**{"title": filter_id, **fields}))


def create(parent: str = "", filter_id: str = "", **fields: Any) -> Decide:
    request = dpb.CreateFilterRequest(filter_id=filter_id, rule=rule(**fields))
    return lambda state: filters.decide_create_filter(state, request, "acme", parent)


def update(filter_id: str, parent: str = "", etag: str = "", **fields: Any) -> Decide:
    request = dpb.UpdateFilterRequest(etag=etag, rule=rule(**fields))
    return lambda state: filters.decide_update_filter(state, request, "acme", parent, filter_id)


def delete(filter_id: str, parent: str = "", etag: str = "") -> Decide:
    request = dpb.DeleteFilterRequest(etag=etag)
    return lambda state: filters.decide_delete_filter(state, request, "acme", parent, filter_id)


def reorder(*names: str, parent: str = "") -> Decide:
    request = dpb.ReorderFiltersRequest(filters=names)
    return lambda state: filters.decide_reorder_filters(state, request, "acme", parent)


# --- making -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parent", PARENTS)
def test_a_filter_is_made_in_its_parents_stream_with_an_id_from_its_title(parent: str) -> None:
    case = given(*BASE).when(create(parent))
    case.then(facts_pb2.FilterCreated(parent=parent, filter="own-people", rule=rule()))
    assert isinstance(fact := create(parent)(given(*BASE).state)[0], NewFact)
    assert fact.stream == (parent or "workspace")


def test_an_id_that_is_taken_gets_a_number_or_is_refused() -> None:
    first = made()
    case = given(*BASE, first).when(create(title="Own  people"))
    assert case.decided()[0].filter == "own-people-2"
    error = (
        given(*BASE, first).when(create(filter_id="own-people", title="B")).refused("ALREADY_EXISTS", "ALREADY_EXISTS")
    )
    assert error.metadata == {"resource": "workspaces/acme/filters/own-people"}


def test_another_parents_ids_and_titles_are_its_own() -> None:
    case = given(*BASE, made(), made(parent="sources/web"))
    assert case.when(create("destinations/crm-eu", "own-people", title="own-people")).decided()


def test_the_id_and_the_title_of_a_deleted_filter_may_be_used_again_without_its_etag() -> None:
    deleted = facts_pb2.FilterDeleted(filter="own-people")
    case = given(*BASE, made())
    old = filters_of(case.state, "")[0].revision
    again = given(*BASE, made(), deleted, made())
    assert filters_of(again.state, "")[0].revision > old
    again.when(delete("own-people", etag=str(old))).refused("ABORTED", "CONFLICT")


@pytest.mark.parametrize("parent", PARENTS)
def test_the_eleventh_filter_is_refused_with_the_limit(parent: str) -> None:
    ten = [made(f"f{n}", parent) for n in range(10)]
    assert given(*BASE, *ten[:9]).when(create(parent)).decided()
    error = given(*BASE, *ten).when(create(parent)).refused("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
    assert error.metadata == {"limit": "filters_max", "max": "10"}


LIMIT = ("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
SLOW = "match(event, '?') or snakecase(event) = 'a'"


@pytest.mark.parametrize("parent", PARENTS)
def test_filters_that_would_hold_up_all_events_together_are_refused_with_advice(parent: str) -> None:
    full = [made(f"f{n}", parent, condition=SLOW, enabled=True) for n in range(3)]
    more = {"title": "One more", "condition": "contains(event, 'A')"}
    case = given(*BASE, *full).when(create(parent, **more, enabled=True))
    refused = case.refused(*LIMIT)
    assert refused.metadata == {"limit": "filters_cost_max", "max": "300"}
    assert "310 points" in refused.message
    assert "match with `*` alone" in refused.message
    # What does nothing takes no time, and what costs nothing is always accepted.
    given(*BASE, *full).when(create(parent, **more)).decided()
    given(*BASE, *full).when(create(parent, condition="event = 'A'", enabled=True)).decided()
    given(*BASE, *full, made("off", parent, condition=SLOW)).when(
        update("off", parent, title="off", condition=SLOW, enabled=True)
    ).refused(*LIMIT)


def test_filters_that_were_saved_before_the_limit_may_become_cheaper_step_by_step() -> None:
    """They go on being applied meanwhile."""
    stored = [made(f"f{n}", condition=SLOW, enabled=True) for n in range(5)]
    case = given(*BASE, *stored)
    case.when(update("f0", title="f0", condition="match(event, '?')", enabled=True)).decided()
    case.when(update("f0", title="Renamed", condition=SLOW, enabled=True)).decided()
    case.when(update("f0", title="f0", condition=f"{SLOW} or contains(event, 'a')", enabled=True)).refused(*LIMIT)
    chain_of([internal_service_pb2.FilterGroup(filters=[pb.Filter(name=one.filter, rule=one.rule) for one in stored])])


def test_a_sample_by_a_field_costs_as_well() -> None:
    by_user = pb.FilterAction(sample=pb.Sampling(rate=0.5, path="userId"))
    at_random = pb.FilterAction(sample=pb.Sampling(rate=0.5))
    assert rule_cost(pb.FilterRule(title="A", condition="contains(event, 'a')", actions=[by_user])) == 30
    assert rule_cost(pb.FilterRule(title="A", condition="contains(event, 'a')", actions=[at_random])) == 10
    assert rule_cost(pb.FilterRule(title="A", condition="not valid", actions=[DROP])) == 0


def test_titles_are_unique_among_a_parents_filters() -> None:
    facts = (*BASE, made("a"), made("b"))
    for decide in (create(title="a"), update("b", title="a")):
        error = given(*facts).when(decide).refused("ALREADY_EXISTS", "ALREADY_EXISTS")
        assert error.metadata == {"resource": "workspaces/acme/filters/a", "title": "a"}


@pytest.mark.parametrize("parent", ["sources/app", "destinations/none"])
def test_filters_of_what_does_not_exist_are_not_found(parent: str) -> None:
    for decide in (create(parent), update("f", parent), delete("f", parent), reorder(parent=parent)):
        error = given(*BASE).when(decide).refused("NOT_FOUND", "NOT_FOUND")
        assert error.metadata == {"resource": f"workspaces/acme/{parent}"}


def test_a_deleted_source_and_a_disconnected_destination_have_no_filters_any_more() -> None:
    gone = (facts_pb2.DestinationDisconnected(destination="crm-eu"), facts_pb2.SourceDeleted(source="web"))
    facts = (*BASE, made(parent="sources/web"), made(parent="destinations/crm-eu"), *gone)
    for parent in PARENTS[1:]:
        given(*facts).when(create(parent)).refused("NOT_FOUND", "NOT_FOUND")


# --- changing -----------------------------------------------------------------------------------------------


def test_an_update_replaces_the_rule_and_nothing_where_it_is_the_same() -> None:
    given(*BASE, made("a")).when(update("a", title="a")).then()
    given(*BASE, made("a")).when(update("a", title="b", enabled=True)).then(
        facts_pb2.FilterUpdated(filter="a", rule=rule("b", enabled=True))
    )


def test_a_stale_etag_is_refused_and_changes_of_others_make_none() -> None:
    case = given(*BASE, made("a"), made("b"))
    etag = str(filters_of(case.state, "")[0].revision)
    changed = facts_pb2.FilterUpdated(filter="a", rule=rule("c"))
    others = facts_pb2.FilterUpdated(filter="b", rule=rule("d"))
    assert given(*BASE, made("a"), made("b"), others).when(update("a", etag=etag)).decided()
    for decide in (update("a", etag=etag), delete("a", etag=etag)):
        error = given(*BASE, made("a"), made("b"), changed).when(decide).refused("ABORTED", "CONFLICT")
        assert error.metadata["etag"] != etag


def test_a_change_of_filters_changes_the_parents_revision() -> None:
    for parent in PARENTS:
        state = given(*BASE).state
        facts: list[Message] = [
            made("a", parent),
            facts_pb2.FilterUpdated(parent=parent, filter="a", rule=rule("b")),
            made("c", parent),
            facts_pb2.FiltersReordered(parent=parent, filters=["c", "a"]),
            facts_pb2.FilterDeleted(parent=parent, filter="a"),
        ]
        for fact in facts:
            before, state = state, evolve(state, fact)
            stream = parent or "workspace"
            assert state.stream_version(stream) == before.stream_version(stream) + 1


def test_what_is_not_there_is_neither_changed_nor_deleted() -> None:
    for decide in (update("none"), delete("none")):
        error = given(*BASE, made("a")).when(decide).refused("NOT_FOUND", "NOT_FOUND")
        assert error.metadata == {"resource": "workspaces/acme/filters/none"}
    given(*BASE, made("a")).when(delete("a")).then(facts_pb2.FilterDeleted(filter="a"))


def test_a_new_order_names_every_filter_once() -> None:
    facts = (*BASE, *(made(name, "sources/web") for name in "abc"))
    a, b, c = (f"workspaces/acme/sources/web/filters/{name}" for name in "abc")
    given(*facts).when(reorder(c, a, b, parent="sources/web")).then(
        facts_pb2.FiltersReordered(parent="sources/web", filters=["c", "a", "b"])
    )
    given(*facts).when(reorder(a, b, c, parent="sources/web")).then()
    other = "workspaces/acme/filters/a"
    for named, told in [((a, b), f"lacks {c}"), ((a, b, c, other), f"has {other}"), ((a, b, b, c), f"names {b} more")]:
        error = given(*facts).when(reorder(*named, parent="sources/web")).refused("INVALID_ARGUMENT", "INVALID_FIELD")
        assert [field for field, _ in error.violations] == ["filters"]
        assert told in error.message


# --- what is refused at save --------------------------------------------------------------------------------


def test_a_bad_condition_is_refused_with_line_and_column_even_in_a_filter_that_is_off() -> None:
    for decide in (create(condition="event = 'A' and\n  b = = 2"), update("a", condition="event = 'A' and\n  b = = 2")):
        error = given(*BASE, made("a")).when(decide).refused("INVALID_ARGUMENT", "INVALID_FIELD")
        ((field, problem),) = error.violations
        assert field == "rule.condition"
        assert problem.startswith("line 2, column 7: ")
        assert error.metadata == {"line": "2", "column": "7"}


@pytest.mark.parametrize(
    ("action", "field"),
    [
        (pb.FilterAction(), "rule.actions[1]"),
        (pb.FilterAction(drop=False), "rule.actions[1]"),
        (pb.FilterAction(drop_fields=paths("context.ip", "userId")), "rule.actions[1].drop_fields.paths[1]"),
        (pb.FilterAction(hash_fields=paths("a..b")), "rule.actions[1].hash_fields.paths[0]"),
        (pb.FilterAction(allow_fields=paths()), "rule.actions[1].allow_fields.paths"),
        (pb.FilterAction(sample=pb.Sampling(rate=float("nan"))), "rule.actions[1].sample.rate"),
        (pb.FilterAction(sample=pb.Sampling(rate=1, path="a b")), "rule.actions[1].sample.path"),
        (DROP, "rule.actions"),
    ],
)
def test_a_bad_action_is_refused_at_its_field(action: pb.FilterAction, field: str) -> None:
    request = dpb.CreateFilterRequest(rule=rule("A", "all", DROP, action))
    case = given(*BASE).when(lambda state: filters.decide_create_filter(state, request, "acme", ""))
    error = case.refused("INVALID_ARGUMENT", "INVALID_FIELD")
    assert [where for where, _ in error.violations] == [field]
    assert error.metadata == {}


def test_a_rule_is_not_larger_than_an_event() -> None:
    long = paths(*(f"properties.{'x' * 400}{n}" for n in range(100)))
    request = dpb.CreateFilterRequest(rule=rule("A", "all", pb.FilterAction(drop_fields=long)))
    case = given(*BASE).when(lambda state: filters.decide_create_filter(state, request, "acme", ""))
    error = case.refused("INVALID_ARGUMENT", "INVALID_FIELD")
    assert [where for where, _ in error.violations] == ["rule"]


# --- protos to filters --------------------------------------------------------------------------------------


def test_every_action_is_read() -> None:
    actions = [
        DROP,
        pb.FilterAction(drop_fields=paths("a")),
        pb.FilterAction(allow_fields=paths("b", "c")),
        pb.FilterAction(hash_fields=paths("d")),
        pb.FilterAction(sample=pb.Sampling(rate=0.25, path="userId")),
    ]
    read = spec_of("f", rule("T", "event = 'A'", *actions, description="D", enabled=True))
    kinds = (Drop(), DropFields(("a",)), AllowFields(("b", "c")), HashFields(("d",)), Sample(0.25, "userId"))
    assert read == FilterSpec("f", kinds, "event = 'A'", "T", "D", True)
    assert {field.name for field in pb.FilterAction.DESCRIPTOR.fields} == {
        "drop",
        "drop_fields",
        "allow_fields",
        "hash_fields",
        "sample",
    }, "a new action needs a reading"


def test_an_action_that_this_release_does_not_know_lets_no_event_pass() -> None:
    newer = pb.FilterAction.FromString(b"\x7a\x00")
    group = internal_service_pb2.FilterGroup(filters=[pb.Filter(name="f", rule=rule("A", "all", newer, enabled=True))])
    with pytest.raises(FilterError, match=r"actions\[0\]"):
        chain_of([group])


def test_groups_are_applied_in_their_order() -> None:
    first = rule("A", "all", pb.FilterAction(drop_fields=paths("properties.a")), enabled=True)
    second = rule("B", "properties.a = 1", DROP, enabled=True)
    groups = [
        internal_service_pb2.FilterGroup(filters=[pb.Filter(name=name, rule=one)])
        for name, one in (("a", first), ("b", second))
    ]
    event = {"type": "track", "properties": {"a": 1, "b": 2}}
    assert chain_of(groups).apply(event, lambda: 0.0).event == {"type": "track", "properties": {"b": 2}}
    assert chain_of(groups[::-1]).apply(event, lambda: 0.0) == (None, "b")


def test_a_rule_without_mistakes_has_no_violations() -> None:
    assert rule_violations(rule()) == []
    assert State().filters == ()


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (names.FILTER, "workspaces/acme/destinations/crm-eu/filters/f"),
        (names.SOURCE_FILTER, "workspaces/acme/sources/web/filters/f"),
        (names.WORKSPACE_FILTER, "workspaces/acme/filters/f"),
    ],
)
def test_names_of_filters_tell_their_workspace(template: names.NameTemplate, name: str) -> None:
    assert template.parse(name)[0] == names.workspace_of(name) == "acme"
    assert sum(one.matches(name) for one in (names.FILTER, names.SOURCE_FILTER, names.WORKSPACE_FILTER)) == 1
