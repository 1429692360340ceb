"""Which audit events a command is about: the same options for each of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from cli.durations import parse_moment
from onward.audit.v1 import audit_service_pb2 as pb

OutcomeWord = Literal["any", "succeeded", "denied"]

_WHICH = Group("Which records", sort_key=5)


def _option(name: str, description: str) -> Parameter:
    return Parameter(name=name, help=description, group=_WHICH, show_default=False)


@Parameter(name="*")
@dataclass(frozen=True)
class Wanted:
    """What has to hold for all of them."""

    since: Annotated[str, _option("--since", "Only what was done from then on: 15m, 7d, 2026-03-01T12:00.")] = ""
    until: Annotated[str, _option("--until", "Only what was done before: 15m ago, 7d ago, or a time.")] = ""
    principal: Annotated[
        str, _option("--principal", "Only what this one did, member:ada, or was done with this, token:5f0c.")
    ] = ""
    action: Annotated[str, _option("--action", "Only this, such as VersionDeployed.")] = ""
    target: Annotated[
        str, _option("--target", "Only what was done to this, functions/alerts, or to this kind, functions.")
    ] = ""
    outcome: Annotated[OutcomeWord, _option("--outcome", "Only what ended so.")] = "any"
    text: Annotated[str, _option("--text", "Only with this in the target's name or id, or in who did it.")] = ""

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self == EVERYTHING

    def request(self) -> pb.ListAuditEventsRequest:
        """What to ask the service for. Raises UsageError."""
        request = pb.ListAuditEventsRequest(
            principal=self.principal,
            action=self.action,
            target=self.target,
            outcome=_outcome(self.outcome),
            text=self.text,
        )
        now = datetime.now(UTC)
        if self.since:
            request.start_time.FromDatetime(parse_moment(self.since, now))
        if self.until:
            request.end_time.FromDatetime(parse_moment(self.until, now))
        return request


EVERYTHING = Wanted()


def _outcome(word: OutcomeWord) -> pb.Outcome.ValueType:
    return pb.Outcome.Value("OUTCOME_" + ("UNSPECIFIED" if word == "any" else word.upper()))
