"""onward sources sample"""

from __future__ import annotations

import json
from typing import Literal

from cli.delivery_text import type_word
from cli.failures import CommandError, Exit, UsageError
from cli.options import DEFAULTS, Options
from cli.output import plain, print_json, print_table, say, say_code, when
from cli.session import Session
from onward.executor.v1 import execution_service_pb2 as pb
from onward.executor.v1 import execution_service_pb2_grpc as pb_grpc
from onward.executor.v1 import outcomes_pb2

# The executor's own limit.
SAMPLES_MAX = 100
COLUMNS = ("messageId", "received", "type", "~event")

Type = Literal["any", "track", "identify", "page", "screen", "group", "alias", "delete"]


async def sample(
    source: str,
    message_id: str = "",
    /,
    *,
    type: Type = "any",
    limit: int = 20,
    options: Options = DEFAULTS,
) -> None:
    """List the last events of a source as handlers get them, or print one, for a file.

    What the filters of the workspace or the source drop is left out.

    Example: onward sources sample web last > event.json

    Parameters
    ----------
    source
        The source's id.
    message_id
        Print this one's event and nothing else; "last" for the newest.
    type
        Only events of this type.
    limit
        How many at most, up to 100.
    """
    if not 1 <= limit <= SAMPLES_MAX:
        raise UsageError(f"--limit must be 1 to {SAMPLES_MAX}")
    async with Session(options) as session:
        if message_id:
            found = [await sample_of(session, f"{source}:{message_id}")]
        else:
            found = await _list(session, source, type, limit)
    if options.json:
        print_json({"events": [plain(one) | {"event": json.loads(one.event)} for one in found]})
    elif message_id:
        say_code(json.dumps(json.loads(found[0].event), indent=2, ensure_ascii=False))
    else:
        rows = [(one.message_id, when(one.receive_time), type_word(one.type), one.event_name) for one in found]
        print_table(COLUMNS, rows, empty=f"{source} has no event of the last days; what filters drop is not shown.")
        if found:
            say(f"One of them for a file: onward sources sample {source} {found[0].message_id} > event.json")


async def sample_of(session: Session, text: str) -> pb.SampleEvent:
    """The event that SOURCE, SOURCE:last or SOURCE:MESSAGE_ID means. Raises CommandError where there is none."""
    source, _, message_id = text.partition(":")
    found = await _list(session, source, "any", SAMPLES_MAX)
    wanted = [one for one in found if message_id in ("", "last", one.message_id)]
    if not wanted:
        what = f"the event {message_id} among its last {SAMPLES_MAX}" if message_id else "events that may be shown"
        raise CommandError(f"{source} does not have {what}: see `onward sources sample {source}`", Exit.NOT_FOUND)
    return wanted[0]


async def _list(session: Session, source: str, kind: Type, limit: int) -> list[pb.SampleEvent]:
    stub: pb_grpc.ExecutionServiceAsyncStub = pb_grpc.ExecutionServiceStub(session.as_member("executor"))
    request = pb.ListSampleEventsRequest(parent=session.name("sources", source), page_size=limit)
    if kind != "any":
        request.type = outcomes_pb2.EventType.Value(f"EVENT_TYPE_{kind.upper()}")
    return list((await stub.ListSampleEvents(request)).events)
