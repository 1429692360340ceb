"""Where acts came from, as the trail shows it: known, altered, erased; and the proofs hold whatever became of it."""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from nats.aio.client import Client

from cli.audit_verifier import Key, Report, Verifier, leads_to, read_checkpoint
from kit.embedded.postgres import EmbeddedPostgres
from kit.errors import NotFound, OnwardError, PermissionDenied
from kit.rpc.client import open_channel
from kit.testing.eventually import eventually
from onward.audit.v1 import audit_service_pb2 as pb
from onward.audit.v1.audit_service_pb2_grpc import AuditServiceStub
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from tests.integration import audit_world, canary, registry_world
from tests.integration.people_world import ACME, ADA, OWNER, add, grant, remove, token_of
from tests.integration.registry_world import Stubs
from tests.integration.test_audit_service import sources

pytestmark = pytest.mark.integration

SEED = base64.b64encode(b"k" * 32).decode()
AGENT = f"canary-{uuid.uuid4().hex}"
NAME, EMAIL = "Zyxwvut Canarybird", "qponmlkj@canarybird.example"


class Life:
    """A registry, its trail, and Ada, who administers functions and calls by a program of her own."""

    def __init__(self, registry: registry_world.World, audit: audit_world.World, owner: Stubs, token: str) -> None:
        self.registry = registry
        self.audit = audit
        self.owner = owner
        self.token = token
        self.ada: Stubs | None = None

    @property
    def trail(self) -> Any:
        return self.audit.caller(self.token)

    async def found(self, action: str, principal: str = "") -> pb.AuditEvent:
        """The last event of a kind, as GetAuditEvent shows it."""

        async def seen() -> str:
            request = pb.ListAuditEventsRequest(parent=ACME, action=action, principal=principal, page_size=1)
            listed = (await self.trail.ListAuditEvents(request)).audit_events
            return str(listed[0].name) if listed else ""

        name = await eventually(seen)
        answer: pb.GetAuditEventResponse = await self.trail.GetAuditEvent(pb.GetAuditEventRequest(name=name))
        return answer.audit_event


@pytest.fixture
async def life(database: str, postgres_server: EmbeddedPostgres, nats_url: str, tmp_path: Path) -> AsyncIterator[Life]:
    name = f"test_{uuid.uuid4().hex}"
    await postgres_server.create_database(name, template="template0")
    signing: dict[str, Any] = {
        "audit_signing_key": SEED,
        "audit_checkpoint_seconds": 0.1,
        "audit_checkpoint_folder": tmp_path,
    }
    try:
        async with (
            registry_world.running(postgres_server.dsn(name), nats_url) as registry,
            audit_world.running(database, nats_url, registry.app.address, **signing) as audit,
        ):
            owner = await registry.workspace()
            await add(owner, display_name=NAME, email=EMAIL, grants=[grant(resources_pb2.ROLE_FUNCTIONS_ADMIN)])
            secret = (await token_of(owner)).secret
            async with open_channel(registry.app.address, secret, agent=AGENT) as channel:
                await add(owner, "auditor", grants=[OWNER])
                life = Life(registry, audit, owner, (await token_of(owner, "auditor")).secret)
                life.ada = Stubs(channel)
                yield life
    finally:
        await postgres_server.drop_database(name)


async def do_something(life: Life) -> None:
    """Ada makes a function, and is refused what takes an owner."""
    assert life.ada is not None
    await life.ada.functions.CreateFunction(
        fpb.CreateFunctionRequest(parent=ACME, function_id="web", display_name="Web")
    )
    with pytest.raises(PermissionDenied):
        await life.ada.workspaces.ListTokens(wpb.ListTokensRequest(parent=ACME))


async def test_an_act_shows_where_it_came_from(life: Life) -> None:
    await do_something(life)
    event = await life.found("FunctionCreated")
    assert event.client_state == pb.CLIENT_STATE_KNOWN
    assert (event.client_address, event.user_agent.partition(" ")[0]) == ("127.0.0.1", AGENT)


async def test_a_refusal_shows_where_it_came_from(life: Life) -> None:
    """D3."""
    async with open_channel(life.registry.app.address, "onw_f00f_" + "0" * 32, agent=AGENT) as stranger:
        with pytest.raises(OnwardError):
            await Stubs(stranger).sources.GetSource(spb.GetSourceRequest(name=f"{ACME}/sources/none"))
    event = await life.found("AccessDenied")
    assert (event.principal, event.user_agent.partition(" ")[0]) == ("anonymous", AGENT)
    assert event.client_state == pb.CLIENT_STATE_KNOWN


async def test_a_list_shows_it_when_asked(life: Life) -> None:
    await do_something(life)
    await life.found("FunctionCreated")
    request = pb.ListAuditEventsRequest(parent=ACME)
    without = (await life.trail.ListAuditEvents(request)).audit_events
    assert {one.client_state for one in without} == {pb.CLIENT_STATE_UNSPECIFIED}
    request.show_clients = True
    shown = (await life.trail.ListAuditEvents(request)).audit_events
    assert {one.client_state for one in shown if one.principal == "member:ada"} == {pb.CLIENT_STATE_KNOWN}
    assert {one.client_address for one in shown if one.principal == "member:ada"} == {"127.0.0.1"}


async def test_what_was_altered_is_said_to_be_and_is_not_shown(life: Life) -> None:
    await do_something(life)
    await life.found("FunctionCreated")
    await life.registry.rows("UPDATE fact_clients SET address = '10.0.0.1' WHERE principal = 'member:ada'")
    event = await life.found("FunctionCreated")
    assert event.client_state == pb.CLIENT_STATE_ALTERED
    assert (event.client_address, event.user_agent) == ("", "")


async def report(records: list[bytes], note: str, key: Key) -> Report:
    verifier = Verifier([read_checkpoint(note, key)])
    for record in records:
        verifier.add(record)
    return verifier.report()


async def export(life: Life, size: int) -> tuple[list[bytes], str, Key]:
    async def signed() -> bool:
        try:
            await life.trail.GetCheckpoint(pb.GetCheckpointRequest(parent=ACME, size=size))
        except NotFound:
            return False
        return True

    await eventually(signed)
    records: list[bytes] = []
    note = ""
    async for part in life.trail.ExportAuditEvents(pb.ExportAuditEventsRequest(parent=ACME)):
        records += part.records
        note = part.checkpoint
    answer = await life.trail.GetCheckpoint(pb.GetCheckpointRequest(parent=ACME))
    return records, note, Key(answer.verifier_key)


async def test_when_a_person_is_erased_nothing_is_left_and_every_proof_holds(life: Life, nats_client: Client) -> None:
    """D13: a name, an address, an agent, in tables, streams and answers; earlier exports verify as well."""
    await do_something(life)
    last = (await life.found("AccessDenied")).index
    told = orjson.dumps([str(await life.found("FunctionCreated"))])
    assert canary.in_text(AGENT, {"the answer": told}), "the canary must sing"
    records, note, key = await export(life, last)
    old = await life.found("FunctionCreated")

    await life.owner.workspaces.RemoveMember(remove())
    await life.registry.operator.operator.ErasePerson(opb.ErasePersonRequest(name=ADA))

    erased = await life.found("PersonErased")
    after, later, _ = await export(life, erased.index)
    databases = (life.registry.database, life.audit.database)
    for word in (AGENT, NAME, EMAIL):
        assert [await canary.in_database(word, one) for one in databases] == [[], []]
        assert await canary.in_nats(word, nats_client) == []
        assert canary.in_text(word, {f"record {number}": one for number, one in enumerate(after)}) == []
    assert (await life.found("FunctionCreated")).client_state == pb.CLIENT_STATE_ERASED
    assert [one for one in await listed(life) if AGENT in str(one) or "canarybird" in str(one).lower()] == []

    assert after[: len(records)] == records
    assert (await report(records, note, key)).faults == []
    assert (await report(after, later, key)).faults == []
    request = pb.GetInclusionProofRequest(name=old.name, tree_size=read_checkpoint(note, key).size)
    proof = await life.trail.GetInclusionProof(request)
    root = leads_to(proof.record, old.index, proof.tree_size, list(proof.hashes))
    assert root == read_checkpoint(note, key).root
    assert set(orjson.loads(proof.record)["commitments"]) == {"client_address", "user_agent"}


async def listed(life: Life) -> list[pb.AuditEvent]:
    request = pb.ListAuditEventsRequest(parent=ACME, page_size=1000, show_clients=True)
    async with open_channel(life.audit.app.address, life.token) as channel:
        return list((await AuditServiceStub(channel).ListAuditEvents(request)).audit_events)


async def test_where_nobody_can_be_asked_the_trail_is_read_and_says_so(database: str, nats_url: str) -> None:
    # This registry has no such table.
    async with (
        audit_world.owning(nats_url) as owner,
        audit_world.running(database, nats_url, owner.address) as world,
    ):
        meta = replace(audit_world.META, commitments={"client_address": "0" * 64})
        await owner.happen(*sources(1), meta=meta)
        await world.recorded(1)
        request = pb.GetAuditEventRequest(name=f"{ACME}/auditEvents/1")
        event = (await world.caller().GetAuditEvent(request)).audit_event
    assert (event.action, event.client_state) == ("SourceCreated", pb.CLIENT_STATE_UNAVAILABLE)
