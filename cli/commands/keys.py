"""onward keys"""

from __future__ import annotations

from cyclopts import App
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cli.commands.workspaces import operator_stub
from cli.confirmation import Yes, confirm
from cli.failures import UsageError
from cli.operator_keys import add_operator_key, retire_operator_keys
from cli.options import DEFAULTS, Options
from cli.output import counted, error_console, print_json, print_table, say, tell
from cli.session import Session
from kit.ids import uuid7
from onward.registry.v1 import operator_service_pb2 as pb

app = App(name="keys", help="See, make and rotate the operator's keys, which wrap all others.")

# Of one call: an eighth of a second's work, so that the progress moves.
REWRAPPED_A_CALL = 250


@app.command
async def status(*, options: Options = DEFAULTS) -> None:
    """Show which of the operator's keys wrap how many data keys.

    Example: onward keys status
    """
    async with Session(options) as session:
        found = await operator_stub(session).GetKeyStatus(pb.GetKeyStatusRequest())
    if options.json:
        print_json(found)
        return
    rows = [(one.key_id, _role(one, found.current_key_id), one.data_keys) for one in found.keys]
    print_table(("key", "~is", ">wraps data keys"), rows)
    if found.behind:
        say(f"{counted(found.behind, 'data key')} behind: onward keys rotate")


def _role(key: pb.KeyStatus, current: str) -> str:
    if key.key_id == current:
        return "the current one"
    return "an older one" if key.configured else "missing: what it wraps can't be read"


@app.command
async def rotate(*, options: Options = DEFAULTS) -> None:
    """Wrap all data keys by the current key of the operator's; nothing stops, and a second call goes on.

    Example: onward keys rotate
    """
    rewrapped = 0
    console = error_console()
    columns = (TextColumn("wrapping data keys"), BarColumn(bar_width=24), MofNCompleteColumn())
    async with Session(options) as session:
        stub = operator_stub(session)
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("", total=None)
            while True:
                answer = await stub.RotateKeys(pb.RotateKeysRequest(limit=REWRAPPED_A_CALL, request_id=uuid7()))
                rewrapped += answer.rewrapped
                progress.update(task, completed=rewrapped, total=rewrapped + answer.behind)
                if not answer.behind or not answer.rewrapped:
                    break
    answer.rewrapped = rewrapped
    tell(answer, *_rotated(answer), as_json=options.json)


def _rotated(answer: pb.RotateKeysResponse) -> list[str]:
    if answer.behind:
        return [f"{answer.behind} can't be wrapped anew: the registry lacks their key; `onward keys status` names it."]
    rewrapped = counted(answer.rewrapped, "data key")
    return [
        f"The key {answer.key_id} wraps every data key; {rewrapped} wrapped anew, 0 are behind.",
        "Next: take the older keys away (of `onward up`: onward keys retire), and restart registry and executors.",
        "Keep an older key as long as backups from its time.",
    ]


@app.command
def make(*, options: Options = DEFAULTS) -> None:
    """Make a new operator's key for `onward up` in its data folder; in use from its next start on.

    Example: onward keys make --data ./onward-data
    """
    if not options.data.is_dir():
        raise UsageError(f"there is no data folder {options.data}: name that of an `onward up` with --data")
    add_operator_key(options.data)
    tell(
        {"data": str(options.data)},
        f"Made a new key in {options.data}; the one before is kept beside it.",
        "Next: restart `onward up`, then: onward keys rotate",
        as_json=options.json,
    )


@app.command
async def retire(*, yes: Yes = False, options: Options = DEFAULTS) -> None:
    """Delete older keys of `onward up`'s data folder that wrap nothing any more.

    Backups from a key's time can't be read without it.

    Example: onward keys retire --yes
    """
    async with Session(options) as session:
        found = await operator_stub(session).GetKeyStatus(pb.GetKeyStatusRequest())
    unused = [one.key_id for one in found.keys if not one.data_keys and one.key_id != found.current_key_id]
    if unused:
        confirm(f"Delete for good the older {'keys' if len(unused) > 1 else 'key'} {', '.join(unused)}?", yes=yes)
    retired = retire_operator_keys(options.data, unused)
    told = "There is no older key that wraps nothing."
    if retired:
        told = f"Deleted {counted(retired, 'key')}; the next start of `onward up` goes without."
    tell({"retired": retired}, told, as_json=options.json)
