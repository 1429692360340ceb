"""A bad condition is refused with its place and with what was expected there."""

from __future__ import annotations

import pytest

from kit.fql import TEXT_BYTES_MAX, FqlError, compile_condition, parse_path

# The text, the place of the mistake, and words that its message must have.
REFUSED: list[tuple[str, int, int, str]] = [
    ("", 1, 1, "expected a condition"),
    ("  \n ", 2, 2, "expected a condition"),
    ("type =", 1, 7, "found the end"),
    ("type = 'track' and", 1, 19, "found the end"),
    ("type = 'track' event", 1, 16, "`and`, `or` or the end"),
    ("type = 'track' or 'identify'", 1, 19, "expected a condition"),
    ("'identify' and type = 'track'", 1, 1, "the string `identify`"),
    ("not 'identify'", 1, 5, "expected a condition"),
    ("!null", 1, 2, "this is null"),
    ("5", 1, 1, "a number"),
    ("['a']", 1, 1, "a list"),
    ("length(event)", 1, 1, "`length(...)`, a number"),
    ("(a = 1", 1, 7, "expected `)`"),
    ("a = 1)", 1, 6, "found `)`"),
    ("a in ['x'", 1, 10, "expected `,` or `]`"),
    ("a in ['x' 'y']", 1, 11, "expected `,` or `]`"),
    ("a in [,]", 1, 7, "found `,`"),
    ("a in ['x',]", 1, 11, "found `]`"),
    ("a in 'x'", 1, 6, "needs a list"),
    ("a in 5", 1, 6, "needs a list"),
    ("a in lowercase(b)", 1, 6, "needs a list"),
    ("a not in ['x']", 1, 3, "`not` stands before"),
    ("a = b = c", 1, 7, "do not chain"),
    ("1 < a < 3", 1, 7, "do not chain"),
    ("price > '10'", 1, 9, "compares numbers"),
    ("'10' <= price", 1, 1, "compares numbers"),
    ("price > null", 1, 9, "compares numbers"),
    ("price > true", 1, 9, "compares numbers"),
    ("price > [1]", 1, 9, "compares numbers"),
    ("typeof(a) > 1", 1, 1, "compares numbers"),
    ("a == 1", 1, 3, "`==` is written `=`"),
    ("a <> 1", 1, 3, "`<>` is written `!=`"),
    ("a => 1", 1, 3, "`=>` is written `>=`"),
    ("a && b", 1, 3, "`&&` is written `and`"),
    ("a || b", 1, 3, "`||` is written `or`"),
    ("a AND b", 1, 3, "write `and` in lower case"),
    ("NOT a", 1, 1, "write `not` in lower case"),
    ("a = TRUE", 1, 5, "write `true` in lower case"),
    ("all and a", 1, 1, "`all` stands alone"),
    ("a and all", 1, 7, "`all` stands alone"),
    ("in = 1", 1, 1, r"written `\in`"),
    ('userId = oops"', 1, 14, "has no end"),
    ("a = 'it's'", 1, 10, "has no end"),
    (r"a = 'b\'", 1, 5, "has no end"),
    ("a.", 1, 3, "name of a field after the dot"),
    ("a..b", 1, 3, "name of a field after the dot"),
    ("a. b", 1, 3, "name of a field after the dot"),
    (".a", 1, 1, "not with a dot"),
    ("a.b.$c", 1, 5, "name of a field after the dot"),
    ("$a", 1, 1, r"put a `\` before it"),
    ("a = 1 # comment", 1, 7, "no meaning here"),
    ("a = b\\", 1, 6, "must follow"),
    ("a = 5.", 1, 6, "does not end well"),
    ("a = 5.0.0", 1, 8, "does not end well"),
    ("5th = 1", 1, 2, r"`\1st`"),
    ("a = 1e999", 1, 5, "too large"),
    ("a = -", 1, 5, "no meaning here"),
    ("lenght(a) > 1", 1, 1, "did you mean `length`"),
    ("Contains(a, 'b')", 1, 1, "did you mean `contains`"),
    ("frobnicate(a)", 1, 1, "the functions are contains, match"),
    ("a.length(b) = 1", 1, 1, "there is no function `a.length`"),
    ("contains(a)", 1, 1, "takes 2 arguments, not 1"),
    ("length()", 1, 1, "takes 1 argument, not 0"),
    ("match(a, 'b', 'c')", 1, 1, "takes 2 arguments, not 3"),
    ("contains(5, 'b')", 1, 10, "takes a string here, not a number"),
    ("contains(a, 5)", 1, 13, "takes a string here, not a number"),
    ("contains(['a'], 'a')", 1, 10, "takes a string here, not a list"),
    ("length(5) = 1", 1, 8, "takes a string or a list here, not a number"),
    ("length(true) = 1", 1, 8, "not a bool"),
    ("lowercase(length(a)) = 'a'", 1, 11, "not `length(...)`, a number"),
    ("number(true) = 1", 1, 8, "takes a string or a number here, not a bool"),
    ("match(a, 'b[cd')", 1, 12, "never closed"),
    ("match(a, 'b[]cd')", 1, 13, "expected a character between"),
    ("match(a, 'b[z-a]')", 1, 13, "wrong order"),
    ("match(a, 'b\\\\')", 1, 12, "must follow"),
    ("match(a, '\\'\\\\\\[[')", 1, 16, "never closed"),
    (f"match(a, '{'x' * 257}')", 1, 11, "at most 256"),
    ("a = 1 and\n  b = = 2", 2, 7, "found `=`"),
    ("a = 'x\ny' b", 2, 4, "found `b`"),
    ("(" * 5000, 1, 33, "too many levels"),
    ("[" * 5000, 1, 33, "too many levels"),
    ("bool(" * 1000, 1, 101, "too many functions; at most 20"),
    ("length(a) > 1 and " * 20 + "length(b) > 1", 1, 361, "too many functions; at most 20"),
    ("a = 1 or " * 50 + "b = 2", 1, 453, "too many comparisons; at most 50"),
    ("snakecase(a) = b or " * 3 + "match(a, 'b?')", 1, 61, "too many slow functions; at most 3"),
    ("match(a, b) and " * 3 + "match(a, '[bc]')", 1, 49, "too many slow functions; at most 3"),
    ("!" * 5000, 1, 5001, "found the end"),
    ("not " * 1200, 1, 4801, "found the end"),
    (".".join("a" * 33), 1, 1, "at most 32"),
    ("a" * (TEXT_BYTES_MAX + 1), 1, 1, "at most 5120"),
    ("'" + "ア" * 1710 + "' = a", 1, 1, "5136 bytes"),
]


@pytest.mark.parametrize(("text", "line", "column", "words"), REFUSED, ids=lambda value: str(value)[:20])
def test_a_mistake_is_refused_at_its_place(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(FqlError) as caught:
        compile_condition(text)
    assert words in caught.value.message
    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value).startswith(f"line {line}, column {column}: ")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 32 + "a" + ")" * 32,
        "!" * 5000 + "a",
        " or ".join(["a"] * 1000),
        "a" * TEXT_BYTES_MAX,
        " or ".join(["a", *["bool(b)"] * 20]),
        " or ".join(["a", *["match(b, 'c*')"] * 17, *["match(b, 'c?')"] * 3]),
        " or ".join(["a", *["b = 1"] * 50]),
        f"a or match(b, '{'?' * 256}')",
    ],
    ids=["brackets", "negations", "alternatives", "bytes", "calls", "slow calls", "comparisons", "pattern"],
)
def test_a_condition_at_its_limit_is_accepted(text: str) -> None:
    assert compile_condition(text)({"a": True, "a" * TEXT_BYTES_MAX: True})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("context.traits.email", ("context", "traits", "email")),
        (r"properties.a\.b", ("properties", "a.b")),
        (r"first\ name", ("first name",)),
        ("in.and.2nd", ("in", "and", "2nd")),
    ],
)
def test_a_path_alone_is_read_like_one_in_a_condition(text: str, names: tuple[str, ...]) -> None:
    assert parse_path(text) == names


@pytest.mark.parametrize(
    ("text", "column"),
    [("", 1), ("a.", 3), (".a", 1), ("a..b", 3), ("a b", 2), (" a", 1), ("a.b = 1", 4), ("a[0]", 2), ("a\\", 2)],
)
def test_a_path_with_a_mistake_is_refused_at_its_place(text: str, column: int) -> None:
    with pytest.raises(FqlError) as caught:
        parse_path(text)
    assert caught.value.column == column
