"""Tests of the folder that holds everything the embedded servers keep."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kit.embedded.data_folder import UNIX_SOCKET_PATH_BYTES_MAX, DataFolder, is_port_free
from kit.embedded.errors import EmbeddedError
from kit.testing.servers import short_lived_folder

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
