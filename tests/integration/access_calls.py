"""A request for every RPC of the registry, for each resource, and what those are answered who are let in.

Nothing is changed: changes name a stale etag or are invalid, which only those are told who are let in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from google.protobuf.message import Message

from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import internal_service_pb2 as ipb
from onward.registry.v1 import operator_service_pb2 as opb
from onward.registry.v1 import resources_pb2 as r
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from tests.integration.access_table import (
    DELETED,
    DESTINATIONS,
    FUNCTIONS,
    INVALID,
    MISSING,
    NEEDS,
    NOTHING,
    OPERATOR,
    OPERATORS,
    PLACES,
    PRINCIPALS,
    SERVICE,
    SERVICES,
    SOURCES,
    STRANGER,
    TOKENLESS,
    gone_for,
    holders,
    refusals,
)
from tests.integration.access_world import RULE, Call
from tests.integration.registry_world import CODE

# What no RPC of the registry takes, and each tells only those who are let in.
TOO_LONG = "x" * 129
STALE = "stale"


class Manner(NamedTuple):
    """What those are answered who are let in, for a resource that is there, that is not, and that was deleted."""

    there: str
    missing: str = "NOT_FOUND"
    deleted: str = "NOT_FOUND"

    def code(self, resource: str) -> str:
        """For this resource."""
        if resource == DELETED:
            return self.deleted
        return self.missing if resource in MISSING else self.there


READ = Manner("OK", deleted="OK")
ETAG = Manner("ABORTED")
LAST_OWNER = Manner("FAILED_PRECONDITION")
BROKEN = Manner("INVALID_ARGUMENT", "INVALID_ARGUMENT", "INVALID_ARGUMENT")


@dataclass(frozen=True)
class Row:
    """How an RPC is called on each of these resources, which follow `workspaces/{workspace}/` in names."""

    method: str
    resources: Sequence[str]
    manner: Manner
    request: Callable[[str], Message]


WORKSPACE = ("",)
MEMBERS = ("members/owner", "members/noone")
W, S, F, D = "WorkspaceService", "SourceService", "FunctionService", "DestinationService"


def everywhere() -> fpb.DeploymentTarget:
    return fpb.DeploymentTarget(all=True)


def broken(message: Any) -> Message:
    message.request_id = TOO_LONG
    assert isinstance(message, Message)
    return message


ROWS: Sequence[Row] = (
    Row(f"{W}.GetWorkspace", WORKSPACE, READ, lambda n: wpb.GetWorkspaceRequest(name=n)),
    Row(f"{W}.UpdateWorkspace", WORKSPACE, ETAG, lambda n: wpb.UpdateWorkspaceRequest(name=n, etag=STALE)),
    Row(f"{W}.AddMember", WORKSPACE, BROKEN, lambda n: broken(wpb.AddMemberRequest(parent=n))),
    Row(f"{W}.RemoveMember", MEMBERS, LAST_OWNER, lambda n: wpb.RemoveMemberRequest(name=n)),
    Row(f"{W}.ListMembers", WORKSPACE, READ, lambda n: wpb.ListMembersRequest(parent=n)),
    Row(f"{W}.GrantRole", MEMBERS, BROKEN, lambda n: broken(wpb.GrantRoleRequest(member=n))),
    Row(
        f"{W}.RevokeRole",
        MEMBERS,
        LAST_OWNER,
        # The first owner's binding is called like the owner.
        lambda n: wpb.RevokeRoleRequest(name=n.replace("/members/", "/roleBindings/")),
    ),
    Row(f"{W}.ListRoleBindings", WORKSPACE, READ, lambda n: wpb.ListRoleBindingsRequest(parent=n)),
    Row(f"{W}.CreateToken", MEMBERS, BROKEN, lambda n: broken(wpb.CreateTokenRequest(member=n, display_name="CI"))),
    Row(
        f"{W}.RevokeToken",
        MEMBERS,
        BROKEN,
        lambda n: broken(wpb.RevokeTokenRequest(name=n.replace("/members/", "/tokens/"))),
    ),
    Row(f"{W}.ListTokens", WORKSPACE, READ, lambda n: wpb.ListTokensRequest(parent=n)),
    # It says nothing about whether the resource exists.
    Row(
        f"{W}.TestPermissions",
        ("", *FUNCTIONS, *SOURCES, *DESTINATIONS),
        Manner("OK", "OK", "OK"),
        lambda n: wpb.TestPermissionsRequest(name=n),
    ),
    Row(f"{W}.FindSecret", WORKSPACE, BROKEN, lambda n: broken(wpb.FindSecretRequest(parent=n))),
    Row(f"{S}.CreateSource", WORKSPACE, BROKEN, lambda n: broken(spb.CreateSourceRequest(parent=n))),
    Row(f"{S}.GetSource", SOURCES, READ, lambda n: spb.GetSourceRequest(name=n)),
    Row(f"{S}.ListSources", WORKSPACE, READ, lambda n: spb.ListSourcesRequest(parent=n)),
    Row(f"{S}.UpdateSource", SOURCES, ETAG, lambda n: spb.UpdateSourceRequest(name=n, etag=STALE)),
    Row(f"{S}.DeleteSource", SOURCES, ETAG, lambda n: spb.DeleteSourceRequest(name=n, etag=STALE)),
    Row(f"{S}.CreateWriteKey", SOURCES, BROKEN, lambda n: broken(spb.CreateWriteKeyRequest(parent=n))),
    Row(
        f"{S}.RevokeWriteKey",
        SOURCES,
        Manner("NOT_FOUND"),
        lambda n: spb.RevokeWriteKeyRequest(name=f"{n}/writeKeys/k1"),
    ),
    Row(f"{S}.ListWriteKeys", SOURCES, READ, lambda n: spb.ListWriteKeysRequest(parent=n)),
    Row(f"{F}.CreateFunction", WORKSPACE, BROKEN, lambda n: broken(fpb.CreateFunctionRequest(parent=n))),
    Row(f"{F}.GetFunction", FUNCTIONS, READ, lambda n: fpb.GetFunctionRequest(name=n)),
    Row(f"{F}.ListFunctions", WORKSPACE, READ, lambda n: fpb.ListFunctionsRequest(parent=n)),
    Row(f"{F}.SaveFunction", FUNCTIONS, ETAG, lambda n: fpb.SaveFunctionRequest(name=n, code=CODE, etag=STALE)),
    Row(f"{F}.GetVersion", FUNCTIONS, READ, lambda n: fpb.GetVersionRequest(name=f"{n}/versions/1")),
    Row(f"{F}.ListVersions", FUNCTIONS, READ, lambda n: fpb.ListVersionsRequest(parent=n)),
    Row(
        f"{F}.DeployVersion",
        FUNCTIONS,
        ETAG,
        lambda n: fpb.DeployVersionRequest(name=f"{n}/versions/1", target=everywhere(), etag=STALE),
    ),
    Row(f"{F}.UpdateFunction", FUNCTIONS, ETAG, lambda n: fpb.UpdateFunctionRequest(name=n, etag=STALE)),
    Row(f"{F}.DeleteFunction", FUNCTIONS, ETAG, lambda n: fpb.DeleteFunctionRequest(name=n, etag=STALE)),
    Row(f"{F}.DiffVersions", FUNCTIONS, READ, lambda n: fpb.DiffVersionsRequest(name=n)),
    Row(
        f"{F}.RestoreVersion",
        FUNCTIONS,
        ETAG,
        lambda n: fpb.RestoreVersionRequest(name=f"{n}/versions/1", etag=STALE),
    ),
    Row(f"{F}.GetDeployment", FUNCTIONS, READ, lambda n: fpb.GetDeploymentRequest(name=n)),
    Row(f"{D}.GetDestination", DESTINATIONS, READ, lambda n: dpb.GetDestinationRequest(name=n)),
    Row(f"{D}.ListDestinations", WORKSPACE, READ, lambda n: dpb.ListDestinationsRequest(parent=n)),
    Row(f"{D}.SetSettings", DESTINATIONS, ETAG, lambda n: dpb.SetSettingsRequest(name=n, etag=STALE)),
    Row(f"{D}.EnableDestination", DESTINATIONS, ETAG, lambda n: dpb.EnableDestinationRequest(name=n, etag=STALE)),
    Row(f"{D}.DisableDestination", DESTINATIONS, ETAG, lambda n: dpb.DisableDestinationRequest(name=n, etag=STALE)),
    Row(
        f"{D}.DisconnectDestination",
        DESTINATIONS,
        ETAG,
        lambda n: dpb.DisconnectDestinationRequest(name=n, etag=STALE),
    ),
    Row(
        f"{D}.UpdateDeliveryPolicy",
        DESTINATIONS,
        ETAG,
        lambda n: dpb.UpdateDeliveryPolicyRequest(name=n, policy=r.DeliveryPolicy(), etag=STALE),
    ),
    Row(f"{D}.CreateFilter", PLACES, BROKEN, lambda n: broken(dpb.CreateFilterRequest(parent=n))),
    Row(
        f"{D}.UpdateFilter",
        PLACES,
        ETAG,
        lambda n: dpb.UpdateFilterRequest(name=f"{n}/filters/bots", rule=RULE, etag=STALE),
    ),
    Row(f"{D}.DeleteFilter", PLACES, ETAG, lambda n: dpb.DeleteFilterRequest(name=f"{n}/filters/bots", etag=STALE)),
    Row(f"{D}.ListFilters", PLACES, READ, lambda n: dpb.ListFiltersRequest(parent=n)),
    # In the order that they have.
    Row(
        f"{D}.ReorderFilters",
        PLACES,
        READ,
        lambda n: dpb.ReorderFiltersRequest(parent=n, filters=[f"{n}/filters/bots"]),
    ),
    Row(f"{D}.PreviewFilter", PLACES, READ, lambda n: dpb.PreviewFilterRequest(parent=n, event="{}")),
)

# Of those that belong to no workspace: what is asked, and what those are answered who are let in.
OUTSIDE: Mapping[str, tuple[Message, str]] = {
    f"{W}.CreateWorkspace": (broken(wpb.CreateWorkspaceRequest()), "INVALID_ARGUMENT"),
    f"{W}.ListWorkspaces": (wpb.ListWorkspacesRequest(), "OK"),
    "OperatorService.SetLimits": (broken(opb.SetLimitsRequest(name="workspaces/acme")), "INVALID_ARGUMENT"),
    "OperatorService.AllowEgressRange": (broken(opb.AllowEgressRangeRequest()), "INVALID_ARGUMENT"),
    "OperatorService.DisallowEgressRange": (broken(opb.DisallowEgressRangeRequest()), "INVALID_ARGUMENT"),
    "OperatorService.RotateKeys": (broken(opb.RotateKeysRequest()), "INVALID_ARGUMENT"),
    "OperatorService.GetKeyStatus": (opb.GetKeyStatusRequest(), "OK"),
    "OperatorService.ErasePerson": (opb.ErasePersonRequest(name="workspaces/acme/members/noone"), "NOT_FOUND"),
    f"{F}.ListTemplates": (fpb.ListTemplatesRequest(), "OK"),
    "InternalService.ReadFacts": (ipb.ReadFactsRequest(), "OK"),
    "InternalService.ResolveDestination": (
        ipb.ResolveDestinationRequest(name="workspaces/acme/destinations/crm-web"),
        "OK",
    ),
    # Of nobody's token.
    "InternalService.Authorize": (ipb.AuthorizeRequest(), "UNAUTHENTICATED"),
    "InternalService.RecordDenial": (ipb.RecordDenialRequest(), "OK"),
    "InternalService.ReadVersion": (ipb.ReadVersionRequest(name="workspaces/acme/functions/crm"), "OK"),
    "InternalService.ReadSourceFilters": (ipb.ReadSourceFiltersRequest(name="workspaces/acme/sources/web"), "OK"),
    # Of a destination that is not there.
    "InternalService.RecordInvocation": (
        ipb.RecordInvocationRequest(name="workspaces/acme/destinations/nil-nix"),
        "NOT_FOUND",
    ),
    "InternalService.ReadClients": (ipb.ReadClientsRequest(workspace="acme", positions=[1]), "OK"),
    "InternalService.ReportExecutor": (ipb.ReportExecutorRequest(), "INVALID_ARGUMENT"),
}


@dataclass(frozen=True)
class Cells:
    """One request, and the code for each principal; `target` is the name in it.

    What exists is hidden from some: but for the name, they are answered the same on every target of a kind.
    """

    call: Call
    target: str
    codes: Mapping[str, str]
    hidden: frozenset[str] = frozenset()


def cells() -> Iterator[Cells]:
    """Every RPC on every resource of acme, on apex's, on those of a workspace that isn't, and with a malformed name."""
    for row in ROWS:
        for workspace, resources in (("acme", row.resources), ("apex", row.resources[:1]), ("none", row.resources[:1])):
            for resource in resources:
                yield _cells(row, workspace, resource)
        malformed = f"workspaces/ACME/{row.resources[0]}".rstrip("/")
        yield Cells(Call(f"registry.{row.method}", row.request(malformed)), malformed, known_are_told())
    for short, (request, code) in OUTSIDE.items():
        method = f"registry.{short}"
        yield Cells(Call(method, request), "", _outside(method, code))


def _cells(row: Row, workspace: str, resource: str) -> Cells:
    method = f"registry.{row.method}"
    needed, name = NEEDS[method], f"workspaces/{workspace}/{resource}".rstrip("/")
    codes = refusals(needed, workspace)
    hidden = set(PRINCIPALS)
    if workspace == "apex":
        # All of it is its owner's, and the first resource of each kind is there.
        codes[STRANGER] = row.manner.there
        hidden -= {STRANGER}
    if workspace == "acme":
        codes |= dict.fromkeys(gone_for(needed, resource), "NOT_FOUND")
        codes |= dict.fromkeys(holders(needed, resource), row.manner.code(resource))
        hidden -= holders(needed, resource)
    return Cells(Call(method, row.request(name)), name, codes, frozenset(hidden))


def known_are_told() -> dict[str, str]:
    """What is answered where a name is malformed: others learn nothing about it."""
    return dict.fromkeys(PRINCIPALS, "INVALID_ARGUMENT") | dict.fromkeys(
        (*TOKENLESS, *INVALID, SERVICE), "UNAUTHENTICATED"
    )


def _outside(method: str, code: str) -> dict[str, str]:
    needed = NEEDS[method]
    if needed == NOTHING:
        return dict.fromkeys(PRINCIPALS, code)
    assert needed in (OPERATORS, SERVICES)
    return refusals(needed, "") | {OPERATOR if needed == OPERATORS else SERVICE: code}
