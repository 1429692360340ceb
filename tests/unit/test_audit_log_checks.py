"""What doctor says of the Merkle log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from kit.status.check import FAILURE, OK
from services.audit.handlers.log_checks import judge_folder, judge_signing

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_records_that_were_just_made_need_no_checkpoint_yet() -> None:
    assert judge_signing("", None, NOW, 35).level == OK
    assert judge_signing("acme", NOW - timedelta(seconds=35), NOW, 35).level == OK


def test_records_that_are_not_signed_for_long_are_a_failure() -> None:
    """D10"""
    check = judge_signing("acme", NOW - timedelta(seconds=36), NOW, 35)
    assert (check.level, check.message) == (FAILURE, "acme has records that are not signed for 36 seconds")
    assert check.advice


def test_a_clock_that_went_back_is_no_failure() -> None:
    assert judge_signing("acme", NOW + timedelta(hours=1), NOW, 35).level == OK


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    assert judge_folder(tmp_path / "one" / "two").level == OK
    assert list((tmp_path / "one" / "two").iterdir()) == []
