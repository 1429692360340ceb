"""H1: every method, by everybody, on everything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence

import pytest
import structlog

from onward.registry.v1 import workspace_service_pb2 as wpb
from tests.integration.access_calls import OUTSIDE, ROWS, Cells, cells
from tests.integration.access_combined import combined, deleting, with_policy
from tests.integration.access_table import NEEDS
from tests.integration.access_world import ACME, AccessWorld, Answer, Call, access_world, until_expired

pytestmark = pytest.mark.integration
log = structlog.get_logger(__name__)
# More would hide what the first few have in common.
SHOWN_MAX = 40


@pytest.fixture
async def access(database: str, nats_url: str) -> AsyncIterator[AccessWorld]:
    async with access_world(database, nats_url) as access:
        await until_expired(access)
        yield access


async def tried(access: AccessWorld, every: Iterable[Cells]) -> list[tuple[str, Cells, Answer]]:
    """Each request by each principal, with its answer."""
    asked = [(principal, one) for one in every for principal in one.codes]
    answers = await access.ask_all([(principal, one.call) for principal, one in asked])
    log.info("cells_tried", cells=len(asked))
    return [(principal, one, answer) for (principal, one), answer in zip(asked, answers, strict=True)]


def wrong(found: Sequence[tuple[str, Cells, Answer]]) -> list[str]:
    """The cells that are not as the table has it."""
    return [
        f"{one.call.method} by {principal} on {one.target or '(no workspace)'}: "
        f"{one.codes[principal]} expected, {answer.code} found ({answer.message})"
        for principal, one, answer in found
        if answer.code != one.codes[principal]
    ]


def telling(found: Sequence[tuple[str, Cells, Answer]]) -> list[str]:
    """Answers from which somebody learns what exists, without the right to: those that differ by more than names."""
    groups: defaultdict[tuple[str, ...], dict[bytes, str]] = defaultdict(dict)
    for principal, one, answer in found:
        if principal in one.hidden:
            kind = "/".join(one.target.split("/")[::2])
            told = groups[one.call.method, principal, answer.code, kind]
            told.setdefault(without_name(answer, one.target), one.target)
    return [
        f"{method} tells {principal} {list(told.values())} apart: {list(told)}"
        for (method, principal, *_), told in groups.items()
        if len(told) > 1
    ]


def without_name(answer: Answer, target: str) -> bytes:
    """What is on the wire, without the workspace and the id asked for. Ids of a kind are of one length."""
    kept = answer.status
    for part in target.split("/")[1::2]:
        kept = kept.replace(f"/{part}".encode(), b"/*")
    return kept


def report(problems: Sequence[str]) -> str:
    return "\n".join([f"{len(problems)} are wrong:", *problems[:SHOWN_MAX]])


def test_every_method_of_the_registry_is_in_the_matrix() -> None:
    """H1: whoever adds one says who may call it, and it is tried."""
    called = {f"registry.{one.method}" for one in ROWS} | {f"registry.{one}" for one in OUTSIDE}
    called |= {one.call.method for one in combined()}
    assert called == {one for one in NEEDS if one.startswith("registry.")}


# Some 8,000 calls: 20 s on a machine that does nothing else.
@pytest.mark.timeout(600)
async def test_every_call_is_answered_as_the_table_says_and_tells_nobody_what_exists(access: AccessWorld) -> None:
    """H1, C10: every method x every principal x in and out of subset, deleted, missing, another workspace's."""
    found = await tried(access, [*cells(), *combined()])
    problems = wrong(found)
    assert not problems, report(problems)
    leaks = telling(found)
    assert not leaks, report(leaks)


async def test_a_function_goes_with_its_destinations_only_by_who_administers_all_their_sources(
    access: AccessWorld,
) -> None:
    """H1: needs more than its method declares."""
    one = deleting()
    problems = wrong(await tried(access, [one]))
    assert not problems, report(problems)
    assert (await access.ask("owner", one.call)).code == "OK"


async def test_the_policy_opens_functions_to_every_member_and_nothing_else(access: AccessWorld) -> None:
    """H1: `members_may_edit_functions`."""
    opened = Call(
        "registry.WorkspaceService.UpdateWorkspace",
        wpb.UpdateWorkspaceRequest(name=ACME, members_may_edit_functions=True),
    )
    assert (await access.ask("owner", opened)).code == "OK"
    problems = wrong(await tried(access, with_policy()))
    assert not problems, report(problems)
