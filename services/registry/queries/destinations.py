"""Destinations as their workspace's state has them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from onward.registry.v1 import resources_pb2
from services.registry.domain import ids
from services.registry.domain.destinations import running_version
from services.registry.domain.state import DestinationState, State, StoredSetting
from services.registry.queries import queries
from services.registry.queries.rows import Reader


async def setting_times(
    reader: Reader, workspace: str, destination: str, changed: Collection[str]
) -> dict[str, datetime]:
    """When each stored value was last changed, by name, but for those that are being changed."""
    rows = await reader.fetch(queries.setting_times, workspace, destination, changed)
    return {row["name"]: row["update_time"] for row in rows}


def shown(
    workspace: str, state: State, destination: DestinationState, times: Mapping[str, datetime]
) -> resources_pb2.Destination:
    """The same as `get_destination`, but for its times, and those of values of which none is given."""
    definitions = running_version(state, destination).definitions
    return resources_pb2.Destination(
        name=f"workspaces/{workspace}/destinations/{destination.id}",
        display_name=destination.display_name,
        function=f"workspaces/{workspace}/functions/{destination.function}",
        source=f"workspaces/{workspace}/sources/{destination.source}",
        enabled=destination.enabled,
        held=destination.held,
        version=destination.version,
        settings=[_setting(one, destination.settings.get(one.name), times.get(one.name)) for one in definitions],
        etag=ids.etag_of(destination),
        labels=destination.labels,
        policy=destination.policy,
    )


def _setting(
    definition: resources_pb2.SettingDefinition, stored: StoredSetting | None, changed: datetime | None
) -> resources_pb2.SettingState:
    shown = resources_pb2.SettingState(name=definition.name, encrypted=definition.encrypted)
    if stored is None or not stored.fits(definition):
        return shown
    shown.set = True
    if stored.value is not None:
        shown.value.CopyFrom(stored.value)
    if changed is not None:
        shown.update_time.FromDatetime(changed)
    return shown
