"""What people ask an executor for, by gRPC and with their own tokens: a real registry, a real executor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from kit.bus.connection import Bus
from kit.bus.connection import connect as connect_bus
from kit.bus.publish import Publisher
from kit.embedded.nats import EmbeddedNats
from kit.errors import DeadlineExceeded, InvalidArgument, NotFound, PermissionDenied, Unavailable
from kit.rpc.client import open_channel
from kit.testing.eventually import eventually
from onward.executor.v1 import execution_service_pb2 as pb
from onward.executor.v1 import execution_service_pb2_grpc as rpc
from onward.executor.v1 import outcomes_pb2 as o
from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2 as r
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.executor.app import App
from tests.integration.functions_world import ACME, ADMIN, CRM, MEMBER, READER, SOURCE_ADMIN, grant
from tests.integration.registry_world import Stubs, World, a_function, a_source, connect, definition, save, text
from tests.integration.registry_world import running as registry_running
from tests.integration.test_deployment import an_executor
from tests.integration.trial_world import TRACK, Receiver, receiver, request_of

pytestmark = pytest.mark.integration

WEB = f"{ACME}/sources/web"
EU = f"{ACME}/destinations/crm-eu"
SECRET = "s3cret-value-9876"
LOOPBACK = "127.0.0.0/8"
SEND = """
async function onTrack(event, settings) {
  console.log(settings.apiKey)
  const response = await fetch(settings.url + '/echo', { method: 'POST', body: JSON.stringify(event) })
  return { status: response.status, event: event.event }
}
"""
DROP = r.FilterAction(drop=True)


@dataclass
class Ours:
    """Registry, executor and the workspace's owner."""

    registry: World
    app: App
    bus: Bus
    owner: Stubs
    token: str
    stack: AsyncExitStack

    async def execution(self, token: str = "") -> Any:
        """The executor as a token's holder sees it; the owner's by default."""
        channel = await self.stack.enter_async_context(open_channel(self.app.address, token or self.token))
        return rpc.ExecutionServiceStub(channel)

    async def member(self, name: str, *grants: r.RoleGrant) -> Any:
        """The executor as a new member sees it."""
        kind = r.MEMBER_KIND_SERVICE_ACCOUNT
        request = wpb.AddMemberRequest(parent=ACME, member_id=name, kind=kind, display_name=name, grants=grants)
        await self.owner.workspaces.AddMember(request)
        asked = wpb.CreateTokenRequest(member=f"{ACME}/members/{name}", display_name=name)
        return await self.execution((await self.owner.workspaces.CreateToken(asked)).secret)

    async def publish(self, *messages: Any, source: str = "web") -> None:
        for message in messages:
            data = message if isinstance(message, bytes) else orjson.dumps(message)
            await Publisher(self.bus).publish(f"events.acme.{source}", data)

    async def filter(self, parent: str, condition: str, action: r.FilterAction) -> None:
        rule = r.FilterRule(title="one", enabled=True, condition=condition, actions=[action])
        await self.owner.destinations.CreateFilter(dpb.CreateFilterRequest(parent=parent, rule=rule))

    async def facts(self, kind: str) -> list[Any]:
        rows = await self.registry.rows("SELECT stream, data, meta FROM facts WHERE type = $1 ORDER BY position", kind)
        return [(row["stream"], json.loads(row["data"]), json.loads(row["meta"])) for row in rows]


@pytest.fixture
async def ours(database: str, nats_url: str, nats_server: EmbeddedNats) -> AsyncIterator[Ours]:
    async with registry_running(database, nats_url) as world, an_executor(world, nats_server, nats_url) as app:
        bus = await connect_bus(nats_url, name="test")
        request = wpb.CreateWorkspaceRequest(workspace_id="acme", display_name="Acme")
        token = (await world.operator.workspaces.CreateWorkspace(request)).owner_token
        async with AsyncExitStack() as stack:
            yield Ours(world, app, bus, world.caller(token), token, stack)
        await bus.close()


@pytest.fixture
async def api() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


async def a_destination(ours: Ours, api: Receiver, code: str = SEND) -> None:
    """A destination that is not enabled, whose function sends to the API."""
    owner = ours.owner
    definitions = [definition("url"), definition("apiKey", encrypted=True)]
    await a_function(owner, definitions)
    await save(owner, definitions, code=code)
    await a_source(owner)
    await connect(owner, settings={"url": text(api.url), "apiKey": text(SECRET)})
    await ours.registry.operator.operator.AllowEgressRange(opb.AllowEgressRangeRequest(name=ACME, range=LOOPBACK))


# --- TestFunction ---------------------------------------------------------------------------------------------


async def test_code_versions_and_the_newest_version_can_be_tried(ours: Ours) -> None:
    execution = await ours.execution()
    await a_function(ours.owner, [])
    await save(ours.owner, [], code="function onTrack() { return 'two' }", timeout_ms=2000)
    code = await execution.TestFunction(request_of("function onTrack() { return 'code' }", name=CRM))
    first = await execution.TestFunction(request_of(name=CRM, version=2))
    newest = await execution.TestFunction(request_of(name=CRM))
    assert [(one.version, one.report.value) for one in (code, first, newest)] == [(0, '"code"'), (2, "1"), (3, '"two"')]
    with pytest.raises(NotFound, match="versions/9"):
        await execution.TestFunction(request_of(name=CRM, version=9))


async def test_nothing_of_a_run_by_hand_is_kept(ours: Ours) -> None:
    execution = await ours.execution()
    head = (await ours.registry.rows("SELECT max(position) AS head FROM facts"))[0]["head"]
    settings = {"apiKey": text(SECRET)}
    await execution.TestFunction(
        request_of("function onTrack() {}", definitions=[definition("apiKey")], settings=settings)
    )
    assert (await ours.registry.rows("SELECT max(position) AS head FROM facts"))[0]["head"] == head
    assert (await ours.bus.api("STREAM.INFO.OUTCOMES"))["state"]["messages"] == 0


async def test_functions_are_tried_by_those_who_may_change_them(ours: Ours) -> None:
    """H1"""
    await a_function(ours.owner, [])
    await a_function(ours.owner, [], function="erp")
    requests = {
        "workspace": request_of("function onTrack() {}"),
        "crm": request_of("function onTrack() {}", name=CRM),
        "erp": request_of(name=f"{ACME}/functions/erp"),
    }
    may = {
        "all": ([grant(ADMIN)], {"workspace", "crm", "erp"}),
        "some": ([grant(ADMIN, "functions/crm")], {"crm"}),
        "reader": ([grant(READER)], set()),
        "keeper": ([grant(SOURCE_ADMIN)], set()),
        "member": ([grant(MEMBER)], set()),
    }
    for name, (grants, allowed) in may.items():
        execution = await ours.member(name, *grants)
        for what, request in requests.items():
            if what in allowed:
                assert (await execution.TestFunction(request)).report.result == o.RESULT_DELIVERED
            else:
                with pytest.raises(PermissionDenied):
                    await execution.TestFunction(request)


async def test_a_function_that_was_deleted_can_not_be_tried(ours: Ours) -> None:
    await a_function(ours.owner, [])
    await ours.owner.functions.DeleteFunction(fpb.DeleteFunctionRequest(name=CRM))
    execution = await ours.execution()
    for request in (request_of(name=CRM), request_of("function onTrack() {}", name=CRM)):
        with pytest.raises(NotFound):
            await execution.TestFunction(request)


@pytest.mark.parametrize("name", ["", "workspaces/acme/sources/web", f"{CRM}/versions/1", "workspaces/ACME"])
async def test_only_functions_and_workspaces_can_be_tried(ours: Ours, name: str) -> None:
    """H2"""
    execution = await ours.execution()
    with pytest.raises((InvalidArgument, PermissionDenied)):
        await execution.TestFunction(request_of("function onTrack() {}", name=name))


async def test_a_range_that_was_closed_is_closed_to_the_next_run(ours: Ours, api: Receiver) -> None:
    execution, operator = await ours.execution(), ours.registry.operator.operator
    request = request_of(f"async function onTrack() {{ return (await fetch('{api.url}')).status }}")
    for _ in range(3):
        await operator.AllowEgressRange(opb.AllowEgressRangeRequest(name=ACME, range=LOOPBACK))
        assert (await execution.TestFunction(request)).report.value == "200"
        await operator.DisallowEgressRange(opb.DisallowEgressRangeRequest(name=ACME, range=LOOPBACK))
        assert "not allowed" in (await execution.TestFunction(request)).report.error.message


async def test_no_run_begins_by_ranges_that_may_be_older_than_the_newest_change(ours: Ours, api: Receiver) -> None:
    execution, operator = await ours.execution(), ours.registry.operator.operator
    await operator.AllowEgressRange(opb.AllowEgressRangeRequest(name=ACME, range=LOOPBACK))
    request = request_of(f"async function onTrack() {{ return (await fetch('{api.url}')).status }}")
    assert (await execution.TestFunction(request)).report.value == "200"
    # The executor hears nothing new meanwhile.
    async with ours.app._feed._lock:
        await operator.DisallowEgressRange(opb.DisallowEgressRangeRequest(name=ACME, range=LOOPBACK))
        with pytest.raises(Unavailable, match="can't be known"):
            await execution.TestFunction(request)
    assert "not allowed" in (await execution.TestFunction(request)).report.error.message
    assert len(api.asked) == 1


async def test_a_caller_who_waits_no_longer_ends_the_run(ours: Ours) -> None:
    execution = await ours.execution()
    request = request_of("async function onTrack() { await new Promise(() => {}) }", timeout_ms=60_000)
    with pytest.raises(DeadlineExceeded):
        await execution.TestFunction(request, timeout=1.0)
    # Two more have room in the same workspace.
    ready = request_of("function onTrack() { return 1 }")
    await eventually(lambda: _is_value(execution, ready, "1"))


async def _is_value(execution: Any, request: pb.TestFunctionRequest, value: str) -> bool:
    return bool((await execution.TestFunction(request)).report.value == value)


# --- InvokeDestination ----------------------------------------------------------------------------------------


async def test_a_destination_handles_an_event_by_hand_and_the_trail_tells_who_asked(ours: Ours, api: Receiver) -> None:
    await a_destination(ours, api)
    execution = await ours.execution()
    event = json.dumps({**TRACK, "messageId": "m-1"})
    answer = await execution.InvokeDestination(pb.InvokeDestinationRequest(name=EU, event=event, request_id="r-1"))
    assert answer.version == 3
    assert answer.report.handler == "onTrack"
    assert json.loads(answer.report.value) == {"status": 200, "event": "Signed Up"}
    assert [one.line for one in answer.report.logs] == ["[redacted]"]
    assert [one.status for one in answer.report.requests] == [200]
    assert "idempotency-key" in api.asked[0].headers
    ((stream, data, meta),) = await ours.facts("DestinationInvoked")
    assert stream.startswith("invocations/20")
    assert data == {"destination": "crm-eu", "messageId": "m-1"}
    assert (meta["principal"], meta["credential"]) == ("member:owner", f"token:{ours.token.split('_')[1]}")
    assert meta["request_id"] == "r-1"
    head = (await ours.registry.rows("SELECT max(position) AS head FROM facts WHERE workspace = 'acme'"))[0]["head"]
    assert answer.position == head
    # It is counted nowhere.
    assert (await ours.bus.api("STREAM.INFO.OUTCOMES"))["state"]["messages"] == 0


async def test_an_invocation_is_recorded_before_it_runs(ours: Ours, api: Receiver) -> None:
    """D1"""
    await a_destination(ours, api, SEND.replace("/echo", "/slow"))
    request = pb.InvokeDestinationRequest(name=EU, event=json.dumps(TRACK))
    running = asyncio.ensure_future((await ours.execution()).InvokeDestination(request))
    await eventually(lambda: len(api.asked) == 1)
    assert len(await ours.facts("DestinationInvoked")) == 1
    api.released.set()
    assert (await running).report.result == o.RESULT_DELIVERED


async def test_an_invocation_changes_nothing_of_the_destination(ours: Ours, api: Receiver) -> None:
    await a_destination(ours, api)
    before = await ours.owner.destinations.GetDestination(dpb.GetDestinationRequest(name=EU))
    await (await ours.execution()).InvokeDestination(pb.InvokeDestinationRequest(name=EU, event=json.dumps(TRACK)))
    assert await ours.owner.destinations.GetDestination(dpb.GetDestinationRequest(name=EU)) == before
    # Nor do later changes conflict with it.
    await ours.owner.destinations.EnableDestination(dpb.EnableDestinationRequest(name=EU, etag=before.destination.etag))


async def test_filters_decide_before_the_handler(ours: Ours, api: Receiver) -> None:
    await a_destination(ours, api)
    await ours.filter(ACME, 'properties.plan = "free"', DROP)
    await ours.filter(EU, "all", r.FilterAction(drop_fields=r.FieldPaths(paths=["properties.plan"])))
    execution = await ours.execution()

    async def invoked(**changes: Any) -> pb.RunReport:
        request = pb.InvokeDestinationRequest(name=EU, event=json.dumps({**TRACK, **changes}))
        report: pb.RunReport = (await execution.InvokeDestination(request)).report
        return report

    dropped = await invoked(properties={"plan": "free"})
    assert (dropped.result, dropped.handler) == (o.RESULT_FILTERED, "")
    assert dropped.reason.startswith("filters/")
    excluded = await invoked(integrations={"All": False})
    assert (excluded.result, excluded.reason) == (o.RESULT_FILTERED, "integrations")
    assert api.asked == []
    passed = await invoked()
    assert passed.result == o.RESULT_DELIVERED
    assert json.loads(passed.requests[0].body)["properties"] == {}


async def test_settings_that_became_invalid_keep_a_destination_from_running(ours: Ours, api: Receiver) -> None:
    await a_destination(ours, api)
    await save(
        ours.owner, [definition("url"), definition("new", required=True)], deploy_to=fpb.DeploymentTarget(all=True)
    )
    request = pb.InvokeDestinationRequest(name=EU, event=json.dumps(TRACK))
    report = (await (await ours.execution()).InvokeDestination(request)).report
    assert report.error_type == o.ERROR_TYPE_INVALID_SETTINGS
    assert report.error.message == "the required setting `new` has no value"
    assert len(await ours.facts("DestinationInvoked")) == 1


@pytest.mark.parametrize("event", ["{", json.dumps([TRACK]), json.dumps({**TRACK, "userId": ""})])
async def test_what_is_no_event_is_neither_run_nor_recorded(ours: Ours, api: Receiver, event: str) -> None:
    """H2"""
    await a_destination(ours, api)
    with pytest.raises(InvalidArgument) as caught:
        await (await ours.execution()).InvokeDestination(pb.InvokeDestinationRequest(name=EU, event=event))
    assert [path for path, _ in caught.value.violations] == ["event"]
    assert await ours.facts("DestinationInvoked") == []


async def test_destinations_are_invoked_by_those_who_keep_the_source_and_read_the_function(
    ours: Ours, api: Receiver
) -> None:
    """H1"""
    await a_destination(ours, api)
    request = pb.InvokeDestinationRequest(name=EU, event=json.dumps(TRACK))
    for name, grants in {"admin": [ADMIN], "reader": [READER], "keeper": [SOURCE_ADMIN], "member": [MEMBER]}.items():
        execution = await ours.member(name, *map(grant, grants))
        with pytest.raises(PermissionDenied):
            await execution.InvokeDestination(request)
    assert (api.asked, await ours.facts("DestinationInvoked")) == ([], [])
    both = await ours.member("both", grant(SOURCE_ADMIN, "sources/web"), grant(READER, "functions/crm"))
    assert (await both.InvokeDestination(request)).report.result == o.RESULT_DELIVERED
    ((_, _, meta),) = await ours.facts("DestinationInvoked")
    assert meta["principal"] == "member:both"
    with pytest.raises(NotFound):
        await (await ours.execution()).InvokeDestination(
            pb.InvokeDestinationRequest(name=f"{ACME}/destinations/none", event=json.dumps(TRACK))
        )


# --- ListSampleEvents -----------------------------------------------------------------------------------------


async def samples(execution: Any, **wanted: Any) -> list[pb.SampleEvent]:
    request = pb.ListSampleEventsRequest(**{"parent": WEB, **wanted})
    return list((await execution.ListSampleEvents(request)).events)


async def test_samples_are_the_last_events_of_the_source_newest_first(ours: Ours) -> None:
    await a_source(ours.owner)
    await a_source(ours.owner, "ios")
    page = {"type": "page", "anonymousId": "a1", "messageId": "m-3"}
    await ours.publish({**TRACK, "messageId": "m-1"}, {**TRACK, "messageId": "m-2"})
    await ours.publish({**TRACK, "messageId": "elsewhere"}, source="ios")
    await ours.publish({"batch": [page, {"type": "track"}, {**TRACK, "messageId": "m-4"}]}, b"no json", {"type": "odd"})
    execution = await ours.execution()
    found = await samples(execution)
    assert [one.message_id for one in found] == ["m-4", "m-3", "m-2", "m-1"]
    assert (found[0].type, found[0].event_name) == (o.EVENT_TYPE_TRACK, "Signed Up")
    event = json.loads(found[0].event)
    assert event["receivedAt"] == event["timestamp"]
    assert found[0].receive_time.ToMilliseconds() > 0
    assert [one.message_id for one in await samples(execution, page_size=2)] == ["m-4", "m-3"]
    assert [one.message_id for one in await samples(execution, type=o.EVENT_TYPE_PAGE)] == ["m-3"]


async def test_an_event_without_a_message_id_has_the_one_that_its_delivery_has(ours: Ours) -> None:
    await a_source(ours.owner)
    await ours.publish(TRACK)
    (found,) = await samples(await ours.execution())
    assert found.message_id == json.loads(found.event)["messageId"] == "acme-1-0"


async def test_samples_are_a_hundred_at_most(ours: Ours) -> None:
    await a_source(ours.owner)
    await ours.publish({"batch": [{**TRACK, "messageId": f"m-{number}"} for number in range(300)]})
    execution = await ours.execution()
    assert [one.message_id for one in await samples(execution, page_size=100)] == [
        f"m-{n}" for n in range(299, 199, -1)
    ]
    assert len(await samples(execution)) == 20
    with pytest.raises(InvalidArgument):
        await samples(execution, page_size=101)


async def test_samples_are_as_the_filters_of_workspace_and_source_leave_them(ours: Ours, api: Receiver) -> None:
    await a_destination(ours, api)
    await ours.filter(ACME, "all", r.FilterAction(drop_fields=r.FieldPaths(paths=["properties.email"])))
    await ours.filter(WEB, 'userId = "u2"', DROP)
    # Those of a destination concern it alone.
    await ours.filter(EU, "all", DROP)
    await ours.publish({**TRACK, "properties": {"email": "ada@example.com"}}, {**TRACK, "userId": "u2"})
    (found,) = await samples(await ours.execution())
    assert json.loads(found.event)["userId"] == "u1"
    assert "ada@example.com" not in found.event


async def test_samples_are_for_those_who_keep_the_source(ours: Ours) -> None:
    """H1"""
    await a_source(ours.owner)
    for name, role in {"admin": ADMIN, "reader": READER, "member": MEMBER}.items():
        with pytest.raises(PermissionDenied):
            await samples(await ours.member(name, grant(role)))
    assert await samples(await ours.member("keeper", grant(SOURCE_ADMIN, "sources/web"))) == []
    with pytest.raises(NotFound):
        await samples(await ours.execution(), parent=f"{ACME}/sources/none")
