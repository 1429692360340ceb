"""What functions took and whom they called, summed by transaction."""

from __future__ import annotations

from onward.executor.v1 import outcomes_pb2 as pb
from services.delivery.domain.latency import bucket
from services.delivery.domain.schedule import DAY_US, MINUTE_US
from services.delivery.domain.windows import SLOT_MINUTES
from services.delivery.projections.rollups import Names, columns
from services.delivery.projections.standing import Group

SLOT_US = SLOT_MINUTES * MINUTE_US
# Hosts of a destination and slot that are counted apart. The executor keeps to 20 in a batch.
HOSTS_MAX = 50
OTHER = "other"

# (workspace, destination, slot, host)
HostKey = tuple[str, str, int, str]


class Usage:
    """The sums of one transaction. Times are those at which a group's first attempt ended: groups last a second."""

    __slots__ = ("_host_names", "_hosts", "_latencies", "_usage")

    def __init__(self, host_names: Names) -> None:
        self._host_names = host_names
        # Values are [attempts, wall_us, cpu_us, requests, request_bytes, response_bytes].
        self._usage: dict[tuple[str, str, str, int], list[int]] = {}
        # Values are [calls, http_errors, network_errors, unanswered].
        self._hosts: dict[HostKey, list[int]] = {}
        self._latencies: dict[tuple[str, str, int, str, int], int] = {}

    def add_attempts(self, group: Group, ended_at_us: int, attempts: int, wall_us: int, cpu_us: int) -> None:
        """Count invocations of a function."""
        if attempts:
            self._add(group, ended_at_us, (attempts, wall_us, cpu_us, 0, 0, 0))

    def add_hosts(self, group: Group) -> None:
        """Count what a group's attempts called."""
        workspace, header, attempts = group
        ended_at_us = attempts[0].ended_at_us
        for host in header.hosts:
            self._add(group, ended_at_us, (0, 0, 0, host.calls, host.request_bytes, host.response_bytes))
            self._add_host(workspace, header.destination, ended_at_us // SLOT_US, host)

    def _add(self, group: Group, ended_at_us: int, numbers: tuple[int, ...]) -> None:
        header = group.header
        key = (group.workspace, header.function, header.destination, ended_at_us // DAY_US)
        sums = self._usage.setdefault(key, [0] * 6)
        for at, number in enumerate(numbers):
            sums[at] += number

    def _add_host(self, workspace: str, destination: str, slot: int, host: pb.HostCalls) -> None:
        name = self._host_names.counted_as(workspace, destination, slot, host.host) or OTHER
        sums = self._hosts.setdefault((workspace, destination, slot, name), [0] * 4)
        for at, number in enumerate((host.calls, host.http_errors, host.network_errors, host.unanswered)):
            sums[at] += number
        latencies = self._latencies
        for latency_us in host.latencies_us:
            key = (workspace, destination, slot, name, bucket(latency_us))
            latencies[key] = latencies.get(key, 0) + 1

    def usage_columns(self) -> list[list[object]]:
        return columns([(*key, *sums) for key, sums in sorted(self._usage.items())], 10)

    def host_columns(self) -> list[list[object]]:
        return columns([(*key, *sums) for key, sums in sorted(self._hosts.items())], 8)

    def latency_columns(self) -> list[list[object]]:
        return columns([(*key, count) for key, count in sorted(self._latencies.items())], 6)
