"""ExecutionService: requests in, answers out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from kit.auth.caller import current_caller
from kit.errors import Unavailable
from kit.rpc import names
from onward.executor.v1 import execution_service_pb2 as pb
from onward.executor.v1 import execution_service_pb2_grpc as rpc
from services.executor.handlers.function_tests import FunctionTests
from services.executor.handlers.invocations import Invocations
from services.executor.handlers.places import CheckPlaces
from services.executor.handlers.run_reports import warning
from services.executor.handlers.samples import Samples
from services.executor.handlers.webhooks import Webhooks
from services.executor.runtime.pool import Zygote
from services.executor.runtime.v8 import V8_VERSION
from services.executor.settings import RUNTIME_DIR

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Handlers:
    """What people and the tracker may ask for."""

    tests: FunctionTests
    invocations: Invocations
    samples: Samples
    webhooks: Webhooks


class ExecutionService(rpc.ExecutionServiceServicer):
    """Answers what concerns code; events never come this way."""

    def __init__(
        self, zygote: Zygote, places: CheckPlaces, handlers: Handlers, runtime_dir: Path = RUNTIME_DIR
    ) -> None:
        self._zygote = zygote
        self._places = places
        self._handlers = handlers
        # What was built is what runs: operators may have added packages.
        self._packages = json.loads((runtime_dir / "packages.json").read_text("utf-8"))["packages"]

    async def TestFunction(self, request: pb.TestFunctionRequest, context: Any) -> pb.TestFunctionResponse:
        if names.WORKSPACE.matches(request.name):
            (workspace,) = names.WORKSPACE.parse(request.name)
            return await self._handlers.tests.run(request, workspace, "")
        return await self._handlers.tests.run(request, *names.FUNCTION.parse(request.name))

    async def InvokeDestination(
        self, request: pb.InvokeDestinationRequest, context: Any
    ) -> pb.InvokeDestinationResponse:
        workspace, destination = names.DESTINATION.parse(request.name)
        return await self._handlers.invocations.invoke(request, workspace, destination, current_caller())

    async def ListSampleEvents(self, request: pb.ListSampleEventsRequest, context: Any) -> pb.ListSampleEventsResponse:
        return await self._handlers.samples.list(request, *names.SOURCE.parse(request.parent, "parent"))

    async def CheckCode(self, request: pb.CheckCodeRequest, context: Any) -> pb.CheckCodeResponse:
        try:
            async with self._places.taken():
                result = await self._zygote.check(request.code, request.setting_names)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"No worker could be had to check the code ({error}); try again.") from error
        if result.unread is not None:
            log.warning("code_not_read", reason=result.unread, code_chars=len(request.code))
        answer = pb.CheckCodeResponse(handlers=result.handlers, warnings=map(warning, result.warnings))
        if result.error is not None:
            answer.error.message = result.error.message
            answer.error.line = result.error.line or 0
            answer.error.column = result.error.column or 0
        return answer

    async def SendWebhook(self, request: pb.SendWebhookRequest, context: Any) -> pb.SendWebhookResponse:
        return await self._handlers.webhooks.send(request)

    async def DescribeRuntime(self, request: pb.DescribeRuntimeRequest, context: Any) -> pb.DescribeRuntimeResponse:
        return pb.DescribeRuntimeResponse(
            v8_version=V8_VERSION,
            packages=[
                pb.RuntimePackage(**{"global": one["global"], "package": one["package"], "version": one["version"]})
                for one in self._packages
            ],
            sandbox_degradations=self._zygote.degradations,
        )
