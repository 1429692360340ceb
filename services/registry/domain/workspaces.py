"""Decisions on workspaces."""

from __future__ import annotations

import ipaddress

from kit.eventstore.facts import NewFact
from onward.registry.v1 import facts_pb2, operator_service_pb2, resources_pb2, workspace_service_pb2
from services.registry.domain import ids
from services.registry.domain.evolving_people import FIRST_OWNER
from services.registry.domain.state import State
from services.registry.errors import IdTaken, InvalidField, Missing, WorkspaceLimitReached

# The documents' number; the operator may set another.
FUNCTIONS_MAX_DEFAULT = 10
# What retries may take up of the tracker where the operator has not said so: twice the installation's nine, and a day,
# after which most events are of no use to anybody.
RETRIES_MAX_DEFAULT = 20
RETRY_HORIZON_MAX_DEFAULT_S = 24 * 3600
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


def decide_update_workspace(
    state: State, request: workspace_service_pb2.UpdateWorkspaceRequest, workspace: str
) -> list[NewFact]:
    """What the request names and what is not so already. Raises StaleEtag."""
    ids.require_etag(f"workspaces/{workspace}", request.etag, ids.workspace_etag(state.revision))
    updated = facts_pb2.WorkspaceUpdated()
    if request.HasField("display_name") and request.display_name != state.display_name:
        updated.display_name = request.display_name
    edit = request.members_may_edit_functions
    if request.HasField("members_may_edit_functions") and edit != state.members_may_edit_functions:
        updated.members_may_edit_functions = edit
    return [NewFact("workspace", updated)] if updated.ListFields() else []


def decide_set_limits(state: State, request: operator_service_pb2.SetLimitsRequest) -> list[NewFact]:
    """A limit below what is held already is allowed: it only stops what comes next."""
    limits = facts_pb2.LimitsSet(functions_max=request.functions_max)
    if request.HasField("retries_max") and request.retries_max != retries_max(state):
        limits.retries_max = request.retries_max
    horizon_max_s = request.retry_horizon_max_s
    if request.HasField("retry_horizon_max_s") and horizon_max_s != retry_horizon_max_s(state):
        limits.retry_horizon_max_s = horizon_max_s
    if limits == facts_pb2.LimitsSet(functions_max=state.functions_max):
        return []
    return [NewFact("workspace", limits)]


def retries_max(state: State) -> int:
    """How many retries a destination's policy may have."""
    return RETRIES_MAX_DEFAULT if state.retries_max is None else state.retries_max


def retry_horizon_max_s(state: State) -> int:
    """How long after the first attempt's end a destination's policy may retry."""
    return RETRY_HORIZON_MAX_DEFAULT_S if state.retry_horizon_max_s is None else state.retry_horizon_max_s


def decide_allow_egress_range(state: State, request: operator_service_pb2.AllowEgressRangeRequest) -> list[NewFact]:
    """Ranges are kept in their canonical form; one that is there already changes nothing."""
    network = _network(request.range)
    if network in state.egress_ranges:
        return []
    if len(state.egress_ranges) >= EGRESS_RANGES_MAX:
        raise WorkspaceLimitReached("egress_ranges", EGRESS_RANGES_MAX, "Allow a wider range instead.")
    return [NewFact("workspace", facts_pb2.EgressRangeAllowed(range=network))]


def decide_disallow_egress_range(
    state: State, request: operator_service_pb2.DisallowEgressRangeRequest
) -> list[NewFact]:
    """A range that is not allowed changes nothing. Wider ranges that hold it go on holding."""
    network = _network(request.range)
    if network not in state.egress_ranges:
        return []
    return [NewFact("workspace", facts_pb2.EgressRangeDisallowed(range=network))]


def _network(text: str) -> str:
    """The range in its canonical form; raises InvalidField."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise InvalidField(
            "range", f"must be an address range such as 10.1.0.0/16 or fd00::/8, without host bits ({error})"
        ) from error
