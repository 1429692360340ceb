"""The configuration files of the embedded Postgres, written anew at every start."""

from pathlib import Path

# Services hold about ten connections each, and tests a few more; each costs 2 MB when used.
CONNECTIONS_MAX = 60
SOCKET_PORT = 5432

HEADER = "# Written by `onward up` at every start: changes here are lost."

SETTINGS = {
    # What is committed is on the disk. The services check these and refuse to start otherwise.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # The wheel's build knows neither lz4 nor zstd.
    "wal_compression": "pglz",
    "max_wal_size": "4GB",
    "max_connections": str(CONNECTIONS_MAX),
    # The page cache holds the rest; a larger one would be taken from the V8 workers.
    "shared_buffers": "64MB",
    "io_workers": "1",
    "max_worker_processes": "4",
    "autovacuum_max_workers": "2",
    "max_logical_replication_workers": "0",
    # Compiling takes longer than any query of ours.
    "jit": "off",
    # One open transaction holds back every relay and vacuum.
    "idle_in_transaction_session_timeout": "30s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # Statements and details could carry customers' data; the log holds neither.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


def write_conf(data: Path, *, sockets: Path, tcp_port: int | None, peer_name: str) -> None:
    """Write postgresql.conf, pg_hba.conf and pg_ident.conf.

    On the unix socket only `peer_name` (the user that started us) may connect, as any role; over TCP,
    which is off when `tcp_port` is None, a password is needed.
    """
    settings = SETTINGS | {
        "listen_addresses": "127.0.0.1" if tcp_port else "",
        "port": str(tcp_port or SOCKET_PORT),
        "unix_socket_directories": str(sockets),
    }
    lines = [f"{name} = '{_quoted(value)}'" for name, value in settings.items()]
    _write(data / "postgresql.conf", lines)
    _write(
        data / "pg_hba.conf",
        ["local all all peer map=onward", "host all all 127.0.0.1/32 scram-sha-256"],
    )
    _write(data / "pg_ident.conf", [f'onward "{peer_name}" all'])


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join([HEADER, *lines, ""]))
    # Its reader may be another user; the folder around it is closed to everybody else.
    path.chmod(0o644)
