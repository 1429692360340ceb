"""Commands on filters, and what they would do to an event.

A parent is named as in the facts: "destinations/{destination}", "sources/{source}", or "" for the workspace. Reading
long conditions takes a tenth of a second, so these are read beside the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

import orjson

from kit.auth.caller import Caller, current_caller
from kit.errors import WrongState
from kit.eventstore.facts import NewFact
from kit.eventstore.store import Times
from kit.filters import FilterChain, FilterError
from kit.filters.rules import chain_of
from kit.postgres.pool import Connection, Pool
from onward.common.v1 import access_pb2
from onward.registry.v1 import destination_service_pb2 as pb
from onward.registry.v1 import internal_service_pb2, resources_pb2
from services.registry import queries
from services.registry.domain import filters as domain
from services.registry.domain.evolving_connections import filters_of
from services.registry.domain.state import State
from services.registry.errors import InvalidField
from services.registry.handlers.changes import Change, Changes, by_state
from services.registry.handlers.outright import Outright
from services.registry.queries import filters as filter_queries

# Rules of so many bytes in all are read within 1 to 4 ms. A thread costs 0.1 ms and more, as much as a short one takes.
READ_AT_ONCE_BYTES_MAX = 512

# Those of some permissions that a caller has on a resource.
Permitted = Callable[[Caller, str, Iterable[int]], Awaitable[list[int]]]


class FilterHandlers:
    """Commands on filters."""

    def __init__(self, changes: Changes, pool: Pool, permitted: Permitted) -> None:
        self._changes = changes
        self._pool = pool
        self._permitted = permitted

    async def create(self, request: pb.CreateFilterRequest, workspace: str, parent: str) -> pb.CreateFilterResponse:
        """A filter, as the last of its parent's."""

        async def decide(state: State) -> list[NewFact]:
            made = partial(domain.decide_create_filter, state, request, workspace, parent)
            return await _read(state, parent, request.rule, made)

        async def answer(connection: Connection, facts: Sequence[NewFact]) -> pb.CreateFilterResponse:
            made: Any = facts[0].data
            found = await filter_queries.get_filter(connection, workspace, parent, made.filter)
            return pb.CreateFilterResponse(filter=found)

        async def answer_outright(state: State) -> pb.CreateFilterResponse:
            made = filters_of(state, parent)[-1]
            return pb.CreateFilterResponse(filter=filter_queries.shown(workspace, parent, made))

        outright = Outright(decide, answer_outright, _stamp_filter)
        return await self._changes.make(
            Change(workspace, request, pb.CreateFilterResponse, by_state(decide), answer, outright=outright)
        )

    async def update(
        self, request: pb.UpdateFilterRequest, workspace: str, parent: str, filter_id: str
    ) -> pb.UpdateFilterResponse:
        """Another rule."""

        async def decide(state: State) -> list[NewFact]:
            made = partial(domain.decide_update_filter, state, request, workspace, parent, filter_id)
            return await _read(state, parent, request.rule, made)

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> pb.UpdateFilterResponse:
            found = await filter_queries.get_filter(connection, workspace, parent, filter_id)
            return pb.UpdateFilterResponse(filter=found)

        async def answer_outright(state: State) -> pb.UpdateFilterResponse:
            before = await filter_queries.get_filter(self._pool, workspace, parent, filter_id)
            (changed,) = [one for one in filters_of(state, parent) if one.id == filter_id]
            after = filter_queries.shown(workspace, parent, changed)
            after.create_time.CopyFrom(before.create_time)
            return pb.UpdateFilterResponse(filter=after)

        outright = Outright(decide, answer_outright, _stamp_filter)
        return await self._changes.make(
            Change(workspace, request, pb.UpdateFilterResponse, by_state(decide), answer, outright=outright)
        )

    async def delete(
        self, request: pb.DeleteFilterRequest, workspace: str, parent: str, filter_id: str
    ) -> pb.DeleteFilterResponse:
        """The filter's end."""

        async def decide(state: State) -> list[NewFact]:
            return domain.decide_delete_filter(state, request, workspace, parent, filter_id)

        async def answer(_connection: Connection, _facts: Sequence[NewFact]) -> pb.DeleteFilterResponse:
            return pb.DeleteFilterResponse()

        async def answer_outright(_state: State) -> pb.DeleteFilterResponse:
            return pb.DeleteFilterResponse()

        outright = Outright(decide, answer_outright)
        return await self._changes.make(
            Change(workspace, request, pb.DeleteFilterResponse, by_state(decide), answer, outright=outright)
        )

    async def reorder(
        self, request: pb.ReorderFiltersRequest, workspace: str, parent: str
    ) -> pb.ReorderFiltersResponse:
        """Another order."""

        async def decide(state: State) -> list[NewFact]:
            return domain.decide_reorder_filters(state, request, workspace, parent)

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> pb.ReorderFiltersResponse:
            found = await filter_queries.list_filters(connection, workspace, parent)
            return pb.ReorderFiltersResponse(filters=found)

        async def answer_outright(state: State) -> pb.ReorderFiltersResponse:
            before = await filter_queries.list_filters(self._pool, workspace, parent)
            by_name = {one.name: one for one in before}
            names = [domain.filter_name(workspace, parent, one.id) for one in filters_of(state, parent)]
            # One that is not there was deleted by another replica just now: then the statement refuses.
            return pb.ReorderFiltersResponse(filters=[by_name[name] for name in names if name in by_name])

        outright = Outright(decide, answer_outright)
        return await self._changes.make(
            Change(workspace, request, pb.ReorderFiltersResponse, by_state(decide), answer, outright=outright)
        )

    async def preview(self, request: pb.PreviewFilterRequest, workspace: str, parent: str) -> pb.PreviewFilterResponse:
        """What the given filter, or all on the way to the parent, would make of an event. Nothing is kept."""
        groups, incomplete = await self._on_the_way(workspace, parent, alone=request.HasField("rule"))
        answer = await asyncio.to_thread(_previewed, request, groups)
        answer.incomplete = incomplete
        return answer

    async def _on_the_way(
        self, workspace: str, parent: str, *, alone: bool
    ) -> tuple[list[internal_service_pb2.FilterGroup], bool]:
        """Find the filters that apply, and whether there may be others that the caller may not see.

        None are read for a filter that is tried alone, though its parent must exist.
        """
        async with self._pool.transaction() as connection:
            await connection.execute(queries.queries.begin_snapshot)
            parents = await filter_queries.way_to(connection, workspace, parent)
            if alone:
                return [], False
            groups = {one: await filter_queries.enabled_filters(connection, workspace, [one]) for one in parents}
        # What they do to the event, and their titles, would tell what the caller may not list.
        seen = [one for one in parents if one == parent or await self._may_view(workspace, one)]
        return [group for one in seen for group in groups[one]], len(seen) < len(parents)

    async def _may_view(self, workspace: str, parent: str) -> bool:
        needed = access_pb2.PERMISSION_FILTER_VIEW
        return needed in await self._permitted(current_caller(), domain.parent_name(workspace, parent), [needed])


async def _read(
    state: State, parent: str, rule: resources_pb2.FilterRule, decide: Callable[[], list[NewFact]]
) -> list[NewFact]:
    """The decision on a rule beside the others of its parent."""
    try:
        rules = [rule, *(one.rule for one in filters_of(state, parent))]
    except KeyError:
        rules = [rule]
    if sum(one.ByteSize() for one in rules) <= READ_AT_ONCE_BYTES_MAX:
        return decide()
    return await asyncio.to_thread(decide)


def _stamp_filter(answer: pb.CreateFilterResponse | pb.UpdateFilterResponse, times: Times) -> None:
    if answer.filter.HasField("update_time"):
        return
    answer.filter.update_time.FromDatetime(times.recorded)
    if not answer.filter.HasField("create_time"):
        answer.filter.create_time.FromDatetime(times.recorded)


def _previewed(
    request: pb.PreviewFilterRequest, groups: Sequence[internal_service_pb2.FilterGroup]
) -> pb.PreviewFilterResponse:
    """Compute the answer; beside the event loop, since all filters together may take a tenth of a second."""
    event = _event(request.event)
    if request.HasField("rule"):
        domain.check_rule(request.rule)
        groups = [_alone(request.rule)]
    # Below every rate but 0, so that sampling at random keeps the event.
    after, dropped_by = _chain(groups).apply(event, lambda: 0.0)
    if after is None:
        titles = {one.name: one.rule.title for group in groups for one in group.filters}
        return pb.PreviewFilterResponse(dropped=True, dropped_by=titles[dropped_by])
    return pb.PreviewFilterResponse(event=_json(after))


def _event(text: str) -> dict[str, Any]:
    try:
        event = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidField("event", f"is no valid JSON: {error}") from None
    if not isinstance(event, dict):
        raise InvalidField("event", "must be a JSON object, as a source publishes it")
    # Here and not at the end, so that it does not depend on the filters.
    _json(event)
    return event


def _json(event: dict[str, Any]) -> str:
    try:
        return orjson.dumps(event).decode()
    except orjson.JSONEncodeError:
        # orjson reads 1,024 levels and writes 254; an event like this would be refused on its way in too.
        raise InvalidField("event", "is nested too deeply; 254 levels are accepted") from None


def _alone(rule: resources_pb2.FilterRule) -> internal_service_pb2.FilterGroup:
    enabled = resources_pb2.FilterRule()
    enabled.CopyFrom(rule)
    enabled.enabled = True
    return internal_service_pb2.FilterGroup(filters=[resources_pb2.Filter(name=rule.title, rule=enabled)])


def _chain(groups: Sequence[internal_service_pb2.FilterGroup]) -> FilterChain:
    try:
        return chain_of(groups)
    except FilterError as error:
        # Saved by a release that had other limits.
        raise WrongState(f"{error}. Correct it by UpdateFilter, or delete it.") from None
