"""As which user of the operating system a server runs: Postgres refuses root."""

import os
import pwd
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kit.embedded.errors import EmbeddedError

PROBE_TIMEOUT_S = 5


@dataclass(frozen=True)
class Identity:
    """How to become the user that runs a server, and how we look to that server.

    `uid` None: no change of user. `owner_uid` owns the server's files as we see them. `peer_name` is the
    user name that the server sees at our end of its unix socket.
    """

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None
    owner_uid: int = -1
    owner_gid: int = -1
    peer_name: str = ""


OURSELVES = Identity()


def unprivileged_identity(paths: Iterable[Path], user_name: str = "nobody") -> Identity:
    """The identity for a server that refuses root and must reach `paths` (its program and its folder).

    An ordinary user runs it as itself. Root becomes `user_name` where that user can reach the paths, and
    otherwise stays root outside but is `user_name` inside a user namespace. No permission of any folder
    is changed for it.
    """
    if os.geteuid() != 0:
        return Identity(owner_uid=os.geteuid(), owner_gid=os.getegid(), peer_name=_name_of(os.geteuid()))
    user = _user(user_name)
    blocked = [folder for path in paths if (folder := first_closed_folder(path)) is not None]
    if not blocked:
        return Identity((), user.pw_uid, user.pw_gid, user.pw_uid, user.pw_gid, _name_of(0))
    prefix = ("unshare", "-U", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}")
    if not _works((*prefix, "true")):
        raise EmbeddedError(
            f"Postgres refuses to run as root, {user_name} can't enter {blocked[0]}, and user namespaces are"
            f" off: run as an ordinary user, or choose a data folder and a Python that {user_name} can reach"
        )
    return Identity(prefix, None, None, 0, 0, user_name)


def first_closed_folder(path: Path) -> Path | None:
    """The topmost folder on the way to `path` (and it, if a folder) that other users may not enter."""
    resolved = path.resolve()
    folders = [*reversed(resolved.parents), *([resolved] if resolved.is_dir() else [])]
    return next((folder for folder in folders if not folder.stat().st_mode & 0o001), None)


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise EmbeddedError(f"Postgres refuses root, and there is no user {name}: name another") from None


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise EmbeddedError(
            f"user id {uid} has no name in /etc/passwd, which Postgres needs: add one, or run as another user"
        ) from None


def _works(argv: tuple[str, ...]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
