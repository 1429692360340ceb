"""onward doctor"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from rich.text import Text

from cli.client_file import ClientFile
from cli.diagnosis import Found, Target, ask_all, judge_clocks, judge_services, judge_versions
from cli.failures import Exit
from cli.local_checks import local_checks
from cli.options import DEFAULTS, Options
from cli.output import counted, plain, print_json, print_table, say, shown
from cli.session import read_authority
from kit.clock import SystemClock
from kit.release import onward_version
from kit.rpc.loopback import is_loopback
from kit.status.check import FAILURE, OK, WARNING, Check, failure, warning

SERVICES = ("registry", "delivery", "audit", "executor")
HERE = "here"
_WORDS = {OK: ("ok", "green"), WARNING: ("warning", "yellow"), FAILURE: ("failure", "bold red")}


async def doctor(*, options: Options = DEFAULTS) -> int:
    """Check everything: services, versions, durability, sandbox, clocks, disk, what lags; and say what to do.

    Works also where nothing runs. Asks as the operator: with the data folder's
    token, or --token.

    Exit codes: 0 nothing has failed (there may be warnings), 1 something has.

    Example: onward doctor
    """
    known, damage = _read(options)
    targets = _targets(options, known)
    found = await ask_all(targets, options.token or known.get("operator_token", ""), SystemClock())
    checks = [*((HERE, check) for check in damage), *_here(options, targets, found)]
    checks += judge_services(found, _start(options))
    # The sort is stable: within a level as they were asked for, but who serves comes first.
    checks.sort(key=lambda pair: (-pair[1].level, pair[1].name != "service"))
    if options.json:
        print_json(_as_json(found, checks))
    else:
        _print(found, checks)
    return Exit.FAILED if any(check.level == FAILURE for _, check in checks) else Exit.OK


def _read(options: Options) -> tuple[dict[str, Any], list[Check]]:
    file = ClientFile(options.data / "client.json")
    try:
        known = file.read()
    except (OSError, ValueError) as error:
        advice = "run `onward up` again; of another user's folder, name addresses and a token"
        return {}, [failure("client", f"{file.path} can't be used ({error})", advice)]
    if known.get("ca") and not options.ca and not Path(known["ca"]).is_file():
        # Without whom to trust, none of them could be asked.
        advice = "restart `onward up`, which makes certificates"
        return known | {"addresses": {}}, [failure("client", f"{known['ca']} is missing", advice)]
    return known, []


def _targets(options: Options, known: dict[str, Any]) -> list[Target]:
    named = {service: getattr(options, service) for service in SERVICES}
    targets = []
    for service in SERVICES:
        address = named[service] or known.get("addresses", {}).get(service, "")
        if address:
            # What the data folder trusts are its own services.
            ca = options.ca or ("" if named[service] else known.get("ca", ""))
            log = options.data / "logs" / f"{service}.log"
            told = "" if named[service] or not log.is_file() else str(log)
            targets.append(Target(service, address, _credentials(ca, address), told))
    return targets


def _credentials(ca: str, address: str) -> grpc.ChannelCredentials | None:
    if ca:
        return grpc.ssl_channel_credentials(read_authority(ca))
    return None if is_loopback(address) else grpc.ssl_channel_credentials()


def _start(options: Options) -> str:
    return "onward up" if options.data == DEFAULTS.data else f"onward up --data {options.data}"


def _here(options: Options, targets: Sequence[Target], found: Sequence[Found]) -> list[tuple[str, Check]]:
    """What is seen from this machine alone."""
    checks = local_checks(options.data, needed=not targets)
    answered = {one.target.service: one for one in found if one.answer is not None}
    if answered:
        checks.append(judge_clocks({service: one.ahead for service, one in answered.items()}))
        versions = {service: one.answer.version for service, one in answered.items() if one.answer is not None}
        checks.append(judge_versions({HERE: onward_version(), **versions}))
    missing = [service for service in SERVICES if service not in {target.service for target in targets}]
    if targets and missing:
        advice = " ".join(f"--{service} HOST:PORT" for service in missing)
        checks.append(warning("services", f"not asked, since no address is known: {', '.join(missing)}", advice))
    return [(HERE, check) for check in checks]


def _as_json(found: Sequence[Found], checks: Sequence[tuple[str, Check]]) -> dict[str, Any]:
    return {
        "services": [
            {
                "service": one.target.service,
                "address": one.target.address,
                "health": one.health,
                "version": one.answer.version if one.answer is not None else "",
            }
            for one in found
        ],
        "checks": [{"where": where, **plain(check)} for where, check in checks],
        "failures": _count(checks, FAILURE),
        "warnings": _count(checks, WARNING),
    }


def _count(checks: Sequence[tuple[str, Check]], level: int) -> int:
    return sum(check.level == level for _, check in checks)


@dataclass(slots=True)
class _Row:
    check: Check
    where: list[str]


def _merged(checks: Sequence[tuple[str, Check]]) -> list[_Row]:
    """Make one row of what several say in the same words."""
    rows: dict[bytes, _Row] = {}
    for where, check in checks:
        rows.setdefault(check.SerializeToString(), _Row(check, [])).where.append(where)
    return list(rows.values())


def _print(found: Sequence[Found], checks: Sequence[tuple[str, Check]]) -> None:
    rows = _merged(checks)
    said = {name: {where for where, check in checks if check.name == name} for name in {one.name for _, one in checks}}
    print_table(("is", "where", "check", "~found"), [_cells(row, said[row.check.name]) for row in rows])
    say(_summary(found, rows))


def _cells(row: _Row, said: set[str]) -> tuple[Text, str, str, Text]:
    """`said`: everybody who says something of this check."""
    word, style = _WORDS[row.check.level]
    everybody = len(row.where) > 1 and set(row.where) == said
    text = Text(shown(row.check.message))
    if row.check.advice:
        text.append(f"\n→ {shown(row.check.advice)}", style="bold")
    return Text(word, style=style), "all" if everybody else ",\n".join(row.where), row.check.name, text


def _summary(found: Sequence[Found], rows: Sequence[_Row]) -> str:
    serving = sum(one.health == "SERVING" for one in found)
    run = f"{counted(serving, 'service')} {'runs' if serving == 1 else 'run'}"
    if serving < len(found):
        run = f"{serving} of {counted(len(found), 'service')} run"
    wrong = [
        counted(number, noun)
        for level, noun in ((FAILURE, "failure"), (WARNING, "warning"))
        if (number := sum(row.check.level == level for row in rows))
    ]
    return f"{run}; {' and '.join(wrong)}: see the top." if wrong else f"{run}, and nothing is wrong."
