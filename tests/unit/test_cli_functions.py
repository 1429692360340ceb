"""Functions in words."""

from __future__ import annotations

import pytest

from cli.commands.functions import handler_words

ALL = ["onTrack", "onIdentify", "onPage", "onScreen", "onGroup", "onAlias", "onDelete"]


@pytest.mark.parametrize(
    ("handlers", "words"),
    [
        ([], "no type of event"),
        (["onTrack", "onPage"], "page, track"),
        (["onTrack", "onBatch"], "track, and batches"),
        (["onBatch"], "batches only"),
        (ALL, "all types"),
        ([*ALL, "onBatch"], "all types, and batches"),
    ],
)
def test_what_code_handles_is_told_with_batches(handlers: list[str], words: str) -> None:
    assert handler_words(handlers) == words
