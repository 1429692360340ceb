"""The life of a secret in a stack: a function that uses it well and badly, and everything that is told afterwards."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from kit.testing.eventually import eventually
from onward.audit.v1 import audit_service_pb2
from onward.common.v1 import access_pb2, status_service_pb2
from onward.delivery.v1 import delivery_service_pb2
from onward.executor.v1 import execution_service_pb2
from onward.registry.v1 import (
    destination_service_pb2,
    function_service_pb2,
    operator_service_pb2,
    source_service_pb2,
    workspace_service_pb2,
)
from tests.e2e.onward_program import ONWARD, STOP_TIMEOUT_S, Api, Onward, environment

ACME = "workspaces/acme"
ANSWER_TIMEOUT_S = 20.0
# A cold worker, the first retry after 10 s, and a busy machine.
SETTLED_TIMEOUT_S = 90.0
# Of the trail, so many events are read one by one; the list has all.
TRAIL_READ = 10
# Of a hundred successes, the executor keeps what one returned.
RETURNS = 300

DEFINITIONS: list[dict[str, Any]] = [
    {"name": "apiKey", "encrypted": True, "required": True},
    {"name": "visible", "required": True},
    {"name": "endpoint", "required": True},
]
# Each way is given the secret and a text that is none: where the one is masked, the other must be seen.
CODE = """
const post = (url, init) => fetch(url, { method: 'POST', body: '{}', ...init })
const hex = (text) => Buffer.from(text).toString('hex')
const tried = new Set()
const WAYS = {
  log: (key, visible) => {
    console.log('key', key, { key, list: [key] }, visible)
    console.error(btoa(key), encodeURIComponent(key), hex(key), JSON.stringify({ key }), btoa(`key: ${key}!`))
    console.log(btoa(visible))
  },
  throw: (key, visible) => { throw new Error(`refused ${key} ${encodeURIComponent(key)} ${visible}`) },
  cut: (key, visible) => { throw new ValidationError(visible + key.repeat(2000)) },
  return: (key, visible) => ({ key, encoded: btoa(key), hex: hex(key), visible }),
  url: async (key, visible, to) => {
    const [one, other] = [key, visible].map(encodeURIComponent)
    const response = await post(`${to}?key=${one}&again=${btoa(key)}&visible=${other}`)
    console.log(await response.text())
  },
  header: async (key, visible, to) => {
    const response = await post(to, { headers: { 'X-Thing': `is ${key}`, 'X-Other': visible } })
    return response.text()
  },
  body: async (key, visible, to) => {
    const response = await post(to, { body: JSON.stringify({ key, visible, encoded: btoa(key) }) })
    throw new Error(await response.text())
  },
  split: (key) => {
    console.log(`first ${key.slice(0, 20)}`)
    console.log(key.slice(20))
    console.log(key.slice(0, 20))
    console.log(key.slice(20))
  },
  retry: (key, visible, to, event) => {
    if (tried.has(event.messageId)) return
    tried.add(event.messageId)
    throw new RetryError(`busy: ${key} ${visible}`)
  },
}

async function onTrack(event, settings) {
  const { apiKey: key, visible, endpoint } = settings
  await post(`${endpoint}/in`, { headers: { Authorization: `Bearer ${key}` } })
  // After an answer like this everything is kept, of successes too.
  await post(`${endpoint}/status/400`)
  return WAYS[event.event](key, visible, `${endpoint}/status/400`, event)
}
"""
WAYS = ("log", "throw", "cut", "return", "url", "header", "body", "split", "retry")


@dataclass
class Life:
    """A stack, the secret of one destination there, and what was told of it all (`told`, by who told it)."""

    onward: Onward
    api: Api
    secret: str
    visible: str
    told: dict[str, str] = field(default_factory=dict)
    # Other secrets by what they are; shown once, so what shows them is not among `told`.
    others: dict[str, str] = field(default_factory=dict)
    # Names by messageId, once they were read.
    deliveries: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str) -> None:
        """Run a command and keep what it told."""
        ended = self.onward(*words)
        self.told[" ".join(words)] = ended.out + ended.err

    def prepare(self, folder: Path) -> None:
        """Make a workspace, a member with a token, write keys, a function and a destination."""
        for name, text in (("code.js", CODE), ("settings.json", json.dumps(DEFINITIONS)), ("key", self.secret)):
            (folder / name).write_text(text)
        self.others["owner's token"] = self.onward.json("workspaces", "create", "acme")["ownerToken"]
        self.onward.done("workspaces", "allow-egress", "127.0.0.0/8")
        made = self.onward.json("sources", "create", "web")
        self.others["first write key"] = made["key"]["secret"] if "key" in made else made["secret"]
        self.others["second write key"] = self.onward.json("sources", "keys", "create", "web")["secret"]
        self.onward.done("members", "add", "ada", "--email", "ada@example.com", "--role", "source-admin:web")
        self.others["ada's token"] = self.onward.json("tokens", "create", "laptop", "--member", "ada")["secret"]
        self.onward.done("functions", "create", "crm")
        self.onward.done(
            *("functions", "save", "crm", str(folder / "code.js")), *("--definitions", str(folder / "settings.json"))
        )
        settings = (f"apiKey=@{folder / 'key'}", f"visible={self.visible}", f"endpoint={self.api.address}")
        connected = self.onward("destinations", "connect", "crm", "web", *settings, "--enable", "--json")
        assert connected.code == 0, connected
        self.told["connect"] = connected.out + connected.err
        # Set once more, and refused once: what is refused was given too.
        self.told["set"] = self.onward.done("destinations", "set", "crm-web", settings[0])
        refused = self.onward("destinations", "set", "crm-web", f"undefined=@{folder / 'key'}")
        assert refused.code != 0
        self.told["refused"] = refused.err

    def refusals(self) -> None:
        """Have a token, a write key and an unknown one refused; the trail tells of it."""
        for words in (
            ("functions", "show", "crm", "--token", self.others["ada's token"]),
            ("functions", "list", "--token", self.others["ada's token"] + "x"),
            ("events", "publish", "nowhere", "--key", self.others["second write key"], "--timeout", "1"),
        ):
            ended = self.onward(*words, stdin='{"type": "page", "userId": "u"}')
            assert ended.code != 0, ended
            self.told[" ".join(words[:3])] = ended.out + ended.err

    async def publish(self, prefix: str, ways: tuple[str, ...] = WAYS) -> None:
        """Publish an event for each way, by a write key, and wait until each one has ended."""
        self.api.echoing = True
        events = [{"type": "track", "event": way, "userId": "u", "messageId": f"{prefix}-{way}"} for way in ways]
        self._publish(events)
        await eventually(lambda: self.ended(prefix, len(ways)), SETTLED_TIMEOUT_S, 0.5)

    def publish_returns(self) -> None:
        """Publish so many events that what some of them return is kept: of successes, only a sample's is."""
        event = {"type": "track", "event": "return", "userId": "u", "messageId": "many"}
        self._publish([event], "--repeat", str(RETURNS))

    def _publish(self, events: list[dict[str, str]], *more: str) -> None:
        words = ("events", "publish", "web", "--key", self.others["second write key"], *more)
        self.told[" ".join(("publish", *more))] = self.onward.done(*words, stdin="\n".join(map(json.dumps, events)))

    def ended(self, prefix: str, count: int) -> bool:
        found = self.onward.json("deliveries", "list", "--limit", "100")["deliveries"]
        states = [one["state"] for one in found if one["messageId"].startswith(prefix)]
        return len(states) == count and not any(state.endswith("PENDING") for state in states)

    def read(self) -> None:
        """Ask commands that show something, and every RPC that reads, as the owner and as the operator."""
        for words in (
            ("deliveries", "summary"),
            *(("deliveries", what, *kind) for what in ("errors", "hosts", "series") for kind in ((), ("--json",))),
            *(("deliveries", "list", "--limit", "100", *kind) for kind in ((), ("--json",))),
            *(("deliveries", "show", "--message-id", f"before-{way}") for way in ("log", "split", "retry")),
            ("deliveries", "show", "--message-id", "before-throw", "--json"),
            *(("audit", "list", "--limit", "200", *kind) for kind in ((), ("--json",))),
            ("functions", "list"),
            ("functions", "show", "crm", "--code"),
            ("functions", "versions", "crm"),
            ("destinations", "list"),
            ("destinations", "show", "crm-web"),
            *(("sources", "list"), ("sources", "keys", "list", "web"), ("tokens", "list"), ("members", "list")),
            *(("workspaces", "list"), ("whoami",), ("keys", "status"), ("doctor",)),
            *(("sources", "sample", "web", *kind) for kind in ((), ("--json",))),
        ):
            self.run(*words)
        self._by_hand()
        self.told["audit leaked"] = self.onward.done("audit", "leaked", stdin=self.secret)
        self.told["audit leaked --json"] = self.onward.done("audit", "leaked", "--json", stdin=self.secret)
        self.told |= dict(self._calls())

    def _by_hand(self) -> None:
        """Go each way once more through the destination, and in a test run with the secret as a test value."""
        code, definitions = (self.onward.data.parent / name for name in ("by-hand.js", "by-hand.json"))
        code.write_text(CODE)
        definitions.write_text(json.dumps(DEFINITIONS))
        values = [f"apiKey={self.secret}", f"visible={self.visible}", f"endpoint={self.api.address}"]
        settings = [word for value in values for word in ("--set", value)]
        test = ("functions", "test", str(code), "--definitions", str(definitions), *settings)
        for way in WAYS:
            event = json.dumps({"type": "track", "event": way, "userId": "u", "messageId": f"by-hand-{way}"})
            for words in (("destinations", "invoke", "crm-web"), test):
                for kind in ("--verbose", "--json"):
                    ended = self.onward(*words, "--event", "-", kind, stdin=event)
                    self.told[f"{words[1]} {way} {kind}"] = ended.out + ended.err

    def _calls(self) -> Iterator[tuple[str, str]]:
        known = json.loads((self.onward.data / "client.json").read_text())
        trust = grpc.ssl_channel_credentials(Path(known["ca"]).read_bytes())
        deliveries = self._listed("deliveries")
        self.deliveries = {one["messageId"]: one["name"] for one in deliveries}
        own = {"delivery": deliveries, "audit": self._listed("audit")[:TRAIL_READ]}
        for service, modules in READ.items():
            names = [*RESOURCES, *(one["name"] for one in own.get(service, []))]
            with grpc.secure_channel(known["addresses"][service], trust) as channel:
                for who in ("operator_token", "owner"):
                    token = known["workspaces"]["acme"] if who == "owner" else known[who]
                    for method in reading(modules):
                        yield from _answers(channel, method, names, who, token)

    def _listed(self, kind: str) -> list[dict[str, Any]]:
        found = self.onward.json(kind, "list", "--limit", "100")
        return next(value for value in found.values() if isinstance(value, list))

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Follow deliveries and the trail meanwhile, as the tails tell them."""
        tails = {
            kind: subprocess.Popen(
                [ONWARD, kind, "tail", "--json"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment(self.onward.data),
            )
            for kind in ("deliveries", "audit")
        }
        try:
            yield
        finally:
            for kind, tail in tails.items():
                tail.terminate()
                self.told[f"{kind} tail"], _ = tail.communicate(timeout=STOP_TIMEOUT_S)


READ = {
    "registry": (
        *(workspace_service_pb2, operator_service_pb2, function_service_pb2, source_service_pb2),
        *(destination_service_pb2, status_service_pb2),
    ),
    "delivery": (delivery_service_pb2, status_service_pb2),
    "executor": (execution_service_pb2, status_service_pb2),
    "audit": (audit_service_pb2, status_service_pb2),
}
RESOURCES = (
    ACME,
    *(f"{ACME}/{name}" for name in ("members/owner", "members/ada", "functions/crm", "functions/crm/versions/2")),
    *(f"{ACME}/{name}" for name in ("sources/web", "destinations/crm-web")),
)
NAMING = ("name", "parent", "member", "function", "source", "destination", "resource")


def reading(modules: tuple[Any, ...]) -> Iterator[MethodDescriptor]:
    """The RPCs that read and end."""
    for module in modules:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                access = method.GetOptions().Extensions[access_pb2.access]
                if access.read_only and not method.server_streaming:
                    yield method


def _answers(
    channel: grpc.Channel, method: MethodDescriptor, names: list[str], who: str, token: str
) -> Iterator[tuple[str, str]]:
    request = message_factory.GetMessageClass(method.input_type)
    response = message_factory.GetMessageClass(method.output_type)
    call: Any = channel.unary_unary(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda one: one.SerializeToString(),
        response_deserializer=response.FromString,
    )
    named = [one for one in NAMING if one in method.input_type.fields_by_name]
    for name in names if named else [""]:
        try:
            answer = call(
                request(**dict.fromkeys(named, name)),
                metadata=[("authorization", f"Bearer {token}")],
                timeout=ANSWER_TIMEOUT_S,
            )
        except grpc.RpcError as error:
            yield f"{method.name} {name} refused to {who}", str(error)
        else:
            yield (
                f"{method.name} {name} to {who}",
                f"{answer}{answer.SerializeToString().decode(errors='surrogateescape')}",
            )
