"""Notes what executors say that they know, where all replicas of the registry see it."""

from __future__ import annotations

from kit.postgres.pool import Pool
from onward.registry.v1 import internal_service_pb2 as pb
from services.registry.queries.deployments import SILENT_AFTER_S, queries


async def note_report(pool: Pool, request: pb.ReportExecutorRequest) -> pb.ReportExecutorResponse:
    """Note a report; one that adds to what is not known here any more is not kept, and a complete one asked for."""
    executor = request.executor
    async with pool.transaction() as connection:
        if request.leaving:
            await connection.execute(queries.forget_executor, executor)
            return pb.ReportExecutorResponse()
        await connection.execute(queries.forget_silent, executor, SILENT_AFTER_S)
        if request.complete:
            await connection.execute(queries.begin_executor, executor)
            await connection.execute(queries.forget_positions, executor)
        elif await connection.fetchrow(queries.see_executor, executor) is None:
            return pb.ReportExecutorResponse(want_complete=True)
        if request.positions:
            workspaces = sorted(request.positions)
            positions = [request.positions[one] for one in workspaces]
            await connection.execute(queries.put_positions, executor, workspaces, positions)
    return pb.ReportExecutorResponse()
