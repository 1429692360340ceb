"""Numbers of system calls: a wrong one would allow another call than the one that is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.executor.runtime.lockdown import ARCHITECTURES
from services.executor.runtime.probes import NUMBERS

HEADERS = {
    "x86_64": [Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")],
    # What ARM64 has is what the kernel calls generic.
    "aarch64": [Path("/usr/include/asm-generic/unistd.h")],
}
# Read once out of Linux 6.1's headers, for machines that have none.
KNOWN = {
    "x86_64": {"read": 0, "mmap": 9, "clone": 56, "execve": 59, "futex": 202, "seccomp": 317, "rseq": 334},
    "aarch64": {"read": 63, "mmap": 222, "clone": 220, "execve": 221, "futex": 98, "seccomp": 277, "rseq": 293},
}
# The generic header names these by what they are on a 64-bit machine in a macro of their own.
_GENERIC_64 = {"3264_lseek": "lseek", "3264_fstat": "fstat", "3264_mmap": "mmap"}
# ARM64 makes processes by `clone` alone, and has no `time`, no `poll`.
_NOT_GENERIC = {"fork", "vfork", "time", "poll"}


def _numbers(machine: str) -> dict[str, int]:
    for header in HEADERS[machine]:
        if header.is_file():
            found = re.findall(r"^#define __NR(?:_|(?=3264))(\w+)\s+(\d+)\s*$", header.read_text(), re.MULTILINE)
            return {_GENERIC_64.get(name, name): int(number) for name, number in found}
    pytest.skip("linux-libc-dev is not installed, so there are no headers to compare with")


@pytest.mark.parametrize("machine", HEADERS)
def test_every_number_is_the_kernels(machine: str) -> None:
    """E22"""
    kernels = _numbers(machine)
    for ours in (ARCHITECTURES[machine].numbers, NUMBERS[machine]):
        assert {name: kernels.get(name) for name in ours} == ours


@pytest.mark.parametrize("machine", HEADERS)
def test_the_numbers_that_everything_rests_on_are_right_without_headers_too(machine: str) -> None:
    numbers = ARCHITECTURES[machine].numbers
    assert {name: numbers[name] for name in KNOWN[machine]} == KNOWN[machine]


def test_both_machines_allow_the_same() -> None:
    """What one machine has under no name at all is named here."""
    one, other = (set(ARCHITECTURES[machine].numbers) for machine in HEADERS)
    assert one - other == _NOT_GENERIC
    assert other - one == set()
    assert set(NUMBERS["x86_64"]) - set(NUMBERS["aarch64"]) == {"fork", "vfork"}


def test_no_number_stands_for_two_calls() -> None:
    for machine in HEADERS:
        numbers = ARCHITECTURES[machine].numbers
        assert len(set(numbers.values())) == len(numbers)
