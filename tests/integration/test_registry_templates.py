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
HANDLERS = ("onIdentify", "onTrack", "onPage", "onScreen", "onGroup", "onAlias", "onDelete", "onBatch")
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
  return { ok: status < 300, status, text: async () => 'said', json: async () => answer };
};
"""
SAMPLES = {
    resources_pb2.SETTING_TYPE_STRING: "https://receiver.example/path",
    resources_pb2.SETTING_TYPE_STRING_LIST: [],
    resources_pb2.SETTING_TYPE_STRING_MAP: {"X-Team": "a"},
}


def run(template: Template, status: int, *, answer: Any = None) -> dict[str, Any]:
    """The handler of the sample event, with every setting filled in and every answer of one status."""
    event = json.loads(template.sample_event)
    return call(
        template, f"on{event['type'].capitalize()}", event, status, {"plan": "gold"} if answer is None else answer
    )


def call(template: Template, handler: str, argument: Any, status: int, answer: Any) -> dict[str, Any]:
    """{value, message, status, requests} of one call."""
    settings = {one.name: SAMPLES[one.type] for one in template.definitions}
    isolate = MiniRacer()
    isolate.eval(WORLD + f"const status = {status}, answer = {json.dumps(answer)};")
    isolate.eval(template.code)
    isolate.eval(
        f"(exports.{handler} || {handler})({json.dumps(argument)}, {json.dumps(settings)})"
        ".then((value) => { outcome = { value } }, (error) => {"
        " outcome = { message: error.message, status: error.status } })"
    )
    outcome: dict[str, Any] = json.loads(str(isolate.eval("JSON.stringify({ ...outcome, requests })")))
    return outcome


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=list(TEMPLATES))
def test_a_template_defines_the_handlers_that_it_lists(template: Template) -> None:
    isolate = MiniRacer()
    isolate.eval(WORLD + "const status = 200, answer = null;")
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


# The batch

BATCH = TEMPLATES["batch"]
EVENTS = [{**json.loads(BATCH.sample_event), "messageId": f"m-{n}"} for n in range(3)]
TAKEN = {"status": 200, "errormessage": ""}


def batch(status: int, answer: Any = None) -> dict[str, Any]:
    return call(BATCH, "onBatch", EVENTS, status, answer)


def test_a_batch_goes_out_in_one_request() -> None:
    (request,) = batch(200)["requests"]
    assert json.loads(request["body"]) == {"events": EVENTS}


@pytest.mark.parametrize("answer", [None, {}, [], "ok", {"errors": []}, {"errors": "none"}])
def test_an_answer_without_errors_means_that_all_events_were_taken(answer: Any) -> None:
    assert batch(202, answer)["value"] == [TAKEN] * 3


def test_a_batch_tells_which_of_its_events_were_refused() -> None:
    errors = [{"index": 2, "status": 503, "message": "busy"}, {"index": 0, "status": 400, "message": "bad"}]
    nowhere = [{"index": 3, "status": 500, "message": "no such event"}]
    assert batch(200, {"errors": errors + nowhere})["value"] == [
        {"status": 400, "errormessage": "bad"},
        TAKEN,
        {"status": 503, "errormessage": "busy"},
    ]


@pytest.mark.parametrize("status", [400, 429, 503])
def test_a_batch_that_was_refused_as_a_whole_is_thrown_with_its_status(status: int) -> None:
    assert batch(status)["status"] == status


def test_one_event_that_was_refused_is_thrown_with_its_status() -> None:
    outcome = run(BATCH, 200, answer={"errors": [{"index": 0, "status": 422, "message": "no email"}]})
    assert outcome["status"] == 422
    assert "no email" in outcome["message"]
