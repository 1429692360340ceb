"""Tests of the folder that holds everything the embedded servers keep."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cli.operator_keys import add_operator_key, current_key, previous_keys, retire_operator_keys
from kit.embedded.data_folder import (
    UNIX_SOCKET_PATH_BYTES_MAX,
    DataFolder,
    is_port_free,
    renew_secret,
    retire_secrets,
)
from kit.embedded.errors import EmbeddedError
from kit.testing.servers import short_lived_folder
from kit.vault import Keyring, Vault

pytestmark = pytest.mark.integration


def test_a_second_use_is_refused_and_names_the_first_ones_pid(data_folder: DataFolder) -> None:
    open_it = f"from kit.embedded.data_folder import DataFolder; DataFolder({str(data_folder.path)!r})"
    second = subprocess.run([sys.executable, "-c", open_it], capture_output=True, text=True, check=False)
    assert f"EmbeddedError: another `onward up` (pid {os.getpid()}) uses the folder" in second.stderr
    assert "--data" in second.stderr


def test_a_closed_folder_can_be_opened_again() -> None:
    with short_lived_folder() as path:
        DataFolder(path).close()
        DataFolder(path).close()


def test_a_path_through_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedError, match="part of its path is a file: choose another") as caught:
        DataFolder(tmp_path / "file" / "data")
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedError, match="is a file: choose another"):
        DataFolder(tmp_path / "file")


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no /sys, where nobody may create a folder")
def test_an_unwritable_place_is_refused_in_one_line() -> None:
    with pytest.raises(EmbeddedError, match=r"/sys/kernel/onward can't be written \(.*\): choose another"):
        DataFolder("/sys/kernel/onward")


def test_passwords_are_made_once_and_readable_by_us_only(data_folder: DataFolder) -> None:
    first = data_folder.secret("registry")
    assert len(first) >= 24
    assert data_folder.secret("registry") == first
    assert data_folder.secret("executor") != first
    mode = stat.S_IMODE((data_folder.path / "credentials.json").stat().st_mode)
    assert mode == 0o600


def test_a_renewed_secret_is_the_current_one_and_those_before_it_are_kept(data_folder: DataFolder) -> None:
    oldest = data_folder.secret("key")
    # The folder is in use meanwhile.
    renew_secret(data_folder.path, "key", former_max=2)
    older = data_folder.secret("key")
    renew_secret(data_folder.path, "key", former_max=2)
    current = data_folder.secret("key")
    assert len({oldest, older, current}) == 3
    assert data_folder.former_secrets("key") == [older, oldest]
    assert data_folder.former_secrets("another") == []
    with pytest.raises(EmbeddedError, match="2 former ones"):
        renew_secret(data_folder.path, "key", former_max=2)
    assert retire_secrets(data_folder.path, "key", lambda secret: secret == older) == 1
    assert (data_folder.secret("key"), data_folder.former_secrets("key")) == (current, [oldest])
    assert stat.S_IMODE((data_folder.path / "credentials.json").stat().st_mode) == 0o600


def test_no_secret_is_renewed_in_a_folder_that_has_none(data_folder: DataFolder) -> None:
    with pytest.raises(EmbeddedError, match="holds no key"):
        renew_secret(data_folder.path, "key", former_max=2)
    assert not (data_folder.path / "credentials.json").exists()


def test_secrets_that_are_made_at_once_are_all_kept(data_folder: DataFolder) -> None:
    data_folder.secret("key")
    with ThreadPoolExecutor(8) as threads:
        made = [threads.submit(renew_secret, data_folder.path, "key", former_max=40) for _ in range(20)]
        others = [threads.submit(data_folder.secret, f"other {number}") for number in range(20)]
    assert all(one.exception() is None for one in made)
    assert len({data_folder.secret("key"), *data_folder.former_secrets("key")}) == 21
    assert [data_folder.secret(f"other {number}") for number in range(20)] == [one.result() for one in others]


def test_operator_keys_of_onward_up_are_current_first_and_go_by_their_ids(data_folder: DataFolder) -> None:
    first = current_key(data_folder)
    assert previous_keys(data_folder) == ""
    add_operator_key(data_folder.path)
    keyring = Keyring.from_base64(current_key(data_folder), previous_keys(data_folder))
    assert list(keyring.keys) == [keyring.key_id, Vault.from_base64(first).key_id]
    assert retire_operator_keys(data_folder.path, [keyring.key_id, "00000000"]) == 0, (
        "the current key stays in any case"
    )
    assert retire_operator_keys(data_folder.path, list(keyring.keys)) == 1
    assert previous_keys(data_folder) == ""
    assert Vault.from_base64(current_key(data_folder)).key_id == keyring.key_id


def test_ports_are_kept_and_do_not_collide(data_folder: DataFolder) -> None:
    ports = [data_folder.port(f"server {number}") for number in range(20)]
    assert len(set(ports)) == len(ports)
    assert all(is_port_free(port) for port in ports)
    assert [data_folder.port(f"server {number}") for number in range(20)] == ports


def test_a_damaged_credentials_file_is_named(data_folder: DataFolder) -> None:
    (data_folder.path / "credentials.json").write_text('{"registry": ')
    with pytest.raises(EmbeddedError, match=r"credentials\.json is damaged: restore it"):
        data_folder.secret("registry")


def test_sockets_of_a_deep_folder_lie_under_a_short_path() -> None:
    with short_lived_folder() as path, DataFolder(path.joinpath(*["deep"] * 30)) as folder:
        sockets = folder.socket_folder("sockets")
        assert len(os.fsencode(sockets / ".s.PGSQL.5432")) <= UNIX_SOCKET_PATH_BYTES_MAX
        assert sockets.is_dir()
        assert folder.socket_folder("sockets") == sockets
        sockets.rmdir()
        sockets.parent.rmdir()
