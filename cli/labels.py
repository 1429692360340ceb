"""Labels as they are written on the command line: NAME=VALUE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cli.failures import UsageError
from onward.registry.v1.resources_pb2 import Labels


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Give the labels by name. Raises UsageError."""
    labels: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"{text!r} is not a label: write NAME=VALUE")
        if name in labels:
            raise UsageError(f"the label {name} is given twice: leave one out")
        labels[name] = value
    return labels


def changed_labels(texts: list[str] | None, *, none: bool, otherwise: str | None) -> Labels | None:
    """Give all labels from now on; None leaves them as they are. Raises UsageError.

    `otherwise` is what else the command changes, if anything: one that changes nothing is a mistake.
    """
    if texts and none:
        raise UsageError("--label and --no-labels exclude each other: leave one out")
    if texts is None and not none and otherwise is None:
        raise UsageError("say what is to change: see --help for what can be changed")
    return None if texts is None and not none else Labels(labels=parse_labels(texts or []))


def labels_text(labels: Mapping[str, str]) -> str:
    """Give labels as parse_labels reads them."""
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
