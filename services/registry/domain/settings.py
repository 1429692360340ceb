"""Decisions on the values of settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kit.eventstore.facts import NewFact
from onward.registry.v1 import facts_pb2, resources_pb2
from services.registry.domain.state import DestinationState, StoredSetting, VersionState, type_of
from services.registry.errors import InvalidSetting, WorkspaceLimitReached

# (destination, setting, value) -> keyed hash, since facts hold no secrets.
KeyedHash = Callable[[str, str, resources_pb2.SettingValue], str]

# All plain values of a destination are in memory of each executor that runs it, and in each answer about it.
SETTINGS_BYTES_MAX = 256 * 1024
# A string of the greatest length fits. A hundred of them, with code and plain values, fit into one answer.
ENCRYPTED_VALUE_BYTES_MAX = 24 * 1024
# A version defines a hundred at most; the rest are values that were left by other versions.
SETTINGS_STORED_MAX = 200

_TYPE_WORDS = {
    resources_pb2.SETTING_TYPE_STRING: "a string",
    resources_pb2.SETTING_TYPE_BOOLEAN: "true or false",
    resources_pb2.SETTING_TYPE_STRING_LIST: "an array of strings",
    resources_pb2.SETTING_TYPE_STRING_MAP: "a map from strings to strings",
}


def missing_settings(version: VersionState, stored: Mapping[str, StoredSetting]) -> list[str]:
    """Required settings that would have no value if the version ran with what is stored.

    A plain value counts for a definition that is encrypted, since a deployment encrypts it. An empty string
    counts as none: to whoever leaves a field empty nothing was given. Of encrypted ones `_given` refuses it.
    """
    return [
        definition.name
        for definition in version.definitions
        if definition.required and not _counts(definition, stored.get(definition.name))
    ]


def _counts(definition: resources_pb2.SettingDefinition, stored: StoredSetting | None) -> bool:
    if stored is None or stored.type != definition.type or _is_empty(stored.value):
        return False
    return definition.encrypted or not stored.encrypted


def _is_empty(value: resources_pb2.SettingValue | None) -> bool:
    return value is not None and value.WhichOneof("value") == "string_value" and not value.string_value


def change_settings(
    version: VersionState,
    destination: DestinationState,
    given: Mapping[str, resources_pb2.SettingValue],
    cleared: Mapping[str, None],
    keyed_hash: KeyedHash,
) -> list[NewFact]:
    """The fact that values change; none where nothing was asked for. Raises InvalidSetting."""
    known = [definition.name for definition in version.definitions]
    changes = [_given(version, destination.id, name, given[name], keyed_hash) for name in sorted(given)]
    for name in cleared:
        if name in given:
            raise InvalidSetting(name, "is both set and cleared", known)
        if name not in known and name not in destination.settings:
            raise InvalidSetting(name, "is not defined", known)
        if name in destination.settings:
            changes.append(facts_pb2.SettingChange(name=name, cleared=True))
    _check_size(destination, changes)
    return [_changed(destination, changes)] if changes else []


def _given(
    version: VersionState,
    destination: str,
    name: str,
    value: resources_pb2.SettingValue,
    keyed_hash: KeyedHash,
) -> facts_pb2.SettingChange:
    known = [definition.name for definition in version.definitions]
    definition = version.definition(name)
    if definition is None:
        raise InvalidSetting(name, "is not defined", known)
    if type_of(value) != definition.type:
        raise InvalidSetting(name, f"must be {_TYPE_WORDS[definition.type]}", known)
    if definition.encrypted:
        if definition.required and _is_empty(value):
            # Later nobody can tell what it holds.
            raise InvalidSetting(name, "is required, so it must not be empty", known)
        if value.ByteSize() > ENCRYPTED_VALUE_BYTES_MAX:
            raise InvalidSetting(name, f"takes more than {ENCRYPTED_VALUE_BYTES_MAX} bytes", known)
        return facts_pb2.SettingChange(name=name, keyed_hash=keyed_hash(destination, name, value))
    return facts_pb2.SettingChange(name=name, value=value)


def _check_size(destination: DestinationState, changes: list[facts_pb2.SettingChange]) -> None:
    values = {name: stored.value for name, stored in destination.settings.items()}
    for change in changes:
        if change.cleared:
            del values[change.name]
        else:
            values[change.name] = change.value if change.HasField("value") else None
    if len(values) > SETTINGS_STORED_MAX:
        raise WorkspaceLimitReached(
            "settings_stored", SETTINGS_STORED_MAX, "That holds for each destination; clear those of other versions."
        )
    if sum(value.ByteSize() for value in values.values() if value) > SETTINGS_BYTES_MAX:
        raise WorkspaceLimitReached(
            "settings_bytes", SETTINGS_BYTES_MAX, "That holds for each destination; shorten the values."
        )


def migrate_settings(destination: DestinationState, version: VersionState, keyed_hash: KeyedHash) -> NewFact | None:
    """What a deployment does to stored values whose definition changed.

    To encrypted: the value is encrypted. From encrypted: it is cleared, never disclosed. A new name or type
    leaves it stored, for the version that it was given for.
    """
    changes = []
    for name, stored in destination.settings.items():
        definition = version.definition(name)
        if definition is None or definition.type != stored.type:
            continue
        if definition.encrypted and stored.value is not None:
            hashed = keyed_hash(destination.id, name, stored.value)
            changes.append(facts_pb2.SettingChange(name=name, keyed_hash=hashed))
        elif stored.encrypted and not definition.encrypted:
            changes.append(facts_pb2.SettingChange(name=name, cleared=True))
    return _changed(destination, changes) if changes else None


def _changed(destination: DestinationState, changes: list[facts_pb2.SettingChange]) -> NewFact:
    fact = facts_pb2.SettingsChanged(
        destination=destination.id, revision=destination.settings_revision + 1, changes=changes
    )
    return NewFact(f"destinations/{destination.id}", fact)
