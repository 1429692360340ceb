"""docker-compose.yml as Docker reads it, and the same programs run on this machine, without Docker."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kit.embedded.data_folder import DataFolder, free_port
from kit.embedded.nats import nats_program
from kit.embedded.postgres import EmbeddedPostgres, postgres_programs
from kit.nats_auth.nkeys import issuer_of_secret
from kit.testing import servers
from kit.testing.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("registry", "executor", "delivery", "audit")
# What runs to its end before they start.
ONE_SHOT = "certificates"
# The image's /opt/venv/bin/onward.
ONWARD = (sys.executable, "-c", "import sys; from cli.main import main; sys.exit(main())")
# A cold start on a machine under load.
READY_TIMEOUT_S = 60.0
# The user of the image.
IMAGE_UID = 10001

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::\?(?P<message>[^}]*)|:-(?P<default>[^}]*))?\}")


class MissingVariableError(Exception):
    """A variable that the file requires is not set; the message is the file's."""


def variables() -> dict[str, str]:
    """A filled-in .env: every name of deploy/env.example. All-digit passwords, which parsers like to misread."""
    names = re.findall(r"^(\w+)=$", (ROOT / "deploy/env.example").read_text(), re.MULTILINE)
    values = {name: f"{number:024d}" for number, name in enumerate(names, 1)}
    values["ONWARD_KEY_ENCRYPTION_KEY"] = base64.b64encode(b"k" * 32).decode()
    values["ONWARD_WEBHOOK_SIGNING_KEY"] = base64.b64encode(b"w" * 32).decode()
    values["ONWARD_AUDIT_SIGNING_KEY"] = base64.b64encode(b"s" * 32).decode()
    issuer = issuer_of_secret("compose")
    values |= {"NATS_CALLOUT_ISSUER": issuer.public, "ONWARD_NATS_CALLOUT_SEED": issuer.seed}
    return values


def compose(values: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables put in; raises MissingVariableError as `docker compose` fails."""

    def value(found: re.Match[str]) -> str:
        given = values.get(found["name"], "") or found["default"] or ""
        if not given and found["message"] is not None:
            raise MissingVariableError(f"{found['name']}: {found['message']}")
        return given

    def filled(node: Any) -> Any:
        if isinstance(node, str):
            return _VARIABLE.sub(value, node)
        if isinstance(node, list):
            return [filled(item) for item in node]
        return {name: filled(item) for name, item in node.items()} if isinstance(node, dict) else node

    document: dict[str, Any] = filled(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))
    return document


@dataclass(frozen=True)
class Instruction:
    """One instruction of the Dockerfile, continued lines joined."""

    stage: int
    word: str
    rest: str


def dockerfile() -> list[Instruction]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    found, stage = [], -1
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        word, _, rest = line.strip().partition(" ")
        stage += word == "FROM"
        found.append(Instruction(stage, word, rest.strip()))
    return found


def in_context(path: str) -> bool:
    """Whether .dockerignore lets a file of the project into the build: the last pattern that matches decides."""
    parents = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 2)]
    inside = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if pattern and not pattern.startswith("#") and any(_matches(parent, pattern) for parent in parents):
            inside = line.startswith("!")
    return inside


def _matches(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch(path.rpartition("/")[2], pattern[3:])
    return path.count("/") == pattern.count("/") and fnmatch(path, pattern)


def assemble_image(folder: Path) -> None:
    """Copy into `folder` what the final stage has in /opt/onward, as far as it comes from the project."""
    final = dockerfile()[-1].stage
    for step in dockerfile():
        if step.stage == final and step.word == "COPY":
            *options, source, target = step.rest.split()
            if not options:
                _copy(ROOT / source, folder / target)
            elif source.endswith("build/runtime"):
                _copy(ROOT / "build/runtime", folder / target)


def _copy(source: Path, target: Path) -> None:
    def left_out(folder: str, names: list[str]) -> set[str]:
        relative = Path(folder).relative_to(ROOT)
        built = relative.parts[:1] == ("build",)
        return {name for name in names if not built and not in_context(str(relative / name))}

    if source.is_file():
        # As COPY does: into a folder that is there.
        copied = Path(shutil.copyfile(source, target / source.name if target.is_dir() else target))
        return copied.chmod(0o644)
    shutil.copytree(source, target, ignore=left_out)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return None


@cache
def as_image_user() -> tuple[str, ...]:
    """A prefix that runs a program as the image's user, without any capability, where the kernel lets us.

    A user namespace, since the user of the image need not be able to read this machine's Python.
    """
    prefix = ("unshare", "--user", f"--map-user={IMAGE_UID}", f"--map-group={IMAGE_UID}")
    try:
        allowed = subprocess.run([*prefix, "true"], check=False, capture_output=True, timeout=10).returncode == 0
    except OSError:
        allowed = False
    return prefix if allowed else ()


@dataclass
class World:
    """Everything that docker-compose.yml names, running on free ports of this machine."""

    values: dict[str, str]
    document: dict[str, Any]
    image: Path
    # host:port inside the compose network -> host:port here
    places: dict[str, str]
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    wrappers: dict[str, list[str]] = field(default_factory=dict)

    def environment(self, service: str) -> dict[str, str]:
        """The service's own variables, with the compose network's addresses put to this machine's."""
        found = {}
        for name, value in self.document["services"][service].get("environment", {}).items():
            text = str(value).replace("0.0.0.0:", f"{service}:")
            for there, here in self.places.items():
                text = text.replace(there, here)
            found[name] = self._mounted(text, service)
        return found

    def volume(self, name: str) -> Path:
        """The folder that stands for a named volume."""
        folder = self.image.parent / "volumes" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def mount(self) -> None:
        """Put each service's volumes where its container has them, below a folder of the service's own."""
        for service in (ONE_SHOT, *SERVICES):
            for volume in self.document["services"][service]["volumes"]:
                name, target, *_ = volume.split(":")
                place = self._root(service) / target.lstrip("/")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(self.volume(name))

    def _root(self, service: str) -> Path:
        return self.image.parent / "mounts" / service

    def _mounted(self, text: str, service: str) -> str:
        return f"{self._root(service)}{text}" if text.startswith("/certs") else text

    async def complete(self) -> None:
        """Run what the services wait for, to its end."""
        words = [self._mounted(word, ONE_SHOT) for word in self.document["services"][ONE_SHOT]["command"]]
        process = await self._spawn(self._here(words), ONE_SHOT)
        assert await process.wait() == 0, self.log(ONE_SHOT)

    def address(self, service: str) -> str:
        return self.environment(service)["ONWARD_LISTEN"]

    async def start(self, service: str) -> None:
        command = [*self.wrappers.get(service, []), *self._here(self.document["services"][service]["command"])]
        self.processes[service] = await self._spawn(command, service)

    async def healthy(self, service: str) -> bool:
        """Whether the service's health check of docker-compose.yml ends with 0."""
        first, *test = self.document["services"][service]["healthcheck"]["test"]
        assert first == "CMD"
        check = await self._spawn(self._here(test), service, log="health")
        return await check.wait() == 0

    async def wait_healthy(self, service: str) -> None:
        async def healthy() -> bool:
            process = self.processes[service]
            if process.returncode is not None:
                raise RuntimeError(f"{service} ended with {process.returncode}: {self.log(service)}")
            return await self.healthy(service)

        await eventually(healthy, timeout_s=READY_TIMEOUT_S, interval_s=0.1)

    async def stop(self, service: str) -> int:
        """SIGTERM, as `docker stop` does; the exit code."""
        process = self.processes[service]
        process.terminate()
        return await process.wait()

    async def onward(self, folder: Path, *arguments: str, **variables: str) -> str:
        """What the command line prints, called from outside with addresses alone, in a folder without data."""
        known = {f"ONWARD_{service.upper()}": self.address(service) for service in ("registry", "delivery", "audit")}
        known |= {
            "ONWARD_NATS": f"nats://{self.places['nats:4222']}",
            "ONWARD_WORKSPACE": "acme",
            "ONWARD_CA": str(self.volume("certificates-registry") / "ca.pem"),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{self.image}:{self.image / 'gen'}",
        }
        process = await asyncio.create_subprocess_exec(
            *ONWARD,
            *arguments,
            cwd=folder,
            env=known | variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, said = await process.communicate()
        assert process.returncode == 0, f"{' '.join(arguments)}: {said.decode()}"
        return output.decode()

    def log(self, service: str) -> str:
        return (self.image.parent / f"{service}.log").read_text()

    def _here(self, command: list[str]) -> list[str]:
        programs = {"python": (sys.executable,), "onward": ONWARD}
        return [*programs.get(command[0], command[:1]), *command[1:]]

    async def _spawn(self, command: list[str], service: str, log: str = "") -> asyncio.subprocess.Process:
        # PYTHONPATH as the image's ENV has it; no variable of this process.
        image_path = f"{self.image}:{self.image / 'gen'}"
        base = {"PATH": os.environ["PATH"], "PYTHONPATH": image_path, "PYTHONDONTWRITEBYTECODE": "1"}
        with (self.image.parent / f"{log or service}.log").open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *as_image_user(),
                *command,
                cwd=self.image,
                env=base | self.environment(service),
                stdout=output,
                stderr=output,
            )


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    """Postgres and NATS as docker-compose.yml configures them; services are started by the test."""
    async with AsyncExitStack() as stack:
        path = stack.enter_context(servers.short_lived_folder())
        folder = stack.enter_context(DataFolder(path / "data"))
        values = variables()
        document = compose(values)
        postgres = EmbeddedPostgres(folder, tcp_port=0)
        await postgres.start()
        stack.push_async_callback(postgres.stop)
        await initialize(postgres, document["services"]["postgres"]["environment"])
        ports = _free_ports(2 * len(SERVICES) + 2)
        places = {f"{name}:{7801 + index}": f"127.0.0.1:{ports[index]}" for index, name in enumerate(SERVICES)}
        internal = ports[len(SERVICES) :]
        places |= {f"{name}:{7811 + index}": f"127.0.0.1:{internal[index]}" for index, name in enumerate(SERVICES)}
        places |= {"nats:4222": f"127.0.0.1:{ports[-2]}", "nats:8222": f"127.0.0.1:{ports[-1]}"}
        places |= {"postgres:5432": f"127.0.0.1:{postgres.tcp_port}"}
        await stack.enter_async_context(_nats(path, document["services"]["nats"], ports[-2], ports[-1]))
        image = path / "image"
        assemble_image(image)
        world = World(values, document, image, places)
        stack.push_async_callback(_end, world)
        world.mount()
        await world.complete()
        yield world


async def initialize(postgres: EmbeddedPostgres, environment: Mapping[str, str]) -> None:
    """Run the init file as the image's entry point does."""
    psql = await asyncio.create_subprocess_exec(
        postgres_programs() / "psql",
        "--no-psqlrc",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        f"--dbname={postgres.tcp_dsn()}",
        f"--file={ROOT / 'deploy/postgres/init.sql'}",
        env=dict(environment),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await psql.communicate()
    assert psql.returncode == 0, said.decode()


@asynccontextmanager
async def _nats(path: Path, service: Mapping[str, Any], port: int, monitor_port: int) -> AsyncIterator[None]:
    """The wheel's server with deploy/nats.conf, only its ports and its folder changed."""
    mounted = {target: source for source, target, *_ in (volume.split(":") for volume in service["volumes"])}
    flag, config = service["command"]
    text = (ROOT / mounted[config]).read_text()
    for there, here in (
        ('"0.0.0.0:4222"', f'"127.0.0.1:{port}"'),
        ('"0.0.0.0:8222"', f'"127.0.0.1:{monitor_port}"'),
        ('"/data"', f'"{path / "jetstream"}"'),
    ):
        assert text.count(there) == 1
        text = text.replace(there, here)
    (path / "nats.conf").write_text(text)
    with (path / "nats.log").open("ab") as output:
        server = await asyncio.create_subprocess_exec(
            nats_program(), flag, path / "nats.conf", env=dict(service["environment"]), stdout=output, stderr=output
        )
    try:
        yield
    finally:
        if server.returncode is None:
            server.terminate()
        await server.wait()


def _free_ports(count: int) -> list[int]:
    ports: list[int] = []
    while len(ports) < count:
        ports.append(free_port(ports))
    return ports


async def _end(world: World) -> None:
    for process in world.processes.values():
        if process.returncode is None:
            process.kill()
        await process.wait()
