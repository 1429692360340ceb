"""Every template runs in V8: its handlers are those that it lists, and an answer that is not 2xx becomes its error.

The world around the code is a small stand-in; the executor's own tests run the same code in the real one.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from py_mini_racer import MiniRacer

from onward.registry.v1 import resources_pb2
from services.registry.templates import Template, load_templates

pytestmark = pytest.mark.integration

TEMPLATES = load_templates()
HANDLERS = ("onIdentify", "onTrack", "onPage", "onScreen", "onGroup", "onAlias", "onDelete")
WORLD = """
var exports = {}, requests = [], outcome = null;
class EventNotSupported extends Error {}
class ValidationError extends Error {}
const btoa = (text) => `base64(${text})`;
const cache = { load: (key, ttl, fn) => fn() };
const _ = {
  get: (object, path, other) => path.split('.').reduce((at, key) => at == null ? at : at[key], object) ?? other,
  isString: (value) => typeof value === 'string',
  isEmpty: (value) => !value || value.length === 0,
};
const fetch = async (url, options = {}) => {
  requests.push({ url, ...options });
  return { ok: status < 300, status, text: async () => 'said', json: async () => ({ plan: 'gold' }) };
};
"""
SAMPLES = {
    resources_pb2.SETTING_TYPE_STRING: "https://receiver.example/path",
    resources_pb2.SETTING_TYPE_STRING_LIST: [],
    resources_pb2.SETTING_TYPE_STRING_MAP: {"X-Team": "a"},
}


def run(template: Template, status: int) -> dict[str, Any]:
    """The handler of the sample event, with every setting filled in and every answer of one status."""
    event = json.loads(template.sample_event)
    settings = {one.name: SAMPLES[one.type] for one in template.definitions}
    handler = f"on{event['type'].capitalize()}"
    isolate = MiniRacer()
    isolate.eval(WORLD + f"const status = {status};")
    isolate.eval(template.code)
    isolate.eval(
        f"(exports.{handler} || {handler})({json.dumps(event)}, {json.dumps(settings)})"
        ".then((value) => { outcome = { value } }, (error) => {"
        " outcome = { message: error.message, status: error.status } })"
    )
    outcome: dict[str, Any] = json.loads(str(isolate.eval("JSON.stringify({ ...outcome, requests })")))
    return outcome


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=list(TEMPLATES))
def test_a_template_defines_the_handlers_that_it_lists(template: Template) -> None:
    isolate = MiniRacer()
    isolate.eval(WORLD + "const status = 200;")
    isolate.eval(template.code)
    found = [
        name
        for name in HANDLERS
        if isolate.eval(f"typeof exports.{name} === 'function' || typeof {name} === 'function'")
    ]
    assert sorted(found) == sorted(template.handlers)


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=list(TEMPLATES))
def test_a_template_sends_its_sample_event(template: Template) -> None:
    outcome = run(template, 200)
    assert "message" not in outcome
    assert outcome["requests"]
    if any(one.name == "endpoint" for one in template.definitions):
        assert outcome["requests"][-1]["url"].startswith("https://receiver.example/path")


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=list(TEMPLATES))
@pytest.mark.parametrize("status", [400, 429, 503])
def test_an_answer_that_is_not_2xx_is_thrown_with_its_status(template: Template, status: int) -> None:
    assert run(template, status)["status"] == status
