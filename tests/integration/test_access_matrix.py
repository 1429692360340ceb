"""H1: every method, by everybody, on everything."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import structlog

from tests.integration.access_calls import Cells, cells
from tests.integration.access_world import AccessWorld, access_world, until_expired

pytestmark = pytest.mark.integration
# More would hide what the first few have in common.
SHOWN_MAX = 40


@pytest.fixture
async def access(database: str, nats_url: str) -> AsyncIterator[AccessWorld]:
    async with access_world(database, nats_url) as access:
        await until_expired(access)
        yield access


async def test_every_method_answers_everybody_with_the_code_of_the_table(access: AccessWorld) -> None:
    """H1, C10: every method x every principal x in and out of subset, deleted, missing, another workspace's."""
    every: list[tuple[str, Cells]] = [(principal, one) for one in cells() for principal in one.codes]
    answers = await access.ask_all([(principal, one.call) for principal, one in every])
    wrong = [
        f"{one.call.method} by {principal} on {one.target}: "
        f"{one.codes[principal]} expected, {answer.code} found ({answer.message})"
        for (principal, one), answer in zip(every, answers, strict=True)
        if answer.code != one.codes[principal]
    ]
    structlog.get_logger(__name__).info("matrix_checked", cells=len(every))
    assert not wrong, "\n".join([f"{len(wrong)} of {len(every)} cells are wrong:", *wrong[:SHOWN_MAX]])
