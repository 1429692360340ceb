"""The relay's back-off."""

from kit.clock import FakeClock
from kit.eventstore.hold import DELAY_MAX_S, HeldWorkspaces


def test_the_delay_doubles_up_to_its_bound_and_starts_again_after_a_success() -> None:
    held = HeldWorkspaces(FakeClock().monotonic)
    assert [held.hold("acme") for _ in range(7)] == [0.1, 0.2, 0.4, 0.8, 1.6, DELAY_MAX_S, DELAY_MAX_S]
    held.release("acme")
    assert held.hold("acme") == 0.1


def test_a_workspace_is_left_alone_until_its_delay_is_over() -> None:
    clock = FakeClock()
    held = HeldWorkspaces(clock.monotonic)
    held.hold("acme")
    assert held.names() == ["acme"]
    clock.advance(0.2)
    assert held.names() == []
    assert held.next_retry_s() == float("inf")
    assert len(held) == 1


def test_the_first_retry_decides_how_long_to_sleep() -> None:
    held = HeldWorkspaces(FakeClock().monotonic)
    held.hold("acme")
    held.hold("acme")
    held.hold("globex")
    assert round(held.next_retry_s(), 6) == 0.1
