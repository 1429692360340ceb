"""Enabling a destination from an earlier time on: what that would run is counted before it is asked for."""

from __future__ import annotations

from datetime import UTC, datetime

from cli.confirmation import confirm
from cli.durations import parse_moment
from cli.replay_text import count_words
from cli.session import Session
from onward.delivery.v1 import delivery_service_pb2 as delivery_pb
from onward.delivery.v1 import replay_service_pb2, replay_service_pb2_grpc, replays_pb2
from onward.registry.v1 import destination_service_pb2 as pb
from onward.registry.v1 import resources_pb2


def start_from(request: pb.EnableDestinationRequest, since: str) -> None:
    """Say from which events on. Raises UsageError."""
    if since in ("now", "disabled"):
        word = "NOW" if since == "now" else "SINCE_DISABLED"
        request.start = resources_pb2.EnableStart.Value(f"ENABLE_START_{word}")
        return
    request.start_time.FromDatetime(parse_moment(since, datetime.now(UTC)))
    request.start = resources_pb2.ENABLE_START_TIME


async def ask_about_skipped(session: Session, request: pb.EnableDestinationRequest, name: str, *, yes: bool) -> None:
    """Show how much it would be, and ask. Raises CommandError where the answer is no."""
    selection = replays_pb2.ReplaySelection(states=[delivery_pb.DELIVERY_STATE_SKIPPED])
    if request.HasField("start_time"):
        selection.start_time.CopyFrom(request.start_time)
    stub: replay_service_pb2_grpc.ReplayServiceAsyncStub = replay_service_pb2_grpc.ReplayServiceStub(
        session.as_member("delivery")
    )
    counted = await stub.CreateReplay(
        replay_service_pb2.CreateReplayRequest(destination=request.name, selection=selection, validate_only=True)
    )
    if counted.preview.count:
        # Since it was disabled is not known here: of all that was ever skipped and is kept, it is a part.
        most = "" if request.HasField("start_time") else "at most "
        confirm(f"Enable {name} and run {most}{count_words(counted.preview, 'skipped event')}?", yes=yes)
