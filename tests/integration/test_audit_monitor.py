"""The monitor beside a service whose database somebody changes: what it remembers gives that away."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from cli.audit_logs import HeadsLog, WorkspaceLog
from cli.audit_memory import Memory
from cli.audit_monitor import Finding, Monitor
from cli.audit_verifier import Key
from cli.commands.audit_monitor import Watch
from cli.failures import CommandError
from kit.testing.eventually import eventually
from services.audit.domain.checkpoints import Signer
from tests.integration.audit_world import OPERATOR_TOKEN, Owner, World, owning, running
from tests.integration.test_audit_log import SEED, as_superuser, checkpoint, signing
from tests.integration.test_audit_service import sources

pytestmark = pytest.mark.integration

SIGNER = Signer("onward", base64.b64decode(SEED))
GAP = timedelta(minutes=10)
REBUILT = (
    "DELETE FROM audit_tiles",
    "DELETE FROM audit_checkpoints",
    "DELETE FROM audit_trees",
    "DELETE FROM audit_workspace_heads",
)


@pytest.fixture
async def owner(nats_url: str) -> AsyncIterator[Owner]:
    async with owning(nats_url) as owner:
        yield owner


@pytest.fixture
async def world(database: str, nats_url: str, owner: Owner, tmp_path: Path) -> AsyncIterator[World]:
    async with running(database, nats_url, owner.address, **signing(tmp_path / "kept")) as world:
        yield world


def watch(world: World, state: Path, *compare: Path, gap: timedelta = GAP) -> Watch:
    """As after a restart of the monitor: it knows what is in its file."""
    memory = Memory(state)
    memory.load()
    memory.key = SIGNER.verifier_key
    monitor = Monitor(Key(SIGNER.verifier_key), gap)
    return Watch([WorkspaceLog(world.caller(), "acme")], memory, monitor, compare, as_json=True)


def kinds(findings: list[Finding]) -> list[str]:
    return [one.kind for one in findings]


async def test_growth_is_well_also_after_a_restart_of_the_monitor(world: World, owner: Owner, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    for count in (3, 7, 300):
        await owner.happen(*sources(count)[(await world.events())[-1].index if count > 3 else 0 :])
        await checkpoint(world, count)
        findings = await watch(world, state).findings()
        assert kinds(findings) == ["ok"]
    assert "300 records are signed, 293 of them since" in findings[0].message


async def test_a_trail_that_was_rebuilt_and_signed_with_the_stolen_key_is_inconsistent(
    world: World, owner: Owner, tmp_path: Path
) -> None:
    """D6"""
    state = tmp_path / "state.json"
    await owner.happen(*sources(10))
    await checkpoint(world, 10)
    assert kinds(await watch(world, state).findings()) == ["ok"]
    await as_superuser(world, "UPDATE audit_events SET principal = 'member:eve' WHERE index = 7", *REBUILT)
    await owner.happen(*sources(12)[10:])
    await checkpoint(world, 12)
    for _ in range(2):
        # It stays so: what disagrees is not remembered.
        (found,) = await watch(world, state).findings()
        assert (found.kind, len(found.notes)) == ("inconsistent", 2)
        assert "does not begin with that of 10" in found.message


async def test_a_split_view_is_told_by_comparing_with_another_monitor(
    world: World, owner: Owner, tmp_path: Path
) -> None:
    """D7"""
    await owner.happen(*sources(10))
    await checkpoint(world, 10)
    assert kinds(await watch(world, tmp_path / "ada.json").findings()) == ["ok"]
    await as_superuser(world, "UPDATE audit_events SET principal = 'member:eve' WHERE index = 7", *REBUILT)
    await owner.happen(*sources(1), workspace="other")
    await checkpoint(world, 10)
    bob = tmp_path / "bob.json"
    assert kinds(await watch(world, bob).findings()) == ["ok"]
    for other in (tmp_path / "ada.json", tmp_path / "kept"):
        (found,) = await watch(world, bob, other).findings()
        assert (found.kind, len(found.notes)) == ("equivocation", 2)


async def test_a_split_view_of_different_sizes_is_told_as_well(world: World, owner: Owner, tmp_path: Path) -> None:
    """D7"""
    await owner.happen(*sources(10))
    await checkpoint(world, 10)
    assert kinds(await watch(world, tmp_path / "ada.json").findings()) == ["ok"]
    await as_superuser(world, "UPDATE audit_events SET principal = 'member:eve' WHERE index = 7", *REBUILT)
    await owner.happen(*sources(12)[10:])
    await checkpoint(world, 12)
    bob = tmp_path / "bob.json"
    assert kinds(await watch(world, bob).findings()) == ["ok"]
    assert kinds(await watch(world, bob, tmp_path / "ada.json").findings()) == ["inconsistent"]


@pytest.mark.parametrize("size", [0, 4])
async def test_a_trail_that_shrank_is_told(world: World, owner: Owner, tmp_path: Path, size: int) -> None:
    """D6"""
    state = tmp_path / "state.json"
    await owner.happen(*sources(10))
    await checkpoint(world, 10)
    assert kinds(await watch(world, state).findings()) == ["ok"]
    await as_superuser(
        world,
        f"DELETE FROM audit_facts WHERE index > {size}",
        f"DELETE FROM audit_events WHERE index > {size}",
        f"UPDATE audit_heads SET index = {max(size, 1)}",
        *(REBUILT if size else [*REBUILT, "DELETE FROM audit_heads"]),
    )
    if size:
        await owner.happen(*sources(1), workspace="other")
        await checkpoint(world, size)
    (found,) = await watch(world, state).findings()
    assert (found.kind, "a tree of 10 records was signed" in found.message) == ("shrunk", True)


async def test_records_that_vanished_behind_their_checkpoint_are_told(
    world: World, owner: Owner, tmp_path: Path
) -> None:
    await owner.happen(*sources(10))
    await checkpoint(world, 10)
    await as_superuser(world, "DELETE FROM audit_facts WHERE index > 8", "DELETE FROM audit_events WHERE index > 8")
    (found,) = await watch(world, tmp_path / "state.json").findings()
    assert (found.kind, "the service shows 8" in found.message) == ("shrunk", True)


async def test_checkpoints_that_are_switched_off_are_missed(
    database: str, nats_url: str, owner: Owner, tmp_path: Path
) -> None:
    """D10"""
    state = tmp_path / "state.json"
    async with running(database, nats_url, owner.address, **signing(tmp_path / "kept")) as signed:
        await owner.happen(*sources(3))
        await checkpoint(signed, 3)
        assert kinds(await watch(signed, state).findings()) == ["ok"]
    async with running(database, nats_url, owner.address) as unsigned:
        await owner.happen(*sources(5)[3:])
        await unsigned.recorded(5)
        assert kinds(await watch(unsigned, state).findings()) == ["ok"]
        await as_superuser(unsigned, "UPDATE audit_events SET record_time = now() - interval '11 min' WHERE index > 3")
        found = await watch(unsigned, state).findings()
        assert kinds(found) == ["gap"]
        assert "records from 4 on" in found[0].message
    async with running(database, nats_url, owner.address, **signing(tmp_path / "kept")) as again:
        await checkpoint(again, 5)
        found = await watch(again, state).findings()
        assert kinds(found) == ["gap"]
        assert "until the one of 5 records" in found[0].message
        assert kinds(await watch(again, state).findings()) == ["ok"]


async def test_another_key_is_not_believed(world: World, owner: Owner, tmp_path: Path) -> None:
    await owner.happen(*sources(3))
    await checkpoint(world, 3)
    stranger = Monitor(Key(Signer("onward", b"x" * 32).verifier_key), GAP)
    watched = Watch([WorkspaceLog(world.caller(), "acme")], Memory(tmp_path / "state.json"), stranger, (), as_json=True)
    assert kinds(await watched.findings()) == ["unsigned"]


async def test_the_tree_of_heads_is_watched_like_any_other(world: World, owner: Owner, tmp_path: Path) -> None:
    """D6"""
    await owner.happen(*sources(3))
    heads = Watch(
        [HeadsLog(world.caller(OPERATOR_TOKEN))],
        Memory(tmp_path / "state.json"),
        Monitor(Key(SIGNER.verifier_key), GAP),
        (),
        as_json=True,
    )

    async def remembered(signed: str) -> bool:
        found = await heads.findings()
        return kinds(found) == ["ok"] and signed in found[0].message

    await eventually(lambda: remembered("records are signed"))
    await as_superuser(world, *REBUILT)
    await owner.happen(*sources(3), workspace="other")

    async def noticed() -> bool:
        return kinds(await heads.findings()) in (["inconsistent"], ["equivocation"])

    await eventually(noticed)


async def test_a_memory_that_cannot_be_kept_stops_the_monitor(world: World, owner: Owner, tmp_path: Path) -> None:
    await owner.happen(*sources(3))
    await checkpoint(world, 3)
    with pytest.raises(CommandError, match="must remember"):
        await watch(world, tmp_path / "none" / "state.json").findings()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": 9, "key": "", "checkpoints": {}}'])
def test_a_damaged_memory_is_not_taken_for_none(tmp_path: Path, content: str) -> None:
    state = tmp_path / "state.json"
    state.write_text(content)
    with pytest.raises(CommandError, match="restore it from a copy"):
        Memory(state).load()


def test_a_crash_while_it_is_written_keeps_the_memory_of_before(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "state.json")
    memory.key, memory.notes = "k", {"acme": "note"}
    memory.save()
    (tmp_path / "state.json.new").write_text('{"version"')
    again = Memory(tmp_path / "state.json")
    again.load()
    assert (again.key, again.notes) == ("k", {"acme": "note"})
