"""The executor's view of the registry: facts -> which destinations an event goes to. In memory, rebuilt at start."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_network

from google.protobuf import json_format
from google.protobuf.message import Message

from onward.registry.v1 import facts_pb2

# Why what waits for a destination is cancelled; product terms, shown to people.
DISCONNECTED = "destination_disconnected"
FUNCTION_DELETED = "function_deleted"
# Why a destination's events are left to the tracker; terms of onward.executor.v1.Attempt.
RATE_LIMIT = "rate_limit"
CONCURRENCY_LIMIT = "concurrency_limit"
# Disconnected destinations of a workspace that are remembered: as many as it may have, so that all may go at once. Ids
# are never given again, so without a bound whoever connects and disconnects for ever would fill the memory.
DEPARTED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Route:
    """A destination as far as handing it an event is concerned."""

    workspace: str
    destination: str
    display_name: str
    source: str
    function: str
    version: int
    settings_revision: int = 0
    enabled: bool = False
    # Why all of its events are left to the tracker, which paces them; empty where executors may run them as they come.
    held: str = ""


class Departed:
    """Destinations of a workspace that were disconnected, as they were last: deliveries may still wait for them.

    Retries end within hours, so the latest ones are enough. What waits for one that was forgotten is cancelled all the
    same, as of a destination that was disconnected, without function and version.
    """

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        # How many of them are of each function.
        self._of_function: Counter[str] = Counter()
        self._functions_deleted: set[str] = set()

    def __len__(self) -> int:
        return len(self._routes)

    @property
    def functions_deleted(self) -> int:
        """How many deleted functions are remembered: no others than those of the destinations that are."""
        return len(self._functions_deleted)

    def add(self, route: Route) -> None:
        if len(self._routes) >= DEPARTED_MAX:
            self._forget(self._routes.pop(next(iter(self._routes))).function)
        self._routes[route.destination] = route
        self._of_function[route.function] += 1

    def delete_function(self, function: str) -> None:
        """Note why its destinations are gone; they were disconnected before."""
        if function in self._of_function:
            self._functions_deleted.add(function)

    def get(self, destination: str) -> Route | None:
        return self._routes.get(destination)

    def end_reason(self, destination: str) -> str:
        route = self._routes.get(destination)
        return FUNCTION_DELETED if route is not None and route.function in self._functions_deleted else DISCONNECTED

    def _forget(self, function: str) -> None:
        self._of_function[function] -= 1
        if not self._of_function[function]:
            del self._of_function[function]
            self._functions_deleted.discard(function)


@dataclass(slots=True)
class WorkspaceView:
    """One workspace's destinations at a position of its log."""

    position: int = 0
    destinations: dict[str, Route] = field(default_factory=dict)
    departed: Departed = field(default_factory=Departed)
    sources: set[str] = field(default_factory=set)
    egress_ranges: tuple[IPv4Network | IPv6Network, ...] = ()
    by_source: dict[str, dict[str, Route]] = field(default_factory=dict)

    def put(self, route: Route) -> None:
        self.destinations[route.destination] = route
        self.by_source.setdefault(route.source, {})[route.destination] = route

    def take(self, destination: str) -> Route | None:
        route = self.destinations.pop(destination, None)
        if route is not None:
            others = self.by_source[route.source]
            del others[destination]
            if not others:
                del self.by_source[route.source]
        return route

    def change(self, destination: str, **changes: int | bool | str) -> Iterable[str]:
        self.put(replace(self.destinations[destination], **changes))  # type: ignore[arg-type]  # fields of Route
        return (destination,)


@dataclass(frozen=True, slots=True)
class Change:
    """A fact that concerns a destination."""

    kind: str
    # When the bus stored it, in microseconds since 1970; 0 where it was read from the log.
    stored_at_us: int = 0


OnChange = Callable[[str, str, Change], None]


class View:
    """What the facts say so far. `on_change` is told each destination that a fact concerns."""

    def __init__(self, on_change: OnChange = lambda workspace, destination, change: None) -> None:
        self._workspaces: dict[str, WorkspaceView] = {}
        self._on_change = on_change
        # Set when a workspace has been added.
        self.grown = asyncio.Event()
        # Called with each workspace whose position has moved.
        self.on_position: Callable[[str], None] = lambda workspace: None

    def workspaces(self) -> list[str]:
        return list(self._workspaces)

    def position(self, workspace: str) -> int:
        view = self._workspaces.get(workspace)
        return view.position if view else 0

    def routes(self, workspace: str, source: str) -> Collection[Route]:
        """All destinations of a source, disabled ones included; true until the next fact."""
        view = self._workspaces.get(workspace)
        found = view.by_source.get(source) if view else None
        return found.values() if found else ()

    def knows_source(self, workspace: str, source: str) -> bool:
        view = self._workspaces.get(workspace)
        return view is not None and source in view.sources

    def route(self, workspace: str, destination: str) -> Route | None:
        view = self._workspaces.get(workspace)
        return view.destinations.get(destination) if view else None

    def departed(self, workspace: str, destination: str) -> Route | None:
        """A destination that was disconnected not too long ago, as it was last."""
        view = self._workspaces.get(workspace)
        return view.departed.get(destination) if view else None

    def end_reason(self, workspace: str, destination: str) -> str:
        """Why what waits for a destination is cancelled; empty for one that is connected."""
        view = self._workspaces.get(workspace)
        if view is not None and destination in view.destinations:
            return ""
        return view.departed.end_reason(destination) if view is not None else DISCONNECTED

    def egress_ranges(self, workspace: str) -> tuple[IPv4Network | IPv6Network, ...]:
        view = self._workspaces.get(workspace)
        return view.egress_ranges if view else ()

    def apply(self, workspace: str, position: int, kind: str, data: bytes, stored_at_us: int = 0) -> None:
        """Apply the fact at the next position; facts that say nothing about routes only move the position."""
        view = self._workspaces.get(workspace)
        if view is None:
            view = self._workspaces[workspace] = WorkspaceView()
            self.grown.set()
        applier = _APPLIERS.get(kind)
        if applier is not None:
            message_class, evolve = applier
            fact = json_format.Parse(data, message_class(), ignore_unknown_fields=True)
            for destination in tuple(evolve(workspace, view, fact)):
                self._on_change(workspace, destination, Change(kind, stored_at_us))
        view.position = position
        self.on_position(workspace)


def _source_created(_: str, view: WorkspaceView, fact: facts_pb2.SourceCreated) -> Iterable[str]:
    view.sources.add(fact.source)
    return ()


def _source_deleted(_: str, view: WorkspaceView, fact: facts_pb2.SourceDeleted) -> Iterable[str]:
    view.sources.discard(fact.source)
    return ()


def _range_allowed(_: str, view: WorkspaceView, fact: facts_pb2.EgressRangeAllowed) -> Iterable[str]:
    view.egress_ranges = (*view.egress_ranges, ip_network(fact.range, strict=False))
    return ()


def _range_disallowed(_: str, view: WorkspaceView, fact: facts_pb2.EgressRangeDisallowed) -> Iterable[str]:
    gone = ip_network(fact.range, strict=False)
    view.egress_ranges = tuple(one for one in view.egress_ranges if one != gone)
    return ()


def _function_deleted(_: str, view: WorkspaceView, fact: facts_pb2.FunctionDeleted) -> Iterable[str]:
    view.departed.delete_function(fact.function)
    return ()


def _connected(workspace: str, view: WorkspaceView, fact: facts_pb2.DestinationConnected) -> Iterable[str]:
    view.put(
        Route(
            workspace=workspace,
            destination=fact.destination,
            display_name=fact.display_name,
            source=fact.source,
            function=fact.function,
            version=fact.version,
        )
    )
    return (fact.destination,)


def _disconnected(_: str, view: WorkspaceView, fact: facts_pb2.DestinationDisconnected) -> Iterable[str]:
    route = view.take(fact.destination)
    if route is not None:
        view.departed.add(route)
    return (fact.destination,)


def _settings_changed(_: str, view: WorkspaceView, fact: facts_pb2.SettingsChanged) -> Iterable[str]:
    return view.change(fact.destination, settings_revision=fact.revision)


def _enabled(_: str, view: WorkspaceView, fact: facts_pb2.DestinationEnabled) -> Iterable[str]:
    return view.change(fact.destination, enabled=True)


def _disabled(_: str, view: WorkspaceView, fact: facts_pb2.DestinationDisabled) -> Iterable[str]:
    return view.change(fact.destination, enabled=False)


def _policy_updated(_: str, view: WorkspaceView, fact: facts_pb2.DeliveryPolicyUpdated) -> Iterable[str]:
    held = RATE_LIMIT if fact.policy.max_per_second > 0 else CONCURRENCY_LIMIT if fact.policy.max_in_flight > 0 else ""
    return view.change(fact.destination, held=held)


def _deployed(_: str, view: WorkspaceView, fact: facts_pb2.VersionDeployed) -> Iterable[str]:
    for destination in fact.destinations:
        view.change(destination, version=fact.number)
    return fact.destinations


Filtered = facts_pb2.FilterCreated | facts_pb2.FilterUpdated | facts_pb2.FilterDeleted | facts_pb2.FiltersReordered


def _filtered(_: str, view: WorkspaceView, fact: Filtered) -> Iterable[str]:
    """Find the destinations whose events a changed filter sees: all, those of a source, or one."""
    if not fact.parent:
        return view.destinations
    kind, _, parent = fact.parent.partition("/")
    return view.by_source.get(parent, {}) if kind == "sources" else (parent,)


_APPLIERS: dict[str, tuple[type[Message], Callable[..., Iterable[str]]]] = {
    "SourceCreated": (facts_pb2.SourceCreated, _source_created),
    "SourceDeleted": (facts_pb2.SourceDeleted, _source_deleted),
    "EgressRangeAllowed": (facts_pb2.EgressRangeAllowed, _range_allowed),
    "EgressRangeDisallowed": (facts_pb2.EgressRangeDisallowed, _range_disallowed),
    "FunctionDeleted": (facts_pb2.FunctionDeleted, _function_deleted),
    "DestinationConnected": (facts_pb2.DestinationConnected, _connected),
    "DestinationDisconnected": (facts_pb2.DestinationDisconnected, _disconnected),
    "SettingsChanged": (facts_pb2.SettingsChanged, _settings_changed),
    "DestinationEnabled": (facts_pb2.DestinationEnabled, _enabled),
    "DestinationDisabled": (facts_pb2.DestinationDisabled, _disabled),
    "DeliveryPolicyUpdated": (facts_pb2.DeliveryPolicyUpdated, _policy_updated),
    "VersionDeployed": (facts_pb2.VersionDeployed, _deployed),
    "FilterCreated": (facts_pb2.FilterCreated, _filtered),
    "FilterUpdated": (facts_pb2.FilterUpdated, _filtered),
    "FilterDeleted": (facts_pb2.FilterDeleted, _filtered),
    "FiltersReordered": (facts_pb2.FiltersReordered, _filtered),
}
