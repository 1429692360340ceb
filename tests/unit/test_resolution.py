"""Names to addresses: one flight a name, and no workspace's slow names before another's."""

from __future__ import annotations

import asyncio

from services.executor.runtime.resolution import PER_WORKSPACE_MAX, Resolver


class Names:
    """A name server that answers when it is told to; names that begin with "quick" at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = asyncio.Event()

    async def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        if not host.startswith("quick"):
            await self.answer.wait()
        return ["192.0.2.1"]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_slow_names_of_one_workspace_hold_up_no_other() -> None:
    names = Names()
    resolver = Resolver(names)
    slow = [asyncio.ensure_future(resolver.addresses(f"slow{n}.test", "evil")) for n in range(50)]
    await turns()
    assert len(names.asked) == PER_WORKSPACE_MAX
    assert await resolver.addresses("quick.test", "good") == ["192.0.2.1"]
    names.answer.set()
    assert await asyncio.gather(*slow) == [["192.0.2.1"]] * 50
    await resolver.close()


async def test_what_nobody_waits_for_any_more_is_not_asked() -> None:
    names = Names()
    resolver = Resolver(names)
    slow = [asyncio.ensure_future(resolver.addresses(f"slow{n}.test", "acme")) for n in range(50)]
    await turns()
    for one in slow:
        one.cancel()
    await turns()
    again = asyncio.ensure_future(resolver.addresses("slow49.test", "acme"))
    await turns()
    names.answer.set()
    assert await again == ["192.0.2.1"]
    # Those that had begun when all were cancelled, and the one that somebody asked for again.
    assert names.asked == [*(f"slow{n}.test" for n in range(PER_WORKSPACE_MAX)), "slow49.test"]
    await resolver.close()


async def test_many_who_ask_for_one_name_ask_once() -> None:
    names = Names()
    resolver = Resolver(names)
    asking = [asyncio.ensure_future(resolver.addresses("api.test", "acme")) for _ in range(20)]
    await turns()
    asking[0].cancel()
    names.answer.set()
    assert await asyncio.gather(*asking[1:]) == [["192.0.2.1"]] * 19
    assert await resolver.addresses("api.test", "another") == ["192.0.2.1"]
    assert names.asked == ["api.test"]
    await resolver.close()
