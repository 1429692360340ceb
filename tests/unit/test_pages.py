"""Page tokens are good for the list that made them and for nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidArgument, InvalidPageToken
from kit.rpc.pages import TOKEN_LENGTH_MAX, PageTokens, page_size

tokens = PageTokens("a secret that replicas share")


@given(st.lists(st.one_of(st.text(max_size=20), st.integers(-(2**60), 2**60)), max_size=3))
def test_a_token_gives_its_cursor_back(cursor: list[str | int]) -> None:
    token = tokens.make(tuple(cursor), "functions", "workspaces/a")
    assert tokens.read(token, "functions", "workspaces/a") == tuple(cursor)


def test_no_token_means_the_first_page() -> None:
    assert tokens.read("", "functions") is None


@pytest.mark.parametrize(
    "binding",
    [
        ("functions", "workspaces/b", ""),
        ("functions", "workspaces/a", "name = x"),
        ("sources", "workspaces/a", ""),
        ("functionsworkspaces/a", "", ""),
        ("functions", "workspaces/a"),
    ],
)
def test_a_token_of_another_list_is_refused(binding: tuple[str, ...]) -> None:
    token = tokens.make(("f",), "functions", "workspaces/a", "")
    with pytest.raises(InvalidPageToken):
        tokens.read(token, *binding)


@given(st.text(min_size=1, max_size=100))
def test_a_made_up_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidPageToken):
        tokens.read(token, "functions")


def test_a_huge_token_is_refused() -> None:
    with pytest.raises(InvalidPageToken):
        tokens.read("A" * (TOKEN_LENGTH_MAX + 1), "functions")


def test_changing_any_character_spoils_a_token() -> None:
    token = tokens.make((12345,), "functions")
    # The last character may hold bits that base64 ignores.
    for place in range(len(token) - 1):
        other = "A" if token[place] != "A" else "B"
        with pytest.raises(InvalidPageToken):
            tokens.read(token[:place] + other + token[place + 1 :], "functions")


def test_replicas_that_share_the_secret_accept_each_others_tokens() -> None:
    token = PageTokens("one").make(("a",), "x")
    assert PageTokens("one").read(token, "x") == ("a",)
    with pytest.raises(InvalidPageToken):
        PageTokens("two").read(token, "x")
    with pytest.raises(InvalidPageToken):
        PageTokens().read(PageTokens().make(("a",), "x"), "x")


@pytest.mark.parametrize(("requested", "size"), [(0, 50), (1, 1), (1_000, 1_000), (2**31 - 1, 1_000)])
def test_a_page_size_is_clamped(requested: int, size: int) -> None:
    assert page_size(requested) == size


def test_a_negative_page_size_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        page_size(-1)
