"""The story of docs/testing-functions.md: `python -m tests.e2e.testing_functions` writes the page from a run."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from kit.testing.eventually import eventually
from kit.testing.servers import run_now, short_lived_folder
from tests.e2e.onward_program import Api, Onward, running
from tests.e2e.transcript import Step, Transcript

PAGE = Path(__file__).resolve().parents[2] / "docs/testing-functions.md"
# What stands on the page for the address of the test's own API.
SHOWN_API = "http://127.0.0.1:8080"

CODE = """\
async function onTrack(event, settings) {
  const response = await fetch(`${settings.endpoint}/contacts`, {
    method: 'POST',
    headers: { authorization: `Bearer ${settings.apiKey}` },
    body: JSON.stringify({ email: event.properties.email }),
  })
  console.log('answered with', response.status)
  return { contact: response.contact.id }
}
"""
FIXED = CODE.replace("{ contact: response.contact.id }", "{ sent: event.properties.email, status: response.status }")
BATCH = """\
async function onBatch(events, settings) {
  return events.map((event) => ({
    status: event.properties.email ? 200 : 422,
    errormessage: event.properties.email ? '' : 'no email',
  }))
}
"""
DEFINITIONS = '[{"name": "endpoint", "required": true}, {"name": "apiKey", "required": true, "encrypted": true}]\n'
ADA = {"type": "track", "event": "Signed Up", "userId": "u1", "properties": {"email": "ada@example.com"}}
NOBODY = {**ADA, "userId": "u2", "properties": {}}

INTRODUCTION = """\
# Testing functions

A function can be tried before anything is saved: in the sandbox that production has, with its limits, against an event
that you give. Requests really leave; nothing of a run is kept. This page is the record of a run:
`python -m tests.e2e.testing_functions` writes it anew, and a test sees that every command still does what is said here.
The function in `crm.js` sends each sign-up to an API:

```js
{code}```

`settings.json` says which settings it has, `event.json` is an event to try it with:

```json
{definitions}
{event}
```"""

LOCAL = """\
## On your own machine

`run-local` needs no server. `--set` gives test values; what is defined as encrypted is masked wherever it comes up.
`--allow-private` opens 127.0.0.1 and private networks, which are closed otherwise."""

FAILED = """\
It failed, and the report says where, with the lines of the file, the console, and each request with its answer. The
exit code is 1. A `Response` has no `contact`, so that line is changed. With `--watch` the command stays, and runs again
whenever a file is saved."""

MORE = """\
`--verbose` shows headers and bodies, and `--json` prints all of it for programs. Credentials are masked in both."""

SERVER = """\
## On the server

`test` runs code where production runs it, with the address ranges of the workspace. It takes a file, or a function for
its newest version, or `FUNCTION@VERSION`. Who may change only some functions names the one that a file is code of with
`--function`."""

SAMPLES = """\
## With events that really came

The last hundred events of a source are there to try code with, as the filters of the workspace and the source leave
them. That takes Source Admin of the source beside Functions Admin of the function."""

BATCHES = """\
## Batches

An array of events goes to `onBatch`, and the report tells what each of them would become. `batch.js` answers for each
event by itself:

```js
{batch}```"""

INVOKING = """\
## A destination, by hand

`invoke` gives one event to a destination, enabled or not, with its version, its settings and its filters. It is not
counted among the deliveries and never retried. The trail tells who asked."""

EDITORS = """\
## In your editor

`onward functions types > onward.d.ts` writes the types of all that functions find. Comments tell editors that know
TypeScript, such as VS Code, where they belong; completion and checks follow:

```js
// @ts-check
/// <reference path="./onward.d.ts" />

/** @param {TrackEvent} event @param {OnwardSettings} settings */
async function onTrack(event, settings) {
  console.log(event.event.toUpperCase())
}
```

The other events are `IdentifyEvent`, `PageEvent`, `ScreenEvent`, `GroupEvent`, `AliasEvent` and `DeleteEvent`;
`onBatch` gets `OnwardEvent[]`. An object of handlers takes one comment:
`/** @type {OnwardHandlers} */ module.exports = { async onTrack(event, settings) { } }`.

TypeScript 5 needs nothing else; where globals of browsers get in the way, as in TypeScript 7, `jsconfig.json` has to
say `"lib": ["esnext"]`. A package whose types are not installed beside the file is `any`. For more,
`npm install --save-dev aws-sdk @types/lodash @types/oauth @types/xml @types/node`, and turn `skipLibCheck` on, since
some of these declare the same globals."""


class Story:
    """Runs it on a stack with nothing in it, and an API that answers everything with 200."""

    def __init__(self, onward: Onward, folder: Path, api: Api) -> None:
        self.transcript = Transcript(onward.data, folder)
        self._onward = onward
        self._folder = folder
        self._api = api

    def run(self) -> None:
        self._write("crm.js", CODE)
        self._write("settings.json", DEFINITIONS)
        self._write("event.json", json.dumps(ADA) + "\n")
        self._write("events.json", json.dumps([ADA, NOBODY]) + "\n")
        self._write("batch.js", BATCH)
        self._write("key.txt", "sk-1f3e5a7c9b\n")
        told = INTRODUCTION.format(code=CODE, definitions=DEFINITIONS.strip(), event=json.dumps(ADA))
        self.transcript.tell(told)
        self._locally()
        self._on_the_server()
        self._with_samples()
        self._in_batches()
        self._by_hand()
        self.transcript.tell(EDITORS)

    def _locally(self) -> None:
        self.transcript.tell(LOCAL)
        local = "functions run-local crm.js --event event.json --definitions settings.json --allow-private"
        self._do(f"{local} --set endpoint={self._api.address} --set apiKey=@key.txt")
        self.transcript.tell(FAILED)
        self._write("crm.js", FIXED)
        self._do(f"{local} --set endpoint={self._api.address} --set apiKey=@key.txt --verbose")
        self.transcript.tell(MORE)

    def _on_the_server(self) -> None:
        self.transcript.tell(SERVER)
        self._do("workspaces create acme", "workspaces allow-egress 127.0.0.0/8", "functions create crm")
        self._do("functions save crm crm.js --definitions settings.json")
        self._do(f"functions test crm --event event.json --set endpoint={self._api.address} --set apiKey=@key.txt")

    def _with_samples(self) -> None:
        self.transcript.tell(SAMPLES)
        self._write("web.ndjson", f"{json.dumps(NOBODY)}\n{json.dumps(ADA)}\n")
        self._do("sources create web", "events publish web web.ndjson")
        run_now(eventually(lambda: len(self._onward.json("sources", "sample", "web")["events"]) == 2))
        self._do("sources sample web")
        self._do(f"functions test crm --sample web --set endpoint={self._api.address} --set apiKey=@key.txt")

    def _in_batches(self) -> None:
        self.transcript.tell(BATCHES.format(batch=BATCH))
        self._do("functions test batch.js --event events.json")

    def _by_hand(self) -> None:
        self.transcript.tell(INVOKING)
        self._do(f"destinations connect crm web endpoint={self._api.address} apiKey=@key.txt")
        self._do("destinations invoke crm-web --event event.json")
        recorded = ("audit", "list", "--action", "DestinationInvoked")
        run_now(eventually(lambda: self._onward.json(*recorded)["auditEvents"], 20.0))
        self._do(" ".join(recorded))

    def _write(self, name: str, content: str) -> None:
        (self._folder / name).write_text(content)

    def _do(self, *commands: str) -> Step:
        """Run commands; gives the last one."""
        for command in commands:
            last = self.transcript.run("", "", f"onward {command}", *shlex.split(command))
        return last


def main() -> None:
    with short_lived_folder() as folder, running(folder / "data") as onward, Api().listening() as api:
        story = Story(onward, folder, api)
        story.run()
        text = story.transcript.markdown().replace(f"{folder}/data", "onward-data").replace(api.address, SHOWN_API)
    PAGE.write_text(text)
    sys.stdout.write(f"{PAGE}: {len(story.transcript.steps)} commands\n")


if __name__ == "__main__":
    main()
