"""What the executor counts: plain numbers where things happen, read when metrics are exported.

An outcome costs half a microsecond here. Names follow OpenTelemetry's conventions where those have one;
docs/operations.md lists them all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from kit.telemetry.histograms import LAST, Histogram, Series, register
from onward.executor.v1 import outcomes_pb2 as pb

# Pairs of workspace and destination that are counted apart, where the operator wants that; more are counted together.
DESTINATIONS_MAX = 2_000
# Hosts that are counted apart, of those that have ever answered: functions may make up any names, and a backend keeps a
# row for each.
HOSTS_MAX = 100
OTHER = "other"
# What classes of statuses end with, and no code of an error.
ANSWERED = "xx"
# What an outcome's result and error type become in one number.
TYPES = 32

Pair = tuple[str, str]


class Counts:
    """Attempts of one destination, or of all."""

    __slots__ = ("by_result", "cpu", "queue", "wall")

    def __init__(self) -> None:
        self.by_result: defaultdict[int, int] = defaultdict(int)
        self.wall = Histogram()
        self.cpu = Histogram()
        self.queue = Histogram()


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that is read by a callback."""

    name: str
    kind: str  # "counter", "gauge" or "histogram"
    unit: str
    description: str


EXECUTIONS = Metric("onward.executor.executions", "counter", "{attempt}", "Attempts by result and error type.")
DURATION = Metric("onward.executor.execution.duration", "histogram", "s", "Wall time of handlers.")
CPU_TIME = Metric("onward.executor.execution.cpu_time", "histogram", "s", "CPU time of handlers.")
QUEUE = Metric("onward.executor.queue.duration", "histogram", "s", "From when an event was stored to its first start.")
DEFERRALS = Metric("onward.executor.deferrals", "counter", "{attempt}", "Attempts that the tracker keeps, by reason.")
FILTERED = Metric("onward.executor.filtered", "counter", "{attempt}", "Attempts that were filtered, by what did it.")
IN_FLIGHT = Metric("onward.executor.messages", "gauge", "{message}", "Messages that are held until all is reported.")
WORKERS = Metric("onward.executor.workers", "gauge", "{worker}", "Warm workers, by state.")
WORKERS_LIMIT = Metric("onward.executor.workers.limit", "gauge", "{worker}", "How many workers there may be.")
MEMORY = Metric("onward.executor.workers.memory", "gauge", "By", "What all workers take.")
MEMORY_LIMIT = Metric("onward.executor.workers.memory.limit", "gauge", "By", "What all workers may take.")
EXITS = Metric("onward.executor.worker.exits", "counter", "{worker}", "Ends of workers, by reason.")
RECYCLES = Metric("onward.executor.worker.recycles", "counter", "{worker}", "Workers that were replaced, by reason.")
COLD_STARTS = Metric("onward.executor.cold_start.duration", "histogram", "s", "Starts of workers, by phase.")
PLACES_WAITING = Metric(
    "onward.executor.places.waiting", "gauge", "{destination}", "Destinations waiting for a worker."
)
PLACES_WAITS = Metric("onward.executor.places.waits", "counter", "{wait}", "How often one had to wait for a worker.")
CPU_WAITING = Metric("onward.executor.cpu.waiting", "gauge", "{destination}", "Destinations waiting for a core.")
CPU_WAITS = Metric("onward.executor.cpu.waits", "counter", "{wait}", "How often one had to wait for a core.")
FETCHES = Metric("http.client.request.duration", "histogram", "s", "Requests of functions, by host.")
DENIALS = Metric("onward.executor.fetch.denials", "counter", "{request}", "Requests that the broker refused, by code.")

METRICS = (
    EXECUTIONS, DURATION, CPU_TIME, QUEUE, DEFERRALS, FILTERED, IN_FLIGHT, WORKERS, WORKERS_LIMIT, MEMORY, MEMORY_LIMIT,
    EXITS, RECYCLES, COLD_STARTS, PLACES_WAITING, PLACES_WAITS, CPU_WAITING, CPU_WAITS, FETCHES, DENIALS,
)  # fmt: skip

Read = Callable[[], Iterable[tuple[dict[str, str], int]]]


class Meters:
    """The executor's counts. `expose` has them exported."""

    def __init__(self, *, by_destination: bool = False) -> None:
        self.by_destination = by_destination
        self._all = Counts()
        self._pairs: dict[Pair, Counts] = {}
        self.deferrals: Counter[str] = Counter()
        self.filtered: Counter[str] = Counter()
        self.exits: Counter[str] = Counter()
        self.recycles: Counter[str] = Counter()
        self.denials: Counter[str] = Counter()
        self.phases: defaultdict[str, Histogram] = defaultdict(Histogram)
        self._fetches: dict[tuple[str, str], Histogram] = {}
        self._hosts: set[str] = set()

    # --- what happens ----------------------------------------------------------------------------------------

    def outcome(self, route: Pair | None, number: int, ran: tuple[int, int] | None, queue_us: int) -> None:
        """Count an attempt that ended, or did not begin.

        `route` is asked for where destinations are counted apart; `number` is its result times TYPES plus its error
        type, `ran` wall and CPU time in us where they count; `queue_us` is below 0 where nothing is known of it.
        """
        counts = self._all if route is None else self._of(route)
        counts.by_result[number] += 1
        # Not by Histogram.add: three calls are more than all the rest. Outcomes have 32 bits for the first two.
        if ran is not None:
            wall_us, cpu_us = ran
            wall, cpu = counts.wall, counts.cpu
            wall.counts[wall_us.bit_length()] += 1
            wall.sum_us += wall_us
            cpu.counts[cpu_us.bit_length()] += 1
            cpu.sum_us += cpu_us
        if queue_us >= 0:
            queue = counts.queue
            queue.counts[min(queue_us.bit_length(), LAST)] += 1
            queue.sum_us += queue_us

    def _of(self, route: Pair) -> Counts:
        found = self._pairs.get(route)
        if found is None:
            pair = route if len(self._pairs) < DESTINATIONS_MAX else (OTHER, OTHER)
            found = self._pairs.setdefault(pair, Counts())
        return found

    def phases_from(self, began_s: float) -> Callable[[str, float], None]:
        """Time the start of a worker: call what this gives at the end of each phase."""
        last_s = began_s

        def ended(phase: str, now_s: float) -> None:
            nonlocal last_s
            self.phases[phase].add(int((now_s - last_s) * 1_000_000))
            last_s = now_s

        return ended

    def fetched(self, host: str, outcome: str, duration_us: int) -> None:
        """Count a request; `outcome` is a class of statuses such as "2xx", or a code such as "ECONNREFUSED"."""
        if host not in self._hosts:
            if outcome.endswith(ANSWERED) and len(self._hosts) < HOSTS_MAX:
                self._hosts.add(host)
            else:
                host = OTHER
        found = self._fetches.get((host, outcome))
        if found is None:
            found = self._fetches[host, outcome] = Histogram()
        found.add(duration_us)

    # --- what is read ----------------------------------------------------------------------------------------

    def executions(self) -> Iterator[tuple[dict[str, str], int]]:
        for labels, counts in self._counts():
            for key, count in list(counts.by_result.items()):
                result, error_type = divmod(key, TYPES)
                yield labels | {"onward.result": result_name(result), **_error(error_type)}, count

    def histograms(self, pick: Callable[[Counts], Histogram]) -> Iterator[tuple[dict[str, str], Histogram]]:
        for labels, counts in self._counts():
            yield labels, pick(counts)

    def fetches(self) -> Iterator[tuple[dict[str, str], Histogram]]:
        for (host, outcome), histogram in list(self._fetches.items()):
            said = "http.response.status_class" if outcome.endswith(ANSWERED) else "error.type"
            yield {"server.address": host, said: outcome}, histogram

    def _counts(self) -> Iterator[tuple[dict[str, str], Counts]]:
        if not self.by_destination:
            yield {}, self._all
        for (workspace, destination), counts in list(self._pairs.items()):
            yield {"onward.workspace": workspace, "onward.destination": destination}, counts


def result_name(number: int) -> str:
    """Name a result as metrics and spans do: "delivered"."""
    return cast(str, cast(Any, pb.Result).Name(number)).removeprefix("RESULT_").lower()


def error_name(number: int) -> str:
    """Name an error type as metrics and spans do: "bad_request"."""
    return cast(str, cast(Any, pb.ErrorType).Name(number)).removeprefix("ERROR_TYPE_").lower()


def _error(number: int) -> dict[str, str]:
    return {"error.type": error_name(number)} if number else {}


def labelled(name: str, counts: Counter[str]) -> Read:
    """Read counts by one attribute."""
    return lambda: [({name: value}, count) for value, count in list(counts.items())]


def single(read: Callable[[], int]) -> Read:
    """Read one number."""
    return lambda: [({}, read())]


def expose(meters: Meters, reads: dict[Metric, Read]) -> None:
    """Have all metrics exported; `reads` are those that others than `meters` count."""
    own: dict[Metric, Read] = {
        EXECUTIONS: meters.executions,
        DEFERRALS: labelled("onward.reason", meters.deferrals),
        FILTERED: labelled("onward.reason", meters.filtered),
        EXITS: labelled("onward.reason", meters.exits),
        RECYCLES: labelled("onward.reason", meters.recycles),
        DENIALS: labelled("error.type", meters.denials),
    }
    meter = metrics.get_meter("onward")
    for metric, read in (own | reads).items():
        make = meter.create_observable_counter if metric.kind == "counter" else meter.create_observable_gauge
        make(metric.name, [_callback(read)], metric.unit, metric.description)
    series = {
        DURATION: lambda: meters.histograms(lambda counts: counts.wall),
        CPU_TIME: lambda: meters.histograms(lambda counts: counts.cpu),
        QUEUE: lambda: meters.histograms(lambda counts: counts.queue),
        COLD_STARTS: lambda: [({"onward.phase": phase}, found) for phase, found in list(meters.phases.items())],
        FETCHES: meters.fetches,
    }
    for metric, read_histograms in series.items():
        register(Series(metric.name, metric.description, read_histograms))


def _callback(read: Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(value, attributes) for attributes, value in read()]
