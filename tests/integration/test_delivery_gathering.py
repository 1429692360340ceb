"""What one look gathers, with real Postgres: bounded, whichever destinations wait for it, however much waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import asyncpg
import pytest

from kit.clock import FakeClock
from kit.eventstore.postgres import MIGRATIONS
from kit.postgres.migrate import migrate
from kit.postgres.pool import Connection
from kit.postgres.queries import load_queries
from services.delivery.handlers import gathering, release
from services.delivery.handlers.gathering import PER_DESTINATION_MAX, PER_LOOK_MAX, SWEEP_INTERVAL_S, Gathering
from tests.integration.delivery_world import START

pytestmark = pytest.mark.integration

HANDLERS = Path(release.__file__).parent
queries = load_queries(HANDLERS / "handlers.sql")
NOW = 1_800_000_000_000_000
LATER = NOW + 60_000_000


@pytest.fixture
async def postgres(database: str) -> AsyncIterator[Connection]:
    await migrate(database, [MIGRATIONS, HANDLERS.parent / "migrations"])
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


async def wait(postgres: Connection, destination: str, sequences: Iterable[int], due_at_us: int, most: int) -> None:
    """Have events of a destination wait for others, each for a microsecond longer."""
    await postgres.execute(
        """INSERT INTO due (workspace, destination, stream_sequence, event_index, source, function, message_id, type,
            event_name, received_at_us, duplicate, event, attempt, retries_used, reason, error_type, error_message,
            first_ended_at_us, deferrals, losses, alone, due_at_us, batch_events_max)
        SELECT 'acme', $1, s, 0, 'web', 'f', 'm', 1, 'x', 1, false, '{}', 1, 0, 2, 0, '', 0, 1, 0, false,
            $3::bigint + s, $4
        FROM unnest($2::int[]) AS s""",
        destination,
        list(sequences),
        due_at_us,
        most,
    )


async def gathered(postgres: Connection) -> dict[str, int]:
    """How many of each destination wait for nothing any more."""
    rows = await postgres.fetch("SELECT destination, count(*) FROM due WHERE gathered GROUP BY 1")
    return {row[0]: row[1] for row in rows}


async def release_all(postgres: Connection) -> None:
    await postgres.execute("UPDATE due SET released_at_us = 1 WHERE gathered")


async def test_one_look_gathers_no_more_than_some_rounds_can_release(postgres: Connection, clock: FakeClock) -> None:
    for destination in ("a", "b", "c"):
        await wait(postgres, destination, range(PER_DESTINATION_MAX + 10), NOW - 1000, PER_DESTINATION_MAX)
    looks = Gathering(clock)
    await looks.look(postgres, NOW)
    assert await gathered(postgres) == {"a": PER_DESTINATION_MAX, "b": PER_DESTINATION_MAX}
    assert 2 * PER_DESTINATION_MAX <= PER_LOOK_MAX
    # Nothing more of those that have not gone, so that they are in nobody's way.
    await looks.look(postgres, NOW)
    assert await gathered(postgres) == dict.fromkeys("abc", PER_DESTINATION_MAX)
    await release_all(postgres)
    await looks.look(postgres, NOW)
    assert await gathered(postgres) == dict.fromkeys("abc", PER_DESTINATION_MAX + 10)


async def test_full_batches_go_and_what_is_beyond_them_waits(postgres: Connection, clock: FakeClock) -> None:
    await wait(postgres, "full", range(7), LATER, 3)
    await wait(postgres, "few", range(2), LATER, 3)
    looks = Gathering(clock)
    await looks.look(postgres, NOW)
    assert await gathered(postgres) == {"full": 6}


async def test_only_where_something_changed_is_counted_until_all_are_gone_through(
    postgres: Connection, clock: FakeClock
) -> None:
    looks = Gathering(clock)
    await looks.look(postgres, NOW)
    for destination in ("told", "of another replica"):
        await wait(postgres, destination, range(2), LATER, 2)
    looks.changed([("acme", "told")])
    while True:
        await looks.look(postgres, NOW)
        if not looks.unfinished:
            break
    assert await gathered(postgres) == {"told": 2}
    clock.advance(SWEEP_INTERVAL_S)
    await looks.look(postgres, NOW)
    assert await gathered(postgres) == {"told": 2, "of another replica": 2}


async def test_no_destination_is_left_out_however_many_there_are(
    postgres: Connection, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "COUNTED_MAX", 2)
    monkeypatch.setattr(gathering, "SWEEP_DESTINATIONS", 3)
    monkeypatch.setattr(gathering, "CHANGED_MAX", 5)
    names = [f"d{number}" for number in range(10)]
    for name in names:
        await wait(postgres, name, range(2), LATER, 2)
    looks = Gathering(clock)
    looks.changed(("acme", name) for name in names)
    while looks.unfinished:
        await looks.look(postgres, NOW)
    assert await gathered(postgres) == dict.fromkeys(names, 2)


async def test_what_was_locked_when_its_like_were_gathered_waits_no_second_time(
    postgres: Connection, database: str
) -> None:
    await wait(postgres, "a", [1, 2], NOW - 1000, 100)
    outcomes = await asyncpg.connect(database)
    async with outcomes.transaction():
        await outcomes.execute("SELECT FROM due WHERE stream_sequence = 1 FOR UPDATE")
        await Gathering(FakeClock(START)).look(postgres, NOW)
    await outcomes.close()
    assert await gathered(postgres) == {"a": 1}
    claimed = await postgres.fetch(queries.claim, ["acme"], ["a"], [10], NOW)
    assert [row["gathered"] for row in claimed] == [True, True]
