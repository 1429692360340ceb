"""What runs where, from rows."""

from __future__ import annotations

from pathlib import Path

from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from onward.registry.v1 import function_service_pb2 as pb
from services.registry.queries import functions
from services.registry.queries import queries as shared

queries = load_queries(Path(__file__).parent / "deployments.sql")

# Executors report every five seconds: one that was silent for so long has ended, or can't be reached.
SILENT_AFTER_S = 15.0


async def get_deployment(connection: Connection, workspace: str, function: str) -> pb.GetDeploymentResponse:
    """What each destination of a function runs and which executors know; raises Missing.

    Makes a fresh transaction a snapshot.
    """
    await connection.execute(shared.begin_snapshot)
    await functions.get_function(connection, workspace, function)
    changed_at: int = await connection.fetchval(queries.last_change, workspace, function)
    destinations = await connection.fetch(queries.destinations_of_function, workspace, function)
    executors = await connection.fetch(queries.executors, workspace, SILENT_AFTER_S)
    return pb.GetDeploymentResponse(
        destinations=[
            pb.DestinationDeployment(
                destination=f"workspaces/{workspace}/destinations/{row['destination']}",
                version=row["version"],
                enabled=row["enabled"],
            )
            for row in destinations
        ],
        executors=[
            pb.ExecutorDeployment(
                executor=row["executor"], position=row["position"], current=row["position"] >= changed_at
            )
            for row in executors
        ],
        position=await connection.fetchval(shared.head, workspace),
    )
