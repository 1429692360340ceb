"""onward audit leaked"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from cli.commands.members import workspace_stub
from cli.options import DEFAULTS, Options
from cli.output import Cell, counted, last_part, print_json, print_table, say, styled, when
from cli.secret_input import Kind, read_secret
from cli.session import Session
from kit.ids import uuid7
from onward.registry.v1 import workspace_service_pb2 as pb

COLUMNS = ("destination", "setting", "set at", "now")
# More lines would push the table off the screen, and all of them say the same.
HINTS_MAX = 10


async def leaked(*, type: Annotated[Kind, Parameter(name="--type")] = "string", options: Options = DEFAULTS) -> None:
    """Tell where a value that leaked is, or was, an encrypted setting.

    It is read from stdin (< FILE), or asked for without being shown, so that no
    shell's history keeps it. Owners alone may ask, and the trail tells that they
    did. Only whole values are found, not parts of them and not plain settings.

    Example: onward audit leaked

    Parameters
    ----------
    type
        What the setting is: string, or list or map, which are given as JSON.
    """
    async with Session(options) as session:
        parent = session.workspace_name
        request = pb.FindSecretRequest(parent=parent, value=read_secret(type), request_id=uuid7())
        answer = await workspace_stub(session).FindSecret(request)
    if options.json:
        print_json(answer)
        return
    if not answer.found:
        say(f"This value was never an encrypted setting of {last_part(parent)}.")
        say("Plain settings, and parts of values, are not looked at.", style="dim")
        return
    print_table(COLUMNS, [_row(one) for one in answer.uses])
    for line in leaked_lines(answer):
        say(line)


def _row(one: pb.SecretUse) -> tuple[Cell, ...]:
    now = styled(("current", "red") if one.current else ("gone", "dim"))
    return (last_part(one.destination), one.setting, when(one.set_time), now)


def leaked_lines(answer: pb.FindSecretResponse) -> Iterator[str]:
    """Give what to know and to do besides the table."""
    if answer.found > len(answer.uses):
        yield f"It was set {counted(answer.found, 'time')}: shown are those that are current, and the latest others."
    current = [one for one in answer.uses if one.current]
    if current:
        first = current[0]
        yield f"It is in use in {counted(len(current), 'place')}; replace it there, such as by:"
        yield f"  onward destinations set {last_part(first.destination)} {first.setting}=@new-value.txt"
    else:
        yield "It is in use nowhere any more."
    yield "Who set it:"
    destinations = list(dict.fromkeys(last_part(one.destination) for one in answer.uses))
    for destination in destinations[:HINTS_MAX]:
        yield f"  onward audit list --action SettingsChanged --target destinations/{destination}"
    if len(destinations) > HINTS_MAX:
        yield f"  and so on for {counted(len(destinations) - HINTS_MAX, 'other destination')}"
