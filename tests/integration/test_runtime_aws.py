"""The AWS global against moto, AWS in memory: the scripts of tests/differential/moto do the same here as under Node.

Node runs them first, with npm's aws-sdk; then moto forgets everything, and our isolates run them, with a real broker.
"""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from moto.core.config import default_user_config
from moto.server import ThreadedMotoServer

from services.executor.domain.errors import BAD_REQUEST, RETRY, Verdict, judge
from services.executor.runtime.broker import Broker
from services.executor.runtime.pool import Zygote
from services.executor.runtime.worker_link import HostRequest, Outcome
from tests.integration import runtime_world
from tests.integration.node_reference import node_results
from tests.integration.runtime_world import LIMITS, RejectionError, script
from tests.integration.test_runtime_differential import FOLDER, REPLY, Asking, Result, result_of

pytestmark = pytest.mark.integration

SCRIPTS = sorted((FOLDER / "moto").glob("*.js"))
REFERENCE_SECONDS_MAX = 240
OPTIONS = "{accessKeyId: 'AKID', secretAccessKey: 'secret', region: 'us-east-1', maxRetries: 0}"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The URL of a moto server. Functions of its Lambda answer at once: no Docker is at hand."""
    default_user_config["lambda"]["use_docker"] = False
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture(scope="module")
def expected(moto: str) -> dict[str, Result]:
    return asyncio.run(_run_reference(moto))


@pytest.fixture(scope="module")
def found(moto: str, expected: dict[str, Result]) -> dict[str, Result]:
    return asyncio.run(_run_all(moto))


def _forget(moto: str) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{moto}/moto-api/reset", method="POST")).close()


async def _run_reference(moto: str) -> dict[str, Result]:
    await asyncio.to_thread(_forget, moto)
    urls = {path.name: moto for path in SCRIPTS}
    return await node_results(FOLDER / "reference.mjs", urls, SCRIPTS, REFERENCE_SECONDS_MAX)


async def _run_all(moto: str) -> dict[str, Result]:
    await asyncio.to_thread(_forget, moto)
    broker = Broker()
    await broker.start()
    try:
        async with runtime_world.zygote() as zygote:
            return {path.name: result_of(await _run(zygote, broker, path.read_text("utf-8"), moto)) for path in SCRIPTS}
    finally:
        await broker.stop()


async def _run(zygote: Zygote, broker: Broker, body: str, receiver: str) -> Outcome:
    code = f"async function onTrack(event) {{ const receiver = {json.dumps(receiver)}; {REPLY} {body}\n}}"
    running = Asking(runtime_world.nothing_expected, broker=broker)
    async with asyncio.TaskGroup() as running.group, runtime_world.script(zygote, code, running=running):
        (outcome,) = await running.track({})
    return outcome


@pytest.mark.parametrize("script", [path.name for path in SCRIPTS])
def test_a_script_against_aws_gives_what_it_gives_under_node(
    script: str, expected: dict[str, Result], found: dict[str, Result]
) -> None:
    assert expected[script]["error"] is None, "the script itself is wrong"
    assert found[script] == expected[script]


# ---- without a server ------------------------------------------------------------------------------------------------


@pytest.fixture
async def zygote() -> AsyncIterator[Zygote]:
    async with runtime_world.zygote() as started:
        yield started


def respond(status: int, body: bytes = b"{}", **headers: str) -> dict[str, Any]:
    pairs = [[name.replace("_", "-"), value] for name, value in headers.items()]
    encoded = base64.b64encode(body).decode()
    return {
        "status": status,
        "statusText": "",
        "url": "http://h/",
        "redirected": False,
        "headers": pairs,
        "body": encoded,
    }


def rejecting(**fields: Any) -> runtime_world.Answer:
    def answer(_: dict[str, Any]) -> Any:
        raise RejectionError(**fields)

    return answer


async def _judged(zygote: Zygote, answer: runtime_world.Answer, options: str = OPTIONS) -> Verdict:
    code = f"function onTrack() {{ return new AWS.DynamoDB({options}).listTables().promise() }}"
    async with script(zygote, code, answer) as running:
        (outcome,) = await running.track({})
    error = outcome.error
    assert error is not None
    return judge(error.kind, error.http_status, network=error.network, retry_only_explicit=False)


@pytest.mark.parametrize("status", [500, 502, 503, 429])
async def test_an_uncaught_error_of_a_busy_service_is_retried(zygote: Zygote, status: int) -> None:
    assert await _judged(zygote, lambda _: respond(status)) == RETRY


@pytest.mark.parametrize("code", ["ThrottlingException", "ProvisionedThroughputExceededException"])
async def test_an_uncaught_error_of_a_service_that_throttles_is_retried(zygote: Zygote, code: str) -> None:
    assert (
        await _judged(zygote, lambda _: respond(400, json.dumps({"__type": f"com.amazonaws#{code}"}).encode())) == RETRY
    )


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_an_uncaught_error_of_a_wrong_request_is_not_retried(zygote: Zygote, status: int) -> None:
    assert await _judged(zygote, lambda _: respond(status, b'{"__type":"AccessDenied"}')) == BAD_REQUEST


@pytest.mark.parametrize(
    "rejection",
    [
        {"code": "ECONNREFUSED", "message": "connect ECONNREFUSED 10.0.0.1:443"},
        {"code": "ENOTFOUND", "message": "getaddrinfo ENOTFOUND dynamodb.us-east-1.amazonaws.com"},
        {"code": "ECONNRESET", "message": "socket hang up"},
    ],
)
async def test_an_uncaught_failure_of_the_network_is_retried(zygote: Zygote, rejection: dict[str, str]) -> None:
    assert await _judged(zygote, rejecting(type="system", network=True, **rejection)) == RETRY


async def test_an_address_that_is_closed_to_functions_is_not_retried(zygote: Zygote) -> None:
    denied = {"type": "system", "code": "EGRESS_DENIED", "message": "connections to this address are not allowed"}
    assert await _judged(zygote, rejecting(network=False, **denied)) == BAD_REQUEST


async def test_without_credentials_no_request_is_made(zygote: Zygote) -> None:
    code = """async function onTrack() {
        try { await new AWS.S3({region: 'us-east-1'}).listBuckets().promise() }
        catch (error) { return [error.code, error.name] }
    }"""
    async with script(zygote, code) as running:
        (outcome,) = await running.track({})
    assert json.loads(outcome.value or "null") == ["CredentialsError", "CredentialsError"]
    assert running.requests == []


async def test_the_sdk_tries_again_by_itself(zygote: Zygote) -> None:
    answers = [respond(500), respond(503), respond(200, b'{"TableNames":["t"]}')]
    options = OPTIONS.replace("maxRetries: 0", "maxRetries: 3, retryDelayOptions: {base: 1}")
    code = (
        f"async function onTrack() {{ return (await new AWS.DynamoDB({options}).listTables().promise()).TableNames }}"
    )
    async with script(zygote, code, lambda _: answers.pop(0)) as running:
        (outcome,) = await running.track({})
    assert json.loads(outcome.value or "null") == ["t"]
    assert len(running.requests) == 3
    (settled,) = {json.dumps(request["body"]) for request in running.requests}
    assert base64.b64decode(json.loads(settled)) == b"{}"


async def test_requests_and_lines_belong_to_the_attempt_that_called_the_sdk(zygote: Zygote) -> None:
    code = f"""const sns = new AWS.SNS({OPTIONS});
    function onTrack(event) {{
        return new Promise((resolve, reject) => sns.publish({{TopicArn: 'arn', Message: `m${{event.n}}`}}, () => {{
            console.log('called back', event.n);
            fetch(`http://h/${{event.n}}`).then(() => resolve(event.n), reject);
        }}));
    }}"""
    events = range(5)
    async with script(zygote, code, lambda _: respond(200, b"<PublishResponse/>")) as running:
        asked = _asked_by(running)
        outcomes = await running.track(*({"n": n} for n in events))
    assert [[line.text for line in outcome.logs] for outcome in outcomes] == [[f"called back {n}"] for n in events]
    for n in events:
        published, fetched = asked[n]
        assert f"Message=m{n}&".encode() in base64.b64decode(published["body"])
        assert fetched["url"] == f"http://h/{n}"


def _asked_by(running: runtime_world.Script) -> dict[int, list[dict[str, Any]]]:
    """What each job asks of the host from now on."""
    asked: dict[int, list[dict[str, Any]]] = {}
    on_request = running.on_request

    def noting(request: HostRequest) -> None:
        asked.setdefault(request.job_id, []).append(request.payload)
        on_request(request)

    assert running.worker is not None
    callbacks = running.worker._callbacks
    assert callbacks is not None
    running.worker._callbacks = replace(callbacks, request=noting)
    return asked


async def test_credentials_that_one_attempt_never_got_do_not_hold_up_the_next(zygote: Zygote) -> None:
    code = """let calls = 0;
    const credentials = new AWS.Credentials('a', 'b', 'c');
    credentials.expired = true;
    credentials.refresh = (callback) => credentials.coalesceRefresh(callback);
    credentials.load = (callback) => {
        calls += 1;
        if (calls > 1) { credentials.expired = false; callback() }
    };
    const db = new AWS.DynamoDB({region: 'us-east-1', credentials, maxRetries: 0});
    async function onTrack() { await db.listTables().promise(); return calls }"""
    running = runtime_world.Script(lambda _: respond(200))
    limits = replace(LIMITS, wall_ms=300)
    running.worker = await zygote.fork(code, b"{}", limits, running.on_outcomes, running.on_request, running.on_exit)
    try:
        (first,) = await running.track({})
        (second,) = await running.track({})
    finally:
        await running.worker.stop()
    assert first.error is not None
    assert first.error.kind == "Timeout"
    assert json.loads(second.value or "null") == 2
