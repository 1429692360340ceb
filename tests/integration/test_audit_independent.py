"""An export and its proofs, verified by a script that has nothing of Onward."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToJson

from onward.audit.v1 import audit_service_pb2 as pb
from tests.integration.audit_world import Owner, World, owning, running
from tests.integration.test_audit_log import checkpoint, exported, signing
from tests.integration.test_audit_service import ACME, sources

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).parents[2] / "docs" / "verify_trail.py"
COUNT = 300


@pytest.fixture
async def owner(nats_url: str) -> AsyncIterator[Owner]:
    async with owning(nats_url) as owner:
        yield owner


@pytest.fixture
async def world(database: str, nats_url: str, owner: Owner, tmp_path: Path) -> AsyncIterator[World]:
    async with running(database, nats_url, owner.address, **signing(tmp_path)) as world:
        yield world


def ran(*words: object) -> subprocess.CompletedProcess[str]:
    """From a folder and with a path that have nothing of ours."""
    program = [sys.executable, "-P", str(SCRIPT), *map(str, words)]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, cwd="/")


async def test_a_script_of_sixty_lines_verifies_an_export_and_a_proof(
    world: World, owner: Owner, tmp_path: Path
) -> None:
    """D4"""
    await owner.happen(*sources(COUNT))
    answer = await checkpoint(world, COUNT)
    records, note = await exported(world)
    file, kept, key, proof = (tmp_path / name for name in ("trail.jsonl", "checkpoint", "key", "proof"))
    file.write_bytes(b"".join(one + b"\n" for one in records))
    kept.write_text(note)
    key.write_text(answer.verifier_key)
    name = f"{ACME}/auditEvents/177"
    request = pb.GetInclusionProofRequest(name=name, tree_size=COUNT)
    proof.write_text(MessageToJson(await world.caller().GetInclusionProof(request)))
    assert ran(file, kept, key, 177, proof).stdout == f"{COUNT} records are those that were signed\n"
    assert "the proof does not hold" in ran(file, kept, key, 176, proof).stderr
    file.write_bytes(file.read_bytes().replace(b'"index":177', b'"index":178'))
    assert "not the records that were signed" in ran(file, kept, key).stderr
    kept.write_text(note.replace(f"\n{COUNT}\n", f"\n{COUNT - 1}\n"))
    assert "InvalidSignature" in ran(file, kept, key).stderr


def test_the_script_is_short_and_has_nothing_of_ours() -> None:
    text = SCRIPT.read_text()
    assert len(text.splitlines()) <= 60
    assert not any(word in text for word in ("import cli", "from cli", "import kit", "from kit", "services", "onward."))
