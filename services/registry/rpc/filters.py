"""The RPCs on filters, of onward.registry.v1.DestinationService."""

# gRPC names methods as the protos do.

from __future__ import annotations

from typing import Any

from kit.rpc import names
from kit.rpc.methods import confirms_caller
from onward.registry.v1 import destination_service_pb2 as pb
from onward.registry.v1 import destination_service_pb2_grpc
from services.registry.handlers.filters import FilterHandlers
from services.registry.queries.filters import list_filters
from services.registry.rpc.reading import Reading

_PARENTS = (names.DESTINATION, names.SOURCE, names.WORKSPACE)
_FILTERS = (names.FILTER, names.SOURCE_FILTER, names.WORKSPACE_FILTER)


class FilterServicer(destination_service_pb2_grpc.DestinationServiceServicer):
    """See the proto; what is about destinations themselves is in rpc/destination.py."""

    _filters: FilterHandlers
    _reading: Reading

    @confirms_caller
    async def CreateFilter(self, request: pb.CreateFilterRequest, context: Any) -> pb.CreateFilterResponse:
        return await self._filters.create(request, *_parent(request.parent))

    @confirms_caller
    async def UpdateFilter(self, request: pb.UpdateFilterRequest, context: Any) -> pb.UpdateFilterResponse:
        return await self._filters.update(request, *_filter(request.name))

    @confirms_caller
    async def DeleteFilter(self, request: pb.DeleteFilterRequest, context: Any) -> pb.DeleteFilterResponse:
        return await self._filters.delete(request, *_filter(request.name))

    async def ListFilters(self, request: pb.ListFiltersRequest, context: Any) -> pb.ListFiltersResponse:
        return pb.ListFiltersResponse(filters=await list_filters(self._reading.pool, *_parent(request.parent)))

    @confirms_caller
    async def ReorderFilters(self, request: pb.ReorderFiltersRequest, context: Any) -> pb.ReorderFiltersResponse:
        return await self._filters.reorder(request, *_parent(request.parent))

    async def PreviewFilter(self, request: pb.PreviewFilterRequest, context: Any) -> pb.PreviewFilterResponse:
        return await self._filters.preview(request, *_parent(request.parent))


def _parent(name: str) -> tuple[str, str]:
    """The workspace, and the parent as facts name it: "destinations/crm", "sources/web" or ""."""
    if not any(template.matches(name) for template in _PARENTS):
        forms = " or ".join(template.text for template in _PARENTS)
        raise names.malformed("parent", f"must be of the form {forms}")
    _, workspace, *rest = name.split("/")
    return workspace, "/".join(rest)


def _filter(name: str) -> tuple[str, str, str]:
    """The workspace, the parent and the filter's id."""
    if not any(template.matches(name) for template in _FILTERS):
        forms = " or ".join(template.text for template in _FILTERS)
        raise names.malformed("name", f"must be of the form {forms}")
    _, workspace, *parent, _, filter_id = name.split("/")
    return workspace, "/".join(parent), filter_id
