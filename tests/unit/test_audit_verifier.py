"""The offline verifier against the writer's trees and notes: what is whole passes, what was altered is named."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson
import pytest

from cli import audit_verifier
from cli.audit_verifier import Key, NotVerifiedError, Verifier, is_consistent, leads_to, read_checkpoint
from services.audit.domain import merkle
from services.audit.domain.checkpoints import Checkpoint, Signer
from services.audit.domain.merkle import TileKey

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SIGNER = Signer("example.com/onward", b"s" * 32)
KEY = Key(SIGNER.verifier_key)
COUNT = 700


def record(index: int, **changed: Any) -> bytes:
    moment = (BEGAN + timedelta(seconds=index)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    fields = {"index": index, "workspace": "acme", "service": "registry", "position": index, "recordTime": moment}
    return orjson.dumps({**fields, "principal": "member:ada", **changed}, option=orjson.OPT_SORT_KEYS)


def tree(records: list[bytes]) -> dict[TileKey, bytes]:
    return merkle.grown({}, 0, [merkle.leaf_hash(one) for one in records])


def note(records: list[bytes], size: int, *, late: timedelta = timedelta(seconds=1), signer: Signer = SIGNER) -> str:
    root = merkle.root(merkle.reading(tree(records)), size)
    return signer.sign(Checkpoint("example.com/onward/acme", size, root, BEGAN + timedelta(seconds=size) + late))


def verified(records: list[bytes], notes: list[str]) -> audit_verifier.Report:
    verifier = Verifier([read_checkpoint(one, KEY) for one in notes])
    for one in records:
        verifier.add(one)
    return verifier.report()


RECORDS = [record(index) for index in range(1, COUNT + 1)]
NOTES = [note(RECORDS, size) for size in (1, 256, 300, COUNT)]


def test_a_whole_export_is_verified() -> None:
    report = verified(RECORDS, NOTES)
    assert (report.records, report.covered, report.workspace, report.faults) == (COUNT, COUNT, "acme", [])


def altered(at: int) -> list[bytes]:
    changed = RECORDS[at].replace(b"member:ada", b"member:eve")
    return [*RECORDS[:at], changed, *RECORDS[at + 1 :]]


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (altered(0), "records 1 to 1 are not those that were signed"),
        (altered(270), "records 257 to 300 are not those that were signed"),
        (altered(COUNT - 1), f"records 301 to {COUNT} are not those that were signed"),
        (RECORDS[:50] + RECORDS[51:], "record 51 says that it is record 52: one is missing, added or moved"),
        ([*RECORDS[:50], RECORDS[49], *RECORDS[50:]], "record 51 says that it is record 50"),
        ([*RECORDS[:9], RECORDS[10], RECORDS[9], *RECORDS[11:]], "record 10 says that it is record 11"),
        (
            RECORDS[:-1],
            f"the export ends at record {COUNT - 1}, and its checkpoint covers {COUNT}: records are missing",
        ),
        ([*RECORDS, record(COUNT + 1)], f"records {COUNT + 1} to {COUNT + 1} are covered by no checkpoint"),
        ([*RECORDS[:5], record(6, workspace="other"), *RECORDS[6:]], "record 6 is of workspace other, not of acme"),
        ([*RECORDS[:5], record(6, position=7), *RECORDS[6:]], "record 6 tells of position 7 of registry's log"),
        ([*RECORDS[:5], record(6, recordTime="2020"), *RECORDS[6:]], "record 6 was recorded before the one in front"),
    ],
)
def test_what_was_altered_is_named(records: list[bytes], said: str) -> None:
    """D4"""
    assert said in "\n".join(verified(records, NOTES).faults)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"5", b'{"index": 1}', b"\xff"])
def test_a_line_that_is_no_record_is_named(line: bytes) -> None:
    with pytest.raises(NotVerifiedError, match="line 3 is no record"):
        verified([*RECORDS[:2], line], NOTES)


def test_a_rebuilt_tree_does_not_agree_with_an_older_checkpoint() -> None:
    """D6"""
    rebuilt = altered(100)
    report = verified(rebuilt, [NOTES[1], note(rebuilt, COUNT)])
    assert report.faults == ["records 1 to 256 are not those that were signed"]


def test_two_heads_of_one_size_are_equivocation() -> None:
    """D7"""
    report = verified(RECORDS, [NOTES[3], note(altered(5), COUNT)])
    assert f"two checkpoints of {COUNT} records differ: equivocation" in report.faults


def test_a_time_without_checkpoints_is_reported() -> None:
    """D10"""
    report = verified(RECORDS, [NOTES[0], note(RECORDS, COUNT, late=timedelta(hours=5))])
    assert report.faults == []
    assert report.remarks == [f"between the checkpoints of 1 and of {COUNT} records none was made or kept for 5:11:38"]
    # Of the first one at hand nobody knows what came before it.
    assert verified(RECORDS, [note(RECORDS, COUNT, late=timedelta(hours=5))]).remarks == []


def test_an_older_export_is_whole_though_there_are_later_checkpoints() -> None:
    verifier = Verifier([read_checkpoint(one, KEY) for one in NOTES], ends_at=300)
    for one in RECORDS[:300]:
        verifier.add(one)
    report = verifier.report()
    assert (report.faults, report.covered) == ([], 300)
    assert report.remarks == [f"there are checkpoints of up to {COUNT} records, made after this export"]


def test_what_follows_from_a_fault_is_not_told() -> None:
    assert len(verified(RECORDS[:50] + RECORDS[51:], NOTES).faults) == 3


def test_a_note_of_another_key_is_refused() -> None:
    other = Signer("example.com/onward", b"t" * 32)
    with pytest.raises(NotVerifiedError, match=r"not signed by example\.com/onward"):
        read_checkpoint(note(RECORDS, 5, signer=other), KEY)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("\n5\n", "\n6\n"),
        lambda text: text.replace("time 2026", "time 2025"),
        lambda text: text.replace("/acme", "/acne"),
        lambda text: text[:-5] + "AAA=\n",
        lambda text: text.replace("\n\n", "\n"),
        lambda text: text.partition("\n\n")[0],
        lambda text: "",
    ],
)
def test_a_damaged_note_is_refused(damage: Callable[[str], str]) -> None:
    with pytest.raises(NotVerifiedError):
        read_checkpoint(damage(note(RECORDS, 5)), KEY)


@pytest.mark.parametrize("text", ["", "a+b", "name+00000000+AAAA", SIGNER.verifier_key[:-4] + "AAA="])
def test_a_damaged_key_is_refused(text: str) -> None:
    with pytest.raises(NotVerifiedError):
        Key(text)


def test_proofs_of_the_writer_hold_for_the_verifier() -> None:
    read = merkle.reading(tree(RECORDS))
    root = merkle.root(read, COUNT)
    for index in random.Random(5).sample(range(1, COUNT + 1), 40):
        hashes = merkle.inclusion_proof(read, index - 1, COUNT)
        assert leads_to(RECORDS[index - 1], index, COUNT, hashes) == root
        assert leads_to(RECORDS[index - 1] + b" ", index, COUNT, hashes) != root
        with pytest.raises(NotVerifiedError):
            leads_to(RECORDS[index - 1], index, COUNT, hashes[:-1])
        with pytest.raises(NotVerifiedError):
            leads_to(RECORDS[index - 1], index, COUNT, [*hashes, root])
    point = partial(audit_verifier.Checkpoint, "x", time=None)
    for old in (1, 2, 255, 256, 257, 512, 699, COUNT):
        hashes = merkle.consistency_proof(read, old, COUNT)
        old_root = merkle.root(read, old)
        assert is_consistent(point(old, old_root), point(COUNT, root), hashes)
        assert not is_consistent(point(old, root[::-1]), point(COUNT, root), hashes)
        assert not is_consistent(point(old, old_root), point(COUNT, root), [*hashes, root])
