"""Refusals of people who sign in at an identity provider name them, and not its token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from kit.clock import FakeClock, SystemClock
from kit.embedded.postgres import EmbeddedPostgres
from kit.errors import OnwardError
from kit.rpc.client import open_channel
from onward.audit.v1 import audit_service_pb2 as apb
from onward.audit.v1 import audit_service_pb2_grpc
from onward.registry.v1 import resources_pb2
from onward.registry.v1 import workspace_service_pb2 as wpb
from tests.integration.oidc_world import AUDIENCE
from tests.integration.oidc_world import World as Issuer
from tests.integration.trail_world import Trail, fields, running

pytestmark = pytest.mark.integration

ACME = "workspaces/acme"


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer(FakeClock(SystemClock().now()))
    issuer.open.set()
    await issuer.start()
    yield issuer
    await issuer.stop()


@pytest.fixture
async def trail(
    database: str, postgres_server: EmbeddedPostgres, nats_url: str, issuer: Issuer
) -> AsyncIterator[Trail]:
    oidc: dict[str, Any] = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE}
    async with running(database, postgres_server, nats_url, **oidc) as trail:
        yield trail


async def person(trail: Trail, owner: str, name: str) -> None:
    """A member of acme who may do little."""
    request = wpb.AddMemberRequest(
        parent=ACME,
        member_id=name,
        kind=resources_pb2.MEMBER_KIND_PERSON,
        email=f"{name}@example.com",
        grants=[resources_pb2.RoleGrant(role=resources_pb2.ROLE_MEMBER)],
    )
    await trail.registry.caller(owner).workspaces.AddMember(request)


async def list_members(trail: Trail, token: str) -> None:
    await trail.registry.caller(token).workspaces.ListMembers(wpb.ListMembersRequest(parent=ACME))


async def list_audit_events(trail: Trail, token: str) -> None:
    async with open_channel(trail.audit.app.address, token) as channel:
        stub: Any = audit_service_pb2_grpc.AuditServiceStub(channel)
        await stub.ListAuditEvents(apb.ListAuditEventsRequest(parent=ACME))


def of(people: set[str], events: list[apb.AuditEvent]) -> bool:
    return {one.principal for one in events} == people


@pytest.mark.parametrize(("service", "call"), [("registry", list_members), ("audit", list_audit_events)])
async def test_each_person_who_is_refused_is_named(
    trail: Trail, issuer: Issuer, service: str, call: Callable[[Trail, str], Any]
) -> None:
    """D3, H1."""
    request = wpb.CreateWorkspaceRequest(workspace_id="acme", display_name="Acme")
    owner = (await trail.registry.operator.workspaces.CreateWorkspace(request)).owner_token
    for name in ("ada", "eve"):
        await person(trail, owner, name)
        token = issuer.token(sub=f"s-{name}", email=f"{name}@example.com", email_verified=True)
        with pytest.raises(OnwardError) as caught:
            await call(trail, token)
        assert caught.value.code == "PERMISSION_DENIED"
        # The caller learns nothing of it.
        assert "member:" not in f"{caught.value.message} {caught.value.metadata}"
    events = await trail.denied(owner, when=partial(of, {"member:ada", "member:eve"}))
    assert {one.credential for one in events} == {"oidc"}
    assert {fields(one)["service"] for one in events} == {service}


async def test_who_is_no_member_is_nobody_to_the_workspace(trail: Trail, issuer: Issuer) -> None:
    """H1."""
    request = wpb.CreateWorkspaceRequest(workspace_id="acme", display_name="Acme")
    owner = (await trail.registry.operator.workspaces.CreateWorkspace(request)).owner_token
    with pytest.raises(OnwardError):
        await list_members(trail, issuer.token(sub="s-9"))
    (event,) = await trail.denied(owner)
    assert (event.principal, event.credential) == ("anonymous", "oidc")
