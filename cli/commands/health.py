"""onward health"""

from __future__ import annotations

from cli.commands.deliveries import delivery_stub, require_known
from cli.failures import Exit
from cli.health_text import COLUMNS, health_row, health_summary
from cli.options import DEFAULTS, Options
from cli.output import print_json, print_table, say
from cli.session import Session
from onward.delivery.v1 import health_pb2 as pb


async def health(*, destination: str = "", fail: bool = False, options: Options = DEFAULTS) -> int:
    """Show which destinations fail consistently, since when, at what rate, and with what.

    A destination is judged every five minutes: docs/alerts.md has the rules.

    Exit codes: 0 whatever is shown, 1 with --fail where one is unhealthy.

    Example: onward health --fail

    Parameters
    ----------
    destination
        Only this one.
    fail
        End with 1 where one is unhealthy, for scripts.
    """
    async with Session(options) as session:
        parent = session.name("destinations", destination) if destination else session.workspace_name
        found = await delivery_stub(session).GetHealth(pb.GetHealthRequest(parent=parent))
        if not found.destinations:
            await require_known(session, destination)
    if options.json:
        print_json(found)
    else:
        print_table(COLUMNS, [health_row(one) for one in found.destinations], empty="Nothing was attempted yet.")
        if found.destinations:
            say(health_summary(found.destinations))
    sick = any(one.state == pb.HEALTH_STATE_UNHEALTHY for one in found.destinations)
    return Exit.FAILED if fail and sick else Exit.OK
