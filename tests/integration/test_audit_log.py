"""The trail's Merkle trees in a running service: what is altered, removed or rebuilt in the database comes to light."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from cli.audit_verifier import Key, Report, Verifier, is_consistent, leads_to, read_checkpoint
from kit.testing.eventually import eventually
from onward.audit.v1 import audit_service_pb2 as pb
from services.audit.handlers import merkle_log
from tests.integration.audit_world import ACME_TOKEN, OTHER_TOKEN, Owner, World, owning, refusal, running
from tests.integration.test_audit_service import ACME, sources

pytestmark = pytest.mark.integration

TABLES = (
    "audit_events", "audit_facts", "audit_trees", "audit_tiles", "audit_checkpoints", "audit_workspace_heads",
)  # fmt: skip
SEED = base64.b64encode(b"k" * 32).decode()


def signing(folder: Path) -> dict[str, Any]:
    return {"audit_signing_key": SEED, "audit_checkpoint_seconds": 0.1, "audit_checkpoint_folder": folder}


@pytest.fixture
async def owner(nats_url: str) -> AsyncIterator[Owner]:
    async with owning(nats_url) as owner:
        yield owner


@pytest.fixture
async def world(database: str, nats_url: str, owner: Owner, tmp_path: Path) -> AsyncIterator[World]:
    async with running(database, nats_url, owner.address, **signing(tmp_path)) as world:
        yield world


async def checkpoint(world: World, size: int, token: str = ACME_TOKEN) -> pb.GetCheckpointResponse:
    """The first that covers so many records."""
    answers: list[pb.GetCheckpointResponse] = []

    async def signed() -> bool:
        request = pb.GetCheckpointRequest(parent=ACME if token == ACME_TOKEN else "workspaces/other", size=size)
        if await refusal_of(world.caller(token).GetCheckpoint, request) == "NOT_FOUND":
            return False
        answers.append(await world.caller(token).GetCheckpoint(request))
        return True

    # What is deleted while a tree is being signed is a fault, after which the service waits for ten seconds.
    await eventually(signed, 3 * merkle_log.FAULT_DELAY_S)
    return answers[-1]


async def refusal_of(call: Callable[[Any], Awaitable[object]], request: object) -> str:
    try:
        await call(request)
    except Exception as error:
        return str(getattr(error, "code", error))
    return ""


async def exported(world: World, **request: int) -> tuple[list[bytes], str]:
    records: list[bytes] = []
    note = ""
    async for part in world.caller().ExportAuditEvents(pb.ExportAuditEventsRequest(parent=ACME, **request)):
        records += part.records
        note = part.checkpoint
    return records, note


async def verified(world: World, records: list[bytes], *notes: str) -> Report:
    key = Key((await checkpoint(world, 1)).verifier_key)
    verifier = Verifier(read_checkpoint(note, key) for note in notes)
    for record in records:
        verifier.add(record)
    return verifier.report()


async def as_superuser(world: World, *statements: str) -> None:
    """What somebody does who has the database: triggers do not stop him."""
    connection = await asyncpg.connect(world.database)
    try:
        for table in TABLES:
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_an_export_is_verified_offline_and_is_the_same_each_time(world: World, owner: Owner) -> None:
    """D12"""
    await owner.happen(*sources(300))
    await checkpoint(world, 300)
    first, note = await exported(world)
    assert len(first) == 300
    assert (await exported(world))[0] == first
    report = await verified(world, first, note)
    assert (report.records, report.covered, report.faults) == (300, 300, [])


async def test_an_export_goes_on_where_it_stopped(world: World, owner: Owner) -> None:
    await owner.happen(*sources(30))
    await checkpoint(world, 30)
    whole, _ = await exported(world)
    assert (await exported(world, until_index=12))[0] + (await exported(world, after_index=12))[0] == whole
    assert (await exported(world, after_index=30))[0] == []


async def test_each_record_is_proven_in_each_later_tree(world: World, owner: Owner) -> None:
    await owner.happen(*sources(20))
    old = await checkpoint(world, 20)
    await owner.happen(*sources(320)[20:])
    new = await checkpoint(world, 320)
    key = Key(new.verifier_key)
    for answer in (old, new):
        signed = read_checkpoint(answer.checkpoint, key)
        for index in (1, 7, 20):
            name = f"{ACME}/auditEvents/{index}"
            proof = await world.caller().GetInclusionProof(
                pb.GetInclusionProofRequest(name=name, tree_size=signed.size)
            )
            assert proof.checkpoint == answer.checkpoint
            assert leads_to(proof.record, index, proof.tree_size, list(proof.hashes)) == signed.root
    request = pb.GetConsistencyProofRequest(parent=ACME, old_size=old.size, tree_size=new.size)
    shown = await world.caller().GetConsistencyProof(request)
    assert is_consistent(read_checkpoint(old.checkpoint, key), read_checkpoint(new.checkpoint, key), list(shown.hashes))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET principal = 'member:eve' WHERE index = 7",
        "UPDATE audit_events SET occur_time = occur_time - interval '1 day' WHERE index = 7",
        "UPDATE audit_events SET changes = '[]', changes_bytes = 2 WHERE index = 7",
        "UPDATE audit_facts SET data = data || ' '::bytea WHERE index = 7",
        "UPDATE audit_facts SET meta = '{}' WHERE index = 7",
        "UPDATE audit_facts SET stream = 'sources/other' WHERE index = 7",
    ],
)
async def test_whatever_is_altered_in_a_record_is_found(world: World, owner: Owner, statement: str) -> None:
    """D4"""
    await owner.happen(*sources(10))
    old = await checkpoint(world, 10)
    await as_superuser(world, statement)
    proof = await world.caller().GetInclusionProof(
        pb.GetInclusionProofRequest(name=f"{ACME}/auditEvents/7", tree_size=old.size)
    )
    signed = read_checkpoint(old.checkpoint, Key(old.verifier_key))
    assert leads_to(proof.record, 7, proof.tree_size, list(proof.hashes)) != signed.root
    records, note = await exported(world)
    faults = (await verified(world, records, note)).faults
    assert faults == ["records 1 to 10 are not those that were signed"]


async def test_a_tree_that_was_rebuilt_and_signed_again_disagrees_with_kept_checkpoints(
    world: World, owner: Owner, tmp_path: Path
) -> None:
    """D6"""
    await owner.happen(*sources(10))
    old = await checkpoint(world, 10)
    await as_superuser(
        world,
        "UPDATE audit_events SET principal = 'member:eve' WHERE index = 7",
        "DELETE FROM audit_tiles",
        "DELETE FROM audit_checkpoints",
        "DELETE FROM audit_trees",
        "DELETE FROM audit_workspace_heads",
    )
    await owner.happen(*sources(15)[10:])
    new = await checkpoint(world, 11)
    records, note = await exported(world)
    assert (await verified(world, records, note)).faults == []
    kept = (tmp_path / "acme" / f"{old.size:012d}.checkpoint").read_text()
    assert kept == old.checkpoint
    assert "records 1 to 10 are not those that were signed" in (await verified(world, records, kept, note)).faults
    key = Key(new.verifier_key)
    proof = await world.caller().GetConsistencyProof(pb.GetConsistencyProofRequest(parent=ACME, old_size=old.size))
    later = read_checkpoint(proof.checkpoint, key)
    assert not is_consistent(read_checkpoint(kept, key), later, list(proof.hashes))


async def test_records_of_before_the_log_are_in_it(database: str, nats_url: str, owner: Owner, tmp_path: Path) -> None:
    async with running(database, nats_url, owner.address) as earlier:
        await owner.happen(*sources(5))
        await earlier.recorded(5)
        assert await refusal_of(earlier.caller().GetCheckpoint, pb.GetCheckpointRequest(parent=ACME)) == "NOT_FOUND"
        await as_superuser(earlier, "DELETE FROM audit_tiles", "DELETE FROM audit_trees")
    async with running(database, nats_url, owner.address, **signing(tmp_path)) as world:
        assert (await checkpoint(world, 5)).size == 5
        records, note = await exported(world)
        assert (await verified(world, records, note)).faults == []


async def test_trees_are_signed_while_there_are_more_records_to_take_in(
    database: str, nats_url: str, owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D10"""
    async with running(database, nats_url, owner.address) as earlier:
        await owner.happen(*sources(60))
        await earlier.recorded(60)
        await as_superuser(earlier, "DELETE FROM audit_tiles", "DELETE FROM audit_trees")
    monkeypatch.setattr(merkle_log, "RECORDS_MAX", 5)
    monkeypatch.setattr(merkle_log, "UNSIGNED_MAX", 10)
    settings = {**signing(tmp_path), "audit_checkpoint_seconds": 3_600}
    async with running(database, nats_url, owner.address, **settings) as world:
        await checkpoint(world, 60)
        rows = await world.rows("SELECT size FROM audit_checkpoints WHERE workspace = 'acme' ORDER BY size")
        assert [row["size"] for row in rows] == [10, 20, 30, 40, 50, 60]


async def test_the_services_role_cannot_take_anything_back(world: World, owner: Owner) -> None:
    """C2"""
    await owner.happen(*sources(3))
    await checkpoint(world, 3)
    for statement in (
        "UPDATE audit_checkpoints SET note = ''", "DELETE FROM audit_checkpoints", "TRUNCATE audit_checkpoints",
        "UPDATE audit_trees SET size = 1", "DELETE FROM audit_trees", "DELETE FROM audit_tiles",
        "UPDATE audit_tiles SET hashes = substring(hashes FOR 32)", "TRUNCATE audit_tiles",
        "UPDATE audit_workspace_heads SET size = 1", "DELETE FROM audit_workspace_heads",
    ):  # fmt: skip
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await world.rows(statement)


async def test_workspaces_have_trees_of_their_own(world: World, owner: Owner) -> None:
    """C10"""
    await owner.happen(*sources(3))
    await owner.happen(*sources(2), workspace="other")
    await checkpoint(world, 3)
    other = await checkpoint(world, 2, OTHER_TOKEN)
    signed = read_checkpoint(other.checkpoint, Key(other.verifier_key))
    assert (signed.origin, signed.size) == ("onward/other", 2)
    code, _ = await refusal(lambda: world.caller(OTHER_TOKEN).GetCheckpoint(pb.GetCheckpointRequest(parent=ACME)))
    assert code == "NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GetInclusionProof", pb.GetInclusionProofRequest(name=f"{ACME}/auditEvents/1", tree_size=99)),
        ("GetInclusionProof", pb.GetInclusionProofRequest(name=f"{ACME}/auditEvents/3", tree_size=2)),
        ("GetConsistencyProof", pb.GetConsistencyProofRequest(parent=ACME, old_size=99)),
        ("GetConsistencyProof", pb.GetConsistencyProofRequest(parent=ACME, old_size=1, tree_size=99)),
        ("GetConsistencyProof", pb.GetConsistencyProofRequest(parent=ACME, old_size=0)),
        ("GetCheckpoint", pb.GetCheckpointRequest(parent=ACME, size=-1)),
    ],
)
async def test_sizes_that_make_no_sense_are_refused(world: World, owner: Owner, method: str, request_: object) -> None:
    await owner.happen(*sources(3))
    await checkpoint(world, 3)
    assert await refusal_of(getattr(world.caller(), method), request_) == "INVALID_ARGUMENT"


async def test_what_is_not_recorded_has_no_proof(world: World, owner: Owner) -> None:
    await owner.happen(*sources(3))
    await checkpoint(world, 3)
    request = pb.GetInclusionProofRequest(name=f"{ACME}/auditEvents/4")
    assert await refusal_of(world.caller().GetInclusionProof, request) == "NOT_FOUND"
