"""services/executor/handlers/resolve.py: what a destination's settings become, under which of the operator's keys."""

from __future__ import annotations

import os

import orjson
import pytest

from kit.clock import FakeClock
from kit.errors import Internal
from kit.vault import KEY_BYTES, DataKey, Keyring, Vault, setting_place
from onward.registry.v1 import internal_service_pb2 as pb
from onward.registry.v1 import resources_pb2 as pb2
from services.executor.handlers.resolve import Resolver
from services.executor.handlers.turns import Turns

PLACE = setting_place("acme", "crm", "apiKey")
OLD, NEW = (Vault(os.urandom(KEY_BYTES)) for _ in range(2))


def answer(vault: Vault, sealed_for: bytes = PLACE) -> pb.ResolveDestinationResponse:
    """What the registry answers for acme's `crm`, whose `apiKey` was sealed for a place."""
    data_key = DataKey.generate()
    sealed = data_key.encrypt(pb2.SettingValue(string_value="secret").SerializeToString(), sealed_for)
    definition = pb2.SettingDefinition(name="apiKey", type=pb2.SETTING_TYPE_STRING, encrypted=True)
    return pb.ResolveDestinationResponse(
        wrapped_key=vault.wrap(data_key, "acme"),
        key_id=vault.key_id,
        encrypted=[pb.EncryptedSetting(name="apiKey", nonce=sealed.nonce, ciphertext=sealed.ciphertext)],
        version=pb2.Version(number=1, definitions=[definition]),
    )


def resolver(keyring: Keyring, given: pb.ResolveDestinationResponse) -> Resolver:
    async def resolve(_name: str) -> pb.ResolveDestinationResponse:
        return given

    return Resolver(resolve, keyring, Turns(FakeClock()))


@pytest.mark.parametrize("wrapped_by", [OLD, NEW])
async def test_settings_are_read_by_whichever_key_wraps_them(wrapped_by: Vault) -> None:
    """G5."""
    program = await resolver(Keyring(NEW, (OLD,)), answer(wrapped_by)).program("acme", "crm")
    assert (program.invalid, orjson.loads(program.settings)) == (None, {"apiKey": "secret"})


async def test_a_missing_key_of_the_operators_is_a_failure_that_passes() -> None:
    """G5: deliveries wait until the executor is given the key, instead of failing for good."""
    with pytest.raises(Internal, match=NEW.key_id):
        await resolver(Keyring(OLD), answer(NEW)).program("acme", "crm")


@pytest.mark.parametrize(
    "sealed_for",
    [
        setting_place("other", "crm", "apiKey"),
        setting_place("acme", "other", "apiKey"),
        setting_place("acme", "crm", "other"),
    ],
)
async def test_a_value_from_elsewhere_is_not_used(sealed_for: bytes) -> None:
    """G3."""
    program = await resolver(Keyring(OLD), answer(OLD, sealed_for)).program("acme", "crm")
    assert "does not open" in (program.invalid or "")
    assert b"secret" not in program.settings


@pytest.mark.parametrize(("said", "rate"), [(None, 0.01), (0.0, 0.0), (1.0, 1.0)])
async def test_as_many_successes_are_kept_as_the_policy_says(said: float | None, rate: float) -> None:
    given = answer(OLD)
    given.destination.policy.CopyFrom(pb2.DeliveryPolicy(success_sample_rate=said))
    assert (await resolver(Keyring(OLD), given).program("acme", "crm")).success_sample_rate == rate
