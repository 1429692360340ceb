"""What `onward up` runs: Postgres, NATS and the four services, from one data folder, as one supervised family."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cli.client_file import ClientFile
from cli.operator_keys import current_key, previous_keys, signing_key, webhook_key
from kit.embedded.certificates import authority_file, make_certificates, service_files
from kit.embedded.data_folder import DataFolder, is_port_free
from kit.embedded.errors import EmbeddedError
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import USER_NAMES, service_users
from kit.embedded.postgres import EmbeddedPostgres
from kit.embedded.program import LineFile, Program
from kit.embedded.supervisor import Supervisor
from kit.errors import OnwardError
from kit.nats_auth.admission import AUTH_USER
from kit.rpc.client import open_channel

# In the order in which they start; they stop the other way round.
SERVICES = ("registry", "delivery", "audit", "executor")
STORING_SERVICES = ("registry", "delivery", "audit")
ROOT = Path(__file__).resolve().parent.parent
# A cold start of everything takes 3 to 5 s; a machine under load needs its time.
READY_TIMEOUT_S = 60.0
READY_POLL_S = 0.05
# A service that ended so often before it was ready will not be; its supervisor would go on for ever.
RESTARTS_MAX = 3
# Of the log of a service that does not start, so much of the last line is shown.
LOG_LINE_CHARACTERS_MAX = 400
# JetStream counts every stream's limit as if it were full: 4 GiB a workspace, of which few are ever used.
STREAM_BYTES_PROMISED_MAX = 1 << 50
# By what clients and services call one another here.
HOSTS = ("127.0.0.1", "localhost")
# Of our own variables, services get what Python and the C library look at, and where traces go; nothing else.
PASSED_ON = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("ONWARD_OTLP_ENDPOINT", "ONWARD_TRACE_RATIO"),
)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the parts of a stack listen and what they prove themselves with."""

    addresses: Mapping[str, str]
    postgres_dsns: Mapping[str, str]
    nats_url: str
    nats_monitoring_url: str
    nats_passwords: Mapping[str, str]
    service_token: str
    operator_token: str
    key_encryption_key: str
    nats_callout_seed: str
    # Separated by commas.
    previous_key_encryption_keys: str = ""
    # What checkpoints of the audit trail are signed with, and where they are kept; none where empty.
    audit_signing_key: str = ""
    checkpoints: Path | None = None
    # What the secrets of alerts' subscribers are made of; nobody can subscribe where it is empty.
    webhook_signing_key: str = ""
    # With TLS: where services call one another, and the folder of their certificates.
    internal_addresses: Mapping[str, str] = field(default_factory=dict)
    certificates: Path | None = None

    @property
    def ca(self) -> Path | None:
        """The file that callers trust; None where nothing is encrypted."""
        return authority_file(self.certificates) if self.certificates is not None else None

    def credentials(self) -> grpc.ChannelCredentials | None:
        """What callers open channels with."""
        return grpc.ssl_channel_credentials(self.ca.read_bytes()) if self.ca is not None else None


def environment(service: str, ends: Endpoints) -> dict[str, str]:
    """Give the ONWARD_* variables of a service; docker-compose.yml sets the same ones."""
    variables = {
        "ONWARD_LISTEN": ends.addresses[service],
        "ONWARD_NATS_URL": ends.nats_url,
        "ONWARD_NATS_USER": service,
        "ONWARD_NATS_PASSWORD": ends.nats_passwords[service],
        "ONWARD_NATS_MONITORING_URL": ends.nats_monitoring_url,
        "ONWARD_SERVICE_TOKEN": ends.service_token,
    }
    called = ends.internal_addresses or ends.addresses
    variables |= {f"ONWARD_{name.upper()}_ADDRESS": address for name, address in called.items()}
    if service in STORING_SERVICES:
        variables["ONWARD_POSTGRES_DSN"] = ends.postgres_dsns[service]
    if service in ("registry", "executor"):
        variables["ONWARD_KEY_ENCRYPTION_KEY"] = ends.key_encryption_key
        variables["ONWARD_PREVIOUS_KEY_ENCRYPTION_KEYS"] = ends.previous_key_encryption_keys
    if service == "executor":
        variables["ONWARD_SANDBOX_REQUIRED"] = os.environ.get("ONWARD_SANDBOX_REQUIRED", "false")
    if service == "registry":
        variables["ONWARD_OPERATOR_TOKEN"] = ends.operator_token
        variables["ONWARD_NATS_AUTH_PASSWORD"] = ends.nats_passwords[AUTH_USER]
        variables["ONWARD_NATS_CALLOUT_SEED"] = ends.nats_callout_seed
    if service == "delivery":
        variables["ONWARD_WEBHOOK_SIGNING_KEY"] = ends.webhook_signing_key
    if service == "audit":
        variables["ONWARD_AUDIT_SIGNING_KEY"] = ends.audit_signing_key
        if ends.checkpoints is not None:
            variables["ONWARD_AUDIT_CHECKPOINT_FOLDER"] = str(ends.checkpoints)
    return variables | _tls(service, ends)


def _tls(service: str, ends: Endpoints) -> dict[str, str]:
    if ends.certificates is None:
        return {}
    files = service_files(ends.certificates, service)
    variables = {
        "ONWARD_INTERNAL_LISTEN": ends.internal_addresses[service],
        "ONWARD_TLS_CERTIFICATE": str(files.certificate),
        "ONWARD_TLS_KEY": str(files.key),
        "ONWARD_TLS_CA": str(files.ca),
    }
    if service == "executor":
        # It knows where services call one another, and closes those to functions; these are the others.
        variables["ONWARD_EGRESS_DENIED"] = ",".join(ends.addresses.values())
    return variables


class Stack:
    """Everything, on one machine. Use it as an async context manager; it is ready when entered.

    Services speak TLS with certificates of their own, unless `plaintext` is asked for. `overrides` adds ONWARD_*
    variables to a service, such as `{"delivery": {"ONWARD_RETRY_OFFSETS_S": "1,2"}}`.
    """

    def __init__(
        self, data: Path, overrides: Mapping[str, Mapping[str, str]] | None = None, *, plaintext: bool = False
    ) -> None:
        self.data = data
        self._plaintext = plaintext
        self._overrides = overrides or {}
        self._exit = AsyncExitStack()
        self._logs = ExitStack()
        self._folder: DataFolder | None = None
        self.supervisor = Supervisor()
        self.ends: Endpoints | None = None
        self.client_file = ClientFile(data / "client.json")

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    async def _start(self) -> None:
        folder = self._folder = self._exit.enter_context(DataFolder(self.data))
        # Entered before the supervisor: the services' last lines are written while it stops them.
        self._logs = self._exit.enter_context(ExitStack())
        await self._exit.enter_async_context(self.supervisor)
        postgres = EmbeddedPostgres(folder)
        passwords = {name: folder.secret(f"nats {name}") for name in USER_NAMES}
        nats = EmbeddedNats(folder, service_users(passwords), file_store_bytes_max=STREAM_BYTES_PROMISED_MAX)
        await self.supervisor.start(postgres)
        await self.supervisor.start(nats)
        for service in STORING_SERVICES:
            await postgres.create_database(f"onward_{service}")
        self.ends = Endpoints(
            addresses={service: f"127.0.0.1:{folder.port(service)}" for service in SERVICES},
            postgres_dsns={service: postgres.dsn(f"onward_{service}") for service in STORING_SERVICES},
            nats_url=nats.address,
            nats_monitoring_url=nats.monitor_url,
            nats_passwords=passwords,
            service_token=folder.secret("service token"),
            operator_token=folder.secret("operator token"),
            key_encryption_key=current_key(folder),
            nats_callout_seed=nats.issuer.seed,
            previous_key_encryption_keys=previous_keys(folder),
            audit_signing_key=signing_key(folder),
            checkpoints=folder.part("checkpoints"),
            webhook_signing_key=webhook_key(folder),
            internal_addresses=self._internal_addresses(folder),
            certificates=self._certificates(folder),
        )
        for service in SERVICES:
            await self.supervisor.start(self._program(service, folder, self.ends))
        self._write_client_file(self.ends)
        await self._ready(self.ends)

    def _internal_addresses(self, folder: DataFolder) -> dict[str, str]:
        if self._plaintext:
            return {}
        return {service: f"127.0.0.1:{folder.port(_internal(service))}" for service in SERVICES}

    def _certificates(self, folder: DataFolder) -> Path | None:
        if self._plaintext:
            return None
        certificates = folder.part("certificates")
        make_certificates(certificates, dict.fromkeys(SERVICES, HOSTS))
        return certificates

    def _program(self, service: str, folder: DataFolder, ends: Endpoints) -> Program:
        _check_port(service, folder)
        if ends.internal_addresses:
            _check_port(_internal(service), folder)
        passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        variables = environment(service, ends) | dict(self._overrides.get(service, {}))
        log = LineFile(folder.log_path(service))
        self._logs.callback(log.close)
        return Program(
            service,
            [sys.executable, "-m", f"services.{service}"],
            env=passed_on | variables,
            on_line=log,
            cwd=ROOT,
        )

    def _write_client_file(self, ends: Endpoints) -> None:
        self.client_file.update(
            addresses=dict(ends.addresses),
            nats_url=ends.nats_url,
            operator_token=ends.operator_token,
            ca=str(ends.ca or ""),
        )

    async def _ready(self, ends: Endpoints) -> None:
        """Wait until every service says that it serves; raise the reason of the first that will not."""
        try:
            await self._serving_or_refused(ends)
        except* EmbeddedError as group:
            raise _first(group) from None

    async def _serving_or_refused(self, ends: Endpoints) -> None:
        async with asyncio.TaskGroup() as group:
            refusal = group.create_task(self.supervisor.refusal())
            serving = group.create_task(_all_serving(ends))
            failing = group.create_task(self._ending_again_and_again())
            done, _ = await asyncio.wait({refusal, serving, failing}, return_when=asyncio.FIRST_COMPLETED)
            for task in {refusal, serving, failing} - done:
                task.cancel()
            if refusal in done:
                raise refusal.result()
            if failing in done:
                raise failing.result()

    async def _ending_again_and_again(self) -> EmbeddedError:
        while True:
            for service in SERVICES:
                if self.supervisor.restarts(service) >= RESTARTS_MAX:
                    assert self._folder is not None
                    return _no_start(service, self._folder.log_path(service))
            await asyncio.sleep(READY_POLL_S)

    def pid(self, name: str) -> int | None:
        """Give the process id of "postgres", "nats" or a service."""
        return self.supervisor.pid(name)


def _internal(service: str) -> str:
    return f"{service} internal"


def _check_port(service: str, folder: DataFolder) -> None:
    port = folder.port(service)
    if not is_port_free(port):
        raise EmbeddedError(
            f"port {port}, which the {service} service should use, is taken by another program: stop that one,"
            f" or delete {folder.path / 'ports.json'} to have other ports chosen"
        )


def _no_start(service: str, log: Path) -> EmbeddedError:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1][:LOG_LINE_CHARACTERS_MAX] if lines else "it said nothing"
    return EmbeddedError(f"the {service} service ends again and again; the last line of {log} is: {last}")


async def _all_serving(ends: Endpoints) -> None:
    async with asyncio.TaskGroup() as group:
        for name, address in ends.addresses.items():
            group.create_task(_serving(name, address, ends.credentials()))


async def _serving(service: str, address: str, credentials: grpc.ChannelCredentials | None) -> None:
    async with open_channel(address, "", credentials=credentials) as channel:
        stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # the package ships no types
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while not await _is_serving(stub):
                    await asyncio.sleep(READY_POLL_S)
        except TimeoutError:
            raise EmbeddedError(
                f"{service} was not ready within {READY_TIMEOUT_S:.0f} s: its log in the data folder says why"
            ) from None


async def _is_serving(stub: health_pb2_grpc.HealthStub) -> bool:
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2.0)
    except OnwardError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _first(group: BaseExceptionGroup[EmbeddedError]) -> EmbeddedError:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, EmbeddedError)
    return found
