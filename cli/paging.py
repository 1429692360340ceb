"""Lists whose pages are fetched as they are needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from cli.failures import UsageError

Fetch = Callable[[int, str], Awaitable[Any]]
"""Given page size and page token, answers with a page."""

# The services give 1000 at most.
PAGE_SIZE_MAX = 1000


def check_limit(limit: int) -> None:
    """Raise UsageError for a --limit that nothing fits into."""
    if limit < 1:
        raise UsageError("--limit must be greater than 0")


def paged(method: Callable[[Any], Awaitable[Any]], request: Any) -> Fetch:
    """Give the pages of a method whose request has `page_size` and `page_token`."""

    def fetch(size: int, token: str) -> Awaitable[Any]:
        request.page_size, request.page_token = size, token
        return method(request)

    return fetch


async def collect(fetch: Fetch, field: str, limit: int | None = None) -> list[Any]:
    """Fetch pages until the list ends or `limit` items are there. `fetch` is given page size and token."""
    return [item async for item in pages(fetch, field, limit)]


async def pages(fetch: Fetch, field: str, limit: int | None = None) -> AsyncIterator[Any]:
    """Give the items of the repeated field `field`, page by page."""
    token, given = "", 0
    while limit is None or given < limit:
        size = PAGE_SIZE_MAX if limit is None else min(PAGE_SIZE_MAX, limit - given)
        page = await fetch(size, token)
        for item in getattr(page, field):
            yield item
            given += 1
        token = page.next_page_token
        if not token:
            return
