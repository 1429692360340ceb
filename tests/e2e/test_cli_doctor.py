"""`onward doctor`: before anything runs, while all is well, and while a service hangs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.testing.servers import short_lived_folder
from tests.e2e.onward_program import Onward, start

pytestmark = pytest.mark.e2e

OK, WARNING, FAILURE = (f"CHECK_LEVEL_{level}" for level in ("OK", "WARNING", "FAILURE"))
# A machine of anybody's may have a full disk, little memory, or a kernel that refuses a layer of the sandbox.
OF_THE_MACHINE = {"disk", "memory", "sandbox"}


@pytest.fixture
def data() -> Iterator[Path]:
    with short_lived_folder() as folder:
        yield folder / "data"


def test_the_doctor_sees_what_runs_and_what_does_not(data: Path) -> None:
    """B1"""
    onward = Onward(data)
    _before_anything_runs(onward)
    up = start(data)
    try:
        onward.done("workspaces", "create", "acme")
        _all_is_well(onward)
        _the_token_is_asked_for(onward, up.told)
        _a_service_that_hangs_is_told(onward, up.told["pids"]["audit"])
        _so_is_the_registry(onward, up.told["pids"]["registry"])
    finally:
        assert up.stop() == 0
    ended = onward("doctor")
    assert ended.code == 1
    assert f"start everything with `onward up --data {data}`" in ended.out
    assert "0 of 4 services run" in ended.out


def _before_anything_runs(onward: Onward) -> None:
    ended = onward("doctor")
    assert ended.code == 1
    assert "there is no data folder" in ended.out
    assert "run `onward up` here" in ended.out


def _all_is_well(onward: Onward) -> None:
    ended = onward("doctor", "--json")
    answer = json.loads(ended.out)
    assert [one["health"] for one in answer["services"]] == ["SERVING"] * 4
    wrong = {check["name"]: check for check in answer["checks"] if check["level"] != OK}
    assert set(wrong) <= OF_THE_MACHINE, wrong
    assert ended.code == int(any(check["level"] == FAILURE for check in wrong.values()))
    places = {(check["where"], check["name"]) for check in answer["checks"]}
    assert {("delivery", "outcomes"), ("audit", "trail"), ("executor", "sandbox"), ("executor", "events")} <= places
    assert {("registry", "durability"), ("registry", "relay"), ("registry", "door"), ("here", "clocks")} <= places
    assert "4 services run" in onward("doctor").out


def _the_token_is_asked_for(onward: Onward, told: dict[str, Any]) -> None:
    ended = onward("doctor", "--token", "onw_nobody_0123456789abcdefghijklmnop")
    assert ended.code == 1
    assert "--token" in ended.out
    assert "sync" not in ended.out
    one = onward("doctor", "--data", "/nowhere", "--registry", told["addresses"]["registry"], "--ca", told["ca"])
    assert one.code == 0
    assert "not asked, since no address is known: delivery, audit, executor" in one.out
    assert "more is told to the operator alone" in one.out


def _a_service_that_hangs_is_told(onward: Onward, pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        ended = onward("doctor")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert ended.code == 1
    first = ended.out.splitlines()[3:5]
    assert first[0].split()[:3] == ["failure", "audit", "service"]
    assert f"its log says why: {onward.data}/logs/audit.log" in first[1]
    assert "3 of 4 services run; 1 failure" in ended.out


def _services(onward: Onward) -> dict[str, dict[str, str]]:
    answer = json.loads(onward("doctor", "--json").out)
    return {check["where"]: check for check in answer["checks"] if check["name"] == "service"}


def _so_is_the_registry(onward: Onward, pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        found = _services(onward)
        if found["executor"]["level"] != WARNING:
            # A yes of the registry's is kept for a second. Asking took longer than that.
            found = _services(onward)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (found["registry"]["level"], found["executor"]["level"]) == (FAILURE, WARNING)
    assert "see to the registry" in found["executor"]["advice"]
