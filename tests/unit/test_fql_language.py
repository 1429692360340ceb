"""Each sentence of the language: conditions and what they say of an event."""

from __future__ import annotations

from typing import Any

import pytest

from kit.fql import compile_condition

EVENT: dict[str, Any] = {
    "type": "track",
    "event": "Signed Up",
    "userId": None,
    "context": {"library": {"name": "analytics.js", "version": "1.0"}, "traits": {"email": "ada@example.com"}},
    "properties": {
        "price": 19.5,
        "one": 1,
        "zero": 0,
        "yes": True,
        "no": False,
        "nothing": None,
        "empty": "",
        "ten": "10",
        "star": "ab*d",
        "kana": "ア",
        "tags": ["discounts", "dark-mode", 1, True, None, ["deep"], {"a": 1}],
        "numbers": [2, 3.0],
        "object": {"a": 1, "b": [1, {"c": None}]},
        "same": {"b": [1, {"c": None}], "a": 1.0},
        "other": {"b": [True, {"c": None}], "a": 1},
        "first name": "Ada",
        "a.b": "dotted",
        "2nd": "second",
        "in": "keyword",
        "größe": "XL",
        "$browser": "Lynx",
        "back\\slash": "b",
        "dash-ed_name": "d",
    },
    "all": "a field",
    "not": True,
}


def holds(text: str) -> bool:
    answer = compile_condition(text)(EVENT)
    assert isinstance(answer, bool)
    return answer


# What is true of the event; what is false of it follows in FALSE.
TRUE = [
    # all, and what stands for a condition by itself
    "all",
    " \n all ",
    "true",
    "properties.yes",
    r"\not",
    r"\all = 'a field'",
    # and or ! not, parentheses
    "type = 'track' and event = 'Signed Up'",
    "type = 'page' or event = 'Signed Up'",
    "true or true and false",
    "(false or true) and true",
    "!false",
    "not false",
    "!!true",
    "! not ! false",
    "!properties.no",
    "!properties.price",
    "!properties.absent and true",
    "not type = 'page'",
    "!type = 'page'",
    "!contains(event, 'Down')",
    "!(type in ['page', 'screen'])",
    "not false and true",
    "((((type = 'track'))))",
    "type='track'and event='Signed Up'",
    # = and !=
    "properties.one = 1",
    "properties.one = 1.0",
    "properties.one = 1e0",
    "properties.one = +1",
    "properties.zero = -0",
    "properties.price = 19.5",
    "1 = 1.0",
    "'a' = 'a'",
    "'a' != 1",
    "properties.one != true",
    "properties.yes != 1",
    "properties.ten != 10",
    "properties.yes = true",
    "properties.no = false",
    "true = properties.yes",
    "(properties.one = 1) = true",
    "properties.object = properties.same",
    "properties.object != properties.other",
    "properties.numbers = [2.0, 3]",
    "[] = []",
    "event != 'signed up'",
    # a missing path is null
    "properties.absent = null",
    "absent.deeper.still = null",
    "type.deeper = null",
    "properties.tags.deeper.still = null",
    "userId = null",
    "anonymousId = null",
    "properties.nothing = null",
    "properties.absent = properties.nothing",
    "event != null",
    "null = null",
    # < <= > >=
    "properties.price > 19",
    "properties.price >= 19.5",
    "properties.price < 20",
    "properties.price <= 19.5",
    "-5 < +5",
    "1 < 2",
    "properties.zero < properties.one",
    "!(properties.ten > 9)",
    "!(properties.ten < 9)",
    # in
    "event in ['Signed Up', 'Signed In']",
    "1.0 in properties.tags",
    "true in properties.tags",
    "null in properties.tags",
    "properties.absent in properties.tags",
    "['deep'] in properties.tags",
    "'dark-mode' in properties.features or 'dark-mode' in properties.tags",
    "event in [properties.absent, event]",
    "properties.one in [1.0]",
    "null in [null]",
    "!(true in [1])",
    "!(1 in [true])",
    "!(event in [])",
    "!(true in properties.numbers)",
    # paths and their escapes
    r"properties.first\ name = 'Ada'",
    r"properties.a\.b = 'dotted'",
    r"properties.\$browser = 'Lynx'",
    r"properties.back\\slash = 'b'",
    "properties.2nd = 'second'",
    "properties.in = 'keyword'",
    "properties.größe = 'XL'",
    "properties.dash-ed_name = 'd'",
    "context.library.name = 'analytics.js'",
    # strings
    'event = "Signed Up"',
    r"'it\'s' = " + '"it\'s"',
    r'"say \"hi\"" = ' + "'say \"hi\"'",
    r"length('\\') = 1",
    r"length('\n\t\r') = 3",
    r"length('\*') = 2",
    "length('a\nb') = 3",
    # contains
    "contains(event, 'ned U')",
    "contains(event, '')",
    "contains('abc', 'b')",
    "contains(context.traits.email, '@')",
    "!contains(event, 'signed')",
    "!contains(properties.absent, 'a')",
    "!contains(null, 'a')",
    "!contains(null, '')",
    "!contains(event, null)",
    "!contains(properties.tags, 'dark-mode')",
    "!contains(properties.one, '1')",
    # length
    "length(event) = 9",
    "length(properties.kana) = 3",
    "length('ア') = 3",
    "length(properties.empty) = 0",
    "length(properties.tags) = 7",
    "length([1, 2]) = 2",
    "length(null) = 0",
    "length(properties.absent) = 0",
    "length(properties.price) = null",
    "length(properties.object) = null",
    "!(length(userId) > 0)",
    # lowercase uppercase snakecase kebabcase titlecase
    "lowercase(event) = 'signed up'",
    "uppercase(event) = 'SIGNED UP'",
    "snakecase('test string') = 'test_string'",
    "kebabcase('test string') = 'test-string'",
    "titlecase('test string') = 'Test String'",
    "snakecase(event) = 'signed_up'",
    "kebabcase(event) = 'signed-up'",
    "titlecase('signed_up') = 'Signed Up'",
    "snakecase('orderCompleted') = 'order_completed'",
    "kebabcase('HTTPServer 2') = 'http-server-2'",
    'titlecase("don\'t stop") = "Don\'t Stop"',
    "snakecase('  a - b__c ') = 'a_b_c'",
    "titlecase('') = ''",
    "lowercase(null) = null",
    "uppercase(properties.absent) = null",
    "snakecase(properties.one) = null",
    # typeof
    "typeof(event) = 'string'",
    "typeof(properties.one) = 'number'",
    "typeof(properties.price) = 'number'",
    "typeof(properties.yes) = 'bool'",
    "typeof(properties.tags) = 'list'",
    "typeof(properties.object) = 'object'",
    "typeof(properties.nothing) = 'null'",
    "typeof(properties.absent) = 'null'",
    "typeof(null) = 'null'",
    "typeof(1 = 1) = 'bool'",
    "typeof([1]) = 'list'",
    # bool string number
    "bool(properties.yes)",
    "bool(properties.one)",
    "bool('true')",
    "bool('yes')",
    "bool(properties.tags)",
    "bool(properties.object)",
    "!bool(properties.no)",
    "!bool(0)",
    "!bool('')",
    "!bool('0')",
    "!bool('False')",
    "!bool(null)",
    "!bool([])",
    "string(properties.one) = '1'",
    "string(properties.price) = '19.5'",
    "string(1.0) = '1'",
    "string(properties.yes) = 'true'",
    "string(event) = event",
    "string(null) = null",
    "string(properties.numbers) = '[2,3.0]'",
    'string(properties.object) = \'{"a":1,"b":[1,{"c":null}]}\'',
    "number(properties.ten) = 10",
    "number(' 19.50 ') = properties.price",
    "number('1e2') = 100",
    "number(properties.one) = 1",
    "number('ten') = null",
    "number('') = null",
    "number('1_000') = null",
    "number('nan') = null",
    "number('1e999') = null",
    "number('١') = null",
    "number(properties.yes) = null",
    "number(null) = null",
    "number(properties.ten) > 9",
    # functions within functions
    "contains(lowercase(event), 'signed')",
    "length(uppercase(properties.absent)) = 0",
    "contains(string(properties.price), '9.5')",
    # match
    "match(context.library.version, '1.*')",
    "match(event, 'Signed *')",
    "match(context.traits.email, '*@example.com')",
    "match(properties.star, properties.star)",
    "!match(properties.absent, '*')",
    "!match(null, '*')",
    "!match(event, null)",
    "!match(properties.one, '*')",
    # room
    "  type\n=\t'track'\n",
    "length ( event ) = 9",
    "true in [ true , false ]",
]

FALSE = [
    "false",
    "event",
    "properties.one",
    "properties.ten",
    "properties.absent",
    "properties.tags",
    "type = 'track' and event = 'Signed In'",
    "type = 'page' or event = 'Signed In'",
    "false and true or false",
    "(true or true) and false",
    "!true",
    "!!properties.one",
    "type = null",
    "userId != null",
    "'1' = 1",
    "true = 1",
    "properties.one = '1'",
    "properties.one > properties.absent",
    "properties.yes > 0",
    "properties.yes >= 1",
    "properties.absent < 1",
    "properties.ten > 9",
    "properties.ten < 99",
    "event < properties.ten",
    "properties.tags >= properties.tags",
    "'blink' in properties.tags",
    "'S' in event",
    "event in properties.absent",
    "'10' in properties.numbers",
    "context.page.path = '/login'",
    "match(event, 'signed *')",
    "match(event, 'Signed')",
]


@pytest.mark.parametrize("text", TRUE)
def test_what_is_true_of_the_event(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize("text", FALSE)
def test_what_is_false_of_the_event(text: str) -> None:
    assert not holds(text)


@pytest.mark.parametrize("operator", ["=", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize("left", [1, 2, 2.0, True, False, None, "1", "2", [1], {"a": 1}])
@pytest.mark.parametrize("right", [1, 2, 2.0, True, False, None, "1", "2", [1], {"a": 1}])
def test_operators_know_the_types_of_both_sides(operator: str, left: Any, right: Any) -> None:
    numbers = all(isinstance(side, int | float) and not isinstance(side, bool) for side in (left, right))
    same = left == right and (numbers or type(left) is type(right))
    expected = {
        "=": same,
        "!=": not same,
        "<": numbers and left < right,
        "<=": numbers and left <= right,
        ">": numbers and left > right,
        ">=": numbers and left >= right,
    }
    condition = compile_condition(f"left {operator} right")
    assert condition({"left": left, "right": right}) == expected[operator]


def test_the_example_of_the_absent_user_tells_null_from_absent_in_nothing() -> None:
    condition = compile_condition("userId = null")
    assert condition({})
    assert condition({"userId": None})
    assert not condition({"userId": ""})


def test_whole_numbers_beyond_doubles_are_compared_exactly() -> None:
    condition = compile_condition("a = b")
    assert not condition({"a": 2**53 + 1, "b": 2**53})
    assert condition({"a": 10**400, "b": 10**400})
    assert not compile_condition("a < b")({"a": 10**400, "b": 1.5})


def test_halves_of_surrogate_pairs_are_texts_like_any_other() -> None:
    assert compile_condition("length(a) = 3 and contains(a, a) and match(a, '?')")({"a": "\ud800"})


def test_a_pattern_from_the_event_that_is_malformed_matches_nothing() -> None:
    condition = compile_condition("match(text, pattern)")
    assert condition({"text": "abc", "pattern": "a*"})
    assert not condition({"text": "[abc", "pattern": "[abc"})
    assert not condition({"text": "a" * 2000, "pattern": "a" * 2000})


def test_conditions_of_the_same_text_are_equal_and_show_their_text() -> None:
    assert compile_condition("a = 1") == compile_condition("a = 1")
    assert "a = 1" in repr(compile_condition("a = 1"))
