"""Templates that functions are created from: a folder each, with code.js, template.json and event.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from google.protobuf import json_format

from onward.registry.v1 import resources_pb2


@dataclass(frozen=True, slots=True)
class Template:
    """What a function can be created from. `handlers` are those that the code defines; `sample_event` is JSON."""

    name: str
    display_name: str
    description: str
    code: str
    definitions: Sequence[resources_pb2.SettingDefinition]
    handlers: Sequence[str]
    sample_event: str


def load_templates(folder: Path = Path(__file__).parent) -> dict[str, Template]:
    """All templates by name. A folder that lacks a file stops the start."""
    manifests = sorted(folder.glob("*/template.json"))
    return {manifest.parent.name: _load(manifest.parent) for manifest in manifests}


def _load(folder: Path) -> Template:
    manifest = orjson.loads((folder / "template.json").read_bytes())
    definitions = [json_format.ParseDict(one, resources_pb2.SettingDefinition()) for one in manifest["definitions"]]
    return Template(
        name=folder.name,
        display_name=manifest["display_name"],
        description=manifest["description"],
        code=(folder / "code.js").read_text(encoding="utf-8"),
        definitions=definitions,
        handlers=manifest["handlers"],
        sample_event=(folder / "event.json").read_text(encoding="utf-8"),
    )
