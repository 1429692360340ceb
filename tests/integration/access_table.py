"""Who may call what: product statements written out by hand, and never computed from the code that they judge.

`NEEDS` says of every RPC, in words, what its caller needs. `WHO` says who has that, of the principals below, for each
resource. The workspaces `acme` and `apex` have the same ids; all principals are of `acme` unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

# --- principals -----------------------------------------------------------------------------------------------

# Members of acme by their roles.
INSIDERS = (
    # Workspace Owner.
    "owner",
    # Functions Admin of all functions, and of crm and gon.
    "admin",
    "admin-crm",
    # Functions Read-only of all functions, and of crm and gon.
    "reader",
    "reader-crm",
    # Source Admin of all sources, and of web.
    "keeper",
    "keeper-web",
    # Functions Admin of crm, and Source Admin of web.
    "builder",
    # Workspace Member.
    "member",
    # Auditor.
    "auditor",
    # The owner, by a token that is narrowed to Functions Read-only of crm and Source Admin of web.
    "narrow",
    # A service account: Functions Read-only of all functions, and Source Admin of web.
    "robot",
    # A member whose only role was taken.
    "roleless",
)
# The owner of apex.
STRANGER = "stranger"
# These look like no token of Onward's.
TOKENLESS = ("no-token", "malformed")
# These look like one.
INVALID = ("unknown", "wrong-secret", "expired", "revoked", "removed", "jwt")
OPERATOR, SERVICE = "operator", "service"
PRINCIPALS = (*INSIDERS, STRANGER, *TOKENLESS, *INVALID, OPERATOR, SERVICE)

# --- resources ------------------------------------------------------------------------------------------------

# As their names go on after `workspaces/{workspace}/`; "" is the workspace. Nothing is called nil or nix. The function
# gon was deleted. A destination is called after its function and its source; in apex the same ids connect others.
FUNCTIONS = ("functions/crm", "functions/erp", "functions/gon", "functions/nil")
SOURCES = ("sources/web", "sources/ios", "sources/nix")
DESTINATIONS = (
    "destinations/crm-web",
    "destinations/erp-web",
    "destinations/crm-ios",
    "destinations/erp-ios",
    "destinations/nil-nix",
)
PLACES = ("", *SOURCES, *DESTINATIONS)
MISSING = frozenset({"functions/nil", "sources/nix", "destinations/nil-nix", "members/noone"})
DELETED = "functions/gon"

# --- who has what ---------------------------------------------------------------------------------------------

_SEES = "owner admin admin-crm reader reader-crm keeper keeper-web builder member narrow robot"
_KEEPS_WEB = "owner keeper keeper-web builder narrow robot"
_KEEPS_ALL = "owner keeper"
_CHANGES_SOME = "owner builder narrow robot"
_READS_CRM = "owner admin admin-crm reader reader-crm builder narrow robot"
_READS_ALL = "owner admin reader robot"
_ANY_SOURCE_OR_FUNCTION = "owner admin admin-crm reader reader-crm keeper keeper-web builder narrow robot"

_SOURCE_ADMIN = {"sources/web": _KEEPS_WEB, "sources/ios": _KEEPS_ALL, "sources/nix": _KEEPS_ALL}
_SEES_DESTINATION = {
    "destinations/crm-web": _ANY_SOURCE_OR_FUNCTION,
    "destinations/erp-web": "owner admin reader keeper keeper-web builder narrow robot",
    "destinations/crm-ios": "owner admin admin-crm reader reader-crm keeper builder narrow robot",
    "destinations/erp-ios": "owner admin reader keeper robot",
    "destinations/nil-nix": "owner admin reader keeper robot",
}
_CHANGES_DESTINATION = {
    "destinations/crm-web": "owner builder narrow robot",
    "destinations/erp-web": "owner robot",
    "destinations/crm-ios": "owner",
    "destinations/erp-ios": "owner",
    "destinations/nil-nix": "owner",
}

# Of a destination, or of all that the caller may see of the workspace.
READS_OR_KEEPS = "functions-read-only on its function, or source-admin on its source"
READS_AND_KEEPS = "functions-read-only on its function, and source-admin on its source"
KEEPS = "source-admin on its source"
SEES_PLACE = "to see the place; of the workspace, source-admin on any source"
EDITS = "functions-admin on the function; of the workspace, functions-admin on all functions"
CHANGES_PLACE = "to change the place; of the workspace, owner"
# What is needed, in words -> the resource, or "*" for any -> who of acme has it.
WHO: Mapping[str, Mapping[str, str]] = {
    "a role in the workspace": {"*": f"{_SEES} auditor"},
    "a role in the workspace other than auditor": {"*": _SEES},
    "owner": {"*": "owner"},
    "owner or auditor": {"*": "owner auditor"},
    "functions-admin on all functions": {"*": "owner admin"},
    "functions-admin on the function": {
        "functions/crm": "owner admin admin-crm builder",
        "functions/erp": "owner admin",
        "functions/gon": "owner",
        "functions/nil": "owner admin",
    },
    EDITS: {
        "": "owner admin",
        "functions/crm": "owner admin admin-crm builder",
        "functions/erp": "owner admin",
        "functions/gon": "owner",
        "functions/nil": "owner admin",
    },
    "functions-read-only on the function": {
        "functions/crm": _READS_CRM,
        "functions/erp": _READS_ALL,
        "functions/gon": "owner auditor",
        "functions/nil": _READS_ALL,
    },
    "source-admin on the source": _SOURCE_ADMIN,
    READS_OR_KEEPS: {
        "": _ANY_SOURCE_OR_FUNCTION,
        **_SEES_DESTINATION,
    },
    # Of the workspace or a delivery it is asked where a part is enough.
    READS_AND_KEEPS: {
        **_CHANGES_DESTINATION,
        "": _CHANGES_SOME,
        "deliveries/d1": _CHANGES_SOME,
        "replays/r1": _CHANGES_SOME,
    },
    KEEPS: {
        "": _KEEPS_WEB,
        "deliveries/d1": _KEEPS_WEB,
        "subscriptions/s1": _KEEPS_WEB,
        "replays/r1": _KEEPS_WEB,
        "destinations/crm-web": _KEEPS_WEB,
        "destinations/erp-web": _KEEPS_WEB,
        "destinations/crm-ios": _KEEPS_ALL,
        "destinations/erp-ios": _KEEPS_ALL,
        "destinations/nil-nix": _KEEPS_ALL,
    },
    SEES_PLACE: {
        "": _KEEPS_WEB,
        **_SOURCE_ADMIN,
        **_SEES_DESTINATION,
    },
    CHANGES_PLACE: {"": "owner", **_SOURCE_ADMIN, **_CHANGES_DESTINATION},
}

# To whom a deleted function is one that never was, since nothing but its end keeps them from it.
GONE_FOR: Mapping[str, str] = {
    "functions-admin on the function": "admin admin-crm",
    EDITS: "admin admin-crm",
    "functions-read-only on the function": "admin admin-crm reader reader-crm robot",
}

# --- what each RPC needs --------------------------------------------------------------------------------------

NOTHING = "nothing"
OPERATORS = "operator"
SERVICES = "service"

NEEDS: Mapping[str, str] = {
    "registry.WorkspaceService.CreateWorkspace": OPERATORS,
    "registry.WorkspaceService.GetWorkspace": "a role in the workspace other than auditor",
    "registry.WorkspaceService.ListWorkspaces": OPERATORS,
    "registry.WorkspaceService.UpdateWorkspace": "owner",
    "registry.WorkspaceService.AddMember": "owner",
    "registry.WorkspaceService.RemoveMember": "owner",
    "registry.WorkspaceService.ListMembers": "owner",
    "registry.WorkspaceService.GrantRole": "owner",
    "registry.WorkspaceService.RevokeRole": "owner",
    "registry.WorkspaceService.ListRoleBindings": "owner",
    "registry.WorkspaceService.CreateToken": "owner",
    "registry.WorkspaceService.RevokeToken": "owner",
    "registry.WorkspaceService.ListTokens": "owner",
    "registry.WorkspaceService.TestPermissions": "a role in the workspace",
    "registry.WorkspaceService.FindSecret": "owner",
    "registry.OperatorService.SetLimits": OPERATORS,
    "registry.OperatorService.AllowEgressRange": OPERATORS,
    "registry.OperatorService.DisallowEgressRange": OPERATORS,
    "registry.OperatorService.RotateKeys": OPERATORS,
    "registry.OperatorService.GetKeyStatus": OPERATORS,
    "registry.OperatorService.ErasePerson": OPERATORS,
    "registry.SourceService.CreateSource": "owner",
    "registry.SourceService.GetSource": "a role in the workspace other than auditor",
    "registry.SourceService.ListSources": "a role in the workspace other than auditor",
    "registry.SourceService.UpdateSource": "source-admin on the source",
    "registry.SourceService.DeleteSource": "owner",
    "registry.SourceService.CreateWriteKey": "source-admin on the source",
    "registry.SourceService.RevokeWriteKey": "source-admin on the source",
    "registry.SourceService.ListWriteKeys": "source-admin on the source",
    "registry.FunctionService.CreateFunction": "functions-admin on all functions",
    "registry.FunctionService.GetFunction": "functions-read-only on the function",
    "registry.FunctionService.ListFunctions": "a role in the workspace",
    "registry.FunctionService.SaveFunction": "functions-admin on the function",
    "registry.FunctionService.GetVersion": "functions-read-only on the function",
    "registry.FunctionService.ListVersions": "functions-read-only on the function",
    "registry.FunctionService.DeployVersion": "functions-admin on the function",
    "registry.FunctionService.ListTemplates": NOTHING,
    "registry.FunctionService.UpdateFunction": "functions-admin on the function",
    "registry.FunctionService.DeleteFunction": "functions-admin on the function",
    "registry.FunctionService.DiffVersions": "functions-read-only on the function",
    "registry.FunctionService.RestoreVersion": "functions-admin on the function",
    "registry.FunctionService.GetDeployment": "functions-read-only on the function",
    "registry.DestinationService.ConnectDestination": "source-admin on the source",
    "registry.DestinationService.GetDestination": READS_OR_KEEPS,
    "registry.DestinationService.ListDestinations": READS_OR_KEEPS,
    "registry.DestinationService.SetSettings": READS_AND_KEEPS,
    "registry.DestinationService.EnableDestination": READS_AND_KEEPS,
    "registry.DestinationService.DisableDestination": READS_AND_KEEPS,
    "registry.DestinationService.DisconnectDestination": READS_AND_KEEPS,
    "registry.DestinationService.UpdateDeliveryPolicy": READS_AND_KEEPS,
    "registry.DestinationService.CreateFilter": CHANGES_PLACE,
    "registry.DestinationService.UpdateFilter": CHANGES_PLACE,
    "registry.DestinationService.DeleteFilter": CHANGES_PLACE,
    "registry.DestinationService.ReorderFilters": CHANGES_PLACE,
    "registry.DestinationService.ListFilters": SEES_PLACE,
    "registry.DestinationService.PreviewFilter": SEES_PLACE,
    "registry.InternalService.ReadFacts": SERVICES,
    "registry.InternalService.ResolveDestination": SERVICES,
    "registry.InternalService.Authorize": SERVICES,
    "registry.InternalService.RecordDenial": SERVICES,
    "registry.InternalService.ReportExecutor": SERVICES,
    "registry.InternalService.RecordInvocation": SERVICES,
    "registry.InternalService.ReadVersion": SERVICES,
    "registry.InternalService.ReadClients": SERVICES,
    "registry.InternalService.ReadSourceFilters": SERVICES,
    "executor.ExecutionService.TestFunction": EDITS,
    "executor.ExecutionService.InvokeDestination": READS_AND_KEEPS,
    "executor.ExecutionService.ListSampleEvents": "source-admin on the source",
    "executor.ExecutionService.CheckCode": SERVICES,
    "executor.ExecutionService.SendWebhook": SERVICES,
    "executor.ExecutionService.DescribeRuntime": NOTHING,
    "delivery.InternalService.LookupOutcomes": SERVICES,
    "delivery.InternalService.WatchBreakers": SERVICES,
    "delivery.InternalService.FindDuplicates": SERVICES,
    "delivery.InternalService.ReadFacts": SERVICES,
    "delivery.DeliveryService.RetryDelivery": READS_AND_KEEPS,
    "delivery.DeliveryService.CancelDelivery": READS_AND_KEEPS,
    "delivery.DeliveryService.ResetBreaker": READS_AND_KEEPS,
    "delivery.ReplayService.CreateReplay": READS_AND_KEEPS,
    "delivery.ReplayService.RedriveDeliveries": READS_AND_KEEPS,
    "delivery.ReplayService.CancelReplay": READS_AND_KEEPS,
    "delivery.ReplayService.GetReplay": KEEPS,
    "delivery.ReplayService.ListReplays": KEEPS,
    "delivery.ReplayService.WatchReplay": KEEPS,
    "delivery.DeliveryService.GetSummary": READS_OR_KEEPS,
    "delivery.DeliveryService.GetSeries": READS_OR_KEEPS,
    "delivery.DeliveryService.ListErrorGroups": KEEPS,
    "delivery.DeliveryService.ListHostHealth": READS_OR_KEEPS,
    "delivery.DeliveryService.GetUsage": READS_OR_KEEPS,
    "delivery.DeliveryService.ListDeliveries": KEEPS,
    "delivery.DeliveryService.GetDelivery": KEEPS,
    "delivery.DeliveryService.WatchDeliveries": KEEPS,
    "delivery.DeliveryService.ListIngestFailures": KEEPS,
    "delivery.DeliveryService.ListUnmatchedIntegrations": KEEPS,
    "delivery.DeliveryService.GetHealth": READS_OR_KEEPS,
    "delivery.DeliveryService.CreateSubscription": KEEPS,
    "delivery.DeliveryService.ListSubscriptions": KEEPS,
    "delivery.DeliveryService.DeleteSubscription": KEEPS,
    "audit.AuditService.ListAuditEvents": "owner or auditor",
    "audit.AuditService.GetAuditEvent": "owner or auditor",
    "audit.AuditService.WatchAuditEvents": "owner or auditor",
    "audit.AuditService.ExportAuditEvents": "owner or auditor",
    "audit.AuditService.GetCheckpoint": "owner or auditor",
    "audit.AuditService.GetInclusionProof": "owner or auditor",
    "audit.AuditService.GetConsistencyProof": "owner or auditor",
    "audit.AuditService.GetHeadsCheckpoint": OPERATORS,
    "audit.AuditService.GetHeadsProof": OPERATORS,
    "audit.AuditService.ExportHeads": OPERATORS,
    "common.StatusService.GetStatus": OPERATORS,
}


def holders(needed: str, resource: str) -> frozenset[str]:
    """Who of acme has what is needed on one of its resources."""
    by_resource = WHO[needed]
    return frozenset((by_resource.get("*") or by_resource[resource]).split())


def gone_for(needed: str, resource: str) -> frozenset[str]:
    """To whom the resource is one that never was."""
    return frozenset(GONE_FOR.get(needed, "").split()) if resource == DELETED else frozenset()


def refusals(needed: str, workspace: str) -> dict[str, str]:
    """What those are answered who are not let in, by principal, before anything is known of a resource."""
    if needed in (OPERATORS, SERVICES):
        # A token of a workspace is no use here; whether it is a good one is not looked up.
        told = dict.fromkeys((*INSIDERS, STRANGER, *INVALID), "PERMISSION_DENIED")
        return told | dict.fromkeys((*TOKENLESS, OPERATOR, SERVICE), "UNAUTHENTICATED")
    told = dict.fromkeys(INSIDERS, "PERMISSION_DENIED" if workspace == "acme" else "NOT_FOUND")
    told |= dict.fromkeys((*TOKENLESS, *INVALID, SERVICE), "UNAUTHENTICATED")
    return told | {STRANGER: "NOT_FOUND", OPERATOR: "PERMISSION_DENIED"}
