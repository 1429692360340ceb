"""The executor's settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from kit.key_settings import KeySettings

# Where `make setup` puts the bundle.
RUNTIME_DIR = Path(__file__).resolve().parents[2] / "build" / "runtime"


class Settings(KeySettings):
    """ONWARD_* variables of the executor."""

    # The JavaScript bundle.
    runtime_dir: Path = RUNTIME_DIR
    # No compiled code at all: loops run five times slower, and there is no writable executable memory.
    jitless: bool = False
    # Warm workers at once; each takes 3 MB idle and about 25 MB after load.
    workers_max: int = Field(default=200, ge=1, le=10_000)
    # Endpoints (host:port, comma-separated) that functions may never call, whatever ranges are allowed.
    egress_denied: str = ""
