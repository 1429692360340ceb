"""The call of DeliveryService that tells of names in `integrations` that are no destination's."""

from __future__ import annotations

from typing import Any

import asyncpg

from kit.auth.caller import current_caller
from kit.postgres.pool import Pool
from kit.rpc import names
from kit.rpc.pages import PageTokens, page_size
from onward.delivery.v1 import unmatched_pb2 as pb
from services.delivery import queries
from services.delivery.rpc.arguments import TIME_MAX_US


class UnmatchedCalls:
    """See the proto."""

    _pool: Pool
    _pages: PageTokens

    async def ListUnmatchedIntegrations(
        self, request: pb.ListUnmatchedIntegrationsRequest, context: Any
    ) -> pb.ListUnmatchedIntegrationsResponse:
        (workspace,) = names.WORKSPACE.parse(request.parent, "parent")
        limit = page_size(request.page_size)
        cursor = self._pages.read(request.page_token, "unmatched-integrations", workspace)
        last_us, source, name = cursor or (TIME_MAX_US, "", "")
        after = (int(last_us), str(source), str(name))
        sources = current_caller().sources
        rows = await queries.list_unmatched(self._pool, workspace, after, limit + 1, sources)
        answer = pb.ListUnmatchedIntegrationsResponse(integrations=[_count(workspace, row) for row in rows[:limit]])
        if len(rows) > limit:
            last = rows[limit - 1]
            place = (last["last_received_at_us"], last["source"], last["name"])
            answer.next_page_token = self._pages.make(place, "unmatched-integrations", workspace)
        return answer


def _count(workspace: str, row: asyncpg.Record) -> pb.UnmatchedIntegrationCount:
    made = pb.UnmatchedIntegrationCount(
        source=f"workspaces/{workspace}/sources/{row['source']}", name=row["name"], events=row["events"]
    )
    made.first_receive_time.FromMicroseconds(row["first_received_at_us"])
    made.last_receive_time.FromMicroseconds(row["last_received_at_us"])
    return made
