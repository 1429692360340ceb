"""What changed between two versions, as unified diffs, bounded in time and size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf import json_format

from onward.registry.v1 import resources_pb2

# As `diff -u` and git have it.
CONTEXT_LINES = 3
# An answer has two diffs and stays below gRPC's 4 MiB.
DIFF_BYTES_MAX = 1024 * 1024
# Comparisons of lines, after which what lies between common beginning and end counts as replaced: a fifth of a second,
# 15 MB, and enough to move 700 lines. Lines that only one side has cost nothing.
COMPARISONS_MAX = 300_000
NOTHING = "/dev/null"
_NO_NEWLINE = "\n\\ No newline at end of file\n"

# As difflib has them: (tag, start and end before, start and end after).
Opcode = tuple[str, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Side:
    """A text and what its side of a diff is called, such as "versions/3"; NOTHING for what was not there."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Diff:
    """A unified diff; empty for equal texts. `truncated` where lines are missing at the end."""

    text: str
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class VersionsDiff:
    """What changed in the code, and in the definitions and the timeout."""

    code: Diff
    definitions: Diff


def diff_versions(before: resources_pb2.Version | None, after: resources_pb2.Version) -> VersionsDiff:
    """The changes from one version to another, None meaning from nothing."""
    old, new = f"versions/{before.number}" if before else NOTHING, f"versions/{after.number}"
    return VersionsDiff(
        unified_diff(Side(old, before.code if before else ""), Side(new, after.code)),
        unified_diff(Side(old, settings_text(before) if before else ""), Side(new, settings_text(after))),
    )


def unified_diff(before: Side, after: Side, bytes_max: int = DIFF_BYTES_MAX) -> Diff:
    """The lines that differ, with their surroundings. Only a line feed ends a line, so a carriage return is content."""
    if before.text == after.text:
        return Diff("")
    old, new = _lines(before.text), _lines(after.text)
    header = [f"--- {before.label}\n", f"+++ {after.label}\n"]
    return _bounded([*header, *_hunks(old, new)], bytes_max)


def settings_text(version: resources_pb2.Version) -> str:
    """Definitions and timeout as JSON, a line for each field, settings by name: their order has no effect."""
    definitions = [
        json_format.MessageToDict(one, always_print_fields_with_no_presence=True)
        for one in sorted(version.definitions, key=lambda one: one.name)
    ]
    told = {"definitions": definitions, "timeoutMs": version.timeout_ms}
    return json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _lines(text: str) -> list[str]:
    lines = [f"{line}\n" for line in text.split("\n")]
    # What follows the last line feed: nothing, or a line without one.
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    for group in _grouped(_opcodes(old, new)):
        first, last = group[0], group[-1]
        yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n"
        for tag, old_start, old_end, new_start, new_end in group:
            if tag == "equal":
                yield from _marked(" ", old[old_start:old_end])
            else:
                yield from _marked("-", old[old_start:old_end])
                yield from _marked("+", new[new_start:new_end])


def _marked(mark: str, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"{mark}{line}" if line.endswith("\n") else f"{mark}{line}{_NO_NEWLINE}"


def _range(start: int, end: int) -> str:
    """As POSIX has it: lines count from 1, and an empty range names the line before it."""
    length = end - start
    if length == 1:
        return f"{start + 1}"
    return f"{start + 1 if length else start},{length}"


def _opcodes(old: Sequence[str], new: Sequence[str]) -> list[Opcode]:
    """What changed, in order. Compares only what lies between the common beginning and the common end."""
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    old_end, new_end = len(old) - tail, len(new) - tail
    middle = _compared(old[head:old_end], new[head:new_end])
    moved = [(tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in middle]
    return _joined([("equal", 0, head, 0, head), *moved, ("equal", old_end, len(old), new_end, len(new))])


def _joined(opcodes: Iterable[Opcode]) -> list[Opcode]:
    """Without empty ones, and neighbours of one kind as one."""
    joined: list[Opcode] = []
    for tag, a, b, c, d in opcodes:
        if a == b and c == d:
            continue
        if joined and joined[-1][0] == tag:
            _, a, _, c, _ = joined.pop()
        joined.append((tag, a, b, c, d))
    return joined


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    """How many lines both begin with."""
    pairs = zip(old, new, strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(old), len(new)))


def _compared(old: Sequence[str], new: Sequence[str]) -> list[Opcode]:
    # What only one side has can't stay, and need not be looked at.
    shared = set(old) & set(new)
    old_at = [index for index, line in enumerate(old) if line in shared]
    new_at = [index for index, line in enumerate(new) if line in shared]
    kept = _kept([old[index] for index in old_at], [new[index] for index in new_at], COMPARISONS_MAX)
    opcodes: list[Opcode] = []
    a = c = 0
    for x, y, length in kept:
        for b, d in zip(old_at[x : x + length], new_at[y : y + length], strict=True):
            opcodes += [("replace", a, b, c, d), ("equal", b, b + 1, d, d + 1)]
            a, c = b + 1, d + 1
    return [*opcodes, ("replace", a, len(old), c, len(new))]


def _kept(old: Sequence[str], new: Sequence[str], comparisons_max: int) -> list[tuple[int, int, int]]:
    """Runs of lines that stay, as (start before, start after, length); none where finding them takes too long.

    E. W. Myers, "An O(ND) Difference Algorithm and Its Variations" (1986): with the fewest lines deleted and added.
    On diagonal k lie the pairs (x, y) with x - y = k; `reached` has the greatest x on each after d edits. difflib takes
    minutes where many lines are equal or swapped.
    """
    reached = {1: 0}
    trace: list[dict[int, int]] = []
    left = comparisons_max
    for d in range(len(old) + len(new) + 1):
        trace.append(dict(reached))
        # Diagonals beyond either end hold no pairs.
        for k in range(-d + 2 * max(0, d - len(new)), d - 2 * max(0, d - len(old)) + 1, 2):
            x = start = _step(reached, k, d)
            while x < len(old) and x - k < len(new) and old[x] == new[x - k]:
                x += 1
            reached[k] = x
            left -= 1 + x - start
            if x >= len(old) and x - k >= len(new):
                return _backtracked(trace, len(old), len(new))
        if left < 0:
            break
    return []


def _adds(reached: Mapping[int, int], k: int, d: int) -> bool:
    """Whether the d-th edit that leads furthest on diagonal k adds a line, and deletes none."""
    return k == -d or (k != d and reached.get(k - 1, -1) < reached.get(k + 1, -1))


def _step(reached: Mapping[int, int], k: int, d: int) -> int:
    """Where that edit leads to."""
    return reached.get(k + 1, -1) if _adds(reached, k, d) else reached.get(k - 1, -1) + 1


def _backtracked(trace: Sequence[Mapping[int, int]], x: int, y: int) -> list[tuple[int, int, int]]:
    kept = []
    for d in range(len(trace) - 1, -1, -1):
        k = x - y
        start = _step(trace[d], k, d)
        if x > start:
            kept.append((start, start - k, x - start))
        x, y = (start, start - k - 1) if _adds(trace[d], k, d) else (start - 1, start - k)
    return kept[::-1]


def _grouped(opcodes: Sequence[Opcode]) -> Iterator[list[Opcode]]:
    """Hunks: changes that lie close together, each with the lines around it."""
    hunk: list[Opcode] = []
    for tag, a, b, c, d in opcodes:
        if tag != "equal":
            hunk.append((tag, a, b, c, d))
            continue
        if hunk and b - a > 2 * CONTEXT_LINES:
            yield [*hunk, (tag, a, a + CONTEXT_LINES, c, c + CONTEXT_LINES)]
            hunk = []
        keep = b - a if hunk else min(b - a, CONTEXT_LINES)
        hunk.append((tag, b - keep, b, d - keep, d))
    if hunk and hunk[-1][0] == "equal":
        tag, a, b, c, d = hunk.pop()
        keep = min(b - a, CONTEXT_LINES)
        hunk.append((tag, a, a + keep, c, c + keep))
    if any(tag != "equal" for tag, *_ in hunk):
        yield hunk


def _bounded(lines: Iterable[str], bytes_max: int) -> Diff:
    """As many whole lines as fit."""
    kept: list[str] = []
    size = 0
    for line in lines:
        size += len(line.encode())
        if size > bytes_max:
            return Diff("".join(kept), truncated=True)
        kept.append(line)
    return Diff("".join(kept))
