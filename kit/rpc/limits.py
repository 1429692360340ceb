"""What one server takes on at most, and the counting of it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kit.errors import Overloaded

# By then, calls that were running when the caller was refused have mostly ended.
OVERLOADED_RETRY_AFTER_S = 1.0


@dataclass(frozen=True)
class Limits:
    """The bounds of a server; tests lower them."""

    # A caller that set no deadline would hold its place for ever.
    unary_default_s: float = 30.0
    # Longer work is a stream or something to be asked about later.
    unary_max_s: float = 120.0
    # A watch is taken up again after this; it moves to another replica then.
    stream_max_s: float = 3_600.0
    # A running watch's caller is checked anew this often: twice a lease (kit.auth.authorizer), so that one whose token
    # was revoked sees little more than a lease's worth, and each lease costs one question.
    stream_renew_s: float = 0.5
    # Nobody can tell whether the caller still may: a watch goes on for so long, which is what a restart of the
    # registry takes. Calls are refused meanwhile.
    stream_unsure_s_max: float = 5.0
    # At 160 us of CPU a call, more than this many at once only makes all of them late.
    calls_max: int = 256
    # Idle watches cost memory alone.
    streams_max: int = 512
    # So that one workspace can't take all places.
    calls_per_workspace_max: int = 64
    streams_per_workspace_max: int = 64
    # Health and reflection have places of their own, so that a probe gets through an overload.
    exempt_streams_max: int = 64
    # A function's code is at most 1 MB; everything else is smaller.
    message_bytes_max: int = 4 * 1024 * 1024
    # An identity provider's token (8 KiB) and all else; from gRPC's own 8 KiB on, calls are refused by chance.
    metadata_bytes_max: int = 12 * 1024
    # On one connection; the next call waits in the client.
    streams_per_connection_max: int = 100
    # A connection costs about 30 kB and a file descriptor; more are closed at once.
    connections_max: int = 1_000
    # A peer that opens a connection and says nothing is cut off.
    handshake_s: float = 10.0
    # Idle connections are closed; clients open them again without being told.
    connection_idle_s: float = 300.0
    # A peer that has gone without a word is noticed within both of these.
    keepalive_s: float = 30.0
    keepalive_timeout_s: float = 10.0
    # A client may ping this often, and no more.
    keepalive_min_s: float = 10.0


class Places:
    """Counts what runs at once, in all and for each workspace."""

    def __init__(self, most: int, most_per_workspace: int) -> None:
        self._most = most
        self._most_per_workspace = most_per_workspace
        self._taken = 0
        # Holds only workspaces with something running, so it is bounded by `most`.
        self._by_workspace: Counter[str] = Counter()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a place; raise `Overloaded` if there is none."""
        if self._taken >= self._most:
            raise _overloaded(f"{self._most} calls at once")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    @contextmanager
    def taken_by(self, workspace: str) -> Iterator[None]:
        """Take one of a workspace's places; calls outside all workspaces need none."""
        if not workspace:
            yield
            return
        if self._by_workspace[workspace] >= self._most_per_workspace:
            raise _overloaded(f"{self._most_per_workspace} calls of one workspace at once")
        self._by_workspace[workspace] += 1
        try:
            yield
        finally:
            self._by_workspace[workspace] -= 1
            if not self._by_workspace[workspace]:
                del self._by_workspace[workspace]


def _overloaded(limit: str) -> Overloaded:
    message = f"This server handles {limit}; wait a moment, then try again."
    return Overloaded(message, metadata={"limit": limit}, retry_after_s=OVERLOADED_RETRY_AFTER_S)


def channel_arguments(limits: Limits) -> list[tuple[str, int]]:
    """The same limits in gRPC's words."""
    return [
        # Two servers on one port would each get some of the calls, silently.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", limits.message_bytes_max),
        ("grpc.max_send_message_length", limits.message_bytes_max),
        ("grpc.max_metadata_size", limits.metadata_bytes_max),
        ("grpc.max_concurrent_streams", limits.streams_per_connection_max),
        ("grpc.max_allowed_incoming_connections", limits.connections_max),
        ("grpc.server_handshake_timeout_ms", int(limits.handshake_s * 1000)),
        ("grpc.max_connection_idle_ms", int(limits.connection_idle_s * 1000)),
        ("grpc.keepalive_time_ms", int(limits.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", int(limits.keepalive_timeout_s * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", int(limits.keepalive_min_s * 1000)),
    ]
