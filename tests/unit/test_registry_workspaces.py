"""What is decided about a workspace itself."""

from __future__ import annotations

from typing import Any

import pytest

from onward.registry.v1 import facts_pb2
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import workspace_service_pb2 as wpb
from services.registry.domain import workspaces
from tests.unit.registry_given import Decide, Given

given = Given
WORKSPACE = facts_pb2.WorkspaceCreated(workspace="acme", display_name="Acme", functions_max=10)
ALLOWED = facts_pb2.EgressRangeAllowed(range="10.1.0.0/16")


def update(**fields: Any) -> Decide:
    request = wpb.UpdateWorkspaceRequest(**fields)
    return lambda state: workspaces.decide_update_workspace(state, request, "acme")


def disallow(cidr: str) -> Decide:
    return lambda state: workspaces.decide_disallow_egress_range(state, opb.DisallowEgressRangeRequest(range=cidr))


def test_what_an_update_does_not_name_stays() -> None:
    given(WORKSPACE).when(update(display_name="Acme Ltd")).then(facts_pb2.WorkspaceUpdated(display_name="Acme Ltd"))
    given(WORKSPACE).when(update(members_may_edit_functions=True)).then(
        facts_pb2.WorkspaceUpdated(members_may_edit_functions=True)
    )


def test_what_is_so_already_makes_no_fact() -> None:
    given(WORKSPACE).when(update(display_name="Acme", members_may_edit_functions=False)).then()
    given(WORKSPACE).when(update()).then()


def test_a_policy_is_switched_off_again() -> None:
    on = facts_pb2.WorkspaceUpdated(members_may_edit_functions=True)
    given(WORKSPACE, on).when(update(members_may_edit_functions=False)).then(
        facts_pb2.WorkspaceUpdated(members_may_edit_functions=False)
    )


def test_an_update_over_what_somebody_else_changed_is_refused() -> None:
    given(WORKSPACE).when(update(display_name="B", etag="1")).then(facts_pb2.WorkspaceUpdated(display_name="B"))
    stale = given(WORKSPACE, ALLOWED).when(update(display_name="B", etag="1")).refused("ABORTED", "CONFLICT")
    assert stale.metadata["etag"] == "2"


def test_a_range_is_no_longer_allowed_in_whatever_form_it_is_written() -> None:
    mapped = facts_pb2.EgressRangeAllowed(range="fd00::/8")
    given(WORKSPACE, mapped).when(disallow("FD00::/8")).then(facts_pb2.EgressRangeDisallowed(range="fd00::/8"))
    given(WORKSPACE, ALLOWED).when(disallow("10.1.0.0/16")).then(facts_pb2.EgressRangeDisallowed(range="10.1.0.0/16"))


def test_a_range_that_is_not_allowed_or_lies_within_one_changes_nothing() -> None:
    given(WORKSPACE, ALLOWED).when(disallow("10.2.0.0/16")).then()
    given(WORKSPACE, ALLOWED).when(disallow("10.1.7.0/24")).then()


@pytest.mark.parametrize("asked", ["10.1.2.3/16", "here", ""])
def test_what_is_no_range_is_refused(asked: str) -> None:
    given(WORKSPACE, ALLOWED).when(disallow(asked)).refused("INVALID_ARGUMENT", "INVALID_FIELD")
