"""onward audit show, verify, proof"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import orjson
from rich.text import Text

from cli import audit_online
from cli.audit_export import beside, read_lines
from cli.audit_verifier import Checkpoint, Key, NotVerifiedError, Report, Verifier, leads_to, read_checkpoint
from cli.commands.audit import audit_stub, audit_target, audit_who
from cli.commands.functions import function_stub
from cli.commands.versions import print_diff
from cli.failures import CommandError, UsageError
from cli.options import DEFAULTS, Options
from cli.output import counted, enum_word, print_json, print_record, say, say_line, styled, warn, when
from cli.session import Session
from kit.errors import OnwardError
from onward.audit.v1 import audit_service_pb2 as pb
from onward.registry.v1 import function_service_pb2 as functions_pb


async def show(index: int, /, *, options: Options = DEFAULTS) -> None:
    """Show one record: who did what to what, each field before and after, and of saved code what changed in it.

    Example: onward audit show 41

    Parameters
    ----------
    index
        The record's number, as `onward audit list` shows it.
    """
    async with Session(options) as session:
        name = session.name("auditEvents", str(index))
        answer = await audit_stub(session).GetAuditEvent(pb.GetAuditEventRequest(name=name))
        one = answer.audit_event
        if options.json:
            print_json(one)
            return
        print_record(_fields(one))
        for change in one.changes:
            say_line(_change(change))
        if one.action == "FunctionVersionSaved":
            await _show_code(session, one)


def _fields(one: pb.AuditEvent) -> Iterable[tuple[str, str]]:
    yield "record", str(one.index)
    yield "what", one.action
    yield "on", audit_target(one) + (f" ({one.target_display_name})" if one.target_display_name else "")
    yield "who", audit_who(one)
    yield "outcome", enum_word(pb.Outcome.Name(one.outcome), "OUTCOME_")
    yield "when", when(one.occur_time)
    yield "recorded", when(one.record_time)
    yield from _client(one)
    yield "request", one.request_id
    yield "trace", one.trace_id


def _client(one: pb.AuditEvent) -> Iterable[tuple[str, str]]:
    """Where it came from; what callers say of themselves is not verified."""
    told = {
        pb.CLIENT_STATE_ERASED: "erased",
        pb.CLIENT_STATE_ALTERED: "not shown: what is kept is not what was recorded",
        pb.CLIENT_STATE_UNAVAILABLE: "not known: the registry does not answer",
    }
    if one.client_state in told:
        yield "from", told[one.client_state]
    elif one.client_state == pb.CLIENT_STATE_KNOWN:
        yield "from", f"{one.client_address or 'an unknown address'} (not verified)"
        yield "with", f"{one.user_agent or 'an unknown program'} (not verified)"


def _change(change: pb.FieldChange) -> Text:
    before = (change.before, "red") if change.before else ("-", "dim")
    after = (change.after, "green") if change.after else ("-", "dim")
    return styled((f"  {change.field}: ", "bold"), before, " → ", after)


async def _show_code(session: Session, one: pb.AuditEvent) -> None:
    """The code's changes, for whoever may read the function."""
    told = {change.field: change for change in one.changes}
    version = told.get("version")
    if version is None or not version.before:
        return
    request = functions_pb.DiffVersionsRequest(name=session.name("functions", one.target_id), to=int(version.after))
    # A keyword of Python's.
    setattr(request, "from", int(version.before))
    try:
        print_diff((await function_stub(session).DiffVersions(request)).code_diff)
    except OnwardError as error:
        warn(f"the code cannot be shown: {error}")


async def verify(
    file: Path | None = None,
    /,
    *,
    checkpoint: tuple[Path, ...] = (),
    key: str = "",
    options: Options = DEFAULTS,
) -> int:
    """Check an exported trail, without any server: nothing altered, removed or inserted since it was signed.

    Example: onward audit verify trail.jsonl --checkpoint kept/000000000041.checkpoint

    Without a file it reads the trail from the service, compares it with every checkpoint that this has, and names the
    first record that was altered.

    Parameters
    ----------
    file
        The export, as JSON Lines.
    checkpoint
        Checkpoints that you kept, or a folder of them, such as onward-data/checkpoints; FILE.checkpoint is looked at
        too.
    key
        The verifier key that you trust, such as onward+1a2b3c4d+AbC...; FILE.key where absent.
    """
    try:
        if file is None:
            trusted, notes, report = await _verified_online(checkpoint, key, options)
        else:
            trusted, notes, report = _verified_offline(file, checkpoint, key)
    except NotVerifiedError as error:
        raise CommandError(str(error)) from None
    if options.json:
        told = {"records": report.records, "covered": report.covered, "workspace": report.workspace}
        print_json({**told, "faults": report.faults, "remarks": report.remarks})
    else:
        _tell(report, trusted, len(notes))
    return 1 if report.faults else 0


async def _verified_online(named: tuple[Path, ...], key: str, options: Options) -> tuple[Key, list[Checkpoint], Report]:
    async with Session(options) as session:
        stub, parent = audit_stub(session), session.workspace_name
        trusted = Key(key or await audit_online.verifier_key(stub, parent))
        kept = [read_checkpoint(_text(path), trusted) for path in _kept(named)]
        shown = await audit_online.checkpoints(stub, parent, trusted)
        # A folder may have those of other workspaces as well.
        kept = [one for one in kept if one.origin == shown[-1].origin]
        report = await audit_online.verify(stub, parent, shown, kept)
    return trusted, [*shown, *kept], report


def _verified_offline(file: Path, named: tuple[Path, ...], key: str) -> tuple[Key, list[Checkpoint], Report]:
    if not file.is_file():
        raise UsageError(f"there is no {file}")
    trusted = Key(key or _key_beside(file))
    own = [read_checkpoint(_text(path), trusted) for path in (beside(file, "checkpoint"),) if path.exists()]
    kept = [read_checkpoint(_text(path), trusted) for path in _kept(named)]
    notes = _of_one_log(file, own + kept)
    return trusted, notes, _verified(file, notes, own[0].size if own else None)


def _verified(file: Path, checkpoints: list[Checkpoint], ends_at: int | None) -> Report:
    verifier = Verifier(checkpoints, ends_at=ends_at)
    for line in read_lines(file):
        verifier.add(line)
    return verifier.report()


def _key_beside(file: Path) -> str:
    path = beside(file, "key")
    if not path.exists():
        raise UsageError(f"there is no {path}: name the key that you trust with --key")
    return _text(path)


def _kept(named: tuple[Path, ...]) -> list[Path]:
    """Files that were named, and those in folders that were; Onward keeps a folder for each workspace."""
    found: list[Path] = []
    for path in named:
        inside = sorted(path.rglob("*.checkpoint")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"there is no checkpoint in {path}")
        found += inside
    return found


def _of_one_log(file: Path, checkpoints: list[Checkpoint]) -> list[Checkpoint]:
    """Those of the export's workspace, each once."""
    first = next(read_lines(file), b"{}")
    try:
        workspace = orjson.loads(first).get("workspace", "")
    except (orjson.JSONDecodeError, AttributeError):
        raise NotVerifiedError("line 1 is no record") from None
    found = {one: None for one in checkpoints if not workspace or one.origin.endswith(f"/{workspace}")}
    if not found:
        raise UsageError(f"there is no checkpoint of {file}: name those that you kept with --checkpoint")
    return list(found)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from None


def _tell(report: Report, key: Key, checkpoints: int) -> None:
    for fault in report.faults:
        say_line(styled(("✗ ", "red"), fault))
    for remark in report.remarks:
        say_line(styled(("! ", "yellow"), remark))
    if report.faults:
        return
    what = f"{counted(report.records, 'record')} of {report.workspace}" if report.workspace else "no records"
    say_line(styled(("✓ ", "green"), f"{what}: nothing altered, removed or inserted since {key.name} signed them"))
    say(f"Compared with {counted(checkpoints, 'checkpoint')}.", style="dim")


async def proof(index: int, /, *, key: str = "", options: Options = DEFAULTS) -> int:
    """Have the server prove that a record is in its signed log, and check the proof here.

    Example: onward audit proof 41

    Parameters
    ----------
    index
        The record's number.
    key
        The verifier key that you trust; what the server says of itself where absent.
    """
    async with Session(options) as session:
        stub = audit_stub(session)
        latest = await stub.GetCheckpoint(pb.GetCheckpointRequest(parent=session.workspace_name))
        name = session.name("auditEvents", str(index))
        answer = await stub.GetInclusionProof(pb.GetInclusionProofRequest(name=name, tree_size=latest.size))
    if options.json:
        print_json(answer)
    try:
        signed = read_checkpoint(answer.checkpoint, Key(key or latest.verifier_key))
        holds = leads_to(answer.record, index, answer.tree_size, list(answer.hashes)) == signed.root
    except NotVerifiedError as error:
        raise CommandError(str(error)) from None
    if not holds:
        raise CommandError(f"record {index} is not the one that was signed: it was altered")
    if not options.json:
        say_line(styled(("✓ ", "green"), f"record {index} is in the log of {signed.size} records that was signed"))
        say(f"{counted(len(answer.hashes), 'hash')} lead from it to the root of {signed.origin}.", style="dim")
    return 0
