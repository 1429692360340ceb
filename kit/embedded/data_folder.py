"""The one folder in which the embedded servers keep everything."""

import errno
import fcntl
import hashlib
import json
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kit.embedded.errors import EmbeddedError

# After its owner was killed, how long its servers may take to end (they hold the lock too).
ORPHANS_END_S = 20.0
LOCK_POLL_S = 0.05
# sizeof(sockaddr_un.sun_path) on Linux is 108, with the closing zero.
UNIX_SOCKET_PATH_BYTES_MAX = 107
# Above the well-known ports and below Linux' ephemeral ones (32768 up): an outgoing connection of some
# program never takes a port of ours between two starts.
FREE_PORTS = range(20_000, 32_000)
FREE_PORT_TRIES = 200
# A log that is larger at a start is moved aside, replacing the one before it.
LOG_BYTES_MAX = 10 * 2**20
CREDENTIALS = "credentials.json"


class DataFolder:
    """Creates the folder and holds it alone until `close`; keeps its generated passwords and ports.

    The lock is an flock whose descriptor (`lock_fd`) the servers inherit, so that the folder stays taken
    until the last of them has ended, even where their parent was killed. Raises EmbeddedError.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser().resolve()
        with explained(self.path):
            self._create()
            self.lock_fd = self._lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the folder up. Servers that still run keep it locked."""
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1

    def _create(self) -> None:
        if not self.path.is_dir():
            # Root's Postgres runs as another user, who must pass through; nobody may list it.
            mode = 0o711 if os.geteuid() == 0 else 0o700
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(exist_ok=True)
            self.path.chmod(mode)

    def _lock(self) -> int:
        lock_fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take(lock_fd)
            os.ftruncate(lock_fd, 0)
            os.pwrite(lock_fd, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(lock_fd)
            raise
        return lock_fd

    def _take(self, lock_fd: int) -> None:
        deadline = time.monotonic() + ORPHANS_END_S
        while True:
            with suppress(BlockingIOError):
                return fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            holder = os.pread(lock_fd, 20, 0).decode().strip()
            if _is_alive(holder):
                raise EmbeddedError(
                    f"another `onward up` (pid {holder}) uses the folder {self.path}:"
                    " stop it or choose another with --data"
                )
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"servers of a killed `onward up` (pid {holder or 'unknown'}) still use {self.path}:"
                    " stop them or choose another folder with --data"
                )
            time.sleep(LOCK_POLL_S)

    def part(self, name: str) -> Path:
        """The folder of one server inside this one, made at first use, for us alone."""
        path = self.path / name
        with explained(path):
            path.mkdir(mode=0o700, exist_ok=True)
        return path

    def log_path(self, name: str) -> Path:
        """Where the server's log goes; what is there is moved to `.old` when it has grown too large."""
        path = self.part("logs") / f"{name}.log"
        with explained(path):
            if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
                path.rename(path.with_suffix(".log.old"))
        return path

    def secret(self, name: str) -> str:
        """The password of that name, generated at first use and kept in credentials.json (0600)."""
        return str(self._remember(CREDENTIALS, name, lambda _: _make_secret()))

    def former_secrets(self, name: str) -> list[str]:
        """What `renew_secret` put aside and `retire_secrets` has not taken away, the newest first."""
        path = self.path / CREDENTIALS
        with explained(path):
            return list(_read_json(path).get(_former(name), []))

    def port(self, name: str, wanted: int = 0) -> int:
        """The server's TCP port: `wanted`, or else a free one chosen once, so that restarts keep it."""
        return wanted or int(self._remember("ports.json", name, free_port))

    def _remember(self, file_name: str, name: str, make: Any) -> Any:
        path = self.path / file_name
        with explained(path), _alone(self.path):
            values = _read_json(path)
            if name not in values:
                values[name] = make(values.values())
                _write_json(path, values)
        return values[name]

    def socket_folder(self, name: str) -> Path:
        """A folder for the unix sockets of one server, whose path is short enough for a socket address.

        It lies in the data folder, or, where that is too deep, in /tmp under a name made from its path.
        """
        inside = self.path / name
        if len(os.fsencode(inside / ".s.PGSQL.5432")) <= UNIX_SOCKET_PATH_BYTES_MAX:
            return self.part(name)
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        short = Path("/tmp") / f"onward-{os.geteuid()}-{digest}"  # noqa: S108 (its owner is checked below)
        with explained(short):
            with suppress(FileExistsError):
                short.mkdir(mode=0o711)
            _check_ours(short)
            (short / name).mkdir(mode=0o700, exist_ok=True)
        return short / name


def renew_secret(folder: Path, name: str, *, former_max: int) -> None:
    """Make a new secret of that name, and put the one before aside.

    May be called beside a running `onward up`, which reads secrets when it starts. Raises EmbeddedError, also where
    `former_max` are put aside already.
    """
    path = folder / CREDENTIALS
    with explained(path), _alone(folder):
        values = _read_json(path)
        if name not in values:
            raise EmbeddedError(
                f"{folder} holds no {name}: is it the folder of an `onward up`? Name another with --data"
            )
        former = [values[name], *values.get(_former(name), [])]
        if len(former) > former_max:
            raise EmbeddedError(f"{folder} holds {former_max} former ones of its {name} already: take some away first")
        _write_json(path, {**values, name: _make_secret(), _former(name): former})


def retire_secrets(folder: Path, name: str, retired: Callable[[str], bool]) -> int:
    """Take away the former secrets for which `retired` is true, for good; gives their number."""
    path = folder / CREDENTIALS
    with explained(path), _alone(folder):
        values = _read_json(path)
        former = values.get(_former(name), [])
        kept = [secret for secret in former if not retired(secret)]
        if len(kept) < len(former):
            _write_json(path, {**values, _former(name): kept})
    return len(former) - len(kept)


def _make_secret() -> str:
    return secrets.token_urlsafe(24)


def _former(name: str) -> str:
    return f"{name} (former)"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from changing the same file meanwhile; they wait for milliseconds."""
    folder_fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder_fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder_fd)


def free_port(taken: Collection[int] = ()) -> int:
    """A TCP port of 127.0.0.1 that no program listens on and that is not in `taken`."""
    for _ in range(FREE_PORT_TRIES):
        port = random.choice(FREE_PORTS)  # noqa: S311 (no secret)
        if port not in taken and is_port_free(port):
            return port
    raise EmbeddedError("no free TCP port found on 127.0.0.1: stop some programs, or name the ports")


def is_port_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do it: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError about `path` into an EmbeddedError that says what to do."""
    try:
        yield
    except OSError as error:
        raise EmbeddedError(_explanation(path, error)) from error


def _explanation(path: Path, error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return f"the disk that holds {path} is full: free some space and start again"
        case errno.ENOTDIR | errno.EEXIST:
            return f"{path} can't be a folder, since part of its path is a file: choose another with --data"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"{path} can't be written ({error.strerror}): choose another folder with --data"
        case _:
            return f"{path} can't be used ({error.strerror}): choose another folder with --data"


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _check_ours(path: Path) -> None:
    status = path.lstat()
    if status.st_uid != os.geteuid() or path.is_symlink():
        raise EmbeddedError(f"{path} is another user's: remove it, or choose a shorter path with --data")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        values = json.loads(path.read_bytes())
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise EmbeddedError(f"{path} is damaged: restore it from a backup, or delete it to have it made anew")
    return values


def _write_json(path: Path, values: dict[str, Any]) -> None:
    """Replace the file as a whole, so that a crash leaves the old one or the new one."""
    scratch = path.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(values, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    scratch.rename(path)
    folder_fd = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)
