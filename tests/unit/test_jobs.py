"""The texts that go to an isolate and come back, without one."""

import json

import pytest

from services.executor.runtime.jobs import Job, batch_text, detailed, loads


def test_events_are_copied_into_the_batch_as_they_are() -> None:
    jobs = [Job(7, "track", b'{"a": 1.0}'), Job(8, "track", b"{}")]
    assert batch_text(5, jobs) == b'{"n":5,"t":["onTrack"],"c":[0],"e":[{"a": 1.0},{}]}'


def test_types_and_captures_are_listed_one_by_one_only_where_they_differ() -> None:
    jobs = [Job(1, "page", b"{}", capture=True), Job(2, "onBatch", b"[]")]
    assert json.loads(batch_text(1, jobs)) == {"n": 1, "t": ["onPage", "onBatch"], "c": [1, 0], "e": [{}, []]}


@pytest.mark.parametrize(
    "hostile",
    [
        b"[" + b",".join([b"[]"] * 3_000_000) + b"]",
        b"[" + b",".join([b'""'] * 2_500_000) + b"]",
        b'["' + b"\\ud800" * 10 + b'"]',
    ],
    ids=["lists", "texts", "lone surrogates"],
)
def test_what_would_keep_the_loop_is_refused_unparsed(hostile: bytes) -> None:
    with pytest.raises(ValueError, match=r"parts|surrogate"):
        loads(hostile)


def test_a_text_may_hold_any_number_of_brackets_and_commas() -> None:
    text = '[{,\\"' * 100_000
    assert loads(json.dumps([text, text]).encode()) == [text, text]


def test_a_detail_becomes_an_outcome() -> None:
    error = {"kind": "RetryError", "name": "RetryError", "message": "m", "stack": "s", "status": 503, "network": False}
    outcome = detailed(3, 10, 5, {"error": error, "logs": [["warn", 1, "text"]]})
    assert (outcome.id, outcome.ok, outcome.wall_us, outcome.cpu_us) == (3, False, 10, 5)
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.http_status) == ("RetryError", 503)
    assert (outcome.logs[0].level, outcome.logs[0].text) == ("warn", "text")
