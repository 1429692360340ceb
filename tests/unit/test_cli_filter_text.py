"""Filters on the command line: actions as options, mistakes of conditions with a caret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.failures import CommandError, UsageError
from cli.filter_text import Actions, actions_text, condition_errors, parse_actions, pointed_at
from kit.errors import InvalidArgument


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Actions(), ""),
        (Actions(drop=True), "drop"),
        (Actions(sample=0.1, by="userId"), "sample 0.1 by userId"),
        (Actions(sample=0.0), "sample 0"),
        (Actions(drop_fields="context.ip, traits.email"), "drop fields context.ip, traits.email"),
        (Actions(allow_fields="a", hash_fields="b"), "allow fields a; hash fields b"),
    ],
)
def test_actions_are_told_as_they_were_given(given: Actions, text: str) -> None:
    assert actions_text(parse_actions(given)) == text


def test_a_comma_after_a_backslash_belongs_to_the_name() -> None:
    (action,) = parse_actions(Actions(drop_fields=r"a\,b,c\.d,e\\,f"))
    assert list(action.drop_fields.paths) == [r"a\,b", r"c\.d", r"e\\", "f"]


def test_by_needs_sample() -> None:
    with pytest.raises(UsageError, match="--by goes with --sample"):
        parse_actions(Actions(drop=True, by="userId"))


def test_a_refused_condition_is_shown_with_a_caret_at_its_mistake() -> None:
    error = InvalidArgument(
        "The filter can't be applied. rule.condition: line 2, column 5: expected a value",
        metadata={"line": "2", "column": "5"},
        violations=[("rule.condition", "line 2, column 5: expected a value")],
    )
    with pytest.raises(CommandError) as raised, condition_errors("a and\nb = )"):
        raise error
    assert str(raised.value) == "in the condition, line 2, column 5: expected a value\nb = )\n    ^"


def test_another_mistake_stays_what_it_is() -> None:
    with pytest.raises(InvalidArgument), condition_errors("all"):
        raise InvalidArgument("rule.title: must not be empty")


@given(st.text(st.characters(exclude_characters="\n\r"), min_size=1, max_size=400), st.data())
def test_the_caret_stands_below_the_character_whatever_the_lines_length(line: str, data: st.DataObject) -> None:
    column = data.draw(st.integers(1, len(line)))
    piece, caret = pointed_at(line, 1, column).split("\n")
    assert piece[len(caret) - 1] == line[column - 1].expandtabs(1)
    assert len(piece) <= 121


def test_a_place_outside_the_text_is_no_failure() -> None:
    assert pointed_at("a", 7, 3) == "\n  ^"
