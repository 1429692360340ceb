"""The Merkle log when it is killed, has company, or has nowhere to put its checkpoints."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from cli.audit_verifier import Key, Tree, read_checkpoint
from kit.testing.eventually import eventually
from onward.audit.v1 import audit_service_pb2 as pb
from services.audit.handlers.log_checks import judge_folder
from tests.integration.audit_world import SERVICE_TOKEN, Owner, World, owning, running
from tests.integration.test_audit_log import SEED, checkpoint, exported, refusal_of, signing
from tests.integration.test_audit_service import sources

pytestmark = pytest.mark.integration

COUNT = 800
KILLS = 4


@pytest.fixture
async def owner(nats_url: str) -> AsyncIterator[Owner]:
    async with owning(nats_url) as owner:
        yield owner


async def whole(world: World, count: int) -> None:
    """The tree's root is the one of its records, made from scratch, and what is kept agrees."""

    async def grown() -> bool:
        return await tree_size(world.database) == count

    # Other tests may keep the machine busy.
    await eventually(grown, 60)
    answer = await checkpoint(world, count)
    records, note = await exported(world)
    tree = Tree()
    roots = {}
    for record in records:
        tree.add(record)
        roots[tree.size] = tree.root()
    key = Key(answer.verifier_key)
    assert read_checkpoint(note, key).root == roots[count]
    rows = await world.rows("SELECT size, note FROM audit_checkpoints WHERE workspace = 'acme'")
    assert rows
    assert all(read_checkpoint(row["note"], key).root == roots[row["size"]] for row in rows)


async def test_a_service_that_is_killed_again_and_again_leaves_a_whole_tree(
    database: str, nats_url: str, owner: Owner, tmp_path: Path
) -> None:
    """C7"""
    environment = {
        **os.environ,
        "ONWARD_POSTGRES_DSN": database, "ONWARD_NATS_URL": nats_url, "ONWARD_DURABILITY": "relaxed",
        "ONWARD_LISTEN": "127.0.0.1:0", "ONWARD_REGISTRY_ADDRESS": owner.address, "ONWARD_LOG_LEVEL": "error",
        "ONWARD_SERVICE_TOKEN": SERVICE_TOKEN, "ONWARD_AUDIT_SIGNING_KEY": SEED,
        "ONWARD_AUDIT_CHECKPOINT_SECONDS": "0.1", "ONWARD_AUDIT_CHECKPOINT_FOLDER": str(tmp_path),
    }  # fmt: skip
    happened = await owner.append(*sources(200))
    chance = random.Random(7)
    for _ in range(KILLS):
        before = await tree_size(database)
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.audit", env=environment)
        happened += await owner.append(*sources(COUNT // KILLS))

        async def grown(before: int = before) -> bool:
            return await tree_size(database) > before

        await eventually(grown, 60)
        await asyncio.sleep(chance.random() / 20)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with running(database, nats_url, owner.address, **signing(tmp_path)) as world:
        await whole(world, len(happened))


async def tree_size(database: str) -> int:
    connection = await asyncpg.connect(database)
    try:
        return int(await connection.fetchval("SELECT size FROM audit_trees WHERE workspace = 'acme'") or 0)
    except asyncpg.UndefinedTableError:
        return 0
    finally:
        await connection.close()


async def test_two_replicas_grow_one_tree(database: str, nats_url: str, owner: Owner, tmp_path: Path) -> None:
    async with (
        running(database, nats_url, owner.address, **signing(tmp_path)) as world,
        running(database, nats_url, owner.address, **signing(tmp_path)),
    ):
        for start in range(0, COUNT, 100):
            await owner.happen(*sources(COUNT)[start : start + 100])
        await whole(world, COUNT)


async def test_a_folder_that_cannot_be_written_stops_checkpoints_and_nothing_else(
    database: str, nats_url: str, owner: Owner, tmp_path: Path
) -> None:
    """A26"""
    folder = tmp_path / "kept"
    folder.write_text("no folder")
    assert "can't be written" in judge_folder(folder).message
    async with running(database, nats_url, owner.address, **signing(folder)) as world:
        await owner.happen(*sources(5))
        await world.recorded(5)
        request = pb.GetInclusionProofRequest(name="workspaces/acme/auditEvents/5")

        async def proven() -> bool:
            return await refusal_of(world.caller().GetInclusionProof, request) == ""

        await eventually(proven)
        assert await world.rows("SELECT FROM audit_checkpoints") == []
        folder.unlink()
        await whole(world, 5)
        assert (folder / "acme" / f"{5:012d}.checkpoint").is_file()
    assert judge_folder(folder).message == f"checkpoints are kept in {folder}"
