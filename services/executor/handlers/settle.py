"""Outcomes on their way to the OUTCOMES stream; what is stored there lets its message be acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence

import structlog
from opentelemetry.trace import SpanKind

from kit.clock import Clock
from kit.errors import InvalidArgument, OnwardError
from kit.events import EVENT_TYPES
from kit.ids import uuid7
from kit.telemetry.trace import span
from onward.executor.v1 import outcomes_pb2 as pb
from services.executor.domain.errors import LOST, Verdict
from services.executor.handlers.host_calls import HostCall
from services.executor.handlers.work import Item, Run, Ticket

# A message of OUTCOMES holds at most this much: large enough to amortise one fsync and one round trip over many
# attempts, small enough that the tracker's transaction stays short.
ATTEMPTS_MAX = 500
BATCH_BYTES_MAX = 512 * 1024
# Numbers and frames of one attempt, on the safe side; its texts come on top.
ATTEMPT_BYTES = 100
# Numbers and frames of a name that is no destination's, and its source's id.
UNMATCHED_BYTES = 128
# Hosts that a group of attempts counts apart: functions may make up any names. Others are counted together.
HOSTS_MAX = 20
OTHER_HOST = "other"
# Of a host's numbers in a batch, and of each of its latencies: 32 bits take five bytes at most.
HOST_BYTES = 64
LATENCY_BYTES = 5
# An hour: a request takes a minute at most.
LATENCY_MAX_US = 3_600_000_000
# Publishes under way at once: JetStream syncs each and may take a tenth of a second under load, so full batches go side
# by side.
PUBLISHES_MAX = 8
# A batch that is not full goes only while fewer are under way; it fills meanwhile.
PUBLISHES_OF_PARTS_MAX = 2
# Each batch, however small, costs the bus, the tracker and Postgres a transaction. So batches that are not full go in
# rounds, so far apart at least, unless so many outcomes wait. The first one after a pause waits for nothing.
ROUND_S = 0.05
ROUND_OUTCOMES = 64
RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
# The log has a line of the first failure, and of each tenth.
TRIES_PER_LINE = 10

log = structlog.get_logger()

Publish = Callable[[str, bytes, str], Awaitable[object]]
Acknowledge = Callable[[Sequence[Ticket]], None]
Observe = Callable[[Item, Verdict, Run, str, int], None]

# What may be attempted again, by itself or by hand.
_GOES_ON = frozenset({pb.RESULT_RETRYABLE, pb.RESULT_DEFERRED, pb.RESULT_FAILED})


def _attempt_bytes(item: Item) -> int:
    """Bound what an attempt without its detail takes; a character of UTF-8 has four bytes at most."""
    return ATTEMPT_BYTES + 4 * (len(item.message_id) + len(item.name))


def _attempts(message: pb.OutcomeBatch) -> Iterator[pb.Attempt]:
    return (attempt for group in message.destinations for attempt in group.attempts)


def _drop_captures(message: pb.OutcomeBatch) -> None:
    for attempt in _attempts(message):
        for name in ("logs", "requests", "value", "error_stack"):
            attempt.detail.ClearField(name)


def _drop_fresh(message: pb.OutcomeBatch) -> None:
    for attempt in _attempts(message):
        attempt.ClearField("fresh")


class _Batch:
    """The batch that a workspace's outcomes are being added to."""

    __slots__ = ("bytes", "count", "groups", "hosts", "message", "tickets", "unmatched")

    def __init__(self, workspace: str) -> None:
        self.message = pb.OutcomeBatch(batch_id=uuid7(), workspace=workspace)
        self.groups: dict[tuple[str, int, int, int], pb.DestinationOutcomes] = {}
        # By destination and host.
        self.hosts: dict[tuple[str, str], pb.HostCalls] = {}
        self.tickets: list[Ticket] = []
        # By source and name.
        self.unmatched: dict[tuple[str, str], pb.UnmatchedIntegration] = {}
        self.count = 0
        self.bytes = 0

    @property
    def full(self) -> bool:
        return self.count >= ATTEMPTS_MAX or self.bytes >= BATCH_BYTES_MAX

    def group(self, item: Item, run: Run) -> pb.DestinationOutcomes:
        route = item.route
        key = (route.destination, run.version, run.settings_revision, run.filter_revision)
        found = self.groups.get(key)
        if found is None:
            found = self.groups[key] = self.message.destinations.add(
                destination=route.destination,
                source=route.source,
                function=route.function,
                version=run.version,
                settings_revision=run.settings_revision,
                filter_revision=run.filter_revision,
            )
        return found

    def add_calls(self, group: pb.DestinationOutcomes, calls: Sequence[HostCall]) -> None:
        """Count what an attempt called; a destination's groups share the hosts of the first that called one."""
        for call in calls:
            sums = self._host(group, call.host)
            sums.calls += 1
            if call.failed:
                sums.network_errors += 1
            elif not call.status:
                sums.unanswered += 1
            else:
                sums.http_errors += call.status >= 400
                sums.latencies_us.append(min(max(call.latency_us, 0), LATENCY_MAX_US))
                self.bytes += LATENCY_BYTES
            sums.request_bytes += call.request_bytes
            sums.response_bytes += call.response_bytes

    def _host(self, group: pb.DestinationOutcomes, host: str) -> pb.HostCalls:
        found = self.hosts.get((group.destination, host))
        if found is None:
            if len(group.hosts) >= HOSTS_MAX and host != OTHER_HOST:
                return self._host(group, OTHER_HOST)
            found = self.hosts[group.destination, host] = group.hosts.add(host=host)
            self.bytes += HOST_BYTES + len(host)
        return found


class OutcomeLog:
    """Collects outcomes while earlier ones are being stored, and between rounds, so that batches grow with the load.

    `run()` must be running. A batch is published until it is stored: its id lets the tracker apply it once. `publish`
    makes one try.
    """

    def __init__(self, publish: Publish, acknowledge: Acknowledge, clock: Clock) -> None:
        self._publish = publish
        self._acknowledge = acknowledge
        self._clock = clock
        self._open: dict[str, _Batch] = {}
        self._ready: deque[_Batch] = deque()
        self._wake = asyncio.Event()
        self._under_way: set[_Batch] = set()
        # In open batches, of whatever workspace.
        self._waiting = 0
        # Workspaces whose open batches the last round has still to take; when it began, by the event loop's clock.
        self._due: deque[str] = deque()
        self._round_at = -ROUND_S
        self._alarm: asyncio.TimerHandle | None = None
        # Is told of every attempt that settles its ticket.
        self.observe: Observe | None = None

    def disconnected(self) -> None:
        """The connection to the bus was lost: what is deferred may have been given to others when this is stored."""
        for batch in (*self._open.values(), *self._ready, *self._under_way):
            _drop_fresh(batch.message)

    @property
    def empty(self) -> bool:
        return not self._open and not self._ready and not self._under_way

    def record(self, item: Item, verdict: Verdict, run: Run, detail: pb.AttemptDetail | None = None,
               *, retry_after_ms: int = 0, http_error: bool = False, reason: str = "",
               batch_events_max: int = 0, batch_until_us: int = 0, calls: Sequence[HostCall] = ()) -> None:  # fmt: skip
        """Record what became of one attempt, and what it called; its ticket is due once the outcome is stored.

        `batch_events_max` and `batch_until_us` are of one that waits for others of its batch.
        """
        batch = self._batch(item.route.workspace)
        if calls:
            batch.add_calls(batch.group(item, run), calls)
        attempt = self._attempt(batch, item, verdict, run, item.attempt)
        if detail is not None:
            attempt.detail.CopyFrom(detail)
            batch.bytes += detail.ByteSize()
        if retry_after_ms:
            attempt.retry_after_ms = retry_after_ms
        if http_error:
            attempt.http_error = True
        if reason:
            attempt.reason = reason
        if batch_events_max:
            attempt.batch_events_max, attempt.batch_until_us = batch_events_max, batch_until_us
        if item.batch_max:
            attempt.batch_limit = item.batch_max
        if item.traceparent and verdict.result in _GOES_ON:
            attempt.traceparent = item.traceparent
        if verdict.result == pb.RESULT_DEFERRED and item.ticket.fresh:
            attempt.fresh = True
        self._added(item.route.workspace, batch, _attempt_bytes(item) + len(reason), item.ticket)
        if self.observe is not None:
            try:
                self.observe(item, verdict, run, reason, attempt.ended_at_us)
            except Exception:
                # It is recorded, and must not be once more.
                log.exception("attempt_not_observed", destination=item.route.destination)

    def record_lost(self, item: Item, run: Run, attempt: int) -> None:
        """Record an earlier invocation that left no outcome; it does not settle the item's ticket."""
        batch = self._batch(item.route.workspace)
        self._attempt(batch, item, LOST, run, attempt)
        self._added(item.route.workspace, batch, _attempt_bytes(item))

    def _attempt(self, batch: _Batch, item: Item, verdict: Verdict, run: Run, number: int) -> pb.Attempt:
        return batch.group(item, run).attempts.add(
            stream_sequence=item.sequence,
            index=item.index,
            attempt=number,
            retries_used=item.retries_used,
            message_id=item.message_id,
            type=EVENT_TYPES.get(item.type, 0),
            event_name=item.name,
            received_at_us=item.received_at_us,
            ended_at_us=int(self._clock.now().timestamp() * 1_000_000),
            wall_us=run.wall_us,
            cpu_us=run.cpu_us,
            result=verdict.result,
            error_type=verdict.error_type,
            batch_events=run.batch_events,
        )

    def record_refusal(self, workspace: str, failure: pb.IngestFailure, ticket: Ticket) -> None:
        """Record an event that was refused at intake."""
        batch = self._batch(workspace)
        batch.message.ingest_failures.append(failure)
        self._added(workspace, batch, failure.ByteSize(), ticket)

    def count_unmatched(self, workspace: str, source: str, names: Sequence[str], received_at_us: int) -> None:
        """Count names in an event's `integrations` that are no destination's."""
        for name in names:
            # Another one after each that is full.
            batch = self._batch(workspace)
            found = batch.unmatched.get((source, name))
            if found is None:
                found = batch.unmatched[source, name] = batch.message.unmatched_integrations.add(
                    source=source, name=name, first_received_at_us=received_at_us
                )
            found.events += 1
            found.last_received_at_us = received_at_us
            self._added(workspace, batch, UNMATCHED_BYTES + 4 * len(name))

    def _batch(self, workspace: str) -> _Batch:
        batch = self._open.get(workspace)
        if batch is None:
            batch = self._open[workspace] = _Batch(workspace)
        return batch

    def _added(self, workspace: str, batch: _Batch, size_bytes: int, ticket: Ticket | None = None) -> None:
        if ticket is not None:
            batch.tickets.append(ticket)
        batch.count += 1
        batch.bytes += size_bytes
        self._waiting += 1
        if batch.full:
            self._ready.append(self._close(workspace))
        self._wake.set()

    def _close(self, workspace: str) -> _Batch:
        batch = self._open.pop(workspace)
        self._waiting -= batch.count
        return batch

    async def run(self) -> None:
        """Publish batches as slots become free, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                batch = self._next()
                if batch is None:
                    self._wake.clear()
                    continue
                self._under_way.add(batch)
                group.create_task(self._store(batch))

    def _next(self) -> _Batch | None:
        if self._ready and len(self._under_way) < PUBLISHES_MAX:
            return self._ready.popleft()
        while self._open and len(self._under_way) < PUBLISHES_OF_PARTS_MAX:
            if not self._due and not self._begin_round():
                return None
            workspace = self._due.popleft()
            # It may have been filled since the round began.
            if workspace in self._open:
                return self._close(workspace)
        return None

    def _begin_round(self) -> bool:
        """Let all that is open go, or wake up when that is due."""
        loop = asyncio.get_running_loop()
        due_at = self._round_at + ROUND_S
        if self._waiting >= ROUND_OUTCOMES or loop.time() >= due_at:
            self._round_at = loop.time()
            self._due.extend(self._open)
            return True
        if self._alarm is None:
            self._alarm = loop.call_at(due_at, self._ring)
        return False

    def _ring(self) -> None:
        self._alarm = None
        self._wake.set()

    async def _store(self, batch: _Batch) -> None:
        message = batch.message
        attempt = 0
        while True:
            data = message.SerializeToString()
            try:
                with span("store outcomes", parent="", kind=SpanKind.PRODUCER, attributes={"attempts": batch.count}):
                    await self._publish(f"outcomes.{message.workspace}", data, message.batch_id)
                break
            except InvalidArgument as error:
                # Never seen since sizes are counted; without its captures any batch fits.
                log.error("outcomes_too_large", data_bytes=len(data), reason=str(error))  # noqa: TRY400
                _drop_captures(message)
                await asyncio.sleep(RETRY_SECONDS[-1])
            except OnwardError as error:
                wait = RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)]
                if attempt % TRIES_PER_LINE == 0:
                    log.warning("outcomes_not_stored", reason=error.reason, tries=attempt + 1, retry_seconds=wait)
                _drop_fresh(message)
                attempt += 1
                await asyncio.sleep(wait)
        self._under_way.remove(batch)
        self._wake.set()
        self._acknowledge(batch.tickets)
