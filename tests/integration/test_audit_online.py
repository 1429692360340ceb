"""Verification against a running service: the altered record is named, whatever else was changed with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli.audit_online import checkpoints, verify
from cli.audit_verifier import Checkpoint, Key, Report, read_checkpoint
from tests.integration.audit_world import Owner, World, owning, running
from tests.integration.test_audit_log import as_superuser, checkpoint, signing
from tests.integration.test_audit_service import ACME, sources

pytestmark = pytest.mark.integration

COUNT = 60


@pytest.fixture
async def owner(nats_url: str) -> AsyncIterator[Owner]:
    async with owning(nats_url) as owner:
        yield owner


@pytest.fixture
async def world(database: str, nats_url: str, owner: Owner, tmp_path: Path) -> AsyncIterator[World]:
    async with running(database, nats_url, owner.address, **signing(tmp_path)) as world:
        for count in (20, 40, COUNT):
            await owner.happen(*sources(COUNT)[count - 20 : count])
            await checkpoint(world, count)
        yield world


async def verified(world: World, *kept: Checkpoint) -> Report:
    key = Key((await checkpoint(world, 1)).verifier_key)
    shown = await checkpoints(world.caller(), ACME, key)
    return await verify(world.caller(), ACME, shown, kept)


async def test_a_trail_that_was_left_alone_is_verified_by_every_checkpoint(world: World) -> None:
    report = await verified(world)
    assert (report.records, report.covered, report.faults) == (COUNT, COUNT, [])
    key = Key((await checkpoint(world, 1)).verifier_key)
    sizes = [one.size for one in await checkpoints(world.caller(), ACME, key)]
    assert (sizes, len(sizes) >= 3) == (sorted(set(sizes)), True)


@pytest.mark.parametrize("index", [1, 20, 33, COUNT])
async def test_the_altered_record_is_named(world: World, index: int) -> None:
    """D4"""
    await as_superuser(world, f"UPDATE audit_events SET principal = 'member:eve' WHERE index = {index}")
    report = await verified(world)
    assert report.altered is not None
    assert report.altered[0] <= index <= report.altered[1]
    assert report.faults[-1] == f"record {index} is the first that is not the one that was signed"


async def test_a_removed_record_is_named(world: World) -> None:
    """D4"""
    await as_superuser(world, "DELETE FROM audit_facts WHERE index = 33", "DELETE FROM audit_events WHERE index = 33")
    faults = (await verified(world)).faults
    assert "record 33 says that it is record 34: one is missing, added or moved" in faults


async def test_a_tree_that_was_rebuilt_does_not_agree_with_a_kept_checkpoint(
    world: World, owner: Owner, tmp_path: Path
) -> None:
    """D6"""
    kept = (tmp_path / "acme" / f"{COUNT:012d}.checkpoint").read_text()
    await as_superuser(
        world,
        "UPDATE audit_events SET principal = 'member:eve' WHERE index = 7",
        *(f"DELETE FROM {table}" for table in ("audit_tiles", "audit_checkpoints", "audit_trees")),
        "DELETE FROM audit_workspace_heads",
    )
    await owner.happen(*sources(1), workspace="other")
    key = Key((await checkpoint(world, COUNT)).verifier_key)
    assert (await verified(world)).faults == []
    report = await verified(world, read_checkpoint(kept, key))
    assert f"two checkpoints of {COUNT} records differ: equivocation" in report.faults
