"""onward.common.v1.StatusService, which every service serves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import structlog

from kit.clock import Clock
from kit.errors import OnwardError
from kit.release import onward_version
from kit.rpc.methods import Servicer
from kit.status.check import Check, Probe, failure
from onward.common.v1 import status_service_pb2 as pb
from onward.common.v1 import status_service_pb2_grpc as pb_grpc

log = structlog.get_logger(__name__)

# What takes longer is as good as broken, and whoever asks wants an answer.
PROBE_TIMEOUT_S = 2.0


def status_servicer(service: str, probes: Iterable[Probe], clock: Clock) -> Servicer:
    """What `RpcServer` takes."""
    return pb_grpc.add_StatusServiceServicer_to_server, StatusServicer(service, tuple(probes), clock)


class StatusServicer(pb_grpc.StatusServiceServicer):
    """See the proto. Nothing is kept: each call looks anew, and all probes look at once."""

    def __init__(self, service: str, probes: Sequence[Probe], clock: Clock, timeout_s: float = PROBE_TIMEOUT_S) -> None:
        self._service = service
        self._probes = probes
        self._clock = clock
        self._timeout_s = timeout_s
        self._version = onward_version()
        self._started = clock.now()

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:  # noqa: N802
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._answered(probe), name=probe.name) for probe in self._probes]
        checks = [check for task in asked for check in task.result()]
        # Python's sort is stable: of the same level, in the order of the probes.
        checks.sort(key=lambda check: -check.level)
        answer = pb.GetStatusResponse(service=self._service, version=self._version, checks=checks)
        answer.start_time.FromDatetime(self._started)
        answer.current_time.FromDatetime(self._clock.now())
        return answer

    async def _answered(self, probe: Probe) -> Sequence[Check]:
        """What a probe found; a failure where it fails itself, so that it hides no other."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await probe.ask()
        except TimeoutError:
            return [failure(probe.name, f"no answer within {self._timeout_s:g} s", probe.advice)]
        except OnwardError as error:
            return [failure(probe.name, error.message, probe.advice)]
        except Exception as error:
            log.exception("status_probe_failed", probe=probe.name)
            return [failure(probe.name, f"could not be checked ({type(error).__name__})", probe.advice)]
