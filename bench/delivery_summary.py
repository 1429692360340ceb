"""How long a summary of 24 hours takes where the tracker has recorded ten million attempts in them.

    python -m bench.delivery_summary [--destinations 10] [--questions 40] [--json FILE]

The roll-ups of two days are generated, as the tracker would have written them: a summary also tells of the day before.
`summary_ms_p95` is the time of what is behind GetSummary, without breakdowns; `series_ms_p95` that of a series over the
same day; `summary_minutes_ms_p95` that of a summary from the sums of minutes alone, which those of hours replace.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import uvloop

from bench.own_servers import DATABASE, own_servers
from kit.auth.demand import EVERYTHING
from kit.eventstore.postgres import MIGRATIONS as EVENT_LOG_MIGRATIONS
from kit.postgres.migrate import migrate
from onward.delivery.v1 import numbers_pb2 as numbers
from services.delivery.app import MIGRATIONS
from services.delivery.domain.windows import Window, grid_of
from services.delivery.queries.numbers import Asked, get_summary, queries, span_arguments
from services.delivery.queries.series import get_series

ATTEMPTS = 10_000_000
DAY_MINUTES = 1440
WORKSPACE = "bench"
PENDING = 10_000
# Of a destination and minute: (state, error type, event type, how many event names).
KINDS = ((2, 0, 1, 20), (2, 0, 2, 1), (2, 0, 3, 1), (3, 1, 1, 5), (3, 5, 1, 5), (4, 0, 1, 5))
LATENCY_BUCKETS = 40
QUESTIONS = 40
DESTINATIONS = 10

SEED_ROLLUPS = """
INSERT INTO rollups
SELECT $1, 'd' || d, m, k.state, k.error_type, k.type, 'Event ' || n, $2, 0, 0, 0
FROM generate_series(1, $3::int) AS d, generate_series($4::int, $5::int - 1) AS m,
    unnest($6::smallint[], $7::smallint[], $8::smallint[], $9::int[]) AS k (state, error_type, type, names),
    generate_series(1, k.names) AS n
"""
SEED_LATENCIES = """
INSERT INTO latency_rollups
SELECT $1, 'd' || d, m, 120 + b, $2 FROM generate_series(1, $3::int) AS d, generate_series($4::int, $5::int - 1) AS m,
    generate_series(1, $6::int) AS b
"""
SEED_HOURS = """
INSERT INTO hour_rollups
SELECT workspace, destination, minute / 60, state, error_type, type, event_name, sum(count), 0, 0, 0
FROM rollups GROUP BY 1, 2, 3, 4, 5, 6, 7;
INSERT INTO hour_latency_rollups
SELECT workspace, destination, minute / 60, bucket, sum(count) FROM latency_rollups GROUP BY 1, 2, 3, 4;
"""
SEED_DUE = """
INSERT INTO due (
    workspace, destination, stream_sequence, event_index, source, function, message_id, type, event_name,
    received_at_us, duplicate, event, attempt, retries_used, reason, error_type, error_message, first_ended_at_us,
    deferrals, losses, alone, due_at_us
)
SELECT $1, 'd' || (1 + n % $2::int), n, 0, 'web', 'f', 'm', 1, 'Event 1', $3::bigint + n * 1000, false, '{}', 2, 1,
    1, 5, 'busy', 1, 0, 0, false, $3::bigint + n * 1000
FROM generate_series(1, $4::int) AS n
"""


async def seed(connection: asyncpg.Connection[asyncpg.Record], destinations: int, last: int) -> None:
    """Write what two days of ten million attempts each leave in the roll-ups, up to minute `last`."""
    first, rows_a_minute = last - 2 * DAY_MINUTES, sum(kind[3] for kind in KINDS)
    a_row = max(1, ATTEMPTS // (DAY_MINUTES * destinations * rows_a_minute))
    names = [f"d{number}" for number in range(1, destinations + 1)]
    await connection.execute(
        "INSERT INTO destinations (workspace, destination, source, function)"
        " SELECT $1, d, 'web', 'f' FROM unnest($2::text[]) AS d",
        WORKSPACE,
        names,
    )
    kinds = [list(column) for column in zip(*KINDS, strict=True)]
    await connection.execute(SEED_ROLLUPS, WORKSPACE, a_row, destinations, first, last, *kinds)
    a_bucket = max(1, ATTEMPTS // (DAY_MINUTES * destinations * LATENCY_BUCKETS))
    await connection.execute(SEED_LATENCIES, WORKSPACE, a_bucket, destinations, first, last, LATENCY_BUCKETS)
    await connection.execute(SEED_HOURS)
    await connection.execute(SEED_DUE, WORKSPACE, destinations, (last - 60) * 60_000_000, PENDING)
    await connection.execute("VACUUM ANALYZE")


async def p95_ms(ask: Callable[[int], Awaitable[object]], questions: int) -> float:
    """Ask at differing times, so that a span seldom begins with an hour."""
    took = []
    for number in range(questions):
        begun = time.perf_counter()
        await ask(number)
        took.append((time.perf_counter() - begun) * 1000)
    return sorted(took)[int(0.95 * (questions - 1))]


async def measure_summary(
    dsn: str, *, destinations: int = DESTINATIONS, questions: int = QUESTIONS
) -> dict[str, float]:
    """Seed the database at `dsn`, which is brought up to date first, and ask it."""
    await migrate(dsn, [EVENT_LOG_MIGRATIONS, MIGRATIONS])
    now = int(time.time() // 60)
    asked = Asked(WORKSPACE, "", EVERYTHING, EVERYTHING)
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        connection = await asyncpg.connect(dsn)
        await seed(connection, destinations, now)
        await connection.close()

        def window(number: int) -> Window:
            return Window(now - DAY_MINUTES - number % 60, now - number % 60)

        async def summary(number: int) -> object:
            answer = await get_summary(pool, asked, window(number), [])
            assert abs(answer.total.received - ATTEMPTS) < 0.1 * ATTEMPTS, answer.total
            return answer

        async def series(number: int) -> object:
            return await get_series(
                pool, asked, grid_of(window(number), numbers.SERIES_INTERVAL_UNSPECIFIED), by_destination=False
            )

        async def minutes(number: int) -> object:
            whole, before = window(number), window(number).before
            spans: tuple[list[int], ...] = (
                [whole.first, before.first],
                [whole.last, before.last],
                [1, 1],
                [0, 1],
                [],
                [],
                [],
            )
            assert len(span_arguments(whole)) == len(spans)
            await pool.fetch(queries.counts, *asked.arguments, *spans)
            return await pool.fetch(queries.latencies, *asked.arguments, *spans)

        await p95_ms(summary, 3)
        return {
            "summary_ms_p95": round(await p95_ms(summary, questions), 2),
            "series_ms_p95": round(await p95_ms(series, max(5, questions // 4)), 2),
            "summary_minutes_ms_p95": round(await p95_ms(minutes, 3), 2),
        }


async def bench(options: argparse.Namespace) -> dict[str, float]:
    async with own_servers() as (postgres, _):
        return await measure_summary(
            postgres.dsn(DATABASE), destinations=options.destinations, questions=options.questions
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--destinations", DESTINATIONS), ("--questions", QUESTIONS)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = uvloop.run(bench(options))
    print(text := json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(text)


if __name__ == "__main__":
    main()
