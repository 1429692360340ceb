"""Which events are repetitions."""

from __future__ import annotations

from kit.postgres.pool import Pool
from kit.rpc.names import is_id, malformed
from onward.delivery.v1 import duplicates_pb2 as pb
from services.delivery import queries

# As the proto says.
EVENTS_MAX = 1000


async def find_duplicates(pool: Pool, request: pb.FindDuplicatesRequest) -> pb.FindDuplicatesResponse:
    """Compare events with those of the last 24 hours that are recorded."""
    if not is_id(request.workspace):
        raise malformed("workspace", "must be the id of a workspace")
    columns = (request.sources, request.message_ids, request.stream_sequences, request.indexes, request.received_at_us)
    if any(len(column) != len(request.message_ids) for column in columns):
        raise malformed("message_ids", "must be as many as there are entries in every other list")
    if len(request.message_ids) > EVENTS_MAX:
        raise malformed("message_ids", f"must be at most {EVENTS_MAX}")
    found = await queries.find_duplicates(pool, request.workspace, list(zip(*columns, strict=True)))
    return pb.FindDuplicatesResponse(duplicates=found)
