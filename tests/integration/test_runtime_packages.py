"""Packages that functions find as globals: ours, and those that an operator adds to the build."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from onward.executor.v1 import execution_service_pb2 as pb
from services.executor.handlers.places import CheckPlaces
from services.executor.rpc import ExecutionService
from services.executor.runtime.pool import Zygote
from services.executor.settings import RUNTIME_DIR
from tests.integration import runtime_world
from tests.integration.runtime_world import returned, script
from tools import build_runtime
from tools.build_runtime import SOURCES, BuildError, build, pin

pytestmark = pytest.mark.integration

MANIFEST = json.loads((SOURCES / "packages.json").read_text("utf-8"))["packages"]
LAZY = [entry["global"] for entry in MANIFEST if entry["lazy"]]
# A small package of npm's that is there anyway.
SMALL = "jmespath"


@pytest.fixture
async def zygote() -> AsyncIterator[Zygote]:
    async with runtime_world.zygote() as started:
        yield started


# ---- ours ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAZY)
async def test_a_package_leaves_no_name_behind_but_its_own(zygote: Zygote, name: str) -> None:
    names = "Object.getOwnPropertyNames(globalThis)"
    before = await returned(zygote, f"return {names}")
    after = await returned(zygote, f"const touched = typeof {name}; return {names}")
    assert set(after) - set(before) == {name}
    assert set(before) - set(after) == set()


async def test_the_sdk_leaves_no_name_behind_once_it_is_used(zygote: Zygote) -> None:
    names = "Object.getOwnPropertyNames(globalThis)"
    before = await returned(zygote, f"return typeof AWS && {names}")
    used = (
        "const s3 = new AWS.S3({region: 'eu-west-1', accessKeyId: 'a', secretAccessKey: 'b'});"
        "s3.getSignedUrl('getObject', {Bucket: 'b', Key: 'k'}); new AWS.DynamoDB.DocumentClient({region: 'x'});"
        f"new AWS.SNS({{region: 'x'}}); return {names}"
    )
    assert await returned(zygote, used) == before


async def test_a_package_that_is_not_named_is_not_there(zygote: Zygote) -> None:
    split = [f"typeof globalThis[{json.dumps(name[:1])} + {json.dumps(name[1:])}]" for name in LAZY if len(name) > 1]
    assert set(await returned(zygote, f"return [{', '.join(split)}]")) == {"undefined"}


async def test_packages_are_of_the_versions_that_the_manifest_names(zygote: Zygote) -> None:
    versions = {entry["global"]: entry["version"] for entry in MANIFEST}
    assert await returned(zygote, "return [AWS.VERSION, _.VERSION]") == [versions["AWS"], versions["_"]]


async def test_a_package_may_be_used_where_the_script_is_loaded(zygote: Zygote) -> None:
    code = """const queue = new AWS.SQS({region: 'eu-west-1', accessKeyId: 'a', secretAccessKey: 'b'});
    const oauth = new OAuth.OAuth('http://h/', 'http://h/', 'key', 'secret', '1.0A', null, 'HMAC-SHA1');
    const path = _.camelCase('to be'), text = xml({a: 1});
    function onTrack() { return [queue.endpoint.host, oauth._encodeData('a b'), path, text] }"""
    async with script(zygote, code) as running:
        (outcome,) = await running.track({})
    assert json.loads(outcome.value or "null") == ["sqs.eu-west-1.amazonaws.com", "a%20b", "toBe", "<a>1</a>"]


async def test_a_service_of_the_sdk_may_be_named_by_a_setting(zygote: Zygote) -> None:
    body = "return Object.keys(AWS).filter((name) => name.startsWith('S')).map((name) => typeof AWS[name]).length"
    assert await returned(zygote, body) >= 8
    body = "const name = ['SecretsManager'][0]; return new AWS[name]({region: 'x'}).api.serviceId"
    assert await returned(zygote, body) == "Secrets Manager"


def test_every_package_is_declared_once_for_editors() -> None:
    text = (RUNTIME_DIR / "onward.d.ts").read_text("utf-8")
    declared = [line.split()[2].rstrip(":").partition("(")[0] for line in text.splitlines() if line[:8] == "declare "]
    assert sorted(set(declared)) == sorted(declared)
    assert {entry["global"] for entry in MANIFEST} <= set(declared)


def test_packages_whose_types_are_not_installed_are_no_errors_for_editors() -> None:
    lines = (RUNTIME_DIR / "onward.d.ts").read_text("utf-8").splitlines()
    imported = [at for at, line in enumerate(lines) if line.startswith("declare ") and "import(" in line]
    assert len(imported) >= 6
    assert [lines[at] for at in imported if not lines[at - 1].startswith("// @ts-ignore")] == []


def test_the_lock_file_pins_by_integrity_and_names_no_registry() -> None:
    text = (SOURCES / "package-lock.json").read_text("utf-8")
    locked = json.loads(text)["packages"]
    assert '"resolved"' not in text
    assert [
        path for path, entry in locked.items() if path and not entry.get("integrity", "").startswith("sha512-")
    ] == []


# ---- an operator's ---------------------------------------------------------------------------------------------------


class Registry(ThreadingHTTPServer):
    """An npm registry with one small package: `tarball` may be changed."""

    tarball = b""
    version = "0.16.0"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def described(self) -> dict[str, Any]:
        integrity = f"sha512-{base64.b64encode(hashlib.sha512(self.tarball).digest()).decode()}"
        dist = {"tarball": f"{self.url}/{SMALL}.tgz", "integrity": integrity}
        version = {"name": SMALL, "version": self.version, "dist": dist}
        return {"name": SMALL, "dist-tags": {"latest": self.version}, "versions": {self.version: version}}


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        registry = cast(Registry, self.server)
        body = registry.tarball if self.path.endswith(".tgz") else json.dumps(registry.described()).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def _packed(folder: Path, remark: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for file in (folder / "package.json", folder / "jmespath.js"):
            content = file.read_bytes() + remark.encode() * (file.suffix == ".js")
            entry = tarfile.TarInfo(f"package/{file.name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    build()  # what is installed here is packed below
    server = Registry(("127.0.0.1", 0), Answer)
    server.tarball = _packed(SOURCES / "node_modules" / SMALL)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("npm_config_registry", server.url)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    # What the bundle is made of is installed, whatever registry is asked now.
    monkeypatch.setattr(build_runtime, "install_packages", lambda *_: None)
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _packages(tmp_path: Path, **changes: str) -> Path:
    file = tmp_path / "packages.json"
    entry = {"global": "jmespath", "package": SMALL, "version": Registry.version} | changes
    file.write_text(json.dumps({"packages": [entry]}), "utf-8")
    return file


async def test_a_package_of_the_operators_is_a_global_told_and_typed(registry: Registry, tmp_path: Path) -> None:
    file = _packages(tmp_path, types="{ search(data: any, path: string): any }")
    pin(file)
    assert build(output=tmp_path / "runtime", packages=file)
    async with runtime_world.zygote(tmp_path / "runtime") as started:
        assert await returned(started, "return jmespath.search({a: [{b: 1}]}, 'a[0].b')") == 1
        service: Any = ExecutionService(started, CheckPlaces(), cast(Any, None), tmp_path / "runtime")
        answer = await service.DescribeRuntime(pb.DescribeRuntimeRequest(), None)
    told = [(getattr(one, "global"), one.package, one.version) for one in answer.packages]
    assert ("jmespath", SMALL, Registry.version) in told
    assert {entry["global"] for entry in MANIFEST} < {name for name, _, _ in told}
    assert "declare const jmespath: { search(" in (tmp_path / "runtime" / "onward.d.ts").read_text("utf-8")


def test_the_same_packages_are_not_built_twice(registry: Registry, tmp_path: Path) -> None:
    file = _packages(tmp_path)
    pin(file)
    assert build(output=tmp_path / "runtime", packages=file)
    assert not build(output=tmp_path / "runtime", packages=file)


def test_a_package_that_is_not_pinned_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=f"{SMALL}@{Registry.version}; where that is expected, pin with --pin"):
        build(output=tmp_path / "runtime", packages=_packages(tmp_path))
    assert not (tmp_path / "runtime").exists()


def test_a_package_that_has_changed_under_its_version_is_refused(registry: Registry, tmp_path: Path) -> None:
    file = _packages(tmp_path)
    pin(file)
    registry.tarball = _packed(SOURCES / "node_modules" / SMALL, "\n// more\n")
    with pytest.raises(BuildError, match="not pinned to what npm's registry serves"):
        build(output=tmp_path / "runtime", packages=file)


@pytest.mark.parametrize("name", ["AWS", "fetch", "Object", "process"])
def test_a_name_that_is_taken_is_refused(registry: Registry, tmp_path: Path, name: str) -> None:
    file = _packages(tmp_path, **{"global": name})
    pin(file)
    with pytest.raises(BuildError, match=f"the global {name} exists already"):
        build(output=tmp_path / "runtime", packages=file)


@pytest.mark.parametrize(
    "changes",
    [{"version": "^0.16.0"}, {"version": "latest"}, {"global": "a b"}, {"package": "../x"}, {"package": "file:/etc"}],
)
def test_a_file_that_names_no_exact_package_is_refused(tmp_path: Path, changes: dict[str, str]) -> None:
    with pytest.raises(BuildError, match="wanted are a name, a package and an exact version"):
        build(output=tmp_path / "runtime", packages=_packages(tmp_path, **changes))


@pytest.mark.parametrize("text", ["", "[]", '{"packages": [{"global": "a"}]}'])
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "packages.json"
    file.write_text(text, "utf-8")
    with pytest.raises(BuildError, match=r"docs/runtime\.md"):
        build(output=tmp_path / "runtime", packages=file)
