"""Calls that need two things, or more than their method declares: connecting, deploying, lists with deleted things."""

from __future__ import annotations

from collections.abc import Iterator

from onward.registry.v1 import destination_service_pb2 as dpb
from onward.registry.v1 import function_service_pb2 as fpb
from onward.registry.v1 import source_service_pb2 as spb
from onward.registry.v1 import workspace_service_pb2 as wpb
from tests.integration.access_calls import STALE, Cells, broken, everywhere, known_are_told
from tests.integration.access_table import INSIDERS, STRANGER, refusals
from tests.integration.access_world import ACME, APEX, CRM, Call
from tests.integration.registry_world import CODE

FUNCTIONS = "registry.FunctionService"
DESTINATIONS = "registry.DestinationService"
REFUSED = refusals("owner", "acme")
ELSEWHERE = refusals("owner", "apex")
KEEPS_WEB = "owner keeper keeper-web builder narrow robot"
EDITS_CRM = "owner admin admin-crm builder"


def combined() -> Iterator[Cells]:
    """The calls with their codes."""
    yield from connecting()
    yield from deploying()
    yield Cells(
        Call(f"{FUNCTIONS}.ListFunctions", fpb.ListFunctionsRequest(parent=ACME, show_deleted=True)),
        f"{ACME}, deleted functions too",
        REFUSED | _are("owner auditor", "OK"),
    )


def connecting() -> Iterator[Cells]:
    """Source Admin of the source, and read on the function; who has both is told that the request is invalid."""
    both = "INVALID_ARGUMENT"
    yield _connect(f"{ACME}/sources/web", CRM, REFUSED | _are("owner builder narrow robot", both))
    yield _connect(f"{ACME}/sources/web", f"{ACME}/functions/erp", REFUSED | _are("owner robot", both))
    yield _connect(f"{ACME}/sources/web", f"{ACME}/functions/nil", REFUSED | _are("owner robot", both))
    deleted = REFUSED | _are("owner", both) | _are("robot", "NOT_FOUND")
    yield _connect(f"{ACME}/sources/web", f"{ACME}/functions/gon", deleted)
    yield _connect(f"{ACME}/sources/ios", CRM, REFUSED | _are("owner", both))
    yield _connect(f"{ACME}/sources/ios", f"{ACME}/functions/erp", REFUSED | _are("owner", both))
    yield _connect(f"{ACME}/sources/nix", CRM, REFUSED | _are("owner", both))
    # Another workspace's function is none, whoever asks; so is another workspace's source.
    yield _connect(f"{ACME}/sources/web", f"{APEX}/functions/crm", REFUSED | _are(KEEPS_WEB, "NOT_FOUND"))
    yield _connect(f"{APEX}/sources/web", CRM, ELSEWHERE)
    yield _connect(f"{APEX}/sources/web", f"{APEX}/functions/crm", ELSEWHERE | {STRANGER: both})
    yield _connect(f"{ACME}/sources/web", "workspaces/ACME/functions/crm", known_are_told())


def _connect(source: str, function: str, codes: dict[str, str]) -> Cells:
    request = dpb.ConnectDestinationRequest(source=source, function=function, display_name="New")
    return Cells(Call(f"{DESTINATIONS}.ConnectDestination", broken(request)), f"{function} to {source}", codes)


def deploying() -> Iterator[Cells]:
    """Functions Admin on the function, and Source Admin of every source touched."""
    to_web, to_all = _to("crm-web"), everywhere()
    for target, codes in (
        (to_web, REFUSED | _are("owner builder", "OK")),
        (_to("crm-ios"), REFUSED | _are("owner", "OK")),
        (_to("crm-web", "crm-ios"), REFUSED | _are("owner", "OK")),
        (to_all, REFUSED | _are("owner", "OK")),
    ):
        for call in _deployments(target):
            yield Cells(call, f"crm to {_words(target)}", codes)
    yield from _to_others()


def _to_others() -> Iterator[Cells]:
    """Destinations of other functions, of which only those learn who administer their sources."""
    for names, told in (
        (f"{ACME}/destinations/erp-web", "owner builder"),
        (f"{ACME}/destinations/erp-ios", "owner"),
        (f"{ACME}/destinations/nil-nix", ""),
        (f"{APEX}/destinations/crm-web", ""),
    ):
        codes = REFUSED | _are(EDITS_CRM, "NOT_FOUND") | _are(told, "FAILED_PRECONDITION")
        hidden = frozenset(EDITS_CRM.split()) - set(told.split())
        target = fpb.DeploymentTarget(named=fpb.DestinationNames(names=[names]))
        yield Cells(next(iter(_deployments(target))), names, codes, hidden)


def deleting() -> Cells:
    """A function with its destinations, by all who may not: they lack Source Admin of a source, or more."""
    request = fpb.DeleteFunctionRequest(name=CRM, disconnect=True)
    refused = {principal: code for principal, code in REFUSED.items() if principal != "owner"}
    return Cells(Call(f"{FUNCTIONS}.DeleteFunction", request), f"{CRM} with its destinations", refused)


def with_policy() -> Iterator[Cells]:
    """What changes, and what does not, once every member may edit functions."""
    # Neither auditors, who see no functions, nor who has no role, nor a token that is narrowed.
    everybody = "owner admin admin-crm reader reader-crm keeper keeper-web builder member robot"
    new = broken(fpb.CreateFunctionRequest(parent=ACME))
    yield Cells(Call(f"{FUNCTIONS}.CreateFunction", new), ACME, REFUSED | _are(everybody, "INVALID_ARGUMENT"))
    for function, code in (("crm", "ABORTED"), ("erp", "ABORTED"), ("gon", "NOT_FOUND"), ("nil", "NOT_FOUND")):
        name = f"{ACME}/functions/{function}"
        save = fpb.SaveFunctionRequest(name=name, code=CODE, etag=STALE)
        yield Cells(Call(f"{FUNCTIONS}.SaveFunction", save), name, REFUSED | _are(everybody, code))
    for function, seen in (("erp", _are(everybody, "OK")), ("gon", _are(everybody, "NOT_FOUND"))):
        name = f"{ACME}/functions/{function}"
        codes = REFUSED | seen | (_are("owner auditor", "OK") if function == "gon" else {})
        yield Cells(Call(f"{FUNCTIONS}.GetFunction", fpb.GetFunctionRequest(name=name)), name, codes)
    # Who reads a function may connect it, with a source of his own.
    for destination, who in (("erp-web", KEEPS_WEB.replace("narrow", "")), ("crm-ios", "owner keeper")):
        name = f"{ACME}/destinations/{destination}"
        enable = dpb.EnableDestinationRequest(name=name, etag=STALE)
        yield Cells(Call(f"{DESTINATIONS}.EnableDestination", enable), name, REFUSED | _are(who, "ABORTED"))
    members = wpb.ListMembersRequest(parent=ACME)
    yield Cells(Call("registry.WorkspaceService.ListMembers", members), ACME, REFUSED | _are("owner", "OK"))
    web = spb.UpdateSourceRequest(name=f"{ACME}/sources/web", etag=STALE)
    codes = REFUSED | _are(KEEPS_WEB, "ABORTED")
    yield Cells(Call("registry.SourceService.UpdateSource", web), web.name, codes)


def _deployments(target: fpb.DeploymentTarget) -> Iterator[Call]:
    deploy = fpb.DeployVersionRequest(name=f"{CRM}/versions/1", target=target)
    restore = fpb.RestoreVersionRequest(name=f"{CRM}/versions/1", deploy_to=target)
    save = fpb.SaveFunctionRequest(name=CRM, code=CODE, keep_definitions=True, deploy_to=target)
    yield Call(f"{FUNCTIONS}.DeployVersion", deploy)
    yield Call(f"{FUNCTIONS}.RestoreVersion", restore)
    yield Call(f"{FUNCTIONS}.SaveFunction", save)


def _to(*destinations: str) -> fpb.DeploymentTarget:
    names = [f"{ACME}/destinations/{one}" for one in destinations]
    return fpb.DeploymentTarget(named=fpb.DestinationNames(names=names))


def _words(target: fpb.DeploymentTarget) -> str:
    return ", ".join(target.named.names) or "all"


def _are(principals: str, code: str) -> dict[str, str]:
    assert set(principals.split()) <= set(INSIDERS)
    return dict.fromkeys(principals.split(), code)
