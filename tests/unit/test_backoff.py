"""Tests of the delays between restarts."""

from kit.embedded.supervisor import Backoff


def test_the_delay_doubles_up_to_its_limit() -> None:
    backoff = Backoff(first_s=0.1, max_s=5.0)
    assert [backoff.delay_s(ran_for_s=0) for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_healthy_run_starts_it_anew() -> None:
    backoff = Backoff(first_s=0.1, max_s=5.0, healthy_s=30)
    backoff.delay_s(ran_for_s=0)
    backoff.delay_s(ran_for_s=29)
    assert backoff.delay_s(ran_for_s=30) == 0.1
    assert backoff.delay_s(ran_for_s=0) == 0.2
