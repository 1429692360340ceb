"""Decisions on filters of destinations, sources and the workspace.

A parent is named as in the facts: "destinations/{destination}", "sources/{source}", or "" for the workspace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kit.errors import LimitReached
from kit.eventstore.facts import NewFact
from kit.filters import COST_MAX, FILTERS_MAX
from kit.filters.rules import rule_cost, rule_violations
from kit.fql import FqlError, compile_condition
from kit.fql.cost import SLOW_CALL
from onward.registry.v1 import destination_service_pb2 as pb
from onward.registry.v1 import facts_pb2, resources_pb2
from services.registry.domain import ids
from services.registry.domain.evolving_connections import filters_of
from services.registry.domain.state import FilterState, State
from services.registry.domain.workspaces import require_workspace
from services.registry.errors import FilterTitleTaken, IdTaken, InvalidField, InvalidFilter, Missing

# An event has as much, so no filter needs more; all thirty that a destination may have go into one answer of 4 MiB.
RULE_BYTES_MAX = 32 * 1024


def parent_name(workspace: str, parent: str) -> str:
    """The resource's name."""
    return f"workspaces/{workspace}/{parent}" if parent else f"workspaces/{workspace}"


def filter_name(workspace: str, parent: str, filter_id: str) -> str:
    """The resource's name."""
    return f"{parent_name(workspace, parent)}/filters/{filter_id}"


def decide_create_filter(state: State, request: pb.CreateFilterRequest, workspace: str, parent: str) -> list[NewFact]:
    """A filter, as the last of its parent's. An id may be used again once its filter is deleted."""
    filters = _require_filters(state, workspace, parent)
    check_rule(request.rule)
    taken = {one.id for one in filters}
    if request.filter_id in taken:
        raise IdTaken(filter_name(workspace, parent, request.filter_id))
    if len(filters) >= FILTERS_MAX:
        raise LimitReached(
            f"{parent_name(workspace, parent)} has {FILTERS_MAX} filters, as many as it may. "
            "Delete one, or join the conditions of two with `or`.",
            metadata={"limit": "filters_max", "max": str(FILTERS_MAX)},
        )
    _require_free_title(filters, request.rule.title, workspace, parent)
    rules = [one.rule for one in filters]
    _require_affordable(rules, [*rules, request.rule], parent_name(workspace, parent))
    filter_id = request.filter_id or ids.free_id(request.rule.title, "filter", taken)
    return [_fact(parent, facts_pb2.FilterCreated(parent=parent, filter=filter_id, rule=request.rule))]


def decide_update_filter(
    state: State, request: pb.UpdateFilterRequest, workspace: str, parent: str, filter_id: str
) -> list[NewFact]:
    """Another rule; nothing where it is the same."""
    filters = _require_filters(state, workspace, parent)
    current = _current(filters, request.etag, filter_name(workspace, parent, filter_id))
    check_rule(request.rule)
    others = [one for one in filters if one.id != filter_id]
    _require_free_title(others, request.rule.title, workspace, parent)
    if request.rule == current.rule:
        return []
    rules = [one.rule for one in others]
    _require_affordable([*rules, current.rule], [*rules, request.rule], parent_name(workspace, parent))
    return [_fact(parent, facts_pb2.FilterUpdated(parent=parent, filter=filter_id, rule=request.rule))]


def decide_delete_filter(
    state: State, request: pb.DeleteFilterRequest, workspace: str, parent: str, filter_id: str
) -> list[NewFact]:
    """The filter's end."""
    filters = _require_filters(state, workspace, parent)
    _current(filters, request.etag, filter_name(workspace, parent, filter_id))
    return [_fact(parent, facts_pb2.FilterDeleted(parent=parent, filter=filter_id))]


def decide_reorder_filters(
    state: State, request: pb.ReorderFiltersRequest, workspace: str, parent: str
) -> list[NewFact]:
    """Another order of all of them; nothing where it is the same. Raises InvalidField."""
    filters = _require_filters(state, workspace, parent)
    by_name = {filter_name(workspace, parent, one.id): one.id for one in filters}
    _require_all(by_name, request.filters, parent_name(workspace, parent))
    if list(by_name) == list(request.filters):
        return []
    order = [by_name[name] for name in request.filters]
    return [_fact(parent, facts_pb2.FiltersReordered(parent=parent, filters=order))]


def check_rule(rule: resources_pb2.FilterRule) -> None:
    """Raises InvalidFilter: what is saved must be applicable, so that no event is lost by a typing mistake.

    That goes for a filter that is not enabled as well.
    """
    found = [(f"rule.{field}", problem) for field, problem in rule_violations(rule)]
    if rule.ByteSize() > RULE_BYTES_MAX:
        found.append(("rule", f"it has {rule.ByteSize()} bytes; at most {RULE_BYTES_MAX} are accepted"))
    if found:
        raise InvalidFilter(found, _place(rule.condition))


def _place(condition: str) -> tuple[int, int] | None:
    try:
        compile_condition(condition)
    except FqlError as error:
        return error.line, error.column
    return None


def _require_filters(state: State, workspace: str, parent: str) -> tuple[FilterState, ...]:
    require_workspace(state, workspace)
    try:
        return filters_of(state, parent)
    except KeyError:
        raise Missing(parent_name(workspace, parent)) from None


def _current(filters: Sequence[FilterState], etag: str, name: str) -> FilterState:
    found = next((one for one in filters if one.id == name.rpartition("/")[2]), None)
    if found is None:
        raise Missing(name)
    ids.require_etag(name, etag, ids.filter_etag(found.revision))
    return found


def _require_free_title(filters: Sequence[FilterState], title: str, workspace: str, parent: str) -> None:
    for one in filters:
        if one.rule.title == title:
            raise FilterTitleTaken(title, filter_name(workspace, parent, one.id))


def _require_affordable(
    before: Sequence[resources_pb2.FilterRule], after: Sequence[resources_pb2.FilterRule], parent: str
) -> None:
    """Filters that were saved before there was a limit may stay, and may become cheaper step by step."""
    cost = _cost(after)
    if cost <= COST_MAX or cost <= _cost(before):
        return
    raise LimitReached(
        f"The enabled filters of {parent} would cost an event up to {cost} points; at most {COST_MAX} are accepted. "
        f"snakecase, kebabcase, titlecase, and match with `?`, `[` or a field as its pattern cost {SLOW_CALL} each: "
        "use match with `*` alone, or a list with `in`. docs/filters.md has the cost of all others.",
        metadata={"limit": "filters_cost_max", "max": str(COST_MAX)},
    )


def _cost(rules: Sequence[resources_pb2.FilterRule]) -> int:
    return sum(rule_cost(rule) for rule in rules if rule.enabled)


def _require_all(existing: Sequence[str] | dict[str, str], named: Sequence[str], parent: str) -> None:
    problems = []
    if missing := [name for name in existing if name not in named]:
        problems.append(f"lacks {', '.join(missing)}")
    if unknown := [name for name in named if name not in existing]:
        problems.append(f"has {', '.join(unknown)}, which {parent} has not")
    if twice := [name for name, count in Counter(named).items() if count > 1]:
        problems.append(f"names {', '.join(twice)} more than once")
    if problems:
        raise InvalidField("filters", f"{'; '.join(problems)}. Name each filter of {parent} once.")


def _fact(
    parent: str,
    data: facts_pb2.FilterCreated | facts_pb2.FilterUpdated | facts_pb2.FilterDeleted | facts_pb2.FiltersReordered,
) -> NewFact:
    return NewFact(parent or "workspace", data)
