"""onward destinations invoke"""

from __future__ import annotations

from cli.commands.samples import sample_of
from cli.commands.trials import SLACK_S, Event, Verbose, check_event, execution_stub
from cli.failures import Exit
from cli.options import DEFAULTS, Options
from cli.output import print_json
from cli.run_text import Code, print_report, went_well
from cli.session import Session
from cli.trial_input import TIMEOUT_MAX_MS, TrialInput
from kit.ids import uuid7
from onward.executor.v1 import execution_service_pb2 as pb


async def invoke(
    name: str,
    /,
    *,
    event: Event = "",
    sample: str = "",
    verbose: Verbose = False,
    options: Options = DEFAULTS,
) -> int:
    """Have a destination handle one event now, enabled or not, with its version, settings and filters.

    Requests really leave. It is not counted among the deliveries and not retried;
    the audit trail tells who asked for it. The exit code is 0 where the event was
    delivered or filtered, 1 where the handler failed.

    Example: onward destinations invoke alerts-web --event event.json

    Parameters
    ----------
    name
        The destination's id.
    event
        A file with one event; - is stdin.
    sample
        Instead of --event: SOURCE for its last event, or SOURCE:MESSAGE_ID.
    verbose
        Show headers and bodies of requests.
    """
    check_event(event, sample)
    given = TrialInput.of(None, event, None, [], 0)
    async with Session(options) as session:
        text = (await sample_of(session, sample)).event if sample else given.event_text()
        request = pb.InvokeDestinationRequest(name=session.name("destinations", name), event=text, request_id=uuid7())
        answer = await execution_stub(session).InvokeDestination(request, timeout=TIMEOUT_MAX_MS / 1000 + SLACK_S)
    if options.json:
        print_json(answer)
    else:
        print_report(answer.report, Code(name, version=answer.version), verbose=verbose)
    return Exit.OK if went_well(answer.report) else Exit.FAILED
