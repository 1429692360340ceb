"""Facts of the tracker that were ever stored decode for ever, to the same bytes (C5).

One file for each type, as the log stores it. A file is never edited: a later form of a fact gets a file of its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import json_format

from kit.eventstore.facts import fact_types, serialize
from onward.delivery.v1 import facts_pb2

GOLDEN = Path(__file__).parents[1] / "golden" / "delivery"
FACT_TYPES = fact_types(facts_pb2)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_a_stored_fact_decodes_and_encodes_to_the_same_bytes(path: Path) -> None:
    message = FACT_TYPES[path.stem.partition("-")[0]]()
    json_format.Parse(path.read_bytes(), message)
    assert serialize(message) == path.read_bytes()


def test_every_fact_type_has_a_golden_file() -> None:
    assert {path.stem.partition("-")[0] for path in GOLDEN.glob("*.json")} == set(FACT_TYPES)
