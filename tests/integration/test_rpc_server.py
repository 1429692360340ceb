"""The server that all services run, through real connections."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from structlog.testing import capture_logs

from kit.auth.demand import Subset
from kit.auth.denials import DenialLog, Refusal
from kit.auth.gate import Gate
from kit.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    InvalidToken,
    LimitReached,
    NotFound,
    OnwardError,
    Overloaded,
    PermissionDenied,
    Unavailable,
)
from kit.rpc.access import AccessUndeclared
from kit.rpc.client import QuickChannel
from kit.rpc.limits import Limits
from kit.rpc.server import CannotListen, RpcServer
from kit.testing.eventually import eventually
from tests.integration.rpc_probe import (
    SERVICE_TOKEN,
    TOKEN,
    Probe,
    Roles,
    calling,
    generated,
    saying,
    server_of,
    serving,
)

pytestmark = pytest.mark.integration

SERVICE = "onward_probe.v1.ProbeService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture
async def server(probe: Probe) -> AsyncIterator[RpcServer]:
    async with serving(probe) as running:
        yield running


@pytest.fixture
async def stub(server: RpcServer) -> AsyncIterator[Any]:
    async with calling(server) as made:
        yield made


async def health(server: RpcServer, service: str = "") -> int:
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # the package has no types
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        return int(answer.status)


# --- who is let in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["Say", "Inside", "Watch"])
@pytest.mark.parametrize("token", ["", "nonsense", "onw_zzzz9999_0123456789abcdef", "x" * 5_000])
async def test_a_token_that_is_none_opens_nothing(server: RpcServer, method: str, token: str) -> None:
    """H1: also where the request is malformed, which a stranger is not told."""
    async with calling(server, token) as stub:
        for request in (saying("x"), saying("x", name="nothing"), saying(items=[{"label": ""}])):
            with pytest.raises((InvalidToken, PermissionDenied)) as caught:
                await first(stub, method, request)
            assert caught.type is InvalidToken or (method == "Inside" and token.startswith("onw_"))


async def first(stub: Any, method: str, request: Any) -> str:
    call = getattr(stub, method)(request)
    if method == "Watch":
        return str([r.text async for r in call])
    return str((await call).text)


async def test_another_workspaces_resource_is_not_found_and_a_forbidden_one_is_denied(stub: Any) -> None:
    """H1: existence does not leak."""
    with pytest.raises(NotFound):
        await stub.Say(saying(name="workspaces/other/functions/f"))
    with pytest.raises(PermissionDenied):
        await stub.Say(saying(name="workspaces/a/functions/denied"))


async def test_a_malformed_resource_name_is_told_by_its_path(stub: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await stub.Say(saying(name="functions/f"))
    assert caught.value.violations[0][0] == "target.name"


async def test_only_services_reach_what_is_for_services(server: RpcServer) -> None:
    async with calling(server, SERVICE_TOKEN, service="executor") as stub:
        assert (await stub.Inside(saying("who"))).text.startswith("service:executor ")


async def test_a_service_whose_own_token_is_refused_does_not_blame_its_caller(server: RpcServer) -> None:
    async with calling(server, "another token, mistyped", service="executor") as stub:
        with capture_logs() as lines, pytest.raises(Internal, match="ONWARD_SERVICE_TOKEN"):
            await stub.Inside(saying())
        assert lines[0]["event"] == "service_token_refused"


async def test_a_quick_call_says_who_calls_and_raises_what_others_do(server: RpcServer) -> None:
    channel = QuickChannel(server.address, SERVICE_TOKEN, service="executor")
    try:
        stub = generated()[1].ProbeServiceStub(channel.channel)
        assert (await channel.call("Inside", stub.Inside, saying("who"))).text.startswith("service:executor ")
        with pytest.raises(DeadlineExceeded):
            await channel.call("Inside", stub.Inside, saying("wait"), 0.2)
    finally:
        await channel.close()


async def test_an_open_method_needs_no_token(server: RpcServer) -> None:
    async with calling(server, "") as stub:
        assert (await stub.Open(saying("who"))).text.startswith("anonymous 127.0.0.1 grpc-python")


@pytest.mark.parametrize(
    ("service", "problem"), [("Undeclared", "declares no access"), ("Mispointed", "target.nam is")]
)
def test_a_server_with_an_undeclared_method_does_not_come_into_being(service: str, problem: str) -> None:
    add = getattr(generated()[1], f"add_{service}ServiceServicer_to_server")
    with pytest.raises(AccessUndeclared, match=problem):
        RpcServer("127.0.0.1:0", [(add, Probe())], Gate(Roles(), SERVICE_TOKEN))


# --- streams that outlive their caller's rights ---------------------------------------------------------------

QUICK = Limits(stream_renew_s=0.02, stream_unsure_s_max=0.2)


@asynccontextmanager
async def a_watch(
    probe: Probe, roles: Roles, limits: Limits = QUICK, denials: DenialLog | None = None
) -> AsyncIterator[Any]:
    """A stream whose first part has arrived, and that waits."""
    async with serving(probe, limits, roles, denials) as server, calling(server) as stub:
        call = stub.Watch(saying("begun wait over"))
        assert (await call.read()).text == "begun"
        yield call


@pytest.mark.parametrize("refusal", [InvalidToken("revoked"), PermissionDenied("not any more"), NotFound("removed")])
async def test_a_stream_ends_when_its_caller_may_no_longer_see_it(probe: Probe, refusal: OnwardError) -> None:
    """H4: also one that has nothing to say."""
    roles = Roles()
    async with a_watch(probe, roles) as call:
        roles.refusal = refusal
        with pytest.raises(type(refusal), match=refusal.message):
            await call.read()
        await eventually(lambda: probe.running == 0)


@pytest.mark.parametrize("refusal", [InvalidToken("revoked"), PermissionDenied("not any more"), NotFound("removed")])
async def test_a_stream_that_is_taken_from_its_caller_leaves_a_record(probe: Probe, refusal: OnwardError) -> None:
    """H4, D3."""
    told: list[Refusal] = []

    async def sink(refusals: Sequence[Refusal]) -> None:
        told.extend(refusals)

    roles, denials = Roles(), DenialLog(sink)
    async with a_watch(probe, roles, denials=denials) as call:
        roles.refusal = refusal
        with pytest.raises(type(refusal)):
            await call.read()
    await denials.flush()
    assert [(one.method, one.reason) for one in told] == [(f"/{SERVICE}/Watch", refusal.reason)]


async def test_a_stream_goes_on_while_its_caller_may_see_it(probe: Probe) -> None:
    roles = Roles()
    async with a_watch(probe, roles) as call:
        asked = roles.asked
        await eventually(lambda: roles.asked > asked + 3)
        roles.refusal = Unavailable("a moment")
        await eventually(lambda: roles.asked > asked + 5)
        roles.refusal = None
        probe.go_on.set()
        assert (await call.read()).text == "wait"
        assert (await call.read()).text == "over"


async def test_a_stream_does_not_go_on_for_long_while_nobody_can_tell(probe: Probe) -> None:
    """H4: without a fresh lease it is denied."""
    roles = Roles()
    async with a_watch(probe, roles) as call:
        roles.refusal = Unavailable("the registry is away")
        with pytest.raises(Unavailable, match="the registry is away"):
            await call.read()


async def test_a_stream_ends_when_its_caller_may_see_less_than_at_its_start(probe: Probe) -> None:
    """H4: a watch of a part of a workspace would go on showing what was taken away."""
    roles = Roles()
    roles.sources = Subset.of(["web", "ios"])
    async with a_watch(probe, roles) as call:
        asked = roles.asked
        roles.sources = Subset.of(["web", "ios", "android"])
        await eventually(lambda: roles.asked > asked + 3)
        roles.sources = Subset.of(["ios"])
        with pytest.raises(Unavailable, match="Your roles changed"):
            await call.read()


async def test_a_fault_while_asking_ends_the_stream(probe: Probe) -> None:
    """What can't be checked is not let through; the caller is not told the fault."""
    roles = Roles()
    async with a_watch(probe, roles) as call:
        roles.refusal = ZeroDivisionError("hunter2")
        with pytest.raises(Internal) as caught:
            await call.read()
        assert "hunter2" not in caught.value.message


# --- what is answered ----------------------------------------------------------------------------------------


async def test_every_violation_is_told_with_its_path(stub: Any) -> None:
    request = saying(settings={"apiKey": "too long"}, items=[{"label": "fine"}, {"label": ""}])
    with pytest.raises(InvalidArgument) as caught:
        await stub.Say(request)
    assert {field for field, _ in caught.value.violations} == {"settings.apiKey", "items[1].label"}


async def test_a_thousand_violations_still_fit_into_an_answer(stub: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await stub.Say(saying(settings={f"ä{i}" * 50: "too long" for i in range(1_000)}))
    assert caught.value.violations


@pytest.mark.parametrize(
    ("token", "code"), [(TOKEN, grpc.StatusCode.INVALID_ARGUMENT), ("", grpc.StatusCode.UNAUTHENTICATED)]
)
async def test_bytes_that_are_no_request_are_an_invalid_argument(
    server: RpcServer, token: str, code: grpc.StatusCode
) -> None:
    """Strangers are not even parsed."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        say: Any = channel.unary_unary(f"/{SERVICE}/Say")
        call = say(b"\xff\xff\xff", metadata=[("authorization", f"Bearer {token}")])
        assert await call.code() is code


@pytest.mark.parametrize("fault", ["raise", "wrong type", "timeout of its own"])
async def test_a_fault_is_logged_under_the_request_id_and_its_text_is_not_answered(stub: Any, fault: str) -> None:
    with capture_logs() as lines, pytest.raises(Internal) as caught:
        await stub.Say(saying(fault), metadata=[("x-request-id", "r-77")])
    assert caught.value.metadata == {"request_id": "r-77"}
    assert "hunter2" not in str(caught.value)
    assert [line["event"] for line in lines] == ["rpc_failed"]


async def test_a_request_id_is_echoed_and_a_bad_one_is_replaced(server: RpcServer) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = generated()[1].ProbeServiceStub(channel)
        assert await echoed(stub.Open(saying(), metadata=[("x-request-id", "r-1")])) == "r-1"
        made = await echoed(stub.Open(saying(), metadata=[("x-request-id", 'no "good"')]))
        assert len(made) == 36
        assert await echoed(stub.Say(saying(), metadata=[("x-request-id", "r-2")])) == "r-2"


async def echoed(call: Any) -> str:
    return str(dict(await call.trailing_metadata())["x-request-id"])


async def test_the_callers_trace_goes_on_and_a_call_without_one_gets_one(stub: Any) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert (await stub.Say(saying("trace"), metadata=[("traceparent", parent)])).text.split("-")[1] == parent.split(
        "-"
    )[1]
    fresh = (await stub.Say(saying("trace"), metadata=[("traceparent", "00-nonsense")])).text
    assert len(fresh.split("-")[1]) == 32
    assert fresh != (await stub.Say(saying("trace"))).text


async def test_a_message_above_the_limit_is_refused(stub: Any) -> None:
    with pytest.raises(LimitReached):
        await stub.Say(saying("x" * 5_000_000))


# --- streams -------------------------------------------------------------------------------------------------


async def test_a_stream_yields_what_the_servicer_yields(stub: Any) -> None:
    assert [r.text async for r in stub.Watch(saying("one two three"))] == ["one", "two", "three"]


async def test_an_error_in_a_stream_comes_after_what_was_sent(stub: Any) -> None:
    responses = aiter(stub.Watch(saying("one missing")))
    assert (await anext(responses)).text == "one"
    with pytest.raises(NotFound, match="gone meanwhile"):
        await anext(responses)


async def test_a_stream_whose_caller_leaves_is_closed(probe: Probe, server: RpcServer) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = generated()[1].ProbeServiceStub(channel)
        call = stub.Watch(saying("wait"), metadata=[("authorization", f"Bearer {TOKEN}")])
        await eventually(lambda: probe.running == 1)
        call.cancel()
        await eventually(lambda: probe.running == 0)


# --- limits --------------------------------------------------------------------------------------------------


async def test_a_call_without_a_deadline_gets_one(probe: Probe) -> None:
    """H7."""
    # open_channel sets a deadline of its own, so this is a plain channel.
    limits = Limits(unary_default_s=0.05)
    async with serving(probe, limits) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub = generated()[1].ProbeServiceStub(channel)
        call = stub.Say(saying("wait"), metadata=[("authorization", f"Bearer {TOKEN}")])
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert probe.running == 0


async def test_a_call_without_a_deadline_gets_the_channels(probe: Probe, server: RpcServer) -> None:
    async with calling(server, deadline_s=0.05) as stub:
        with pytest.raises(DeadlineExceeded):
            await stub.Say(saying("wait"))
        await eventually(lambda: probe.running == 0)


async def test_a_far_deadline_is_brought_nearer(probe: Probe) -> None:
    """H7."""
    async with serving(probe, Limits(unary_max_s=0.05, stream_max_s=0.05)) as server, calling(server) as stub:
        with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s"):
            await stub.Say(saying("wait"), timeout=3600)
        with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s"):
            await first(stub, "Watch", saying("wait"))


async def test_one_workspace_can_not_take_all_places(probe: Probe) -> None:
    """H7: the others go on."""
    limits = Limits(calls_per_workspace_max=2, streams_per_workspace_max=1)
    async with serving(probe, limits) as server, calling(server) as stub, asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(first(stub, "Say", saying("wait")))
        await eventually(lambda: probe.running == 2)
        with pytest.raises(Overloaded) as caught:
            await stub.Say(saying("x"))
        assert caught.value.retry_after_s
        assert (await stub.Say(saying("x", name="workspaces/b/functions/f"))).text == "x"
        assert await first(stub, "Watch", saying("x")) == "['x']"
        probe.go_on.set()


async def test_a_server_with_all_places_taken_says_so_and_still_answers_health(probe: Probe) -> None:
    """H7."""
    async with serving(probe, Limits(calls_max=1)) as server, calling(server) as stub, asyncio.TaskGroup() as tasks:
        tasks.create_task(first(stub, "Say", saying("wait")))
        await eventually(lambda: probe.running == 1)
        with pytest.raises(Overloaded):
            await stub.Open(saying())
        assert await health(server) == SERVING
        probe.go_on.set()
        await eventually(lambda: probe.running == 0)
    async with serving(probe, Limits(calls_max=1)) as server, calling(server) as stub:
        for _ in range(3):
            await stub.Say(saying())


async def test_connections_beyond_the_limit_are_closed_and_the_others_go_on(probe: Probe) -> None:
    """H7."""
    limits = Limits(connections_max=3, handshake_s=60)
    async with serving(probe, limits) as server, calling(server) as stub:
        await stub.Say(saying())
        peers = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(20)]
        try:
            async with asyncio.TaskGroup() as tasks:
                watches = [tasks.create_task(hung_up(reader)) for reader, _ in peers]
                await eventually(lambda: sum(watch.done() for watch in watches) >= 18)
                assert (await stub.Say(saying("x"))).text == "x"
                for watch in watches:
                    watch.cancel()
        finally:
            for _, writer in peers:
                writer.close()


async def hung_up(reader: asyncio.StreamReader) -> None:
    """Return when the other side closes; what it says before is not of interest."""
    with suppress(ConnectionError):
        while await reader.read(1_000):
            pass


# --- health and reflection -----------------------------------------------------------------------------------


async def test_health_says_serving_only_once_ready(probe: Probe) -> None:
    server = server_of(probe)
    await server.start()
    try:
        assert await health(server) == NOT_SERVING
        assert await health(server, SERVICE) == NOT_SERVING
        await server.ready()
        assert await health(server) == SERVING
        assert await health(server, SERVICE) == SERVING
        await server.set_serving(SERVICE, False)
        assert (await health(server), await health(server, SERVICE)) == (SERVING, NOT_SERVING)
    finally:
        await server.stop(0)


async def test_a_generic_client_finds_the_services_and_their_messages_by_reflection(server: RpcServer) -> None:
    def look() -> tuple[list[str], str]:
        with grpc.insecure_channel(server.address) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            file = database.FindFileContainingSymbol(SERVICE)
            return list(database.get_services()), file.name

    services, file = await asyncio.to_thread(look)
    assert file == "onward_probe.proto"
    assert {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= set(services)


# --- start and stop ------------------------------------------------------------------------------------------


async def test_a_busy_port_is_told_in_one_line(server: RpcServer, probe: Probe) -> None:
    other = server_of(probe, listen=server.address)
    with pytest.raises(CannotListen, match=rf"^Cannot listen on {server.address}: [^\n]*ONWARD_LISTEN[^\n]*$"):
        await other.start()


async def test_a_drain_lets_running_calls_end_and_refuses_new_ones(probe: Probe, server: RpcServer) -> None:
    async with calling(server) as stub, calling(server) as other, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(first(stub, "Say", saying("wait")))
        await eventually(lambda: probe.running == 1)
        stopping = tasks.create_task(server.stop(10))
        with pytest.raises(Unavailable):
            await eventually(lambda: refused(other))
        assert not stopping.done()
        probe.go_on.set()
        assert await running == "wait"


async def refused(stub: Any) -> bool:
    await first(stub, "Say", saying("x"))
    return False


async def test_a_drain_ends_watches_that_have_nothing_to_say(probe: Probe, server: RpcServer) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel, calling(server) as stub:
        checker: Any = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # the package has no types
        checks = checker.Watch(health_pb2.HealthCheckRequest())
        assert (await checks.read()).status == SERVING
        responses = aiter(stub.Watch(saying("one wait")))
        assert (await anext(responses)).text == "one"
        async with asyncio.timeout(8):
            await server.stop(60)
        with pytest.raises(Unavailable, match="stopping"):
            await anext(responses)
        assert (await checks.read()).status == NOT_SERVING


async def test_a_call_that_outlives_the_drain_is_cut(probe: Probe, server: RpcServer) -> None:
    async with calling(server) as stub:
        call = stub.Say(saying("wait"))
        await eventually(lambda: probe.running == 1)
        await server.stop(0.05)
        with pytest.raises(Unavailable):
            await call
        await eventually(lambda: probe.running == 0)


async def test_a_callee_that_is_down_is_unavailable_and_its_address_is_not_told(probe: Probe) -> None:
    async with serving(probe) as server:
        address = server.address
    async with calling(server) as stub:
        with pytest.raises(Unavailable) as caught:
            await stub.Say(saying())
    assert address.rpartition(":")[2] not in str(caught.value)
