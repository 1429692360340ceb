"""Ids that are made from display names, and names and etags that are made from ids."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

from services.registry.domain.state import DestinationState

ID_LENGTH_MAX = 63
# With so many equal names somebody is in a loop; the search for a free suffix stays short.
SUFFIX_MAX = 10_000


def slug(display_name: str, kind: str) -> str:
    """An id that resembles the name ("Größe & Co.": "grosse-co"), or the kind where nothing is left."""
    plain = unicodedata.normalize("NFKD", display_name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    if not words or not words[0].isalpha():
        words = f"{kind}-{words}".strip("-")
    return words[:ID_LENGTH_MAX].rstrip("-")


def with_suffix(base: str, number: int) -> str:
    """The id's n-th choice: `crm`, `crm-2`, `crm-3`, never longer than an id may be."""
    if number == 1:
        return base
    suffix = f"-{number}"
    return base[: ID_LENGTH_MAX - len(suffix)].rstrip("-") + suffix


def free_id(display_name: str, kind: str, taken: Container[str]) -> str:
    """An id made from the name that nothing has yet."""
    base = slug(display_name, kind)
    return next(choice for number in range(1, SUFFIX_MAX) if (choice := with_suffix(base, number)) not in taken)


def function_etag(revision: int) -> str:
    """Changes with every fact of the function's stream."""
    return f"{revision}"


def destination_etag(revision: int, version: int) -> str:
    """A deployment is a fact of the function's stream and changes the destination too: hence both numbers."""
    return f"{revision}.{version}"


def etag_of(destination: DestinationState) -> str:
    return destination_etag(destination.revision, destination.version)
