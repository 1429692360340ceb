"""Code against an event that somebody gives, with test values: before anything is saved, or of a version."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson

from kit.clock import Clock
from kit.errors import InvalidArgument, Unavailable
from kit.ids import uuid7
from onward.executor.v1 import execution_service_pb2 as pb
from onward.registry.v1 import resources_pb2
from services.executor.domain.given import Given, NotAnEvent, read_given
from services.executor.handlers import run_reports
from services.executor.handlers.places import CheckPlaces
from services.executor.handlers.resolve import InvalidSettings, Program, plain_settings, strings_in
from services.executor.handlers.trials import Trial, Trials
from services.executor.runtime.pool import CheckResult, CodeError, Limits, Zygote
from services.executor.runtime.redaction import Redactor

# Answers a version of a function by the function's name; 0 for the newest.
ReadVersion = Callable[[str, int], Awaitable[resources_pb2.Version]]


@dataclass(frozen=True, slots=True)
class Tried:
    """The code that a request means, and what belongs to it."""

    code: str
    definitions: Sequence[resources_pb2.SettingDefinition]
    timeout_ms: int
    # 0 for code that was given.
    version: int = 0


class FunctionTests:
    """Runs code for people who write it."""

    def __init__(
        self, zygote: Zygote, trials: Trials, checks: CheckPlaces, read_version: ReadVersion, clock: Clock
    ) -> None:
        self._zygote = zygote
        self._trials = trials
        self._checks = checks
        self._read_version = read_version
        self._clock = clock

    async def run(self, request: pb.TestFunctionRequest, workspace: str, function: str) -> pb.TestFunctionResponse:
        """Run it, and tell all of it. `function` is "" for code of none. Raises InvalidArgument and NotFound."""
        given = given_events(request.event, self._clock)
        tried = await self._tried(request, function)
        program, invalid = _program(tried, request.settings)
        async with self._trials.place(workspace):
            check = await self._check(tried)
            if check.error is not None:
                report = run_reports.of_code_error(check.error, program.redactor)
            elif invalid:
                report = run_reports.of_invalid_settings(invalid)
            else:
                report = await self._report(program, given, workspace, function)
        return pb.TestFunctionResponse(report=run_reports.warned(report, check.warnings), version=tried.version)

    async def _tried(self, request: pb.TestFunctionRequest, function: str) -> Tried:
        chosen = request.WhichOneof("source")
        if not function:
            if chosen != "code":
                raise invalid_field("code", "is required where `name` is a workspace: only functions have versions")
            return _given_code(request)
        # Also for code that is given: a function that does not exist has none.
        version = await self._read_version(request.name, request.version)
        if chosen == "code":
            return _given_code(request)
        return Tried(version.code, version.definitions, version.timeout_ms, version.number)

    async def _check(self, tried: Tried) -> CheckResult:
        names = [one.name for one in tried.definitions]
        try:
            async with self._checks.taken():
                return await self._zygote.check(tried.code, names)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"No worker could be had to check the code ({error}); try again.") from error

    async def _report(self, program: Program, given: Given, workspace: str, function: str) -> pb.RunReport:
        # No destination has a name of this kind, so that neither bounds nor connections are shared with one.
        name = f"functions/{function}"
        trial = Trial(workspace, name, program, given.handler, given.payload, idempotency_seed=uuid7())
        try:
            observed = await self._trials.run(trial)
        except CodeError as error:
            return run_reports.of_code_error(error, program.redactor)
        return run_reports.of_run(program, observed, given)


def given_events(text: str, clock: Clock) -> Given:
    """Read what was given. Raises InvalidArgument, with the reason for which a published one would be refused."""
    try:
        return read_given(text, int(clock.now().timestamp() * 1_000_000), f"by-hand-{uuid7()}")
    except NotAnEvent as refused:
        path = "event" if refused.index is None else f"event[{refused.index}]"
        raise InvalidArgument(
            f"{path}: {refused}.",
            metadata={"event_reason": refused.reason},
            violations=[(path, str(refused))],
        ) from None


def invalid_field(path: str, description: str) -> InvalidArgument:
    return InvalidArgument(f"{path} {description}.", violations=[(path, description)])


def _given_code(request: pb.TestFunctionRequest) -> Tried:
    seen: set[str] = set()
    for index, one in enumerate(request.definitions):
        path = f"definitions[{index}]"
        if not one.name or one.name in seen:
            raise invalid_field(f"{path}.name", "must be there, and but once")
        if one.type == resources_pb2.SETTING_TYPE_UNSPECIFIED:
            raise invalid_field(f"{path}.type", "is required")
        seen.add(one.name)
    return Tried(request.code, request.definitions, request.timeout_ms)


def _program(tried: Tried, given: Sequence[pb.TestSetting]) -> tuple[Program, str]:
    """What a destination with these values would run, and why it must not."""
    values = _values(tried, given)
    encrypted = {one.name for one in tried.definitions if one.encrypted}
    secrets = [text for name in encrypted & values.keys() for text in strings_in(values[name])]
    settings, invalid = b"{}", ""
    try:
        settings = orjson.dumps(plain_settings(tried.definitions, values))
    except InvalidSettings as error:
        invalid = str(error)
    program = Program(
        destination="",
        version=tried.version,
        settings_revision=0,
        code=tried.code,
        settings=settings,
        limits=Limits(wall_ms=tried.timeout_ms or Limits().wall_ms),
        redactor=Redactor(secrets),
        retry_only_explicit=False,
        fail_on_http_error=False,
    )
    return program, invalid


def _values(tried: Tried, given: Sequence[pb.TestSetting]) -> dict[str, resources_pb2.SettingValue]:
    defined = {one.name for one in tried.definitions}
    values: dict[str, resources_pb2.SettingValue] = {}
    for index, one in enumerate(given):
        path = f"settings[{index}].name"
        if one.name not in defined:
            known = ", ".join(sorted(defined)) or "none"
            raise invalid_field(path, f"is {one.name!r}, which no definition has (there are: {known})")
        if one.name in values:
            raise invalid_field(path, f"is {one.name!r}, which has a value already")
        values[one.name] = one.value
    return values
