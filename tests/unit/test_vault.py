"""kit/vault.py: what is sealed opens only in its place and under its key."""

from __future__ import annotations

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.vault import (
    KEY_BYTES,
    NONCE_BYTES,
    PREVIOUS_KEYS_MAX,
    TAG_BYTES,
    DataKey,
    Keyring,
    Sealed,
    UnknownKeyError,
    Vault,
    VaultError,
    WrongKeyError,
    setting_place,
)

PLACE = setting_place("acme", "crm", "apiKey")


def new_vault() -> Vault:
    return Vault(os.urandom(KEY_BYTES))


@given(st.binary(max_size=2000))
def test_a_sealed_value_opens_in_its_place(plaintext: bytes) -> None:
    key = DataKey.generate()
    sealed = key.encrypt(plaintext, PLACE)
    assert key.decrypt(sealed, PLACE) == plaintext
    assert len(sealed.nonce) == NONCE_BYTES
    assert len(sealed.ciphertext) == len(plaintext) + TAG_BYTES


@pytest.mark.parametrize(
    "place",
    [
        setting_place("other", "crm", "apiKey"),
        setting_place("acme", "other", "apiKey"),
        setting_place("acme", "crm", "other"),
    ],
)
def test_a_value_copied_to_another_place_does_not_open(place: bytes) -> None:
    """G3."""
    key = DataKey.generate()
    with pytest.raises(VaultError, match="does not open"):
        key.decrypt(key.encrypt(b"secret", PLACE), place)


@pytest.mark.parametrize("index", [0, 5, 20, -1])
def test_a_changed_byte_does_not_open(index: int) -> None:
    key = DataKey.generate()
    sealed = key.encrypt(b"a secret of some length", PLACE)
    changed = bytearray(sealed.ciphertext)
    changed[index] ^= 1
    with pytest.raises(VaultError):
        key.decrypt(Sealed(sealed.nonce, bytes(changed)), PLACE)


@pytest.mark.parametrize("sealed", [Sealed(b"", b""), Sealed(b"x" * NONCE_BYTES, b""), Sealed(b"x", b"y" * 40)])
def test_nonsense_does_not_open_and_does_not_crash(sealed: Sealed) -> None:
    with pytest.raises(VaultError):
        DataKey.generate().decrypt(sealed, PLACE)


def test_a_wrapped_key_opens_what_the_key_sealed() -> None:
    vault = new_vault()
    key = DataKey.generate()
    sealed = key.encrypt(b"secret", PLACE)
    assert vault.unwrap(vault.wrap(key, "acme"), "acme").decrypt(sealed, PLACE) == b"secret"


def test_a_wrapped_key_does_not_open_for_another_workspace_or_another_operator_key() -> None:
    vault = new_vault()
    wrapped = vault.wrap(DataKey.generate(), "acme")
    with pytest.raises(VaultError):
        vault.unwrap(wrapped, "other")
    with pytest.raises(VaultError):
        new_vault().unwrap(wrapped, "acme")
    with pytest.raises(VaultError):
        vault.unwrap(b"short", "acme")


def test_another_operator_key_is_recognised_and_both_ids_are_named() -> None:
    """G6."""
    vault, other = new_vault(), new_vault()
    vault.verify(vault.key_id, vault.check_value())
    with pytest.raises(WrongKeyError, match=f"{other.key_id}.*{vault.key_id}"):
        other.verify(vault.key_id, vault.check_value())


@pytest.mark.parametrize("text", ["", "short", "not base64!", base64.b64encode(b"x" * 31).decode()])
def test_a_key_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(VaultError, match="32 bytes"):
        Vault.from_base64(text)


def test_a_key_is_read_from_base64() -> None:
    key = os.urandom(KEY_BYTES)
    assert Vault.from_base64(base64.b64encode(key).decode() + "\n").key_id == Vault(key).key_id


def test_the_keyed_hash_depends_on_key_place_and_value() -> None:
    key = DataKey.generate()
    hashes = {
        key.keyed_hash(b"value", PLACE),
        key.keyed_hash(b"other", PLACE),
        key.keyed_hash(b"value", setting_place("acme", "crm", "other")),
        DataKey.generate().keyed_hash(b"value", PLACE),
    }
    assert len(hashes) == 4
    assert key.keyed_hash(b"value", PLACE) in hashes


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_no_nonce_repeats_in_one_process_and_its_fork() -> None:
    """G8, at a number that fits a unit test; tests/integration/test_vault_nonces.py has the rest."""
    key = DataKey.generate()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"".join(key.encrypt(b"", PLACE).nonce for _ in range(2_000)))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        theirs = pipe.read()
    os.waitpid(child, 0)
    ours = b"".join(key.encrypt(b"", PLACE).nonce for _ in range(2_000))
    both = ours + theirs
    assert len({both[at : at + NONCE_BYTES] for at in range(0, len(both), NONCE_BYTES)}) == 4_000


def test_a_fingerprint_depends_on_key_and_data() -> None:
    vault = new_vault()
    key = DataKey.generate()
    for one, another in ((vault, new_vault()), (key, DataKey.generate())):
        assert one.fingerprint(b"a") == one.fingerprint(b"a")
        assert len({one.fingerprint(b"a"), one.fingerprint(b"b"), another.fingerprint(b"a")}) == 3


def test_a_wrapped_data_key_makes_the_same_fingerprints() -> None:
    vault, key = new_vault(), DataKey.generate()
    unwrapped = vault.unwrap(vault.wrap(key, "system"), "system")
    assert unwrapped.fingerprint(b"a") == key.fingerprint(b"a")


def as_text(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


def test_a_keyring_wraps_by_the_current_key_and_unwraps_by_any() -> None:
    """G5."""
    old, new = os.urandom(KEY_BYTES), os.urandom(KEY_BYTES)
    before, during, after = (
        Keyring.from_base64(as_text(old)),
        Keyring.from_base64(as_text(new), as_text(old)),
        Keyring.from_base64(as_text(new)),
    )
    key = DataKey.generate()
    sealed = key.encrypt(b"secret", PLACE)
    wrapped = before.wrap(key, "acme")
    assert during.unwrap(before.key_id, wrapped, "acme").decrypt(sealed, PLACE) == b"secret"
    rewrapped = during.rewrap(before.key_id, wrapped, "acme")
    assert after.unwrap(during.key_id, rewrapped, "acme").decrypt(sealed, PLACE) == b"secret"
    assert (during.key_id, list(during.keys)) == (after.key_id, [after.key_id, before.key_id])


def test_a_key_that_is_not_in_the_keyring_is_named() -> None:
    """G6."""
    old, new = Keyring(new_vault()), Keyring(new_vault())
    with pytest.raises(UnknownKeyError, match=f"{old.key_id}.*{new.key_id}") as caught:
        new.unwrap(old.key_id, old.wrap(DataKey.generate(), "acme"), "acme")
    assert caught.value.key_id == old.key_id


def test_a_wrapped_key_is_bound_to_the_workspace_also_when_it_is_wrapped_anew() -> None:
    """G3."""
    keyring = Keyring(new_vault(), (new_vault(),))
    wrapped = keyring.previous[0].wrap(DataKey.generate(), "acme")
    with pytest.raises(VaultError):
        keyring.rewrap(keyring.previous[0].key_id, wrapped, "other")


@pytest.mark.parametrize("texts", ["", ",", " , "])
def test_no_previous_keys_are_none(texts: str) -> None:
    assert Keyring.read_keys(texts) == ()


@pytest.mark.parametrize("texts", ["x", "c2hvcnQ=", as_text(b"k" * KEY_BYTES) + ",x"])
def test_a_previous_key_that_is_no_key_is_refused(texts: str) -> None:
    with pytest.raises(VaultError, match="32 bytes"):
        Keyring.read_keys(texts)


def test_previous_keys_are_bounded() -> None:
    keys = [os.urandom(KEY_BYTES) for _ in range(PREVIOUS_KEYS_MAX + 1)]
    assert len(Keyring.read_keys(as_text(*keys[1:]))) == PREVIOUS_KEYS_MAX
    with pytest.raises(VaultError, match="11"):
        Keyring.read_keys(as_text(*keys))


def test_no_key_shows_in_a_repr() -> None:
    key = os.urandom(KEY_BYTES)
    assert repr(key)[2:10] not in repr(Vault(key))
    assert repr(key)[2:10] not in repr(Keyring(Vault(key), (Vault(key),)))
    assert "_key" not in repr(DataKey(key))
