"""Runs one event through a destination because somebody asks for it; the trail tells who did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from kit.auth.caller import Caller
from kit.clock import Clock
from kit.errors import Internal
from kit.events import Event, wants
from kit.ids import uuid7
from kit.rpc.call import current_call
from onward.executor.v1 import execution_service_pb2 as pb
from onward.registry.v1 import internal_service_pb2 as registry_pb
from services.executor.domain import errors
from services.executor.domain.filtering import filtered
from services.executor.domain.given import Given
from services.executor.handlers import run_reports
from services.executor.handlers.function_tests import given_events, invalid_field
from services.executor.handlers.resolve import Program, Resolver
from services.executor.handlers.trials import Trial, Trials
from services.executor.handlers.turns import Turns
from services.executor.projections import View
from services.executor.runtime.pool import CodeError

log = structlog.get_logger(__name__)

Record = Callable[[registry_pb.RecordInvocationRequest], Awaitable[int]]


class Invocations:
    """Runs events by hand. Nothing of it is counted among the deliveries."""

    def __init__(
        self, resolver: Resolver, view: View, trials: Trials, record: Record, turns: Turns, clock: Clock
    ) -> None:
        self._resolver = resolver
        self._view = view
        self._trials = trials
        self._record = record
        self._turns = turns
        self._clock = clock

    async def invoke(
        self, request: pb.InvokeDestinationRequest, workspace: str, destination: str, caller: Caller
    ) -> pb.InvokeDestinationResponse:
        """Run it and tell all of it, once it is on the trail. Raises InvalidArgument and NotFound."""
        given = given_events(request.event, self._clock)
        if given.is_batch:
            raise invalid_field("event", "is an array; a destination handles one event by hand")
        program = await self._resolver.program(workspace, destination)
        call = current_call()
        record = registry_pb.RecordInvocationRequest(
            name=request.name,
            principal=caller.principal,
            credential=caller.credential,
            message_id=given.events[0].message_id,
            request_id=request.request_id,
            client_address=call.client_address,
            user_agent=call.user_agent,
        )
        async with self._trials.place(workspace):
            # Before it runs: what was done is never missing from the trail.
            position = await self._record(record)
            log.info("destination_invoked", workspace=workspace, destination=destination, principal=caller.principal)
            report = await self._report(program, given, workspace, destination)
        return pb.InvokeDestinationResponse(report=report, version=program.version, position=position)

    async def _report(self, program: Program, given: Given, workspace: str, destination: str) -> pb.RunReport:
        if program.unfiltered:
            return run_reports.of_invalid_settings(program.invalid or "")
        (event,) = given.events
        route = self._view.route(workspace, destination)
        if not wants(event, destination, route.display_name if route else destination):
            return run_reports.of_filtered(errors.INTEGRATIONS)
        payload, dropped_by = await self._filtered(program, event, workspace, destination)
        if payload is None:
            return run_reports.of_filtered(dropped_by.removeprefix(f"workspaces/{workspace}/"))
        if program.invalid is not None:
            return run_reports.of_invalid_settings(program.invalid)
        seed = None if program.omit_idempotency_key else uuid7()
        trial = Trial(workspace, destination, program, given.handler, payload, seed)
        try:
            return run_reports.of_run(program, await self._trials.run(trial), given)
        except CodeError as error:
            return run_reports.of_code_error(error, program.redactor)

    async def _filtered(
        self, program: Program, event: Event, workspace: str, destination: str
    ) -> tuple[bytes | None, str]:
        """Apply the filters in a turn of the workspace's, as lanes do."""
        chain = program.filters
        if chain is None:
            return event.payload, ""
        delivered_as = f"{workspace}/{destination}/{event.message_id}"
        try:
            return await self._turns.run(workspace, lambda: filtered(chain, event.payload, delivered_as))
        except Exception as error:
            log.exception("event_not_filtered", destination=destination)
            raise Internal("The filters could not be applied; Onward's log says why.") from error
