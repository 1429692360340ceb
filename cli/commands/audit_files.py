"""onward audit export"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from cyclopts import Parameter

from cli.audit_export import beside, csv_head, csv_row, last_whole_line
from cli.audit_filter import EVERYTHING, Wanted
from cli.audit_ocsf import ocsf_index, ocsf_line
from cli.commands.audit import audit_stub
from cli.failures import CommandError, UsageError
from cli.options import DEFAULTS, Options
from cli.output import counted, say, warn
from cli.paging import paged, pages
from cli.session import Session
from kit.release import onward_version
from onward.audit.v1 import audit_service_pb2 as pb

Format = Literal["jsonl", "csv", "ocsf"]
# Records between two lines of progress.
PROGRESS_RECORDS = 50_000


async def export(
    file: Path,
    /,
    *,
    format: Annotated[Format, Parameter(name="--format")] = "jsonl",
    resume: bool = False,
    wanted: Wanted = EVERYTHING,
    options: Options = DEFAULTS,
) -> None:
    """Write the trail to a file. As JSON Lines it is whole and can be verified: its checkpoint and key go beside it.

    Example: onward audit export trail.jsonl

    Parameters
    ----------
    file
        Where to. FILE.checkpoint and FILE.key are written too, with jsonl.
    format
        jsonl: each record as it was signed, a line each. csv: for spreadsheets; no cell begins a formula. ocsf: for
        other tools, API Activity of OCSF, a line each. Only csv and ocsf can be of some records.
    resume
        Go on where an export to this file stopped, or add what came since; not with csv.
    """
    if resume and format == "csv":
        raise UsageError("--resume is for --format jsonl and --format ocsf")
    if format == "jsonl" and not wanted.is_everything:
        raise UsageError("an export that can be verified is whole: for some records take --format csv or --format ocsf")
    async with Session(options) as session:
        if format == "jsonl":
            await _export_records(session, file, _last(file, _record_index) if resume else 0)
        else:
            await _export_events(session, file, format, wanted, _last(file, ocsf_index) if resume else 0)


async def _export_records(session: Session, file: Path, after: int) -> None:
    """Byte for byte."""
    request = pb.ExportAuditEventsRequest(parent=session.workspace_name, after_index=after)
    note, told, last = "", after, after
    with file.open("ab" if after else "wb") as target:
        async for part in audit_stub(session).ExportAuditEvents(request):
            target.write(b"".join(one + b"\n" for one in part.records))
            note, last = part.checkpoint, part.last_index
            if last - told >= PROGRESS_RECORDS:
                told = last
                say(f"{last} of {part.until_index} records", style="dim")
    _tell(last - after, file, after)
    if note:
        await _write_evidence(session, file, note)
    else:
        warn("no checkpoint covers these records yet: with --resume in some seconds there will be one beside them")


async def _export_events(session: Session, file: Path, kind: Format, wanted: Wanted, after: int) -> None:
    """As they are shown, with where they came from."""
    request = wanted.request()
    request.parent, request.after_index = session.workspace_name, after
    request.order, request.show_clients = pb.ORDER_OLDEST_FIRST, True
    line = _line(kind)
    written = 0
    with file.open("ab" if after else "wb") as target:
        if kind == "csv":
            target.write(csv_head())
        async for one in pages(paged(audit_stub(session).ListAuditEvents, request), "audit_events"):
            target.write(line(one))
            written += 1
            if not written % PROGRESS_RECORDS:
                say(f"{written} records, up to {one.index}", style="dim")
    _tell(written, file, after)


def _line(kind: Format) -> Callable[[Any], bytes]:
    if kind == "csv":
        return csv_row
    release = onward_version()
    return lambda one: ocsf_line(one, release)


def _tell(written: int, file: Path, after: int) -> None:
    say(f"{counted(written, 'record')} written to {file}" + (f", after {after} that were there" if after else ""))


async def _write_evidence(session: Session, file: Path, note: str) -> None:
    """Put the checkpoint and the key beside an export."""
    answer = await audit_stub(session).GetCheckpoint(pb.GetCheckpointRequest(parent=session.workspace_name))
    checkpoint, key = beside(file, "checkpoint"), beside(file, "key")
    checkpoint.write_text(note)
    key.write_text(answer.verifier_key + "\n")
    say(f"Its checkpoint and the key that signed it are in {checkpoint} and {key}.")
    say("Keep the key apart from here: who verifies must have it from somebody he trusts.")


def _last(file: Path, index: Callable[[bytes], int]) -> int:
    """The index of the last record that a file has; 0 for none. Raises CommandError."""
    line = last_whole_line(file) if file.exists() else b""
    try:
        return index(line) if line else 0
    except ValueError:
        raise CommandError(f"{file} is no such export: its last line is no record") from None


def _record_index(line: bytes) -> int:
    try:
        return int(orjson.loads(line)["index"])
    except (KeyError, TypeError) as error:
        raise ValueError("no record") from error
