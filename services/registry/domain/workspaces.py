"""Decisions on workspaces and sources."""

from __future__ import annotations

import ipaddress

from kit.eventstore.facts import NewFact
from onward.registry.v1 import facts_pb2, operator_service_pb2, resources_pb2, source_service_pb2, workspace_service_pb2
from services.registry.domain import ids
from services.registry.domain.evolving_people import FIRST_OWNER
from services.registry.domain.state import State
from services.registry.errors import IdTaken, InvalidField, Missing, WorkspaceLimitReached

# The documents' number; the operator may set another.
FUNCTIONS_MAX_DEFAULT = 10
# A source costs a subject and a few rows; lists of more help nobody.
SOURCES_MAX = 1000
# The executor tests each connection against each range.
EGRESS_RANGES_MAX = 100
# The event log keeps facts of no workspace under this name.
RESERVED_WORKSPACES = frozenset({"system"})


def require_workspace(state: State, workspace: str) -> None:
    """Raises Missing for a workspace that was never created."""
    if not state.exists:
        raise Missing(f"workspaces/{workspace}")


def decide_create_workspace(
    state: State, request: workspace_service_pb2.CreateWorkspaceRequest, workspace: str, token: str
) -> list[NewFact]:
    """The workspace, its first owner, and the owner's token whose id is given."""
    if state.exists or workspace in RESERVED_WORKSPACES:
        raise IdTaken(f"workspaces/{workspace}")
    created = facts_pb2.WorkspaceCreated(
        workspace=workspace, display_name=request.display_name, functions_max=FUNCTIONS_MAX_DEFAULT
    )
    kind = resources_pb2.MEMBER_KIND_SERVICE_ACCOUNT
    owner = facts_pb2.MemberAdded(member=FIRST_OWNER, kind=kind, display_name="Owner")
    grant = resources_pb2.RoleGrant(role=resources_pb2.ROLE_OWNER)
    return [
        NewFact("workspace", created),
        NewFact(f"members/{FIRST_OWNER}", owner),
        NewFact(f"members/{FIRST_OWNER}", facts_pb2.RoleGranted(binding=FIRST_OWNER, member=FIRST_OWNER, grant=grant)),
        NewFact(f"tokens/{token}", facts_pb2.TokenCreated(token=token, display_name="First token", member=FIRST_OWNER)),
    ]


def decide_set_limits(state: State, request: operator_service_pb2.SetLimitsRequest) -> list[NewFact]:
    """A limit below what is held already is allowed: it only stops what comes next."""
    if request.functions_max == state.functions_max:
        return []
    return [NewFact("workspace", facts_pb2.LimitsSet(functions_max=request.functions_max))]


def decide_allow_egress_range(state: State, request: operator_service_pb2.AllowEgressRangeRequest) -> list[NewFact]:
    """Ranges are kept in their canonical form; one that is there already changes nothing."""
    try:
        network = ipaddress.ip_network(request.range)
    except ValueError as error:
        raise InvalidField(
            "range", f"must be an address range such as 10.1.0.0/16 or fd00::/8, without host bits ({error})"
        ) from error
    if str(network) in state.egress_ranges:
        return []
    if len(state.egress_ranges) >= EGRESS_RANGES_MAX:
        raise WorkspaceLimitReached("egress_ranges", EGRESS_RANGES_MAX, "Allow a wider range instead.")
    return [NewFact("workspace", facts_pb2.EgressRangeAllowed(range=str(network)))]


def decide_create_source(
    state: State, request: source_service_pb2.CreateSourceRequest, workspace: str
) -> list[NewFact]:
    """A source, with the id asked for or one made from its name."""
    if request.source_id in state.sources:
        raise IdTaken(f"workspaces/{workspace}/sources/{request.source_id}")
    if len(state.sources) >= SOURCES_MAX:
        raise WorkspaceLimitReached("sources", SOURCES_MAX, "Use one that exists.")
    source = request.source_id or ids.free_id(request.display_name, "source", state.sources)
    created = facts_pb2.SourceCreated(source=source, display_name=request.display_name, labels=request.labels)
    return [NewFact(f"sources/{source}", created)]
