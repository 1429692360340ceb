"""Settings come from ONWARD_* variables, are checked once at the start, and never change after."""

import base64
import binascii
import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from kit.auth.tokens import TOKEN_LENGTH_MAX
from kit.rpc.loopback import is_loopback

PREFIX = "ONWARD_"
# Services prove themselves to one another with this; shorter ones can be guessed.
SERVICE_TOKEN_LENGTH_MIN = 16
# An Ed25519 seed's, and as many as HMAC-SHA-256 makes.
KEY_BYTES = 32

# TLS takes all of them.
_TLS_FIELDS = ("tls_certificate", "tls_key", "tls_ca", "internal_listen")

S = TypeVar("S", bound="ServiceSettings")


class SettingsError(Exception):
    """The environment can't be used; the message is one line that names the variable and what to do."""


def _host_and_port(address: str) -> str:
    if not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/]+):\d{1,5}", address):
        raise ValueError("must be host:port, such as 127.0.0.1:7801")
    if int(address.rpartition(":")[2]) > 65535:
        raise ValueError("has a port above 65535")
    return address


def _comparable(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if len(text) < SERVICE_TOKEN_LENGTH_MIN:
        raise ValueError(f"must have at least {SERVICE_TOKEN_LENGTH_MIN} characters")
    # What callers send is compared up to this length, and without spaces around it.
    if len(text) > TOKEN_LENGTH_MAX:
        raise ValueError(f"must have at most {TOKEN_LENGTH_MAX} characters")
    if text != text.strip():
        raise ValueError("must not begin or end with a space or a line break")
    return token


def _base64_key(text: SecretStr) -> SecretStr:
    try:
        key = base64.b64decode(text.get_secret_value(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"must be the base64 of {KEY_BYTES} random bytes, as `openssl rand -base64 32` gives")
    return text


def key_bytes(key: SecretStr | None) -> bytes | None:
    """The 32 bytes of a `RandomKey`."""
    return base64.b64decode(key.get_secret_value()) if key else None


Address = Annotated[str, AfterValidator(_host_and_port)]
LongSecret = Annotated[SecretStr, AfterValidator(_comparable)]
RandomKey = Annotated[SecretStr, AfterValidator(_base64_key)]


class ServiceSettings(BaseSettings):
    """What every service needs; a service's own settings extend this.

    An empty variable counts as unset, as docker-compose writes `${NAME:-}`.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        # A validation error must not quote a password.
        hide_input_in_errors=True,
    )

    postgres_dsn: SecretStr = SecretStr("postgresql://127.0.0.1:5432/onward")
    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str | None = None
    nats_password: SecretStr | None = None
    # Where /varz is, to see whether an acknowledged event is on the disk.
    nats_monitoring_url: str | None = None
    listen: Address = "127.0.0.1:0"
    # PEM files. With them `listen` is TLS, and `internal_listen` is where the other services call, by mutual TLS.
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    # Who signs the services' certificates (and that of NATS, where its URL begins with tls://).
    tls_ca: Path | None = None
    internal_listen: Address | None = None
    registry_address: Address = "127.0.0.1:7801"
    executor_address: Address = "127.0.0.1:7802"
    delivery_address: Address = "127.0.0.1:7803"
    audit_address: Address = "127.0.0.1:7804"
    # Proves to the other services that the caller is one of them.
    service_token: LongSecret
    # strict: refuse to start unless JetStream syncs before it acknowledges.
    durability: Literal["strict", "relaxed"] = "strict"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"
    # Traces and metrics go nowhere without it.
    otlp_endpoint: str | None = None
    # The share of calls that begin a trace; calls that arrive with one keep its decision.
    trace_ratio: float = Field(default=0.1, ge=0, le=1)
    # How long running calls and attempts may take to finish after SIGTERM; below Kubernetes' 30 s.
    drain_seconds: float = Field(default=20, gt=0, le=600)


def load(cls: type[S]) -> S:
    """Read `cls` from the environment; raise `SettingsError` for a bad, missing or unknown variable."""
    _refuse_unknown(cls, os.environ)
    try:
        settings = cls()  # type: ignore[call-arg]  # required fields come from the environment
    except ValidationError as error:
        raise SettingsError("; ".join(_complaints(error))) from None
    _refuse_half_tls(settings)
    _refuse_plaintext(settings)
    return settings


def _refuse_half_tls(settings: ServiceSettings) -> None:
    # An authority alone is enough to trust NATS by.
    if not any(getattr(settings, field) for field in _TLS_FIELDS if field != "tls_ca"):
        return
    missing = [variable(field) for field in _TLS_FIELDS if getattr(settings, field) is None]
    if missing:
        raise SettingsError(f"{', '.join(missing)} not set: TLS needs all of {', '.join(map(variable, _TLS_FIELDS))}")


def _refuse_plaintext(settings: ServiceSettings) -> None:
    if settings.tls_certificate is not None:
        return
    for field in ("listen", "registry_address", "executor_address", "delivery_address", "audit_address"):
        address = getattr(settings, field)
        if not is_loopback(address):
            raise SettingsError(
                f"{variable(field)} is {address}, and without TLS only loopback addresses may be used: set"
                f" {', '.join(map(variable, _TLS_FIELDS))} (`onward certificates create` makes the files)"
            )


def _refuse_unknown(cls: type[ServiceSettings], names: Iterable[str]) -> None:
    known = [variable(field) for field in cls.model_fields]
    # pydantic reads names without regard to case, so their spelling is compared that way too.
    unknown = sorted(n for n in names if n.upper().startswith(PREFIX) and n.upper() not in known)
    if unknown:
        raise SettingsError("; ".join(f"{name} is not a setting{_nearest(name, known)}" for name in unknown))


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0)
    return f" (did you mean {near[0]}?)" if near else ""


def _complaints(error: ValidationError) -> Iterable[str]:
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        name = variable(str(problem["loc"][0])) if problem["loc"] else PREFIX + "*"
        if problem["type"] == "missing":
            yield f"{name} is not set"
        else:
            yield f"{name}: {problem['msg'].removeprefix('Value error, ')}"


def variable(field: str) -> str:
    """The name of the variable that sets `field`."""
    return PREFIX + field.upper()
