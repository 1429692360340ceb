"""The executor's view of the registry: facts -> which destinations an event goes to. In memory, rebuilt at start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_network

from google.protobuf import json_format
from google.protobuf.message import Message

from onward.registry.v1 import facts_pb2


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


@dataclass(slots=True)
class WorkspaceView:
    """One workspace's destinations at a position of its log."""

    position: int = 0
    destinations: dict[str, Route] = field(default_factory=dict)
    sources: set[str] = field(default_factory=set)
    egress_ranges: tuple[IPv4Network | IPv6Network, ...] = ()
    by_source: dict[str, tuple[Route, ...]] = field(default_factory=dict)


class View:
    """What the facts say so far. `on_change` is told each destination that a fact concerns."""

    def __init__(self, on_change: Callable[[str, str], None] = lambda workspace, destination: None) -> None:
        self._workspaces: dict[str, WorkspaceView] = {}
        self._on_change = on_change
        # Set when a workspace has been added.
        self.grown = asyncio.Event()

    def workspaces(self) -> list[str]:
        return list(self._workspaces)

    def position(self, workspace: str) -> int:
        view = self._workspaces.get(workspace)
        return view.position if view else 0

    def routes(self, workspace: str, source: str) -> tuple[Route, ...]:
        """All destinations of a source, disabled ones included."""
        view = self._workspaces.get(workspace)
        return view.by_source.get(source, ()) if view else ()

    def knows_source(self, workspace: str, source: str) -> bool:
        view = self._workspaces.get(workspace)
        return view is not None and source in view.sources

    def route(self, workspace: str, destination: str) -> Route | None:
        view = self._workspaces.get(workspace)
        return view.destinations.get(destination) if view else None

    def egress_ranges(self, workspace: str) -> tuple[IPv4Network | IPv6Network, ...]:
        view = self._workspaces.get(workspace)
        return view.egress_ranges if view else ()

    def apply(self, workspace: str, position: int, kind: str, data: bytes) -> None:
        """Apply the fact at the next position; facts that say nothing about routes only move the position."""
        view = self._workspaces.get(workspace)
        if view is None:
            view = self._workspaces[workspace] = WorkspaceView()
            self.grown.set()
        applier = _APPLIERS.get(kind)
        if applier is not None:
            message_class, evolve = applier
            fact = json_format.Parse(data, message_class(), ignore_unknown_fields=True)
            for destination in evolve(workspace, view, fact):
                self._refresh(view, destination)
                self._on_change(workspace, destination)
        view.position = position

    @staticmethod
    def _refresh(view: WorkspaceView, destination: str) -> None:
        source = view.destinations[destination].source
        view.by_source[source] = tuple(route for route in view.destinations.values() if route.source == source)


def _source_created(_: str, view: WorkspaceView, fact: facts_pb2.SourceCreated) -> list[str]:
    view.sources.add(fact.source)
    return []


def _range_allowed(_: str, view: WorkspaceView, fact: facts_pb2.EgressRangeAllowed) -> list[str]:
    view.egress_ranges = (*view.egress_ranges, ip_network(fact.range, strict=False))
    return list(view.destinations)


def _connected(workspace: str, view: WorkspaceView, fact: facts_pb2.DestinationConnected) -> list[str]:
    view.destinations[fact.destination] = Route(
        workspace=workspace,
        destination=fact.destination,
        display_name=fact.display_name,
        source=fact.source,
        function=fact.function,
        version=fact.version,
    )
    return [fact.destination]


def _settings_changed(_: str, view: WorkspaceView, fact: facts_pb2.SettingsChanged) -> list[str]:
    route = view.destinations[fact.destination]
    view.destinations[fact.destination] = replace(route, settings_revision=fact.revision)
    return [fact.destination]


def _enabled(_: str, view: WorkspaceView, fact: facts_pb2.DestinationEnabled) -> list[str]:
    view.destinations[fact.destination] = replace(view.destinations[fact.destination], enabled=True)
    return [fact.destination]


def _disabled(_: str, view: WorkspaceView, fact: facts_pb2.DestinationDisabled) -> list[str]:
    view.destinations[fact.destination] = replace(view.destinations[fact.destination], enabled=False)
    return [fact.destination]


def _deployed(_: str, view: WorkspaceView, fact: facts_pb2.VersionDeployed) -> list[str]:
    for destination in fact.destinations:
        view.destinations[destination] = replace(view.destinations[destination], version=fact.number)
    return list(fact.destinations)


_APPLIERS: dict[str, tuple[type[Message], Callable[..., list[str]]]] = {
    "SourceCreated": (facts_pb2.SourceCreated, _source_created),
    "EgressRangeAllowed": (facts_pb2.EgressRangeAllowed, _range_allowed),
    "DestinationConnected": (facts_pb2.DestinationConnected, _connected),
    "SettingsChanged": (facts_pb2.SettingsChanged, _settings_changed),
    "DestinationEnabled": (facts_pb2.DestinationEnabled, _enabled),
    "DestinationDisabled": (facts_pb2.DestinationDisabled, _disabled),
    "VersionDeployed": (facts_pb2.VersionDeployed, _deployed),
}
