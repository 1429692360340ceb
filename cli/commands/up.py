"""onward up"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

from cli.console_log import show_warnings
from cli.options import DEFAULTS, Options
from cli.output import console, print_json_line, print_table, say
from cli.stack import SERVICES, Endpoints, Stack

WORDS = {
    "postgres": "database, on a unix socket",
    "nats": "events in, facts",
    "registry": "workspaces, functions, destinations",
    "executor": "runs functions",
    "delivery": "retries, results",
    "audit": "who changed what",
}


async def up(*, plaintext: bool = False, options: Options = DEFAULTS) -> int:
    """Run Postgres, NATS and the four services from one data folder until Ctrl-C.

    The folder is made where it does not exist; everything is kept in it and goes
    on at the next start.

    Services speak TLS with certificates that are made here, and renewed at a
    start.

    Example: onward up --data ./onward-data

    Parameters
    ----------
    plaintext
        Without TLS, for a look at the traffic; everything stays on the loopback in any case.
    """
    show_warnings()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if not options.json:
        say(f"Starting Postgres, NATS and {len(SERVICES)} services in {options.data}…")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(_run(options, plaintext))
        stopping = group.create_task(stop.wait())
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await _end(running, options)
        stopping.cancel()
    return 0


async def _end(running: asyncio.Task[None], options: Options) -> None:
    if not options.json:
        say("Stopping…")
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    if not options.json:
        say("Stopped; everything is kept.")


async def _run(options: Options, plaintext: bool) -> None:
    async with Stack(options.data, plaintext=plaintext) as stack:
        if options.json:
            print_json_line(_as_json(stack))
        else:
            _print_ready(stack)
        # Servers that end are started again; one that refuses its configuration never will.
        raise await stack.supervisor.refusal()


def _as_json(stack: Stack) -> dict[str, object]:
    assert stack.ends is not None
    pids = {name: stack.pid(name) for name in ("postgres", "nats", *SERVICES)}
    return {
        "data": str(stack.data.resolve()),
        "addresses": dict(stack.ends.addresses),
        "nats": stack.ends.nats_url,
        "ca": str(stack.ends.ca or ""),
        "pids": pids,
    }


def _print_ready(stack: Stack) -> None:
    assert stack.ends is not None
    where = {"nats": stack.ends.nats_url, **stack.ends.addresses}
    rows = [(name, where.get(name), stack.pid(name), WORDS[name]) for name in ("postgres", "nats", *SERVICES)]
    print_table(("part", "address", ">pid", "~does"), rows)
    data = "" if stack.data == DEFAULTS.data else f" --data {stack.data}"
    say(_trust(stack.ends))
    known = sorted(stack.client_file.read().get("workspaces", {}))
    say(f"Ready. Everything is in {stack.data.resolve()}, logs are in its folder logs.")
    if known:
        say(f"Workspaces: {', '.join(known)}. In another terminal: onward deliveries summary{data}")
    else:
        say(f"In another terminal: onward workspaces create acme{data}")
    console().print("Press Ctrl-C to stop.", style="dim")


def _trust(ends: Endpoints) -> str:
    if ends.ca is None:
        return "Nothing is encrypted, since --plaintext was given."
    address = ends.addresses["registry"]
    return f"Services speak TLS; other clients need {ends.ca}, such as grpcurl -cacert {ends.ca} {address} list"
