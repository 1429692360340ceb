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


def refused(**told: str) -> str:
    changes = [pb.FieldChange(field=field, after=after) for field, after in told.items()]
    one = pb.AuditEvent(action="AccessDenied", outcome=pb.OUTCOME_DENIED, changes=changes)
    return str(audit_row(one, wide=True)[-1])


def test_a_refusal_tells_how_often_which_call_and_what_was_missing() -> None:
    told = {
        "method": '"/onward.registry.v1.FunctionService/SaveFunction"',
        "permission": '"FUNCTION_EDIT"',
        "reason": '"PERMISSION_DENIED"',
    }
    assert refused(**told, count="999") == "999 times, SaveFunction, FUNCTION_EDIT, PERMISSION_DENIED"
    assert refused(**told, count="1") == "SaveFunction, FUNCTION_EDIT, PERMISSION_DENIED"
    assert refused(count="70") == "70 times"


def test_who_is_told_with_the_credential_where_there_is_room() -> None:
    one = pb.AuditEvent(action="SourceCreated", principal="member:ada", credential="token:5f0c")
    assert audit_row(one, wide=True)[4] == "member:ada (token:5f0c)"
    assert audit_row(one, wide=False)[4] == "member:ada"
    one = pb.AuditEvent(action="AccessDenied", principal="token:5f0c", credential="token:5f0c")
    assert audit_row(one, wide=True)[4] == "token:5f0c"


def test_what_else_a_saved_version_changes_follows() -> None:
    assert saved(("version", "", "1"), ("timeoutMs", "100", "200")) == "version 1, timeoutMs: 100 → 200"
