"""The difference between two versions, as `patch` would take it."""

from __future__ import annotations

import difflib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.registry.v1 import resources_pb2
from services.registry.domain import diff
from services.registry.domain.diff import DIFF_BYTES_MAX, NOTHING, Diff, Side, settings_text, unified_diff

HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@\n")
# Few lines, so that many are equal; carriage returns, separators that are no line ends, and lines that look like diffs.
LINES = st.sampled_from(["a", "b", "c", "", "\r", "a\r", "\u2028", "\x0b", "-a", "+a", "@@ -1 +1 @@", "\\ No newline"])
TEXTS = st.builds(lambda lines, end: "\n".join(lines) + end, st.lists(LINES, max_size=40), st.sampled_from(["", "\n"]))


def between(before: str, after: str, bytes_max: int = DIFF_BYTES_MAX) -> Diff:
    return unified_diff(Side("versions/3", before), Side("versions/5", after), bytes_max)


def lines_of(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def patched(before: str, patch: str) -> str:
    """What applying a unified diff makes; an AssertionError where it does not fit."""
    if not patch:
        return before
    old, told = lines_of(before), lines_of(patch)
    assert told[:2] == ["--- versions/3\n", "+++ versions/5\n"]
    new: list[str] = []
    at, index = 0, 2
    while index < len(told):
        match = HUNK.fullmatch(told[index])
        assert match, told[index]
        old_left, new_left = (int(match[group] or 1) if match[group] != "0" else 0 for group in (2, 4))
        start = int(match[1]) - (1 if old_left else 0)
        new += old[at:start]
        at, index = start, index + 1
        assert len(new) == int(match[3]) - (1 if new_left else 0)
        while old_left or new_left:
            mark, line = told[index][0], told[index][1:]
            index += 1
            if index < len(told) and told[index].startswith("\\"):
                line, index = line.removesuffix("\n"), index + 1
            if mark in " -":
                assert old[at] == line
                at, old_left = at + 1, old_left - 1
            if mark in " +":
                new.append(line)
                new_left -= 1
    return "".join(new + old[at:])


@given(TEXTS, TEXTS)
@settings(max_examples=200)
def test_a_diff_applied_to_the_old_text_makes_the_new_one(before: str, after: str) -> None:
    assert patched(before, between(before, after).text) == after
    assert not between(before, before).text


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_two_texts_have_a_diff_that_applies(before: str, after: str) -> None:
    assert patched(before, between(before, after).text) == after


@given(TEXTS, TEXTS)
def test_no_fewer_lines_could_be_deleted_and_added(before: str, after: str) -> None:
    old, new = lines_of(before), lines_of(after)
    told = between(before, after).text
    kept = sum(block.size for block in difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks())
    assert len(re.findall(r"^[-+]", told, re.MULTILINE)) - (2 if told else 0) <= len(old) + len(new) - 2 * kept


def test_a_change_is_shown_with_three_lines_around_it() -> None:
    before = "".join(f"{number}\n" for number in range(1, 21))
    told = between(before, before.replace("10\n", "ten\n")).text
    assert told == ("--- versions/3\n+++ versions/5\n@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n")


def test_changes_that_lie_far_apart_are_hunks_of_their_own() -> None:
    before = "".join(f"{number}\n" for number in range(1, 101))
    told = between(before, before.replace("\n10\n", "\nten\n").replace("\n20\n", "\n").replace("\n26\n", "\n")).text
    assert HUNK.findall(told) == [("7", "7", "7", "7"), ("17", "13", "17", "11")]


@pytest.mark.parametrize(
    ("before", "after", "body"),
    [
        ("", "a\n", "@@ -0,0 +1 @@\n+a\n"),
        ("a\n", "", "@@ -1 +0,0 @@\n-a\n"),
        ("a", "a\n", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"),
        ("a\r\n", "a\n", "@@ -1 +1 @@\n-a\r\n+a\n"),
    ],
)
def test_ends_of_files_are_told_as_diff_tells_them(before: str, after: str, body: str) -> None:
    assert between(before, after).text == f"--- versions/3\n+++ versions/5\n{body}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\n" * 30_000, "x\n" + "\n" * 20_000 + "y\n" + "\n" * 5_000 + "z"),
        ("a\nb\n" * 15_000, "b\na\na\n" * 10_000),
        ("".join(f"{number}\n" for number in range(10_000)), "".join(f"{number ^ 1}\n" for number in range(10_000))),
    ],
    ids=["blank", "periodic", "swapped"],
)
def test_texts_that_take_too_long_to_compare_are_replaced_as_a_whole(before: str, after: str) -> None:
    told = between(before, after)
    assert not told.truncated
    assert patched(before, told.text) == after


def test_giving_up_depends_on_work_and_not_on_size(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = "a\nb\nc\nd\n" * 10, "b\na\nd\nc\n" * 10
    fine = between(before, after).text
    monkeypatch.setattr(diff, "COMPARISONS_MAX", 3)
    coarse = between(before, after).text
    assert len(coarse) > len(fine)
    assert patched(before, coarse) == after


def test_a_diff_that_is_too_long_ends_at_a_line_and_says_so() -> None:
    before, after = "a\n" * 1000, "ü\n" * 1000
    whole = between(before, after)
    cut = between(before, after, bytes_max=3000)
    assert cut.truncated
    assert not whole.truncated
    assert whole.text.startswith(cut.text)
    assert cut.text.endswith("\n")
    assert 2990 < len(cut.text.encode()) <= 3000


def version(timeout_ms: int = 5000, **required: bool) -> resources_pb2.Version:
    definitions = [
        resources_pb2.SettingDefinition(name=name, type=resources_pb2.SETTING_TYPE_STRING, required=value)
        for name, value in required.items()
    ]
    return resources_pb2.Version(definitions=definitions, timeout_ms=timeout_ms)


def test_a_changed_definition_is_one_line_of_the_diff() -> None:
    told = between(settings_text(version(a=True, b=False)), settings_text(version(b=True, a=True))).text
    changed = [line for line in told.split("\n")[2:] if line[:1] in ("-", "+")]
    assert changed == ['-      "required": false,', '+      "required": true,']


def test_the_timeout_is_part_of_the_definitions() -> None:
    told = between(settings_text(version(a=True)), settings_text(version(6000, a=True))).text
    assert '-  "timeoutMs": 5000\n+  "timeoutMs": 6000\n' in told


def test_a_first_version_is_compared_with_nothing() -> None:
    assert unified_diff(Side(NOTHING, ""), Side("versions/1", "a\n")).text == (
        "--- /dev/null\n+++ versions/1\n@@ -0,0 +1 @@\n+a\n"
    )
