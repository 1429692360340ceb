"""The language against a second, naive one, on conditions and events that nobody thought of."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.fql import Condition, FqlError, compile_condition, parse_path
from kit.fql.functions import FUNCTIONS
from kit.fql.glob import PATTERN_CHARACTERS_MAX, GlobError, compile_glob
from kit.fql.parser import SLOW_CALLS_MAX

# Few names, so that conditions and events meet.
NAMES = ("a", "b", "c d", "in", "e.f", "ü", "7")

SLOW = re.compile(r"(?:match|snakecase|kebabcase|titlecase)\(")

# What a condition is here: its text, and a tree of tuples for the naive evaluator.
Tree = tuple[Any, ...]
Written = tuple[str, Tree]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "b", "ab", "A b", "aB", "true", "1", " 2 ", "*", "[", "ア", "\ud800"])
    | st.text(max_size=5)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
events = st.dictionaries(st.sampled_from(NAMES), values, max_size=6)


def literal(value: Any) -> Written:
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'", ("literal", value)
    return json.dumps(value), ("literal", value)


def path(names: list[str]) -> Written:
    text = ".".join(re.sub(r"([\W\d])", r"\\\1", name) if name.isascii() else name for name in names)
    return ("\\" + text if text == "in" or text.startswith("in.") else text), ("path", tuple(names))


def listed(items: list[Written]) -> Written:
    return "[" + ", ".join(text for text, _ in items) + "]", ("list", tuple(tree for _, tree in items))


def called(name: str, arguments: tuple[Written, ...]) -> Written:
    return f"{name}({', '.join(text for text, _ in arguments)})", (name, *(tree for _, tree in arguments))


def compared(left: Written, operator: str, right: Written) -> Written:
    return f"{left[0]} {operator} {right[0]}", (operator, left[1], right[1])


def joined(word: str, operands: list[Written]) -> Written:
    return f" {word} ".join(f"({text})" for text, _ in operands), (word, *(tree for _, tree in operands))


numbers = st.integers(-9, 9) | st.floats(-5, 5).map(lambda number: round(number, 2))
strings = st.sampled_from(["", "a", "ab", "A b", "it's", "\\", '"', "a*", "?", "ア"])
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(path)
texts = paths | strings.map(literal)
literals = (st.none() | st.booleans() | numbers | strings).map(literal)
string_calls = st.builds(
    called,
    st.sampled_from(["lowercase", "uppercase", "snakecase", "kebabcase", "titlecase"]),
    st.tuples(texts),
)
any_calls = st.builds(called, st.sampled_from(["typeof", "string", "bool"]), st.tuples(paths | literals))
lengths = st.builds(lambda value: called("length", (value,)), texts | st.just(literal(None)) | string_calls)
to_numbers = st.builds(lambda value: called("number", (value,)), texts | numbers.map(literal))
operands = paths | literals | string_calls | any_calls | lengths | to_numbers
lists = st.lists(operands, max_size=4).map(listed)
comparisons = (
    st.builds(compared, operands | lists, st.sampled_from(["=", "!="]), operands | lists)
    | st.builds(
        compared,
        paths | numbers.map(literal) | lengths | to_numbers,
        st.sampled_from(["<", "<=", ">", ">="]),
        paths | numbers.map(literal) | lengths | to_numbers,
    )
    | st.builds(compared, operands, st.just("in"), paths | lists)
    | st.builds(lambda a, b: called("contains", (a, b)), texts | string_calls, texts)
    | st.builds(lambda a, b: called("match", (a, b)), texts, paths)
    | paths
)
any_conditions = st.recursive(
    comparisons,
    lambda inner: (
        st.builds(joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3))
        | inner.map(lambda one: (f"!({one[0]})", ("not", one[1])))
    ),
    max_leaves=6,
)
conditions = any_conditions.filter(lambda one: len(SLOW.findall(one[0])) <= SLOW_CALLS_MAX)


def kind(value: Any) -> str:
    names = {type(None): "null", bool: "bool", int: "number", float: "number", str: "string", list: "list"}
    return names.get(type(value), "object")


def same(left: Any, right: Any) -> bool:
    if kind(left) != kind(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def naive(tree: Tree, event: dict[str, Any]) -> Any:
    """What a tree gives, read straight from the page of the language."""
    name, *rest = tree
    if name == "literal":
        return rest[0]
    if name == "path":
        value: Any = event
        for key in rest[0]:
            value = value.get(key) if isinstance(value, dict) else None
        return value
    if name == "list":
        return [naive(item, event) for item in rest[0]]
    got = [naive(item, event) for item in rest]
    if name in ("and", "or", "not"):
        truths = [one is True for one in got]
        return {"and": all(truths), "or": any(truths), "not": not truths[0]}[name]
    return naive_comparison(name, *got) if name in ("=", "!=", "<", "<=", ">", ">=", "in") else naive_call(name, *got)


def naive_comparison(operator: str, left: Any, right: Any) -> bool:
    if operator == "in":
        return isinstance(right, list) and any(same(left, item) for item in right)
    if operator in ("=", "!="):
        return same(left, right) == (operator == "=")
    if kind(left) != "number" or kind(right) != "number":
        return False
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator])


def naive_call(name: str, first: Any, second: Any = None) -> Any:
    match name:
        case "contains":
            return bool(kind(first) == kind(second) == "string" and first.find(second) >= 0)
        case "match":
            return kind(first) == kind(second) == "string" and naive_match(second, first)
        case "length":
            size = {"null": 0, "list": len(first) if isinstance(first, list) else 0}
            return len(first.encode("utf-8", "surrogatepass")) if isinstance(first, str) else size.get(kind(first))
        case "typeof":
            return kind(first)
        case "lowercase" | "uppercase":
            return None if kind(first) != "string" else first.lower() if name == "lowercase" else first.upper()
        case _:
            # Conversions are their own reference: the sentences of the language test them one by one.
            return FUNCTIONS[name].call(first)


def naive_match(pattern: str, text: str) -> bool:
    """Match by trying every way; False where the pattern is malformed."""
    try:
        return naive_glob(pattern, text)
    except ValueError:
        return False


def naive_glob(pattern: str, text: str) -> bool:
    tokens = re.findall(r"\\.|\[\^?(?:\\.|[^\]\\])*\]|.|\n", pattern, re.DOTALL)
    if any(token in ("\\", "[", "[]", "[^]") for token in tokens):
        raise ValueError(pattern)
    predicates = [token if token == "*" else naive_predicate(token) for token in tokens]

    def fits(i: int, j: int) -> bool:
        if i == len(predicates):
            return j == len(text)
        if predicates[i] == "*":
            return any(fits(i + 1, k) for k in range(j, len(text) + 1))
        return j < len(text) and predicates[i](text[j]) and fits(i + 1, j + 1)

    return fits(0, 0)


def naive_predicate(token: str) -> Any:
    if token == "?":
        return lambda character: True
    if not token.startswith("[") or token == "[":
        return lambda character: character == token[-1]
    negated = token[1] == "^"
    parts = re.findall(r"\\?(.)(?:-\\?([^\]])(?!$))?", token[2 if negated else 1 : -1] + "]", re.DOTALL)
    ranges = [(low, high or low) for low, high in parts[:-1]] if parts and parts[-1][0] == "]" else parts
    if any(high < low for low, high in ranges):
        raise ValueError(token)
    return lambda character: negated != any(low <= character <= high for low, high in ranges)


@given(conditions, st.lists(events, min_size=1, max_size=3))
def test_a_condition_says_what_the_naive_evaluator_says(written: Written, some: list[dict[str, Any]]) -> None:
    text, tree = written
    condition = compile_condition(text)
    for event in some:
        assert condition(event) is (naive(tree, event) is True)


@given(conditions, events)
def test_a_condition_and_its_negation_are_never_of_one_mind(written: Written, event: dict[str, Any]) -> None:
    text = written[0]
    assert compile_condition(text)(event) is not compile_condition(f"not ({text})")(event)


@given(conditions, events)
def test_a_condition_changes_no_event(written: Written, event: dict[str, Any]) -> None:
    before = repr(event)
    compile_condition(written[0])(event)
    assert repr(event) == before


def compiled(text: str) -> Condition | FqlError:
    try:
        return compile_condition(text)
    except FqlError as error:
        return error


alphabet = st.sampled_from(
    [
        *"ab.,()[]!=<>'\"\\*?-+01e \n$ü",
        " and ",
        " or ",
        "not ",
        " in ",
        "true",
        "null",
        "all",
        "match(",
        "length(",
        "'[a",
    ]
)


@given(st.text(max_size=300) | st.lists(alphabet, max_size=60).map("".join), events)
def test_any_text_is_a_condition_or_is_refused_at_a_place_within_it(text: str, event: dict[str, Any]) -> None:
    condition = compiled(text)
    if isinstance(condition, FqlError):
        lines = text.split("\n")
        assert 1 <= condition.line <= len(lines)
        assert 1 <= condition.column <= len(lines[condition.line - 1]) + 1
    else:
        assert isinstance(condition(event), bool)


@given(st.text(max_size=50))
def test_any_text_is_a_path_or_is_refused(text: str) -> None:
    with suppress(FqlError):
        assert all(parse_path(text))


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5))
def test_a_path_whose_names_are_escaped_has_these_names(names: list[str]) -> None:
    text = ".".join("".join(f"\\{character}" for character in name) for name in names)
    assert parse_path(text) == tuple(names)


def test_deep_values_are_compared_without_end_of_the_stack() -> None:
    """JSON of 10,000 levels, beyond what Python's own `==` compares, is equal to nothing and has no text."""
    deep: Any = 1
    other: Any = 2
    for _ in range(10_000):
        deep, other = [deep], [other]
    event = {"a": deep, "b": deep, "c": other, "list": [deep, 1]}
    assert compile_condition("a != b and a != c and !(a in list) and !(c in list)")(event)
    assert compile_condition("string(a) = null and typeof(a) = 'list' and length(a) = 1 and bool(a)")(event)


pieces = st.sampled_from([*"aabbc*?[]^-\\", "[ab]", "[^a]", "[a-c]", "[c-a]", "[-a]", "[a-]", "[^^]", "\\*", "**"])
patterns = st.lists(pieces, max_size=8).map("".join)


@given(patterns, st.text("abc*-^[]\\", max_size=8))
def test_a_pattern_matches_what_trying_every_way_matches(pattern: str, text: str) -> None:
    try:
        matches = compile_glob(pattern)
    except GlobError:
        with pytest.raises(ValueError):
            naive_glob(pattern, text)
    else:
        assert matches(text) is naive_glob(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a*d", "abcd", True),
        ("*", "", True),
        ("", "", True),
        ("", "a", False),
        ("ab", "abc", False),
        ("a??d", "abcd", True),
        ("*d", "abcd", True),
        (r"ab\*d", "ab*d", True),
        (r"ab\*d", "abcd", False),
        ("ab[cC]d", "abCd", True),
        ("ab[a-z]d", "abcd", True),
        ("ab[A-Z]d", "abcd", False),
        ("ab[^A-Z]d", "abcd", True),
        ("ab[^a-z]d", "abcd", False),
        ("[^ab]", "", False),
        (r"\a\b", "ab", True),
        (r"[\]]", "]", True),
        (r"[\^a]", "^", True),
        (r"[a\-z]", "m", False),
        ("[a-]", "-", True),
        ("[-a]", "-", True),
        ("[a^]", "^", True),
        ("[!a]", "!", True),
        ("[а-я]*", "привет", True),
        ("?", "😀", True),
        ("a*a", "a", False),
        ("*ab*ab*", "abab", True),
        ("*ab*ab*", "aba", False),
        ("*ab*b", "ab", False),
        ("a*ab", "ab", False),
        ("*/b", "a/c/b", True),
        ("a*b", "a\nb", True),
        ("]", "]", True),
        ("ABC", "abc", False),
        ("[^\U0010ffff]", "\U0010ffff", False),
    ],
)
def test_patterns_by_example(pattern: str, text: str, expected: bool) -> None:
    assert compile_glob(pattern)(text) is expected


@pytest.mark.parametrize("piece", ["*a", "*?", "*[ab]", "?*", "a"])
def test_no_pattern_and_text_take_long(piece: str) -> None:
    """The suite's own time limit would end what tries every way: 2^300 of them."""
    pattern = (piece * PATTERN_CHARACTERS_MAX)[: PATTERN_CHARACTERS_MAX // len(piece) * len(piece) - 4] + "b"
    assert not compile_glob(pattern)("a" * 32_000)
