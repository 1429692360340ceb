"""Deliveries in numbers."""

from __future__ import annotations

from typing import Any

from kit.auth.caller import current_caller
from kit.clock import Clock, unix_us
from kit.postgres.pool import Pool
from kit.rpc.names import malformed
from kit.rpc.pages import PageTokens, page_size
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.delivery.v1 import numbers_pb2
from services.delivery.domain.schedule import HOUR_US
from services.delivery.domain.shapes import parse_group_name
from services.delivery.domain.windows import Window, grid_of
from services.delivery.queries import Span
from services.delivery.queries.breakers import add_breakers
from services.delivery.queries.errors import WantedErrors, list_error_groups
from services.delivery.queries.numbers import get_summary
from services.delivery.queries.series import get_series
from services.delivery.queries.usage import get_usage, list_host_health
from services.delivery.rpc.arguments import Timed, asked_by, last, parse_parent, span_of

WEEK_US = 7 * 24 * HOUR_US
# Samples of all groups of one answer: a name has some 150 bytes, and an answer at most 4 MB.
SAMPLES_MAX = 20_000
# Postgres counts minutes in 32 bits: the year 5700 is far enough.
MINUTE_MAX = 2_000_000_000


class NumberCalls:
    """See the proto."""

    _pool: Pool
    _pages: PageTokens
    _clock: Clock

    async def GetSummary(self, request: pb.GetSummaryRequest, context: Any) -> pb.GetSummaryResponse:
        window = self._window(request)
        asked = asked_by(current_caller(), request.parent)
        answer = await get_summary(self._pool, asked, window, list(dict.fromkeys(request.breakdowns)))
        await add_breakers(self._pool, asked, unix_us(self._clock), answer)
        return answer

    async def GetSeries(self, request: numbers_pb2.GetSeriesRequest, context: Any) -> numbers_pb2.GetSeriesResponse:
        grid = grid_of(self._window(request), request.interval)
        return await get_series(
            self._pool, asked_by(current_caller(), request.parent), grid, by_destination=request.by_destination
        )

    async def ListErrorGroups(
        self, request: numbers_pb2.ListErrorGroupsRequest, context: Any
    ) -> numbers_pb2.ListErrorGroupsResponse:
        wanted = self._wanted_errors(request)
        limit = min(page_size(request.page_size), SAMPLES_MAX // max(1, request.samples))
        binding = ("error-groups", *(str(one) for one in wanted[:2]), str(wanted.group), _times(request))
        (offset,) = self._pages.read(request.page_token, *binding) or (0,)
        found = await list_error_groups(self._pool, wanted, int(offset), limit + 1, request.samples)
        answer = numbers_pb2.ListErrorGroupsResponse(error_groups=found[:limit])
        if len(found) > limit:
            answer.next_page_token = self._pages.make((int(offset) + limit,), *binding)
        return answer

    async def ListHostHealth(
        self, request: numbers_pb2.ListHostHealthRequest, context: Any
    ) -> numbers_pb2.ListHostHealthResponse:
        return await list_host_health(self._pool, asked_by(current_caller(), request.parent), self._window(request))

    async def GetUsage(self, request: numbers_pb2.GetUsageRequest, context: Any) -> numbers_pb2.GetUsageResponse:
        return await get_usage(self._pool, asked_by(current_caller(), request.parent), self._window(request, WEEK_US))

    def _wanted_errors(self, request: numbers_pb2.ListErrorGroupsRequest) -> WantedErrors:
        workspace, destination = parse_parent(request.parent)
        group = parse_group_name(request.error_group) if request.error_group else 0
        if group is None:
            raise malformed("error_group", "must be an id that ListErrorGroups has answered")
        return WantedErrors(workspace, destination, current_caller().sources, self._window(request), group)

    def _window(self, request: Timed, length_us: int = HOUR_US) -> Window:
        return _whole_minutes(span_of(request, default=last(self._clock, length_us)))


def _whole_minutes(span: Span) -> Window:
    first, until = span.minutes
    return Window(min(first, MINUTE_MAX - 1), min(until, MINUTE_MAX))


def _times(request: numbers_pb2.ListErrorGroupsRequest) -> str:
    """What binds a page to its span; where it goes until now, pages go on although time does."""
    return f"{request.start_time.ToMicroseconds()}-{request.end_time.ToMicroseconds()}"
