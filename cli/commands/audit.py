"""onward audit"""

from __future__ import annotations

import sys

from cyclopts import App
from rich.text import Text

from cli.audit_filter import EVERYTHING, Wanted
from cli.options import DEFAULTS, Options
from cli.output import (
    Cell,
    enum_word,
    is_wide,
    print_json,
    print_json_line,
    print_table,
    say_line,
    shortened,
    styled,
    when,
    when_short,
)
from cli.paging import check_limit, collect, paged
from cli.session import Session
from onward.audit.v1 import audit_service_pb2 as pb
from onward.audit.v1 import audit_service_pb2_grpc as pb_grpc

app = App(name="audit", help="See who changed what, when; refusals included.")
for command, description in (
    ("show", "Show one record, with each field before and after."),
    ("leaked", "Tell where a value that leaked is, or was, an encrypted setting."),
    ("export", "Write the trail to a file: whole and verifiable, or for other tools."),
    ("verify", "Check an exported trail without any server."),
    ("proof", "Have the server prove a record, and check the proof."),
    ("monitor", "Remember what was signed, and tell when it was changed."),
):
    # As in cli.main: the line here would hide the command's own help, with its example.
    asked = command in sys.argv[2:3]
    module = {"monitor": "audit_monitor", "export": "audit_files", "leaked": "audit_leaked"}.get(command, "audit_log")
    app.command(f"cli.commands.{module}:{command}", name=command, help=None if asked else description)

# The trail of what belongs to no workspace. It has no members: the operator's token reads it.
SYSTEM_WORKSPACE = "system"
COLUMNS = (">#", "when", "what", "on", "who")
COLUMNS_WIDE = (*COLUMNS, "outcome", "~changes")
CHANGES_CHARACTERS_MAX = 70
# As git has it.
HASH_CHARACTERS = 7


def audit_stub(session: Session) -> pb_grpc.AuditServiceAsyncStub:
    """Give the stub of the AuditService."""
    of_operator = session.workspace == SYSTEM_WORKSPACE
    channel = session.as_operator("audit") if of_operator else session.as_member("audit")
    stub: pb_grpc.AuditServiceAsyncStub = pb_grpc.AuditServiceStub(channel)
    return stub


@app.command(name="list")
async def list_events(
    *,
    oldest_first: bool = False,
    limit: int = 50,
    wanted: Wanted = EVERYTHING,
    options: Options = DEFAULTS,
) -> None:
    """List what was done in the workspace, newest first unless asked otherwise.

    Example: onward audit list --target functions/alerts

    Parameters
    ----------
    oldest_first
        Begin with the first that was ever done.
    limit
        How many at most.
    """
    check_limit(limit)
    request = wanted.request()
    if oldest_first:
        request.order = pb.ORDER_OLDEST_FIRST
    async with Session(options) as session:
        request.parent = session.workspace_name
        found = await collect(paged(audit_stub(session).ListAuditEvents, request), "audit_events", limit)
    if options.json:
        print_json({"auditEvents": found})
        return
    wide = is_wide()
    rows = [audit_row(one, wide=wide) for one in found]
    print_table(COLUMNS_WIDE if wide else COLUMNS, rows, empty="Nothing of that kind was done.")


@app.command
async def tail(*, after: int = 0, options: Options = DEFAULTS) -> None:
    """Follow the trail as it is recorded, until Ctrl-C. With --json, a line of JSON each.

    Example: onward audit tail

    Parameters
    ----------
    after
        Begin after this number; from now on where absent.
    """
    async with Session(options) as session:
        request = pb.WatchAuditEventsRequest(parent=session.workspace_name, after_index=after)
        async for answer in audit_stub(session).WatchAuditEvents(request):
            for one in answer.audit_events:
                if options.json:
                    print_json_line(one)
                else:
                    say_line(_line(one))


def audit_row(one: pb.AuditEvent, *, wide: bool) -> tuple[Cell, ...]:
    """Give a row of COLUMNS or COLUMNS_WIDE."""
    outcome = _outcome_word(one)
    what = one.action if wide or one.outcome == pb.OUTCOME_SUCCEEDED else styled((f"{one.action} ({outcome})", "red"))
    row = (one.index, when_short(one.occur_time), what, audit_target(one), audit_who(one) if wide else one.principal)
    return (*row, outcome, _changes(one)) if wide else row


def _line(one: pb.AuditEvent) -> Text:
    word = _outcome_word(one)
    return styled(
        (when(one.occur_time, with_date=False), "dim"),
        " ",
        (f"{word:<9}", "red" if word == "denied" else "green"),
        f" {one.action}  {audit_target(one)}  by {audit_who(one)}",
        (f"  {_changes(one)}", "dim"),
    )


def audit_who(one: pb.AuditEvent) -> str:
    """Tell the credential as well, where it is not the principal itself."""
    return f"{one.principal} ({one.credential})" if one.credential not in ("", one.principal) else one.principal


def audit_target(one: pb.AuditEvent) -> str:
    """Such as "functions/alerts"."""
    return f"{one.target_type}/{one.target_id}" if one.target_id else one.target_type


def _changes(one: pb.AuditEvent) -> str:
    if one.action == "FunctionVersionSaved":
        return shortened(_version_changes(one), CHANGES_CHARACTERS_MAX)
    if one.action == "AccessDenied":
        return shortened(_refusal(one), CHANGES_CHARACTERS_MAX)
    told = [_told(f"{change.field}:", change.before, change.after) for change in one.changes]
    return shortened("; ".join(told), CHANGES_CHARACTERS_MAX)


def _refusal(one: pb.AuditEvent) -> str:
    """Tell how often, which call, and what was missing for it."""
    told = {change.field: change.after.strip('"') for change in one.changes}
    count, method = told.get("count", "1"), told.get("method", "").rpartition("/")[2]
    return ", ".join(
        part
        for part in (f"{count} times" if count != "1" else "", method, told.get("permission"), told.get("reason"))
        if part
    )


def _version_changes(one: pb.AuditEvent) -> str:
    """Tell the version first, and of the code as much of its hash as people compare."""
    changes = {change.field: change for change in one.changes}
    told = []
    for field, word in (("version", "version"), ("codeSha256", "code")):
        change = changes.pop(field, None)
        if change:
            before, after = (value.strip('"')[:HASH_CHARACTERS] for value in (change.before, change.after))
            told.append(_told(word, before, after))
    told += [_told(f"{change.field}:", change.before, change.after) for change in changes.values()]
    return ", ".join(told)


def _told(what: str, before: str, after: str) -> str:
    return f"{what} {before} → {after}" if before else f"{what} {after}"


def _outcome_word(one: pb.AuditEvent) -> str:
    return enum_word(pb.Outcome.Name(one.outcome), "OUTCOME_")
