"""The audit trail in words."""

from __future__ import annotations

from cli.commands.audit import audit_row
from onward.audit.v1 import audit_service_pb2 as pb


def saved(*changes: tuple[str, str, str]) -> str:
    told = [pb.FieldChange(field=field, before=before, after=after) for field, before, after in changes]
    one = pb.AuditEvent(action="FunctionVersionSaved", outcome=pb.OUTCOME_SUCCEEDED, changes=told)
    return str(audit_row(one, wide=True)[-1])


def test_a_saved_version_tells_its_number_first_and_short_hashes() -> None:
    told = saved(("codeSha256", f'"dfebb04{"0" * 57}"', f'"82c0fce{"0" * 57}"'), ("version", "1", "2"))
    assert told == "version 1 → 2, code dfebb04 → 82c0fce"


def test_what_else_a_saved_version_changes_follows() -> None:
    assert saved(("version", "", "1"), ("timeoutMs", "100", "200")) == "version 1, timeoutMs: 100 → 200"
