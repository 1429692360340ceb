"""Filters as the registry stores them, made into those that `FilterChain` applies."""

from __future__ import annotations

from collections.abc import Iterable

from kit.filters.actions import (
    Action,
    AllowFields,
    Drop,
    DropFields,
    FilterError,
    FilterSpec,
    HashFields,
    Sample,
    cost_of,
    violations,
)
from kit.filters.chain import CompiledFilter, FilterChain
from kit.fql import FqlError
from onward.registry.v1 import internal_service_pb2, resources_pb2

# The field of an action's proto message, by its class: where `violations` finds something wrong, clients look there.
_FIELDS: dict[type[Action], str] = {
    Drop: "drop",
    DropFields: "drop_fields",
    AllowFields: "allow_fields",
    HashFields: "hash_fields",
    Sample: "sample",
}


def chain_of(groups: Iterable[internal_service_pb2.FilterGroup]) -> FilterChain:
    """The chain of a resolved destination's filters.

    Raises `FilterError` where one can't be applied, such as one of a newer release's: an event must not pass it.
    """
    return FilterChain(*([spec_of(one.name, one.rule) for one in group.filters] for group in groups))


def filter_of(one: resources_pb2.Filter) -> CompiledFilter:
    """One of them alone, to be put into a chain: reading all of them at once would take long. Raises as `chain_of`."""
    return CompiledFilter(spec_of(one.name, one.rule))


def spec_of(name: str, rule: resources_pb2.FilterRule) -> FilterSpec:
    """A rule as a filter that can be applied. Raises `FilterError` for actions that are none."""
    unknown = [(f"actions[{i}]", problem) for i, one in enumerate(rule.actions) if (problem := _problem(one))]
    if unknown:
        raise FilterError(name, unknown)
    return FilterSpec(
        name=name,
        actions=tuple(map(_action, rule.actions)),
        condition=rule.condition,
        title=rule.title,
        description=rule.description,
        enabled=rule.enabled,
    )


def rule_violations(rule: resources_pb2.FilterRule) -> list[tuple[str, str]]:
    """List all that is wrong with a rule: pairs of (path of the field in `FilterRule`, what is wrong)."""
    try:
        spec = spec_of(rule.title, rule)
    except FilterError as error:
        return error.violations
    return [(_in_proto(field, spec.actions), message) for field, message in violations(spec)]


def rule_cost(rule: resources_pb2.FilterRule) -> int:
    """What a rule takes at worst, in the points of kit/fql/cost.py; 0 for one that can't be applied."""
    try:
        return cost_of(spec_of(rule.title, rule))
    except (FilterError, FqlError):
        # Of a newer release, or of one that had other limits: nothing passes it.
        return 0


def _problem(action: resources_pb2.FilterAction) -> str:
    kind = action.WhichOneof("action")
    if kind is None:
        return "this action does nothing; set one of drop, drop_fields, allow_fields, hash_fields, sample"
    return "drop must be true; leave the action out to drop nothing" if kind == "drop" and not action.drop else ""


def _action(action: resources_pb2.FilterAction) -> Action:
    match action.WhichOneof("action"):
        case "drop_fields":
            return DropFields(tuple(action.drop_fields.paths))
        case "allow_fields":
            return AllowFields(tuple(action.allow_fields.paths))
        case "hash_fields":
            return HashFields(tuple(action.hash_fields.paths))
        case "sample":
            return Sample(action.sample.rate, action.sample.path)
        case _:
            return Drop()


def _in_proto(field: str, actions: tuple[Action, ...]) -> str:
    """`actions[1].paths[0]` as `actions[1].hash_fields.paths[0]`."""
    head, dot, rest = field.partition("].")
    if not dot:
        return field
    index = int(head.removeprefix("actions["))
    return f"{head}].{_FIELDS[type(actions[index])]}.{rest}"
