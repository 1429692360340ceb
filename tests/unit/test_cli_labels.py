"""Labels on the command line."""

from __future__ import annotations

import pytest

from cli.failures import UsageError
from cli.labels import changed_labels, parse_labels


def test_labels_are_names_and_values() -> None:
    assert parse_labels(["team=growth", "note=a=b", "empty="]) == {"team": "growth", "note": "a=b", "empty": ""}


@pytest.mark.parametrize(("texts", "told"), [(["team"], "NAME=VALUE"), (["=x"], "NAME="), (["a=1", "a=2"], "twice")])
def test_what_is_no_label_is_refused(texts: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_labels(texts)


def test_labels_that_are_not_named_stay_and_can_be_taken_away() -> None:
    assert changed_labels(None, none=False, otherwise="a name") is None
    taken = changed_labels(None, none=True, otherwise=None)
    assert taken is not None
    assert dict(taken.labels) == {}
    with pytest.raises(UsageError, match="exclude each other"):
        changed_labels(["a=1"], none=True, otherwise=None)
    with pytest.raises(UsageError, match="say what is to change"):
        changed_labels(None, none=False, otherwise=None)
