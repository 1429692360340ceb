"""What is read of a worker's last console lines, whatever it has written there."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.handlers.judgement import Loss, lost_outcome
from services.executor.runtime.jobs import Limits, LogLine
from services.executor.runtime.journal import CELL_BYTES, HALF_BYTES, HALVES_AT, lines_by_seq

LIMITS = Limits(wall_ms=5_000, cpu_ms=1_000)


def entry(seq: int, text: str) -> bytes:
    units = text.encode("utf-16-le", "surrogatepass")
    return struct.pack("<3H", seq & 0xFFFF, seq >> 16, len(units) // 2) + units


def cell(first: bytes, second: bytes = b"", newer: int = 0) -> bytes:
    memory = bytearray(CELL_BYTES)
    struct.pack_into("<3i", memory, 40, len(first) // 2, len(second) // 2, newer)
    memory[HALVES_AT : HALVES_AT + len(first)] = first
    memory[HALVES_AT + HALF_BYTES : HALVES_AT + HALF_BYTES + len(second)] = second
    return bytes(memory)


def test_lines_are_told_apart_by_attempt() -> None:
    written = entry(1, "log 10 one ä😀") + entry(70_000, "warn 11 other") + entry(1, "error 12 ")
    found = lines_by_seq(cell(written))
    assert found[1] == [LogLine("log", 10, "one ä😀"), LogLine("error", 12, "")]
    assert found[70_000] == [LogLine("warn", 11, "other")]


def test_the_older_half_comes_first() -> None:
    found = lines_by_seq(cell(entry(1, "log 2 new"), entry(1, "log 1 old"), newer=0))
    assert [line.text for line in found[1]] == ["old", "new"]


def test_half_a_pair_of_surrogates_is_replaced() -> None:
    assert lines_by_seq(cell(entry(1, "log 1 a\ud83d")))[1][0].text == "a\N{REPLACEMENT CHARACTER}"


@given(st.binary(max_size=400), st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
def test_nonsense_of_a_worker_is_no_error(data: bytes, count: int, newer: int) -> None:
    memory = bytearray(cell(data + b"\0" * (len(data) % 2)))
    struct.pack_into("<3i", memory, 40, count, count, newer)
    assert all(isinstance(line, LogLine) for lines in lines_by_seq(bytes(memory)).values() for line in lines)


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (Loss("timeout", 1_200_000, 1_000_500), "used up its CPU time of 1 s"),
        (Loss("timeout", 5_000_100, 300_000), "did not settle within 5 s"),
        (Loss("timeout", 5_000_100), "did not settle within 5 s"),
        (Loss("timeout", 1_200_000), "it may take 5 s, 1 s of it CPU time"),
        (Loss("out_of_memory"), "it may use 64 MiB of heap"),
        (Loss("lost"), "the worker that ran the function was lost"),
    ],
)
def test_a_loss_says_which_limit_it_was(loss: Loss, told: str) -> None:
    outcome = lost_outcome(loss, LIMITS)
    assert outcome.error is not None
    assert told in outcome.error.message
    assert (outcome.wall_us, outcome.cpu_us) == (loss.wall_us, loss.cpu_us)
