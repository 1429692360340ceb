"""What a destination runs: its code and its settings in clear, asked of the registry and kept in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
import structlog

from kit.errors import Internal
from kit.filters import FilterChain, FilterError
from kit.filters.rules import filter_of
from kit.vault import Keyring, Sealed, UnknownKeyError, VaultError, setting_place
from onward.registry.v1 import internal_service_pb2, resources_pb2
from services.executor.domain.gathering import Batching
from services.executor.handlers.turns import Turns
from services.executor.runtime.pool import Limits
from services.executor.runtime.redaction import Redactor

# Where the policy names none: enough to see what a destination does, for a fraction of what failures take.
SUCCESS_SAMPLE_RATE = 0.01

log = structlog.get_logger()

Resolve = Callable[[str], Awaitable[internal_service_pb2.ResolveDestinationResponse]]


class InvalidSettings(Exception):  # noqa: N818 - the product's term
    """A required value is missing, of the wrong type, or not decryptable: the code must not run."""


@dataclass(frozen=True, slots=True)
class Program:
    """Everything that a worker of a destination needs."""

    destination: str
    version: int
    settings_revision: int
    code: str
    settings: bytes
    limits: Limits
    redactor: Redactor
    retry_only_explicit: bool
    fail_on_http_error: bool
    # Set when the settings cannot be used; the code does not run then.
    invalid: str | None = None
    # None where no event can be changed or dropped.
    filters: FilterChain | None = None
    filter_revision: int = 0
    # A filter cannot be applied: nothing may run, and no event may be shown.
    unfiltered: bool = False
    # How events are gathered, where the code has `onBatch`.
    batching: Batching = field(default_factory=Batching)
    omit_idempotency_key: bool = False
    # Part of the successes that keep their logs, requests and callback return.
    success_sample_rate: float = SUCCESS_SAMPLE_RATE


class Resolver:
    """Builds programs; holds the operator's keys, so that secrets are in clear only here and in the sandbox."""

    def __init__(self, resolve: Resolve, keyring: Keyring, turns: Turns) -> None:
        self._resolve = resolve
        self._keyring = keyring
        self._turns = turns

    async def program(self, workspace: str, destination: str) -> Program:
        """Ask the registry. Raises `OnwardError` when it cannot be asked, or a key of the operator's is missing."""
        answer = await self._resolve(f"workspaces/{workspace}/destinations/{destination}")
        invalid = None
        settings: dict[str, Any] = {}
        secrets: list[str] = []
        try:
            settings, secrets = self._settings(workspace, destination, answer)
        except InvalidSettings as error:
            invalid = str(error)
        filters: FilterChain | None = None
        unfiltered = False
        try:
            chain = await filter_chain(self._turns, workspace, answer.filters)
            filters = None if chain.is_empty else chain
        except FilterError as error:
            invalid, unfiltered = f"{error}; no event may pass it, so the function does not run", True
        policy = answer.destination.policy
        return Program(
            destination=destination,
            version=answer.version.number,
            settings_revision=answer.settings_revision,
            code=answer.version.code,
            settings=orjson.dumps(settings),
            limits=Limits(wall_ms=answer.version.timeout_ms or Limits().wall_ms),
            redactor=Redactor(secrets),
            retry_only_explicit=policy.retry_only_explicit,
            fail_on_http_error=policy.fail_on_http_error,
            invalid=invalid,
            filters=filters,
            filter_revision=answer.filter_revision,
            unfiltered=unfiltered,
            batching=_batching(policy),
            omit_idempotency_key=policy.omit_idempotency_key,
            success_sample_rate=(
                policy.success_sample_rate if policy.HasField("success_sample_rate") else SUCCESS_SAMPLE_RATE
            ),
        )

    def _settings(
        self, workspace: str, destination: str, answer: internal_service_pb2.ResolveDestinationResponse
    ) -> tuple[dict[str, Any], list[str]]:
        values = {state.name: state.value for state in answer.destination.settings if state.HasField("value")}
        encrypted = self._decrypted(workspace, destination, answer)
        values.update(encrypted)
        settings = plain_settings(answer.version.definitions, values)
        secrets = [text for value in encrypted.values() for text in strings_in(value)]
        return settings, secrets

    def _decrypted(
        self, workspace: str, destination: str, answer: internal_service_pb2.ResolveDestinationResponse
    ) -> dict[str, resources_pb2.SettingValue]:
        if not answer.encrypted:
            return {}
        try:
            data_key = self._keyring.unwrap(answer.key_id, answer.wrapped_key, workspace)
            return {
                one.name: resources_pb2.SettingValue.FromString(
                    data_key.decrypt(Sealed(one.nonce, one.ciphertext), setting_place(workspace, destination, one.name))
                )
                for one in answer.encrypted
            }
        except UnknownKeyError as error:
            # The operator's mistake, and soon mended: events wait for that instead of failing for good.
            log.warning("operator_key_missing", workspace=workspace, key_id=error.key_id, advice=str(error))
            raise Internal(str(error)) from error
        except VaultError as error:
            raise InvalidSettings(f"encrypted settings cannot be read: {error}") from None


async def filter_chain(turns: Turns, workspace: str, groups: Iterable[internal_service_pb2.FilterGroup]) -> FilterChain:
    """Read filters; a long condition takes some ten milliseconds, so other lanes go on between two of them.

    Raises FilterError for what can't be applied.
    """
    ready = [
        [await turns.run(workspace, partial(filter_of, one)) for one in group.filters if one.rule.enabled]
        for group in groups
    ]
    return FilterChain(*ready)


def _batching(policy: resources_pb2.DeliveryPolicy) -> Batching:
    if not policy.HasField("batching"):
        return Batching()
    return Batching(policy.batching.max_events, policy.batching.max_wait_ms / 1000)


_FIELDS = {
    resources_pb2.SETTING_TYPE_STRING: "string_value",
    resources_pb2.SETTING_TYPE_BOOLEAN: "bool_value",
    resources_pb2.SETTING_TYPE_STRING_LIST: "list_value",
    resources_pb2.SETTING_TYPE_STRING_MAP: "map_value",
}
# As the registry says it.
_TYPE_WORDS = {
    resources_pb2.SETTING_TYPE_STRING: "a string",
    resources_pb2.SETTING_TYPE_BOOLEAN: "a boolean",
    resources_pb2.SETTING_TYPE_STRING_LIST: "a list of strings",
    resources_pb2.SETTING_TYPE_STRING_MAP: "a map of strings",
}
NO_TYPE = "of a type that this release knows"


def plain_settings(
    definitions: Iterable[resources_pb2.SettingDefinition], values: Mapping[str, resources_pb2.SettingValue]
) -> dict[str, Any]:
    """The object that handlers get. Raises InvalidSettings where one is missing or of another type."""
    settings: dict[str, Any] = {}
    for definition in definitions:
        value = values.get(definition.name)
        if definition.required and (value is None or _is_empty(value)):
            raise InvalidSettings(f"the required setting `{definition.name}` has no value")
        if value is not None:
            settings[definition.name] = _plain(definition, value)
    return settings


def _is_empty(value: resources_pb2.SettingValue) -> bool:
    """To whoever leaves a field empty nothing was given, as the registry has it."""
    return value.WhichOneof("value") == "string_value" and not value.string_value


def _plain(definition: resources_pb2.SettingDefinition, value: resources_pb2.SettingValue) -> Any:
    """Give the value as JSON has it; a value of another type than the definition's is an error."""
    field = value.WhichOneof("value")
    if field != _FIELDS.get(definition.type):
        raise InvalidSettings(f"the setting `{definition.name}` must be {_TYPE_WORDS.get(definition.type, NO_TYPE)}")
    if field == "list_value":
        return list(value.list_value.values)
    if field == "map_value":
        return dict(value.map_value.values)
    return value.bool_value if field == "bool_value" else value.string_value


def strings_in(value: resources_pb2.SettingValue) -> list[str]:
    """The texts that a value consists of, all secret where the setting is."""
    field = value.WhichOneof("value")
    if field == "string_value":
        return [value.string_value]
    if field == "list_value":
        return list(value.list_value.values)
    if field == "map_value":
        return list(value.map_value.values.values())
    return []
