"""The program `onward`: its commands, and how any of them ends."""

from __future__ import annotations

import os
import sys

from cyclopts import App, CycloptsError, Parameter


def _version() -> str:
    from kit.release import onward_version

    return onward_version()


# gRPC reads these when it is imported: no fork handlers, since our children exec at once, and no lines of its own
# on stderr among ours.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# Commands are named by import path, so that `onward --help` imports none of them.
app = App(
    name="onward",
    help="""Run destination functions: a few lines of JavaScript, given every customer event.

A first function, from nothing (the first command keeps running, so use two terminals):

    onward up
    onward workspaces create acme
    onward functions create alerts --template http-post
    onward sources create web
    onward destinations connect alerts web --enable \\
        endpoint=https://api.example.com/events
    onward events publish web events.ndjson
    onward deliveries summary

`onward demo` shows all of it at work in a minute. Every command takes --json, and --help with an example.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage or configuration, 3 not reachable, 4 not found, 130 interrupted.
""",
    help_format="plaintext",
    version=_version,
    default_parameter=Parameter(show_default=False, negative=""),
    suppress_keyboard_interrupt=False,
)
app.register_install_completion_command(help="Install completion for your shell.")
for order, (name, place, description) in enumerate(
    (
        ("up", "up:up", "Run Postgres, NATS and the four services until Ctrl-C."),
        ("demo", "demo:demo", "Show everything at work on a fresh data folder."),
        ("doctor", "doctor:doctor", "Check everything, and say what to do about what is wrong."),
        ("workspaces", "workspaces:app", "Create workspaces, change them, set their limits."),
        ("members", "members:app", "Add people and programs to a workspace."),
        ("roles", "roles:app", "Say what members may do."),
        ("tokens", "tokens:app", "Make and end the tokens of members."),
        ("whoami", "whoami:whoami", "Tell who you are, and what your token allows."),
        ("functions", "functions:app", "Write, save, compare and deploy functions."),
        ("sources", "sources:app", "Create sources of events, and write keys for their publishers."),
        ("destinations", "destinations:app", "Connect functions to sources, set and enable them."),
        ("filters", "filters:app", "Drop, thin out or redact events before functions see them."),
        ("events", "events:app", "Publish events to a source."),
        ("deliveries", "deliveries:app", "See what became of every event, and have what failed tried again."),
        ("replays", "replays:app", "Give events to a destination again."),
        ("health", "health:health", "See which destinations fail consistently."),
        ("alerts", "alerts:app", "Have a URL told of destinations that fail."),
        ("audit", "audit:app", "See who changed what, when."),
        ("keys", "keys:app", "Make and rotate the operator's keys."),
        ("certificates", "certificates:app", "Make the services' certificates."),
    ),
    1,
):
    # Where a command is asked for, the line here would hide its own help, with its example.
    asked = name in sys.argv[1:2]
    app.command(f"cli.commands.{place}", name=name, help=None if asked else description, sort_key=order)


# 128 + SIGINT, as shells have it.
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; errors are one line on stderr."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        return _usage(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - nobody is above us to see it
        return _failed(error, debug="--debug" in arguments)
    return code if isinstance(code, int) else 0


def _usage(error: CycloptsError) -> int:
    from cli.output import print_error

    line = " ".join(str(error).split())
    print_error(f"{line} See --help.")
    return 2


def _failed(error: BaseException, *, debug: bool) -> int:
    from asyncio import CancelledError

    from cli.failures import explain
    from cli.output import print_error

    if isinstance(error, CancelledError):
        # SIGTERM, to a command that ends in order.
        return INTERRUPTED
    if debug:
        raise error
    line, code = explain(error) or (f"{type(error).__name__}: {error}; run it again with --debug to see where", 1)
    print_error(line)
    return int(code)
