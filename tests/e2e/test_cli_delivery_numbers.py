"""Somebody looks into what went wrong: from the summary to one request, by the commands that each answer names."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.testing.eventually import eventually
from kit.testing.servers import short_lived_folder
from tests.e2e.onward_program import Api, Onward, running

pytestmark = pytest.mark.e2e

EVENTS = 30
CODE = """
async function onTrack(event, settings) {
  const number = Number(event.userId.slice(1))
  if (number % 10 === 0) throw new DropEvent('a test user')
  const status = number % 3 === 0 ? 404 : 200
  const response = await fetch(`${settings.endpoint}/status/${status}`, { method: 'POST', body: JSON.stringify({}) })
  if (number % 9 === 0) throw new InvalidEventPayload(`no contact ${event.userId} in the list of ${number}`)
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


async def test_from_a_summary_to_what_one_request_was_answered(onward: Onward, api: Api, tmp_path: Path) -> None:
    (tmp_path / "crm.js").write_text(CODE)
    (tmp_path / "crm.json").write_text('[{"name": "endpoint", "required": true}]')
    onward.done("workspaces", "create", "acme")
    onward.done("workspaces", "allow-egress", "127.0.0.0/8")
    onward.done("functions", "create", "crm")
    onward.done("functions", "save", "crm", str(tmp_path / "crm.js"), "--definitions", str(tmp_path / "crm.json"))
    onward.done("sources", "create", "web")
    onward.done("destinations", "connect", "crm", "web", f"endpoint={api.address}", "--enable")
    events = [{"type": "track", "event": "Signed Up", "userId": f"u{number}"} for number in range(1, EVENTS + 1)]
    onward.done("events", "publish", "web", stdin="\n".join(map(json.dumps, events)))

    await eventually(lambda: _total(onward).get("received") == str(EVENTS), 30.0, 0.3)
    total = _total(onward)
    assert [total[name] for name in ("delivered", "failed", "filtered")] == ["24", "3", "3"]

    # The summary names what to look at next.
    plot = tmp_path / "hour.svg"
    words = ("deliveries", "summary", "--by", "error-type", "--by", "filter", "--plot", str(plot))
    ended = onward(*words)
    assert re.search(r"crm-web +30 +new +24 ", ended.out), ended.out
    assert re.search(r"message rejected +3 +0 +3 ", ended.out)
    assert re.search(r"crm-web +filtered +drop_event +3\b", ended.out)
    assert "6 of 24 that crm-web delivered saw an HTTP error and went on: onward deliveries hosts" in ended.err
    assert "onward deliveries errors" in ended.err
    assert "delivered" in "".join(ElementTree.fromstring(plot.read_text()).itertext())

    # Errors that say the same are one line, with a command that shows one of them.
    listed = onward.done("deliveries", "errors")
    assert re.search(
        r" 3 +3 +crm-web +message rejected +InvalidEventPayload: no contact <id> in the list of <number>", listed
    )
    delivery = re.search(r"onward (deliveries show d\S+)", listed)
    group = re.search(r"onward (deliveries errors e[0-9a-f]{16})", listed)
    assert delivery is not None
    assert group is not None
    shown = onward.done(*delivery[1].split())
    assert re.search(r"no contact u(9|18|27) in the list of", shown)
    assert f"request  POST {api.address}/status/404" in shown
    samples = re.findall(r"deliveries show (d\S+)", onward.done(*group[1].split()))
    assert len(set(samples)) == 3

    # What functions call, over time, and what it took.
    assert re.search(r"127\.0\.0\.1 +27 +9 +0 +66\.7 % .* crm-web", onward.done("deliveries", "hosts"))
    series = onward.done("deliveries", "series", "--destination", "crm-web", "--interval", "5m")
    assert "by the five minutes" in series
    assert re.search(r"delivered .*█.* 24 ", series)
    (usage,) = onward.json("deliveries", "usage")["usage"]
    assert (usage["function"], usage["attempts"], usage["requests"]) == ("workspaces/acme/functions/crm", "30", "27")
    assert int(usage["wallUs"]) >= int(usage["cpuUs"]) > 0


def _total(onward: Onward) -> dict[str, str]:
    found: dict[str, str] = onward.json("deliveries", "summary")["total"]
    return found
