"""Names of resources are parsed strictly, and ids made from any text are ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidArgument
from kit.rpc.names import FUNCTION, VERSION, WORKSPACE, is_id, numbered, slug, workspace_of

BAD = [
    "",
    "workspaces/acme",
    "workspaces/acme/functions/",
    "workspaces/acme/functions/Big",
    "workspaces/acme/functions/a b",
    "workspaces/acme/functions/a/",
    "workspaces/acme/functions/a\n",
    "workspaces/../functions/a",
    "workspaces/acme/functions/" + "a" * 64,
    "/workspaces/acme/functions/a",
    "x" * 100_000,
]

ids = st.from_regex(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(ids, ids, st.integers(0, 10**17))
def test_what_is_formatted_parses_to_the_same_values(workspace: str, function: str, version: int) -> None:
    assert VERSION.parse(VERSION.format(workspace, function, version)) == (workspace, function, str(version))
    assert FUNCTION.parse(FUNCTION.format(workspace, function)) == (workspace, function)


@pytest.mark.parametrize("name", BAD)
def test_a_name_of_another_form_is_an_invalid_argument_about_its_field(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        FUNCTION.parse(name, "function.name")
    assert caught.value.violations[0][0] == "function.name"


@pytest.mark.parametrize("number", ["01", "-1", "", "1e3", "9" * 19])
def test_numbers_have_one_spelling_and_64_bits(number: str) -> None:
    assert not VERSION.matches(f"workspaces/a/functions/b/versions/{number}")


def test_a_wrong_count_of_values_is_a_bug_and_says_so() -> None:
    with pytest.raises(TypeError, match="takes 1 values"):
        WORKSPACE.format("a", "b")


@pytest.mark.parametrize("name", ["workspaces/acme", "workspaces/acme/sources/s/writeKeys/K9_x"])
def test_the_workspace_of_any_resource_is_found(name: str) -> None:
    assert workspace_of(name) == "acme"


@pytest.mark.parametrize("name", ["", "acme", "workspaces/", "workspaces/Acme", "workspaces/a//b", "workspaces/a/b"])
def test_a_name_outside_all_workspaces_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        workspace_of(name)


@given(st.text(max_size=200))
def test_a_slug_of_any_text_is_an_id(display_name: str) -> None:
    assert is_id(slug(display_name, "function"))


@given(st.text(max_size=200), st.integers(2, 9_999))
def test_a_numbered_slug_is_an_id_of_its_own(display_name: str, number: int) -> None:
    made = slug(display_name, "function")
    assert is_id(numbered(made, number))
    assert numbered(made, number) != made


@pytest.mark.parametrize(
    ("display_name", "expected"),
    [
        ("Slack – Alerts!", "slack-alerts"),
        ("Çelik Ürün", "celik-urun"),
        ("2nd try", "function-2nd-try"),
        ("日本", "function"),
        ("x" * 62 + " y", "x" * 62),
    ],
)
def test_slugs_are_what_a_person_would_write(display_name: str, expected: str) -> None:
    assert slug(display_name, "function") == expected
