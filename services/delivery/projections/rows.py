"""Outcomes to rows, and rows to Postgres."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from kit.postgres.pool import Connection
from onward.delivery.v1 import delivery_service_pb2 as delivery_pb
from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain import decisions
from services.delivery.domain.decisions import ENDED_STATES, Again, Ended, Ignored, Outcome, Pending
from services.delivery.domain.policy import BREAKER_OPEN, HELD_REASONS, POLICY_HEARD_WITHIN_US, Policy
from services.delivery.domain.replays import made_by
from services.delivery.domain.schedule import Random, Schedule
from services.delivery.projections.attempt_sums import AttemptSums
from services.delivery.projections.breakers import Outlook, Recent, Settled, settle_breakers
from services.delivery.projections.errors import Errors, KnownGroups
from services.delivery.projections.rollups import Names, Rollups, columns
from services.delivery.projections.standing import Destination, Group, Key, Standing, StoredPending, queries
from services.delivery.projections.usage import HOSTS_MAX, Usage

ATTEMPT_COLUMNS = (
    "workspace", "stream_sequence", "event_index", "destination", "attempt", "received_at_us", "source", "function",
    "version", "settings_revision", "message_id", "type", "event_name", "result", "error_type", "retries_used",
    "terminal", "state", "ended_at_us", "wall_us", "cpu_us", "http_error", "duplicate",
    "filter_revision", "reason", "batch_events", "replay", "error_group",
)  # fmt: skip
DETAIL_COLUMNS = (
    "workspace", "stream_sequence", "event_index", "destination", "attempt", "received_at_us", "event", "error_name",
    "error_message", "error_stack", "http_status", "logs", "requests", "value", "filtered_event",
)  # fmt: skip
SEEN_COLUMNS = ("event_key", "day", "stream_sequence", "event_index", "received_at_us")
DUE_COLUMNS = (
    "workspace", "destination", "stream_sequence", "event_index", "source", "function", "message_id", "type",
    "event_name", "received_at_us", "duplicate", "event", "attempt", "retries_used", "reason", "error_type",
    "error_message", "first_ended_at_us", "deferrals", "losses", "alone", "due_at_us", "batch_events_max", "gathered",
    "batch_limit", "traceparent",
)  # fmt: skip
_DELIVERED = delivery_pb.DELIVERY_STATE_DELIVERED
# As W3C has it; what is longer is none.
TRACEPARENT_LENGTH_MAX = 55
# What a list shows of an error; the attempt has all of it.
ERROR_MESSAGE_LENGTH_MAX = 1024
# In the order of the query's columns.
REPLAYED_STATES = (
    delivery_pb.DELIVERY_STATE_DELIVERED, delivery_pb.DELIVERY_STATE_FAILED, delivery_pb.DELIVERY_STATE_FILTERED,
    delivery_pb.DELIVERY_STATE_SKIPPED, delivery_pb.DELIVERY_STATE_CANCELLED,
)  # fmt: skip
# The same attempt may come from two executors; see Rows.store.
AttemptRow = tuple[str, int, int, str, int, int, str, str, int, int, str, int, str, int, int, int, bool, int, int, int,
                   int, bool, bool, int, str, int, int, int]  # fmt: skip


class Memory:
    """What one process remembers from one transaction to the next; it may be wrong, and is only a bound."""

    def __init__(self) -> None:
        self.names = Names()
        self.hosts = Names(HOSTS_MAX)
        self.groups = KnownGroups()
        self.recent = Recent()


class Released(NamedTuple):
    """What became of deliveries that had been released to a destination."""

    successes: int
    failures: int


class Rows:
    """The rows of one transaction."""

    def __init__(self, standing: Standing, schedule: Schedule, random: Random, memory: Memory, now_us: int) -> None:
        self._standing = standing
        self._schedule = schedule
        self._random = random
        self._now_us = now_us
        self._memory = memory
        self._rollups = Rollups(memory.names)
        self._usage = Usage(memory.hosts)
        self._errors = Errors()
        self._sums = AttemptSums()
        self._outlook = Outlook()
        self.settled = Settled({}, [])
        self.attempts: list[AttemptRow] = []
        self.details: list[tuple[object, ...]] = []
        # Deliveries that go on, with their rows; those whose row goes; those whose number was taken.
        self.due: dict[Key, tuple[object, ...]] = {}
        # Those of `due` that have most likely no row yet.
        self._held: set[Key] = set()
        self._settled: set[Key] = set()
        self._renumbered: dict[Key, int] = {}
        self._spreads: dict[Destination, float] = {}
        # How deliveries of replays ended: (workspace, number, state).
        self._replayed: Counter[tuple[str, int, int]] = Counter()
        self._successes: Counter[Destination] = Counter()
        self._failures: Counter[Destination] = Counter()

    @property
    def released(self) -> dict[Destination, Released]:
        """How what was released to each destination went."""
        seen = self._successes.keys() | self._failures.keys()
        return {one: Released(self._successes[one], self._failures[one]) for one in seen}

    @property
    def delivered(self) -> Counter[Destination]:
        """Deliveries that succeeded, by destination."""
        found: Counter[Destination] = Counter()
        for (workspace, destination, _, _), count in self._rollups.latencies.items():
            found[workspace, destination] += count
        return found

    def add(self, group: Group) -> None:
        """Decide about a group's outcomes, one after the other."""
        workspace, header, attempts = group
        destination = header.destination
        special = self._standing.special
        if header.hosts:
            self._usage.add_hosts(group)
        if not special:
            self._add_first(group, attempts)
            return
        first: list[pb.Attempt] = []
        for one in attempts:
            if (workspace, destination, one.stream_sequence, one.index) in special:
                self._decide(group, one)
            else:
                first.append(one)
        self._add_first(group, first)

    def _add_first(self, group: Group, attempts: Sequence[pb.Attempt]) -> None:
        """Record first attempts that ended their deliveries: nearly all there are, so this is the tracker's speed."""
        workspace, header, _ = group
        destination, source, function = header.destination, header.source, header.function
        version, settings_revision, filter_revision = header.version, header.settings_revision, header.filter_revision
        duplicates = self._standing.duplicates
        add, count, states = self.attempts.append, self._rollups.counter(workspace, destination), ENDED_STATES
        ran = all_wall_us = all_cpu_us = delivered = http_errors = 0
        for one in attempts:
            sequence, index, received_at_us = one.stream_sequence, one.index, one.received_at_us
            type_, name, error_type, ended_at_us = one.type, one.event_name, one.error_type, one.ended_at_us
            http_error, reason, wall_us, cpu_us = one.http_error, one.reason, one.wall_us, one.cpu_us
            duplicate = bool(duplicates) and (workspace, sequence, index) in duplicates
            state = states.get(one.result)
            if state is None:
                self._hold(group, one)
                continue
            count(received_at_us, ended_at_us, state, error_type, type_, name, False, http_error, duplicate)
            add((
                workspace, sequence, index, destination, 1, received_at_us, source, function, version,
                settings_revision, one.message_id, type_, name, one.result, error_type, one.retries_used, True, state,
                ended_at_us, wall_us, cpu_us, http_error, duplicate, filter_revision, reason, one.batch_events, 0,
                self._errors.add(group, one, error_type, ended=True) if error_type else 0,
            ))  # fmt: skip
            if state == _DELIVERED:
                delivered += 1
                if http_error:
                    http_errors += 1
            elif error_type:
                self._sums.add_failed(group, one, error_type)
            if wall_us:
                ran += 1
                all_wall_us += wall_us
                all_cpu_us += cpu_us
            if reason:
                self._rollups.reason(workspace, destination, received_at_us, state, reason)
            if one.HasField("detail"):
                self._record_detail(group, one, event=True)
                if error_type:
                    self._outlook.add((workspace, destination), one)
        if delivered:
            self._sums.add_delivered(group, attempts, delivered, http_errors)
        if ran:
            self._usage.add_attempts(group, attempts[0].ended_at_us, ran, all_wall_us, all_cpu_us)

    def _hold(self, group: Group, one: pb.Attempt) -> None:
        """Keep a delivery that was held back before anything else became of it."""
        key = _key(group, one)
        held_until_us = _held_until_us(one, self._standing.policy(key[:2]), self._now_us)
        batch_until_us = one.batch_until_us if one.batch_events_max else None
        pending = Pending(
            one.attempt, one.retries_used, decisions.DEFERRED,
            decisions.first_deferral(held_until_us, batch_until_us, self._now_us, self._random),
            deferrals=1, batch_events_max=one.batch_events_max, batch_limit=one.batch_limit,
        )  # fmt: skip
        self.due[key] = self._due_row(group, one, key, pending, one.detail.event, "")
        self._held.add(key)

    def _decide(self, group: Group, one: pb.Attempt) -> None:
        standing = self._standing
        key = (group.workspace, group.header.destination, one.stream_sequence, one.index)
        if (key, one.attempt) in standing.recorded:
            self._catch_up(key, one.attempt)
            return
        stored = standing.pending.get(key)
        policy = standing.policy(key[:2])
        outcome = Outcome(
            one.attempt, one.retries_used, one.result, one.error_type, one.received_at_us, one.ended_at_us,
            one.retry_after_ms, bool(one.detail.event), one.batch_events, one.batch_events_max, one.batch_until_us,
            one.batch_limit, _held_until_us(one, policy, self._now_us),
        )  # fmt: skip
        step = decisions.decide(
            outcome, stored.pending if stored else None, policy.schedule or self._schedule, self._now_us,
            self._random_of(key, one), ended=key in standing.ended,
        )  # fmt: skip
        self._outlook.add(key[:2], one, stored.released_at_us if stored else 0)
        if isinstance(step, Ended):
            self._settle(key, stored, failed=False)
            standing.ended.add(key)
            self._end(group, one, step)
        elif isinstance(step, Again):
            self._go_on(group, one, key, stored, step)
        elif not isinstance(step, Ignored):
            self._record(group, one, 0, one.error_type)
        if not isinstance(step, Ignored) and not (isinstance(step, Again) and not step.recorded):
            standing.recorded.add((key, one.attempt))

    def _catch_up(self, key: Key, attempt: int) -> None:
        """Have a row not ask for ever for what is recorded: two trackers may have stored both at the same time."""
        stored = self._standing.pending.get(key)
        if stored is None or stored.pending.attempt > attempt:
            return
        if key in self._standing.ended:
            self._settle(key, stored, failed=False)
        else:
            self._renumber(key, stored, replace(stored.pending, attempt=attempt + 1))

    def _random_of(self, key: Key, one: pb.Attempt) -> Random:
        """Spread retries; those of one batch stay together."""
        if not one.batch_events:
            return self._random
        spread = self._spreads.get(key[:2])
        if spread is None:
            spread = self._spreads[key[:2]] = self._random()
        return lambda: spread

    def _go_on(self, group: Group, one: pb.Attempt, key: Key, stored: StoredPending | None, step: Again) -> None:
        pending = step.pending
        message = one.detail.error_message[:ERROR_MESSAGE_LENGTH_MAX] if step.recorded else ""
        if one.result == pb.RESULT_LOST and stored is not None:
            self._renumber(key, stored, pending)
        else:
            self._settle(key, stored, failed=True, counts=not pending.gathering)
            message = message or (stored.error_message if stored else "")
            self._put(group, one, key, pending, message)
        if step.recorded:
            self._record(group, one, 0, one.error_type, event=False)

    def _renumber(self, key: Key, stored: StoredPending, pending: Pending) -> None:
        self._standing.pending[key] = stored._replace(pending=pending)
        if key in self.due:
            row = self.due[key]
            self.due[key] = (*row[:12], pending.attempt, *row[13:])
        else:
            self._renumbered[key] = pending.attempt

    def _put(self, group: Group, one: pb.Attempt, key: Key, pending: Pending, message: str) -> None:
        self._renumbered.pop(key, None)
        self._settled.discard(key)
        event = one.detail.event
        if not event and key in self.due:
            event = self.due[key][11]  # type: ignore[assignment]  # the column of the event
        self.due[key] = self._due_row(group, one, key, pending, event, message)
        self._standing.pending[key] = StoredPending(pending, message, released=False)

    def _due_row(
        self, group: Group, one: pb.Attempt, key: Key, pending: Pending, event: bytes, message: str
    ) -> tuple[object, ...]:
        """The row of a delivery that goes on, as DUE_COLUMNS has it."""
        return (
            *key, group.header.source, group.header.function, one.message_id, one.type, one.event_name,
            one.received_at_us, (key[0], key[2], key[3]) in self._standing.duplicates, event, pending.attempt,
            pending.retries_used, pending.reason, pending.error_type, message, pending.first_ended_at_us,
            pending.deferrals, pending.losses, pending.alone, pending.due_at_us, pending.batch_events_max,
            pending.gathered, pending.batch_limit, one.traceparent[:TRACEPARENT_LENGTH_MAX],
        )  # fmt: skip

    def _settle(self, key: Key, stored: StoredPending | None, *, failed: bool, counts: bool = True) -> None:
        """The row that a delivery had is answered: it goes, or another one takes its place.

        What only waits for others says nothing of how much its destination can take.
        """
        if stored is None:
            return
        if stored.released and counts:
            (self._failures if failed else self._successes)[key[0], key[1]] += 1
        self._standing.pending.pop(key, None)
        if not failed:
            self.due.pop(key, None)
            self._renumbered.pop(key, None)
            self._settled.add(key)

    def _end(self, group: Group, one: pb.Attempt, step: Ended) -> None:
        state, error_type, reason = step.state, step.error_type, step.reason or one.reason
        duplicates = self._standing.duplicates
        duplicate = bool(duplicates) and (group.workspace, one.stream_sequence, one.index) in duplicates
        count = self._rollups.counter(group.workspace, group.header.destination)
        count(
            one.received_at_us, one.ended_at_us, state, error_type, one.type, one.event_name, one.attempt > 1,
            one.http_error, duplicate,
        )  # fmt: skip
        if reason:
            self._rollups.reason(group.workspace, group.header.destination, one.received_at_us, state, reason)
        replay = self._standing.replays.get(_key(group, one))
        if replay is not None:
            self._replayed[group.workspace, replay, state] += 1
        self._record(group, one, state, error_type, reason=reason)

    def _replay_of(self, group: Group, one: pb.Attempt) -> int:
        """The number of the replay that an attempt is of; 0 for none."""
        return self._standing.replays.get(_key(group, one)) or made_by(one.index)

    def _record(
        self, group: Group, one: pb.Attempt, state: int, error_type: int, *, event: bool = True, reason: str = ""
    ) -> None:
        workspace, header, _ = group
        sequence, index = one.stream_sequence, one.index
        duplicates = self._standing.duplicates
        # What was lost has no error of its own.
        failed = error_type != 0 and one.result != pb.RESULT_LOST
        self.attempts.append((
            workspace, sequence, index, header.destination, one.attempt, one.received_at_us, header.source,
            header.function, header.version, header.settings_revision, one.message_id, one.type, one.event_name,
            one.result, error_type, one.retries_used, state != 0, state, one.ended_at_us, one.wall_us, one.cpu_us,
            one.http_error, bool(duplicates) and (workspace, sequence, index) in duplicates, header.filter_revision,
            reason or one.reason, one.batch_events, self._replay_of(group, one),
            self._errors.add(group, one, error_type, ended=state != 0) if failed else 0,
        ))  # fmt: skip
        # What was cancelled while it was attempted has no error as a delivery, but the attempt has.
        self._sums.add(group, one, state, error_type or one.error_type)
        if one.wall_us:
            self._usage.add_attempts(group, one.ended_at_us, 1, one.wall_us, one.cpu_us)
        if one.HasField("detail"):
            self._record_detail(group, one, event=event)

    def _record_detail(self, group: Group, one: pb.Attempt, *, event: bool) -> None:
        detail = one.detail
        self.details.append((
            group.workspace, one.stream_sequence, one.index, group.header.destination, one.attempt, one.received_at_us,
            detail.event if event else b"", detail.error_name, detail.error_message, detail.error_stack,
            detail.http_status, detail.logs, detail.requests, detail.value,
            detail.filtered_event if event and detail.HasField("filtered_event") else None,
        ))  # fmt: skip

    async def store(self, connection: Connection) -> None:
        """Write everything. Raises asyncpg.UniqueViolationError where somebody was faster with the same attempt."""
        moved = await self._errors.settle(connection, self._memory.groups, self._now_us)
        if moved:
            self.attempts = [(*one[:-1], moved.get((one[0], one[3], one[-1]), one[-1])) for one in self.attempts]
        # First, since it is the likeliest to meet another replica's and to be done again.
        seen = self._standing.seen_rows
        if seen:
            await connection.copy_records_to_table("seen_events", records=seen, columns=SEEN_COLUMNS)
        await connection.copy_records_to_table("attempts", records=self.attempts, columns=ATTEMPT_COLUMNS)
        if self._held:
            held = [self.due[key] for key in sorted(self._held)]
            await connection.copy_records_to_table("due", records=held, columns=DUE_COLUMNS)
        if self.details:
            await connection.copy_records_to_table("attempt_details", records=self.details, columns=DETAIL_COLUMNS)
        await self._store_few(connection)
        # Last, since others may wait for these rows.
        self.settled = await settle_breakers(
            connection, self._outlook, self.delivered, self._memory.recent, self._now_us
        )

    def _replay_columns(self) -> list[list[object]]:
        """The counts of each replay, by REPLAYED_STATES; in the order of their keys, as whoever locks them has it."""
        replays = sorted({key[:2] for key in self._replayed})
        return columns([(*one, *(self._replayed[*one, state] for state in REPLAYED_STATES)) for one in replays], 7)

    async def _store_few(self, connection: Connection) -> None:
        rollups, usage, now_us = self._rollups, self._usage, self._now_us
        again = sorted(self.due.keys() - self._held)
        arrays: Sequence[object]
        for statement, arrays in (
            (queries.insert_duplicates, columns(self._standing.duplicate_rows, 4)),
            (queries.upsert_due, (*columns([self.due[key] for key in again], len(DUE_COLUMNS)), now_us)),
            (queries.renumber_due, columns([(*key, self._renumbered[key]) for key in sorted(self._renumbered)], 5)),
            (queries.delete_due, columns([*sorted(self._settled)], 4)),
            (
                queries.add_sums,
                rollups.count_columns() + rollups.latency_columns() + usage.usage_columns() + self._sums.columns(),
            ),
            (queries.add_reasons, rollups.reason_columns()),
            # There is no latency without a call.
            (queries.add_hosts, usage.host_columns() + usage.latency_columns()),
            (queries.upsert_error_groups, self._errors.group_columns()),
            (queries.add_error_counts, self._errors.count_columns()),
            (queries.count_replayed, self._replay_columns()),
        ):
            # Attempts that ended no delivery add to some of the sums.
            if arrays[0] or (statement == queries.add_sums and any(arrays)):
                await connection.execute(statement, *arrays)


def _held_until_us(one: pb.Attempt, policy: Policy, now_us: int) -> int:
    """When what an executor held back is looked at; 0 for what was held back for other reasons."""
    if one.reason not in HELD_REASONS:
        return 0
    # An executor may hear of a policy before the tracker does, which must not let everything go until then.
    known = policy.paced or one.reason == BREAKER_OPEN
    return now_us if known else now_us + POLICY_HEARD_WITHIN_US


def _key(group: Group, one: pb.Attempt) -> Key:
    return group.workspace, group.header.destination, one.stream_sequence, one.index


def groups_of(batches: Sequence[pb.OutcomeBatch]) -> list[Group]:
    """The batches' groups that hold attempts."""
    return [
        Group(batch.workspace, header, list(header.attempts))
        for batch in batches
        for header in batch.destinations
        if header.attempts
    ]
