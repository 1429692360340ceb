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
    # Whether `eval` and the constructors of functions work in user code.
    allow_eval: bool = True
    # Do not start where the kernel refuses a layer of the sandbox, or a probe of the self-test gets through.
    sandbox_required: bool = False
    # Warm workers at once, as far as there is memory for them; each is two threads and two descriptors.
    workers_max: int = Field(default=1000, ge=1, le=10_000)
    # What all workers may take together; without it a share of the memory of the machine or container.
    workers_memory_mb: int | None = Field(default=None, ge=32)
    # Counts attempts by workspace and destination too: many rows for a backend, and names in it.
    metrics_by_destination: bool = False
    # Endpoints (host:port, comma-separated) that functions may never call, whatever ranges are allowed.
    egress_denied: str = ""
