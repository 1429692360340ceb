"""`onward up`: one folder, one family of processes, one Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from kit.rpc import probe
from kit.testing.eventually import eventually
from kit.testing.servers import short_lived_folder
from tests.e2e.onward_program import Onward, start

pytestmark = pytest.mark.e2e


@pytest.fixture
def data() -> Iterator[Path]:
    with short_lived_folder() as folder:
        yield folder / "data"


async def test_ctrl_c_ends_everything_and_the_next_start_goes_on(data: Path) -> None:
    up = start(data)
    onward = Onward(data)
    try:
        family = up.family()
        assert set(up.told["pids"].values()) <= {one.pid for one in family}
        onward.done("workspaces", "create", "acme")
        _a_second_one_is_refused(onward, up.process.pid)
    finally:
        assert up.stop(signal.SIGINT) == 0
    assert not alive(family)
    _a_taken_port_is_told(data, onward)
    assert "start everything with `onward up`" in onward("functions", "list").err

    again = start(data)
    try:
        assert again.told["addresses"] == up.told["addresses"]
        assert "acme" in onward.done("workspaces", "list")
    finally:
        assert again.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("options", [(), ("--plaintext",)])
def test_services_speak_tls_unless_plaintext_is_asked_for(options: tuple[str, ...], data: Path) -> None:
    """H8"""
    up = start(data, *options)
    try:
        address, ca = up.told["addresses"]["registry"], up.told["ca"]
        assert (probe.status(address) == "SERVING") == bool(options)
        assert bool(ca) == (not options)
        if ca:
            assert probe.status(address, ca=Path(ca)) == "SERVING"
        Onward(data).done("workspaces", "list")
    finally:
        assert up.stop(signal.SIGTERM) == 0


async def test_nothing_outlives_a_killed_up(data: Path) -> None:
    up = start(data)
    family = up.family()
    up.stop(signal.SIGKILL)
    try:
        await eventually(lambda: not alive(family), 10.0, 0.1)
    finally:
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()


def alive(family: list[psutil.Process]) -> list[str]:
    """Name those that still run; one that has ended and waits for its parent to look does not."""
    found = []
    for one in family:
        with suppress(psutil.NoSuchProcess):
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(one.cmdline()))
    return found


def _a_second_one_is_refused(onward: Onward, pid: int) -> None:
    refused = onward("up")
    assert refused.code == 1
    assert refused.err.startswith(f"error: another `onward up` (pid {pid}) uses the folder {onward.data}")
    assert refused.err.count("\n") == 1


def _a_taken_port_is_told(data: Path, onward: Onward) -> None:
    ports = json.loads((data / "ports.json").read_text())
    for name in ("registry", "nats"):
        with socket.socket() as other:
            # Connections of the first run may still be closing.
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", ports[name]))
            other.listen()
            refused = onward("up")
        assert refused.code == 1
        assert f"error: port {ports[name]}" in refused.err
        assert "is taken by another program" in refused.err
        assert refused.err.count("\n") == 1


def test_a_folder_that_can_not_be_written_is_told(data: Path) -> None:
    if os.geteuid() == 0:
        # Root may write anywhere but here.
        closed = Path("/sys/onward-data")
    else:
        data.mkdir(mode=0o555)
        closed = data / "inside"
    refused = Onward(closed)("up")
    assert refused.code == 1
    assert refused.err.startswith(f"error: {closed} can't be ")
    assert "--data" in refused.err
    assert refused.err.count("\n") == 1


def test_help_names_every_command(data: Path) -> None:
    told = Onward(data).done("--help")
    for command in (
        "up",
        "demo",
        "workspaces",
        "functions",
        "sources",
        "destinations",
        "events",
        "deliveries",
        "audit",
    ):
        assert command in told
    for command in ("functions", "destinations", "events", "deliveries", "audit"):
        assert "Usage: onward" in Onward(data).done(command, "--help")
