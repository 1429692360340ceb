"""Finding where a value was set, by the keyed hashes that facts have of encrypted values."""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

from google.protobuf.message import Message

from onward.registry.v1 import facts_pb2, resources_pb2
from onward.registry.v1.workspace_service_pb2 import FindSecretResponse, SecretUse
from services.registry.domain.settings import SETTINGS_BYTES_MAX
from services.registry.errors import InvalidField

# (destination, setting) -> the keyed hash that a fact would have of the value, had it been set there.
HashThere = Callable[[str, str], str]

# More than people read. One takes 250 bytes, so all of them fit four times into an answer that can be repeated.
USES_MAX = 1_000
# A place's hash takes 200 bytes and some microseconds; those of more places are computed anew for each fact.
HASHES_KEPT_MAX = 10_000


def require_sought(value: resources_pb2.SettingValue) -> None:
    """Raises InvalidField for a value that can't be looked for."""
    if value.WhichOneof("value") == "bool_value":
        # Nobody finds such a value anywhere; and to ask for one would tell what every encrypted one is.
        raise InvalidField("value", "must be a string, a list or a map: true and false are not looked for")
    # Not ENCRYPTED_VALUE_BYTES_MAX: a deployment encrypts plain values, which may be longer.
    if value.ByteSize() > SETTINGS_BYTES_MAX:
        raise InvalidField("value", f"takes more than {SETTINGS_BYTES_MAX} bytes, as no value of a setting does")


class Search:
    """Where one value was set. It is given a workspace's facts in their order, and takes no more memory for more."""

    def __init__(self, workspace: str, hash_there: HashThere) -> None:
        self._workspace = workspace
        self._hash_there = lru_cache(maxsize=HASHES_KEPT_MAX)(hash_there)
        self._found = 0
        # By destination and setting, those that began last at the end.
        self._current: dict[tuple[str, str], SecretUse] = {}
        self._past: deque[SecretUse] = deque(maxlen=USES_MAX)

    def add(self, position: int, recorded_at: datetime, fact: Message) -> None:
        """The next fact; of others than SettingsChanged and DestinationDisconnected nothing depends."""
        if isinstance(fact, facts_pb2.DestinationDisconnected):
            for place in [one for one in self._current if one[0] == fact.destination]:
                self._end(place)
        elif isinstance(fact, facts_pb2.SettingsChanged):
            for change in fact.changes:
                place = (fact.destination, change.name)
                self._end(place)
                if change.keyed_hash and hmac.compare_digest(change.keyed_hash, self._hash_there(*place)):
                    self._begin(place, position, recorded_at)

    def response(self) -> FindSecretResponse:
        """What was found, newest first; of more than USES_MAX those that are current, then those that ended last."""
        shown = [*self._current.values(), *reversed(self._past)][:USES_MAX]
        shown.sort(key=lambda one: (-one.position, one.setting))
        return FindSecretResponse(uses=shown, found=self._found)

    def _begin(self, place: tuple[str, str], position: int, recorded_at: datetime) -> None:
        self._found += 1
        destination, setting = place
        name = f"workspaces/{self._workspace}/destinations/{destination}"
        use = SecretUse(destination=name, setting=setting, position=position, current=True)
        use.set_time.FromDatetime(recorded_at)
        self._current[place] = use
        if len(self._current) > USES_MAX:
            del self._current[next(iter(self._current))]

    def _end(self, place: tuple[str, str]) -> None:
        use = self._current.pop(place, None)
        if use is not None:
            use.current = False
            self._past.append(use)
