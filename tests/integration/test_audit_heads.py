"""The tree of heads: what is signed of all workspaces holds for all of them together."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from cli.audit_verifier import Key, Tree, is_consistent, leads_to, read_checkpoint
from kit.testing.eventually import eventually
from onward.audit.v1 import audit_service_pb2 as pb
from tests.integration.audit_world import OPERATOR_TOKEN, OTHER_TOKEN, Owner, World, owning, refusal, running
from tests.integration.test_audit_log import as_superuser, checkpoint, signing
from tests.integration.test_audit_service import sources

pytestmark = pytest.mark.integration


@pytest.fixture
async def owner(nats_url: str) -> AsyncIterator[Owner]:
    async with owning(nats_url) as owner:
        yield owner


@pytest.fixture
async def world(database: str, nats_url: str, owner: Owner, tmp_path: Path) -> AsyncIterator[World]:
    async with running(database, nats_url, owner.address, **signing(tmp_path)) as world:
        yield world


async def heads_checkpoint(world: World, **sizes: int) -> pb.GetHeadsCheckpointResponse:
    """The first in which each workspace is signed with its size."""
    operator = world.caller(OPERATOR_TOKEN)
    answers: list[pb.GetHeadsCheckpointResponse] = []

    async def signed() -> bool:
        heads, note = await exported(world)
        last = {head["workspace"]: head["size"] for head in map(orjson.loads, heads)}
        # Heads are there a moment before their first checkpoint.
        if last != sizes or not note:
            return False
        answers.append(await operator.GetHeadsCheckpoint(pb.GetHeadsCheckpointRequest()))
        return True

    await eventually(signed)
    return answers[-1]


async def exported(world: World, **request: int) -> tuple[list[bytes], str]:
    heads: list[bytes] = []
    note = ""
    async for part in world.caller(OPERATOR_TOKEN).ExportHeads(pb.ExportHeadsRequest(**request)):
        heads += part.heads
        note = part.checkpoint
    return heads, note


async def test_every_signed_tree_is_a_leaf_of_the_tree_of_heads(world: World, owner: Owner, tmp_path: Path) -> None:
    await owner.happen(*sources(3))
    await owner.happen(*sources(2), workspace="other")
    answer = await heads_checkpoint(world, acme=3, other=2)
    heads, note = await exported(world)
    key = Key(answer.verifier_key)
    signed = read_checkpoint(note, key)
    tree = Tree()
    for head in heads:
        tree.add(head)
    assert (signed.origin, signed.size, signed.root) == ("onward/_workspaces", len(heads), tree.root())
    kept = tmp_path / "_workspaces" / f"{signed.size:012d}.checkpoint"
    assert kept.read_text() == note
    (told,) = (one for one in map(orjson.loads, heads) if (one["workspace"], one["size"]) == ("other", 2))
    of_other = read_checkpoint((await checkpoint(world, 2, OTHER_TOKEN)).checkpoint, key)
    assert told.keys() == {"workspace", "size", "root", "time"}
    assert base64.b64decode(told["root"]) == of_other.root


async def test_heads_are_proven_and_their_tree_only_grows(world: World, owner: Owner) -> None:
    await owner.happen(*sources(2), workspace="other")
    old = await heads_checkpoint(world, other=2)
    await owner.happen(*sources(3))
    new = await heads_checkpoint(world, acme=3, other=2)
    key = Key(new.verifier_key)
    request = pb.GetHeadsProofRequest(workspace="workspaces/other", old_size=old.size, tree_size=new.size)
    proof = await world.caller(OPERATOR_TOKEN).GetHeadsProof(request)
    before, after = read_checkpoint(old.checkpoint, key), read_checkpoint(new.checkpoint, key)
    assert leads_to(proof.head, proof.index, proof.tree_size, list(proof.inclusion_hashes)) == after.root
    assert is_consistent(before, after, list(proof.consistency_hashes))
    assert orjson.loads(proof.head)["size"] == 2


async def test_a_workspace_that_was_rolled_back_or_vanished_does_not_agree_with_its_head(
    world: World, owner: Owner
) -> None:
    """D6"""
    await owner.happen(*sources(5))
    kept = await heads_checkpoint(world, acme=5)
    tables = ("audit_facts", "audit_events", "audit_tiles", "audit_trees", "audit_checkpoints")
    await as_superuser(world, *(f"DELETE FROM {table} WHERE workspace = 'acme'" for table in tables))
    code, _ = await refusal(lambda: world.caller().GetCheckpoint(pb.GetCheckpointRequest(parent="workspaces/acme")))
    assert code == "NOT_FOUND"
    request = pb.GetHeadsProofRequest(workspace="workspaces/acme", tree_size=kept.size)
    proof = await world.caller(OPERATOR_TOKEN).GetHeadsProof(request)
    signed = read_checkpoint(kept.checkpoint, Key(kept.verifier_key))
    assert leads_to(proof.head, proof.index, proof.tree_size, list(proof.inclusion_hashes)) == signed.root
    assert orjson.loads(proof.head)["size"] == 5


async def test_heads_are_the_operators_alone(world: World) -> None:
    """H1"""
    for call, request in (
        (world.caller().GetHeadsCheckpoint, pb.GetHeadsCheckpointRequest()),
        (world.caller().GetHeadsProof, pb.GetHeadsProofRequest(workspace="workspaces/acme")),
    ):
        code, _ = await refusal(lambda call=call, request=request: call(request))  # type: ignore[misc]  # a lambda's default
        assert code == "PERMISSION_DENIED"


async def test_sizes_that_make_no_sense_are_refused(world: World, owner: Owner) -> None:
    await owner.happen(*sources(3))
    await heads_checkpoint(world, acme=3)
    operator = world.caller(OPERATOR_TOKEN)
    for request in (
        pb.GetHeadsProofRequest(workspace="workspaces/acme", tree_size=999),
        pb.GetHeadsProofRequest(old_size=999),
        pb.GetHeadsProofRequest(workspace="_workspaces"),
        pb.GetHeadsProofRequest(old_size=-1),
    ):
        code, _ = await refusal(lambda request=request: operator.GetHeadsProof(request))  # type: ignore[misc]  # as above
        assert code == "INVALID_ARGUMENT"
    missing = pb.GetHeadsProofRequest(workspace="workspaces/nobody")
    assert (await refusal(lambda: operator.GetHeadsProof(missing)))[0] == "NOT_FOUND"


async def test_two_replicas_sign_one_tree_of_heads(database: str, nats_url: str, owner: Owner, tmp_path: Path) -> None:
    async with (
        running(database, nats_url, owner.address, **signing(tmp_path)) as one,
        running(database, nats_url, owner.address, **signing(tmp_path)) as other,
    ):
        for count in range(1, 9):
            await owner.happen(*sources(8)[count - 1 : count])
            await checkpoint(one if count % 2 else other, count)
        await heads_checkpoint(one, acme=8)
        heads, note = await exported(other)
        tree = Tree()
        for head in heads:
            tree.add(head)
        key = Key((await checkpoint(one, 8)).verifier_key)
        assert read_checkpoint(note, key).root == tree.root()
        sizes = [orjson.loads(head)["size"] for head in heads]
        assert sizes == sorted(set(sizes))
        for path in (tmp_path / "_workspaces").glob("*.checkpoint"):
            kept = read_checkpoint(path.read_text(), key)
            part = Tree()
            for head in heads[: kept.size]:
                part.add(head)
            assert part.root() == kept.root
