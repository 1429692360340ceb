"""Errors as lines that say what to do, and exit codes that scripts may rely on."""

from __future__ import annotations

import pytest

from cli.failures import CommandError, Exit, UsageError, explain
from kit.embedded.errors import EmbeddedError
from kit.errors import InvalidArgument, InvalidToken, NotFound, OnwardError, Overloaded, PermissionDenied, Unavailable


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UsageError("write it so"), Exit.USAGE, "write it so"),
        (CommandError("no"), Exit.FAILED, "no"),
        (EmbeddedError("port 1 is taken"), Exit.FAILED, "port 1 is taken"),
        (
            Unavailable("onward.registry.v1.FunctionService/ListFunctions failed with UNAVAILABLE."),
            Exit.UNREACHABLE,
            "the registry service does not answer: start everything with `onward up`",
        ),
        (
            Unavailable("No executor answers, so nothing was saved.", retry_after_s=1),
            Exit.FAILED,
            "nothing was saved. Try again in 1 s.",
        ),
        (
            NotFound("workspaces/w/functions/f does not exist.", metadata={"resource": "workspaces/w/functions/f"}),
            Exit.NOT_FOUND,
            "`onward functions list` shows what there is.",
        ),
        (
            InvalidArgument("The request is invalid.", violations=[("display_name", "must not be empty")]),
            Exit.FAILED,
            "display_name: must not be empty.",
        ),
        (InvalidToken("The token is not known."), Exit.FAILED, "--token"),
        (Overloaded("Too many calls.", retry_after_s=2.4), Exit.FAILED, "Try again in 2 s."),
    ],
)
def test_an_error_says_what_to_do(error: BaseException, code: Exit, told: str) -> None:
    explained = explain(error)
    assert explained is not None
    assert told in explained[0]
    assert "\n" not in explained[0]
    assert explained[1] == code


@pytest.mark.parametrize(
    ("resource", "command"),
    [
        ("workspaces/w", "workspaces list"),
        ("workspaces/w/roleBindings/b", "roles list"),
        ("workspaces/w/functions/f/versions/3", "functions versions f"),
        ("workspaces/w/sources/s/writeKeys/k", "sources keys list s"),
        ("workspaces/w/filters/f", "filters list"),
        ("workspaces/w/destinations/d/filters/f", "filters list --destination d"),
    ],
)
def test_what_does_not_exist_is_told_with_the_command_that_lists_its_kind(resource: str, command: str) -> None:
    explained = explain(NotFound(f"{resource} does not exist.", metadata={"resource": resource}))
    assert explained == (f"{resource} does not exist. `onward {command}` shows what there is.", Exit.NOT_FOUND)


def test_a_refusal_is_told_in_the_registrys_words_alone() -> None:
    explained = explain(PermissionDenied("Ask for Functions Admin of it.", metadata={"permission": "FUNCTION_EDIT"}))
    assert explained == ("Ask for Functions Admin of it.", Exit.FAILED)


def test_a_violation_that_the_message_tells_is_not_told_twice() -> None:
    error = InvalidArgument("template: must be one of a, b", violations=[("template", "must be one of a, b")])
    assert explain(error) == ("template: must be one of a, b", Exit.FAILED)


def test_an_error_in_a_task_group_is_found() -> None:
    group = ExceptionGroup("tasks", [ExceptionGroup("more", [UsageError("look here")])])
    assert explain(group) == ("look here", Exit.USAGE)


def test_a_fault_of_our_own_is_not_explained_away() -> None:
    assert explain(ValueError("x")) is None
    assert explain(OnwardError("x")) is not None
