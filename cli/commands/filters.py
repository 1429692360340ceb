"""onward filters"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from cli.commands.destinations import destination_stub
from cli.confirmation import Yes, confirm
from cli.failures import CommandError, Exit, UsageError
from cli.filter_text import NO_ACTIONS, Actions, actions_text, condition_errors, parse_actions
from cli.options import DEFAULTS, Options
from cli.output import last_part, print_json, say, say_code, tell, tell_list, warn
from cli.session import Session, as_id, checked_id
from kit.ids import uuid7
from onward.registry.v1 import destination_service_pb2 as pb
from onward.registry.v1 import resources_pb2

app = App(name="filters", help="Drop, thin out or redact events of a destination, a source or the whole workspace.")

COLUMNS = (">order", "filter", "~title", "state", "~when", "~does")
# What an event may have.
EVENT_BYTES_MAX = 32 * 1024

Destination = Annotated[str, Parameter(name="--destination", help="A destination's filters.")]
Source = Annotated[str, Parameter(name="--source", help="A source's filters; the workspace's where neither is named.")]


def _parent(session: Session, destination: str, source: str) -> str:
    if destination and source:
        raise UsageError("--destination and --source exclude each other: leave one out")
    if destination:
        return session.name("destinations", destination)
    return session.name("sources", source) if source else session.workspace_name


def _name(session: Session, destination: str, source: str, identifier: str) -> str:
    return f"{_parent(session, destination, source)}/filters/{checked_id(identifier, 'filter')}"


@app.command
async def create(
    title: str,
    /,
    *,
    when: str = "all",
    actions: Actions = NO_ACTIONS,
    description: str = "",
    disabled: bool = False,
    destination: Destination = "",
    source: Source = "",
    options: Options = DEFAULTS,
) -> None:
    """Make a filter, as the last of its place; at most 10 each.

    Example: onward filters create "No test orders" --destination crm-web \\
        --when "match(userId, 'test-*')" --drop

    Parameters
    ----------
    title
        For people; an id is made from it.
    when
        Which events it is for: a condition such as type = 'track' and properties.total > 100; all where absent.
    description
        For people.
    disabled
        Do not apply it yet.
    """
    rule = resources_pb2.FilterRule(
        title=title, description=description, enabled=not disabled, condition=when, actions=parse_actions(actions)
    )
    if not rule.actions:
        raise UsageError("say what it does: --drop, --sample, --drop-fields, --allow-fields or --hash-fields")
    async with Session(options) as session:
        parent = _parent(session, destination, source)
        request = pb.CreateFilterRequest(parent=parent, filter_id=as_id(title), rule=rule, request_id=uuid7())
        with condition_errors(when):
            made = await destination_stub(session).CreateFilter(request)
    _tell(made, made.filter, "Made", options)


@app.command
async def update(
    name: str,
    /,
    *,
    title: str | None = None,
    when: str | None = None,
    actions: Actions = NO_ACTIONS,
    description: str | None = None,
    destination: Destination = "",
    source: Source = "",
    options: Options = DEFAULTS,
) -> None:
    """Change a filter; what is not named stays, but actions that are given are all actions from now on.

    Example: onward filters update no-test-orders --destination crm-web \\
        --sample 0.1 --by userId

    Parameters
    ----------
    name
        The filter's id.
    title
        For people.
    when
        Which events it is for.
    description
        For people.
    """
    given = parse_actions(actions)
    if title is None and when is None and description is None and not given:
        raise UsageError("say what is to change: --title, --when, --description or an action")

    def change(rule: resources_pb2.FilterRule) -> None:
        rule.title = rule.title if title is None else title
        rule.condition = rule.condition if when is None else when
        rule.description = rule.description if description is None else description
        if given:
            del rule.actions[:]
            rule.actions.extend(given)

    async with Session(options) as session:
        answer = await _change(session, _name(session, destination, source, name), change)
    _tell(answer, answer.filter, "Changed", options)


async def _change(session: Session, name: str, change: Any) -> pb.UpdateFilterResponse:
    """Read a filter, change its rule, and store it unless somebody else has changed it meanwhile."""
    found = await _found(session, name)
    rule = found.rule
    change(rule)
    request = pb.UpdateFilterRequest(name=name, rule=rule, etag=found.etag, request_id=uuid7())
    with condition_errors(rule.condition):
        return await destination_stub(session).UpdateFilter(request)


async def _found(session: Session, name: str) -> resources_pb2.Filter:
    parent = name.rpartition("/filters/")[0]
    listed = await destination_stub(session).ListFilters(pb.ListFiltersRequest(parent=parent))
    for one in listed.filters:
        if one.name == name:
            return one
    known = ", ".join(last_part(one.name) for one in listed.filters) or "none"
    raise CommandError(f"{name} does not exist; filters there: {known}", Exit.NOT_FOUND)


@app.command
async def enable(
    name: str, /, *, destination: Destination = "", source: Source = "", options: Options = DEFAULTS
) -> None:
    """Apply a filter from now on.

    Example: onward filters enable no-test-orders --destination crm-web

    Parameters
    ----------
    name
        The filter's id.
    """
    await _switch(name, destination, source, options, enabled=True)


@app.command
async def disable(
    name: str, /, *, destination: Destination = "", source: Source = "", options: Options = DEFAULTS
) -> None:
    """Keep a filter, but do not apply it from now on.

    Example: onward filters disable no-test-orders --destination crm-web

    Parameters
    ----------
    name
        The filter's id.
    """
    await _switch(name, destination, source, options, enabled=False)


async def _switch(name: str, destination: str, source: str, options: Options, *, enabled: bool) -> None:
    def change(rule: resources_pb2.FilterRule) -> None:
        rule.enabled = enabled

    async with Session(options) as session:
        answer = await _change(session, _name(session, destination, source, name), change)
    _tell(answer, answer.filter, "Enabled" if enabled else "Disabled", options)


@app.command
async def delete(
    name: str,
    /,
    *,
    destination: Destination = "",
    source: Source = "",
    yes: Yes = False,
    options: Options = DEFAULTS,
) -> None:
    """Delete a filter.

    Example: onward filters delete no-test-orders --destination crm-web

    Parameters
    ----------
    name
        The filter's id.
    """
    async with Session(options) as session:
        full_name = _name(session, destination, source, name)
        confirm(f"Delete the filter {name}? Its events go on to the function then.", yes=yes)
        deleted = await destination_stub(session).DeleteFilter(
            pb.DeleteFilterRequest(name=full_name, request_id=uuid7())
        )
    tell(deleted, f"Deleted the filter {name}.", as_json=options.json)


@app.command(name="list")
async def list_filters(*, destination: Destination = "", source: Source = "", options: Options = DEFAULTS) -> None:
    """List the filters of a destination, a source or the workspace, in the order in which they apply.

    Example: onward filters list --destination crm-web
    """
    async with Session(options) as session:
        parent = _parent(session, destination, source)
        found = (await destination_stub(session).ListFilters(pb.ListFiltersRequest(parent=parent))).filters
    _tell_filters(found, options)


@app.command
async def reorder(*names: str, destination: Destination = "", source: Source = "", options: Options = DEFAULTS) -> None:
    """Change the order of filters.

    Example: onward filters reorder sampled no-test-orders --destination crm-web

    Parameters
    ----------
    names
        The ids of all filters of the place, in their new order.
    """
    async with Session(options) as session:
        parent = _parent(session, destination, source)
        full_names = [_name(session, destination, source, one) for one in names]
        request = pb.ReorderFiltersRequest(parent=parent, filters=full_names, request_id=uuid7())
        found = (await destination_stub(session).ReorderFilters(request)).filters
    _tell_filters(found, options)


@app.command
async def preview(
    *,
    event: Annotated[str, Parameter(allow_leading_hyphen=True)],
    when: str = "all",
    actions: Actions = NO_ACTIONS,
    destination: Destination = "",
    source: Source = "",
    options: Options = DEFAULTS,
) -> None:
    """Show what filters make of an event: all that it meets on its way, or one that is not saved yet.

    Example: onward filters preview --destination crm-web --event event.json \\
        --when 'type = "track"' --drop

    Parameters
    ----------
    event
        A file with one event as JSON; - is stdin.
    when
        With an action, the condition of the filter that is not saved yet.
    """
    given = parse_actions(actions)
    if when != "all" and not given:
        raise UsageError("--when alone is no filter: say what it does, such as --drop")
    async with Session(options) as session:
        request = pb.PreviewFilterRequest(parent=_parent(session, destination, source), event=_event(event))
        if given:
            rule = resources_pb2.FilterRule(title="this filter", enabled=True, condition=when, actions=given)
            request.rule.CopyFrom(rule)
        with condition_errors(when):
            found = await destination_stub(session).PreviewFilter(request)
    if options.json:
        print_json(found)
    elif found.dropped:
        say(f"dropped by {found.dropped_by or 'this filter'}")
    else:
        say_code(json.dumps(json.loads(found.event), indent=2, ensure_ascii=False))
    if found.incomplete and not options.json:
        warn("filters of the source or the workspace that you may not list were left out; they may drop it too")


def _event(path: str) -> str:
    """Read one event. Raises UsageError."""
    try:
        text = sys.stdin.read(EVENT_BYTES_MAX + 1) if path == "-" else Path(path).read_text(encoding="utf-8")
        json.loads(text)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not one event as JSON ({error})") from None
    if len(text.encode()) > EVENT_BYTES_MAX:
        raise UsageError(f"{path} has more than {EVENT_BYTES_MAX} bytes, the most that an event may have")
    return text


def _tell(answer: Any, one: resources_pb2.Filter, done: str, options: Options) -> None:
    rule = one.rule
    state = "" if rule.enabled or done == "Disabled" else " It is disabled."
    text = f"{done} the filter {last_part(one.name)}: when {rule.condition}: {actions_text(rule.actions)}.{state}"
    tell(answer, text, as_json=options.json)


def _tell_filters(found: Any, options: Options) -> None:
    order = {one.name: number for number, one in enumerate(found, 1)}

    def row(one: resources_pb2.Filter) -> tuple[str | int, ...]:
        rule = one.rule
        told = (order[one.name], last_part(one.name), rule.title, "enabled" if rule.enabled else "disabled")
        return (*told, rule.condition, actions_text(rule.actions))

    tell_list("filters", found, COLUMNS, row, empty="There is none there.", as_json=options.json)
