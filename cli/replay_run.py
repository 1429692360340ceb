"""Making a replay or a redrive: counted first, asked about where it is many, followed where that is wished."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from cli.options import Options
from cli.output import last_part, print_json, print_json_line, say, tell
from cli.replay_text import ask, count_words, follow, result_line, say_begun
from kit.ids import uuid7
from onward.delivery.v1 import replay_service_pb2 as pb
from onward.delivery.v1 import replay_service_pb2_grpc as pb_grpc


async def run(
    stub: pb_grpc.ReplayServiceAsyncStub,
    call: Callable[[Any], Awaitable[Any]],
    request: pb.CreateReplayRequest | pb.RedriveDeliveriesRequest,
    what: str,
    options: Options,
    *,
    dry_run: bool,
    watch: bool,
    yes: bool,
) -> None:
    """Make it; `what` names what it runs again. Raises CommandError where the answer is no."""
    destination = last_part(request.destination)
    request.validate_only = True
    counted = await call(request)
    if dry_run:
        words = count_words(counted.preview, what)
        tell(counted, f"It would run {words} again for {destination}.", as_json=options.json)
        return
    if not counted.preview.count and not counted.preview.is_estimate:
        tell(counted, f"There is no {what} to run again for {destination}.", as_json=options.json)
        return
    ask(counted.preview, what, destination, yes=yes)
    request.validate_only, request.request_id = False, uuid7()
    made = await call(request)
    if watch:
        await watched(stub, made.replay.name, options)
    elif options.json:
        print_json(made)
    else:
        say_begun(made.replay, made.preview, what)


async def watched(stub: pb_grpc.ReplayServiceAsyncStub, name: str, options: Options) -> None:
    """Follow it until it has ended."""
    answers = stub.WatchReplay(pb.WatchReplayRequest(name=name))
    if options.json:
        async for answer in answers:
            print_json_line(answer.replay)
        return
    say(result_line(await follow(answers)))
