"""ExecutionService: requests in, answers out."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import structlog

from kit.errors import Unavailable
from onward.executor.v1 import execution_service_pb2 as pb
from onward.executor.v1 import execution_service_pb2_grpc as rpc
from services.executor.handlers.places import CheckPlaces
from services.executor.runtime.pool import CodeWarning, Zygote
from services.executor.runtime.v8 import V8_VERSION

log = structlog.get_logger(__name__)

PACKAGES = Path(__file__).parent / "runtime" / "js" / "packages.json"


class ExecutionService(rpc.ExecutionServiceServicer):
    """Answers what concerns code; events never come this way."""

    def __init__(self, zygote: Zygote, places: CheckPlaces | None = None) -> None:
        self._zygote = zygote
        self._places = places or CheckPlaces()
        self._packages = json.loads(PACKAGES.read_text())["packages"]

    async def CheckCode(
        self, request: pb.CheckCodeRequest, context: grpc.aio.ServicerContext[pb.CheckCodeRequest, pb.CheckCodeResponse]
    ) -> pb.CheckCodeResponse:
        try:
            async with self._places.taken():
                result = await self._zygote.check(request.code, request.setting_names)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"No worker could be had to check the code ({error}); try again.") from error
        if result.unread is not None:
            log.warning("code_not_read", reason=result.unread, code_chars=len(request.code))
        answer = pb.CheckCodeResponse(handlers=result.handlers, warnings=map(_warning, result.warnings))
        if result.error is not None:
            answer.error.message = result.error.message
            answer.error.line = result.error.line or 0
            answer.error.column = result.error.column or 0
        return answer

    async def DescribeRuntime(
        self,
        request: pb.DescribeRuntimeRequest,
        context: grpc.aio.ServicerContext[pb.DescribeRuntimeRequest, pb.DescribeRuntimeResponse],
    ) -> pb.DescribeRuntimeResponse:
        return pb.DescribeRuntimeResponse(
            v8_version=V8_VERSION,
            packages=[
                pb.RuntimePackage(**{"global": one["global"], "package": one["package"], "version": one["version"]})
                for one in self._packages
            ],
            sandbox_degradations=self._zygote.degradations,
        )


def _warning(found: CodeWarning) -> pb.CodeWarning:
    return pb.CodeWarning(rule=found.rule, message=found.message, line=found.line, column=found.column)
