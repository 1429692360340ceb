"""Asking services how they are, and judging what they can't know themselves: who is silent, whose clock is off."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from statistics import median_low

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cli.output import when_short
from kit.clock import Clock
from kit.errors import DeadlineExceeded, InvalidToken, OnwardError, PermissionDenied, Unavailable
from kit.rpc.client import open_channel
from kit.status.check import Check, failure, ok, warning
from kit.status.clocks import judge_clock, outside
from onward.common.v1 import status_service_pb2 as pb
from onward.common.v1 import status_service_pb2_grpc as pb_grpc

# A service answers at once, or something is wrong.
HEALTH_TIMEOUT_S = 3.0
# Its probes have 2 s, and the registry that knows the operator may need as long.
STATUS_TIMEOUT_S = 6.0

TOKEN_ADVICE = "give the operator's with --token (ONWARD_OPERATOR_TOKEN of the registry)"  # noqa: S105  # words


@dataclass(frozen=True, slots=True)
class Target:
    """A service that is to be asked. `log` is where its log is, on this machine."""

    service: str
    address: str
    credentials: grpc.ChannelCredentials | None = None
    log: str = ""


@dataclass(slots=True)
class Found:
    """What became of asking one service."""

    target: Target
    # What its health says: "SERVING", "NOT_SERVING"; empty where nobody answers.
    health: str = ""
    answer: pb.GetStatusResponse | None = None
    error: OnwardError | None = None
    # How far its clock is ahead of ours.
    ahead: timedelta = field(default_factory=timedelta)


async def ask_all(targets: Sequence[Target], token: str, clock: Clock) -> list[Found]:
    """Ask all at once. What fails is told in the answer."""
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(_ask(target, token, clock)) for target in targets]
    return [task.result() for task in asking]


async def _ask(target: Target, token: str, clock: Clock) -> Found:
    found = Found(target)
    async with open_channel(target.address, token, credentials=target.credentials) as channel:
        try:
            found.health = await _health(channel)
            if token:
                before = clock.now()
                stub: pb_grpc.StatusServiceAsyncStub = pb_grpc.StatusServiceStub(channel)
                found.answer = await stub.GetStatus(pb.GetStatusRequest(), timeout=STATUS_TIMEOUT_S)
                found.ahead = outside(found.answer.current_time.ToDatetime(UTC), before, clock.now())
        except OnwardError as error:
            found.error = error
    return found


async def _health(channel: grpc.aio.Channel) -> str:
    stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # the package ships no types
    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_TIMEOUT_S)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def judge_services(found: Sequence[Found], start: str) -> list[tuple[str, Check]]:
    """All checks, with the name of their service. `start` is the command that starts everything."""
    some = any(one.health for one in found)
    checks: list[tuple[str, Check]] = []
    for one in found:
        checks.append((one.target.service, _judge_service(one, start, some=some)))
        if one.answer is not None:
            checks += [(one.target.service, check) for check in one.answer.checks]
    return checks


def _judge_service(found: Found, start: str, *, some: bool) -> Check:
    """Whether it serves. `some`: whether any service answers, so that not everything is to be started."""
    log = f"its log says why: {found.target.log}" if found.target.log else "its log says why"
    where = f"at {found.target.address}"
    if not found.health:
        return _judge_silence(found, start, log, some=some)
    if found.health != "SERVING":
        return failure("service", f"answers {where}, but is not ready", log)
    if found.answer is not None:
        return ok("service", f"serves {where} since {when_short(found.answer.start_time)}")
    if found.error is None:
        return warning("service", f"serves {where}; more is told to the operator alone", TOKEN_ADVICE)
    if isinstance(found.error, InvalidToken | PermissionDenied):
        return failure("service", f"serves {where}, and refused the token: {found.error.message}", TOKEN_ADVICE)
    if isinstance(found.error, Unavailable | DeadlineExceeded):
        # In the same words for all, so that they are one row.
        advice = "see to the registry: others ask it who the operator is"
        return warning("service", "serves, but can't tell more at the moment", advice)
    return failure("service", f"serves {where}, but can't tell more: {found.error.message}", log)


def _judge_silence(found: Found, start: str, log: str, *, some: bool) -> Check:
    if found.error is not None and found.error.metadata.get("tls") == "refused":
        advice = "name the file of the authority that signed it with --ca"
        return failure("service", f"its certificate at {found.target.address} is not trusted", advice)
    if not some:
        return failure("service", "does not answer", f"start everything with `{start}`, or name addresses (--help)")
    return failure("service", f"does not answer at {found.target.address}", log)


def judge_clocks(ahead: Mapping[str, timedelta]) -> Check:
    """Find the clock that is furthest from most; `ahead` are those of the services, as seen from here."""
    clocks = {"this machine": timedelta(), **ahead}
    usual = median_low(clocks.values())
    furthest = max(clocks, key=lambda whose: abs(clocks[whose] - usual))
    check = judge_clock("clocks", f"the clock of {furthest}", "the others'", clocks[furthest] - usual)
    return check if check.advice else ok("clocks", "all services' agree with this machine's")


def judge_versions(versions: Mapping[str, str]) -> Check:
    """Judge the releases of the services and of this program."""
    if len(set(versions.values())) == 1:
        return ok("version", f"Onward {next(iter(versions.values()))} everywhere")
    told = ", ".join(f"{whose} {version}" for whose, version in versions.items())
    return warning("version", f"not the same everywhere: {told}", "update the older ones, and back up before")
