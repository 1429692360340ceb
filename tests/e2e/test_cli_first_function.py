"""A newcomer's first function, with the commands that `onward --help` begins with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.testing.eventually import eventually
from kit.testing.servers import short_lived_folder
from tests.e2e.onward_program import Api, Onward, running

pytestmark = pytest.mark.e2e

SECRET = "sk-nobody-may-ever-read-this"
CODE = """
async function onTrack(event, settings) {
  console.log(`telling about ${event.event}`)
  const response = await fetch(settings.endpoint, { method: 'POST', body: JSON.stringify({ told: event.event }) })
  return response.status
}
"""


@pytest.fixture(scope="module")
def onward() -> Iterator[Onward]:
    with short_lived_folder() as folder, running(folder / "data") as program:
        yield program


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with Api().listening() as server:
        yield server


async def test_a_first_function_from_a_template_to_its_own_second_version(
    onward: Onward, api: Api, tmp_path: Path
) -> None:
    assert "Created the workspace acme" in onward.done("workspaces", "create", "acme")
    onward.done("workspaces", "allow-egress", "127.0.0.0/8")
    assert "version 1, from the template http-post" in onward.done(
        "functions", "create", "Order Alerts", "--template", "http-post"
    )
    assert "events.acme.web" in onward.done("sources", "create", "web")
    key = tmp_path / "key.txt"
    key.write_text(SECRET + "\n")
    connected = onward.done(
        *("destinations", "connect", "order-alerts", "web", f"endpoint={api.address}/in"),
        *(f"apiKey=@{key}", 'headers:={"X-Team": "growth"}', "--name", "alerts", "--enable"),
    )
    assert "given every event" in connected

    event = {"type": "track", "event": "Order Completed", "userId": "u-1", "messageId": "first"}
    published = onward.json("events", "publish", "web", stdin=json.dumps(event) + "\n")
    assert (published["published"], published["invalid"]) == (1, 0)
    await eventually(lambda: api.bodies, 20.0)
    assert api.bodies[0]["messageId"] == "first"
    assert api.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert api.headers[0]["X-Team"] == "growth"
    await eventually(lambda: _summary(onward) == {"alerts": (1, 0)}, 20.0, 0.2)

    again = onward.json("events", "publish", "web", stdin=json.dumps(event) + "\n")
    assert (again["published"], again["duplicates"]) == (0, 1)

    _second_version(onward, tmp_path)
    onward.done("events", "publish", "web", stdin='{"type":"track","event":"Signed Up","userId":"u-2"}\n')
    await eventually(lambda: {"told": "Signed Up"} in api.bodies, 20.0)

    api.answers[:] = [400]
    onward.done("functions", "deploy", "order-alerts", "--version", "1")
    onward.done("events", "publish", "web", stdin=json.dumps(event | {"messageId": "refused"}) + "\n")
    await eventually(lambda: _summary(onward) == {"alerts": (2, 1)}, 20.0, 0.2)
    shown = onward.done("deliveries", "show", "--message-id", "refused")
    assert "bad request" in shown
    assert "response 400" in shown
    assert "request  POST" in shown
    attempt = onward.json("deliveries", "show", "--message-id", "refused")["attempts"][0]
    assert attempt["detail"]["event"]["messageId"] == "refused"
    assert SECRET not in shown + json.dumps(attempt)

    _trail_tells_all(onward)
    _lists_name_what_there_is(onward)


def _summary(onward: Onward) -> dict[str, tuple[int, int]]:
    found = onward.json("deliveries", "summary")["destinations"]
    return {one["destination"].rpartition("/")[2]: (int(one["delivered"]), int(one["failed"])) for one in found}


def _second_version(onward: Onward, folder: Path) -> None:
    code = folder / "alerts.js"
    code.write_text(CODE)
    saved = onward.done("functions", "save", "order-alerts", str(code))
    assert "version 2" in saved
    assert "No destination runs it" not in onward.done("functions", "deploy", "order-alerts")
    assert onward.done("functions", "show", "order-alerts", "--code") == CODE.rstrip("\n") + "\n"
    numbers = [one["number"] for one in onward.json("functions", "versions", "order-alerts")["versions"]]
    assert numbers == [2, 1]


def _trail_tells_all(onward: Onward) -> None:
    printed = onward.done("audit", "list", "--limit", "100")
    assert re.search(r"version 1 → 2, code [0-9a-f]{7} → [0-9a-f]{7}", printed), printed
    events = onward.json("audit", "list", "--limit", "100")["auditEvents"]
    actions = [one["action"] for one in reversed(events)]
    assert actions[0] == "WorkspaceCreated"
    assert actions.count("VersionDeployed") == 2
    assert {"EgressRangeAllowed", "FunctionCreated", "SourceCreated", "DestinationConnected", "DestinationEnabled"} <= {
        *actions
    }
    assert SECRET not in json.dumps(events)


def _lists_name_what_there_is(onward: Onward) -> None:
    assert "order-alerts" in onward.done("functions", "list")
    assert "events.acme.web" in onward.done("sources", "list")
    assert "acme" in onward.done("workspaces", "list")
    settings = onward.done("destinations", "show", "alerts")
    assert "set, encrypted" in settings
    assert SECRET not in settings
