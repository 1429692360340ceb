"""A large workspace for bench/registry.py: functions with versions, destinations, and their changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice

from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.postgres import PostgresEventStore
from kit.eventstore.store import APPEND_FACTS_MAX
from kit.postgres.pool import Pool
from onward.registry.v1 import facts_pb2 as facts
from onward.registry.v1 import resources_pb2 as pb
from services.registry import projections

SOURCES = 10
HANDLER = """async function onTrack(event, settings) {
  const { email, plan, total } = event.properties ?? {}
  if (!email) throw new InvalidEventPayload('an email is needed')
  const response = await fetch(`${settings.endpoint}/contacts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${settings.apiKey}` },
    body: JSON.stringify({ email, plan, total: Math.round(total * 100), seen: event.timestamp }),
  })
  if (!response.ok) throw new RetryError(`the API answered ${response.status}`)
  return { stored: email }
}
"""
DEFINITIONS = [
    pb.SettingDefinition(name=name, label=name, type=pb.SETTING_TYPE_STRING, required=True)
    for name in ("endpoint", "apiKey")
]


@dataclass(frozen=True, slots=True)
class Size:
    """How large the workspace is."""

    functions: int
    versions: int
    destinations: int
    facts: int


def code(function: str, number: int) -> str:
    """About a kilobyte that differs from every other version's."""
    return f"// {function}, version {number}\n{HANDLER}" + "// what changed, and why, as people write it\n" * 10


async def seed(pool: Pool, workspace: str, size: Size) -> None:
    """Fill a workspace that exists up to `size.facts` facts, with the rows that they make."""
    store = PostgresEventStore(pool)
    whole = _log(size)
    while True:
        async with store.writing(workspace) as unit:
            batch = list(islice(whole, min(APPEND_FACTS_MAX, size.facts - unit.position)))
            if not batch:
                return
            await projections.project(unit.connection, await unit.append(batch, Meta("member:ada")))


def _log(size: Size) -> Iterator[NewFact]:
    yield NewFact("workspace", facts.LimitsSet(functions_max=10 * size.functions))
    for number in range(SOURCES):
        source = f"source-{number}"
        yield NewFact(f"sources/{source}", facts.SourceCreated(source=source, display_name=source))
    for number in range(size.functions):
        yield from _function(f"function-{number:04d}", size.versions)
    for number in range(size.destinations):
        yield from _destination(number, size)
    yield from _changes(size)


def _function(function: str, versions: int) -> Iterator[NewFact]:
    stream = f"functions/{function}"
    yield NewFact(stream, facts.FunctionCreated(function=function, display_name=function, template="default"))
    for number in range(1, versions + 1):
        text = code(function, number)
        digest = hashlib.sha256(text.encode()).hexdigest()
        saved = facts.FunctionVersionSaved(
            function=function, number=number, code=text, code_sha256=digest,
            definitions=DEFINITIONS, timeout_ms=5000, handlers=["onTrack"],
        )  # fmt: skip
        yield NewFact(stream, saved)


def _destination(number: int, size: Size) -> Iterator[NewFact]:
    destination, function = f"destination-{number:04d}", f"function-{number % size.functions:04d}"
    stream = f"destinations/{destination}"
    connected = facts.DestinationConnected(
        destination=destination, display_name=destination, function=function,
        source=f"source-{number % SOURCES}", version=size.versions,
    )  # fmt: skip
    yield NewFact(stream, connected)
    yield NewFact(stream, _settings(destination, 1))
    yield NewFact(stream, facts.DestinationEnabled(destination=destination))


def _settings(destination: str, revision: int) -> facts.SettingsChanged:
    values = {"endpoint": f"https://api.example.com/v{revision}", "apiKey": "not-a-key-but-as-long-as-one"}
    changes = [
        facts.SettingChange(name=name, value=pb.SettingValue(string_value=value)) for name, value in values.items()
    ]
    return facts.SettingsChanged(destination=destination, revision=revision, changes=changes)


def _changes(size: Size) -> Iterator[NewFact]:
    """What people do all day, without end."""
    for turn in cycle(range(2, 1_000_000)):
        for number in range(size.destinations):
            destination, function = f"destination-{number:04d}", f"function-{number % size.functions:04d}"
            stream = f"destinations/{destination}"
            yield NewFact(stream, facts.DestinationDisabled(destination=destination))
            yield NewFact(stream, _settings(destination, turn))
            deployed = facts.VersionDeployed(function=function, number=size.versions, destinations=[destination])
            yield NewFact(f"functions/{function}", deployed)
            updated = facts.FunctionUpdated(function=function, display_name=f"{function}, revised {turn} times")
            yield NewFact(f"functions/{function}", updated)
            yield NewFact(stream, facts.DestinationEnabled(destination=destination))
