"""What a worker tries, in native code and after its lock-down, to show that the sandbox refuses it.

self_test.py asks for these of workers that it throws away, and judges the answers. Nothing here does harm where it is
allowed: signals are 0, files are removed again, processes that come into being end at once, and what would change the
machine is called with arguments that the kernel looks at only after it has allowed the call.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

ALLOWED: Final = "allowed"

# Numbers of the calls that Python has no name for. tests/unit/test_syscall_numbers.py compares them with the kernel's.
NUMBERS: Final[Mapping[str, Mapping[str, int]]] = {
    "x86_64": {
        "clone": 56, "fork": 57, "vfork": 58, "mount": 165, "keyctl": 250, "unshare": 272, "perf_event_open": 298,
        "process_vm_readv": 310, "bpf": 321, "execveat": 322, "userfaultfd": 323, "memfd_create": 319, "ptrace": 101,
        "io_uring_setup": 425, "pidfd_open": 434, "tgkill": 234, "setns": 308, "add_key": 248, "init_module": 175,
        "open_by_handle_at": 304, "kexec_load": 246, "personality": 135,
    },
    "aarch64": {
        "clone": 220, "mount": 40, "keyctl": 219, "unshare": 97, "perf_event_open": 241, "process_vm_readv": 270,
        "bpf": 280, "execveat": 281, "userfaultfd": 282, "memfd_create": 279, "ptrace": 117, "io_uring_setup": 425,
        "pidfd_open": 434, "tgkill": 131, "setns": 268, "add_key": 217, "init_module": 105, "open_by_handle_at": 265,
        "kexec_load": 104, "personality": 92,
    },
}  # fmt: skip

_X32_GETPID: Final = 0x40000000 + 39
_AT_FDCWD: Final = -100
_CLONE_NEWUSER: Final = 0x10000000
_PTRACE_ATTACH: Final = 16
_PR_SET_PDEATHSIG: Final = 1
_SIGCHLD: Final = 17

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Targets:
    """What the probes are aimed at."""

    parent: int = 0
    sibling: int = 0
    executor: int = 0
    # Host and port of servers that do listen; whatever else a sandbox must not reach.
    endpoints: Sequence[tuple[str, int]] = ()
    # Files that exist.
    files: Sequence[str] = field(default=("/etc/passwd",))


Attempt = Callable[[Targets], Any]


def attempt(name: str, targets: Targets) -> str:
    """Try one thing: the name of the refusal (EPERM and the like), ALLOWED, or no answer since the process is dead."""
    try:
        (SURVIVED.get(name) or DEADLY[name])(targets)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except ValueError:
        return "EPERM"  # what Python makes of it for limits
    return ALLOWED


def attempt_all(names: Sequence[str], targets: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Try these one after the other; `targets` as JSON brought them."""
    aimed = Targets(**targets)
    return [(name, attempt(name, aimed)) for name in names]


# ---- single attempts -------------------------------------------------------------------------------------------------


def _call(name: str, *arguments: Any) -> int:
    number = NUMBERS.get(platform.machine(), {}).get(name)
    if number is None:
        raise OSError(errno.ENOSYS, f"no {name} on this machine")
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def _open(path: str, flags: int) -> None:
    os.close(os.open(path, flags, 0o600))


def _write_new(_: Targets) -> None:
    path = f"/tmp/onward-probe-{os.getpid()}"  # noqa: S108 - it must not come into being
    _open(path, os.O_CREAT | os.O_WRONLY)
    with suppress(OSError):
        os.unlink(path)


def _each_file(flags: int, targets: Targets) -> None:
    """Open them all; one that opens is one too many."""
    _first_allowed(partial(_open, path, flags) for path in targets.files)


def _of_process(name: str, targets: Targets) -> None:
    pids = (targets.parent, targets.sibling, targets.executor)
    _first_allowed(partial(_open, f"/proc/{pid}/{name}", os.O_RDONLY) for pid in pids if pid)


def _first_allowed(actions: Any) -> None:
    """Return as soon as one of them is allowed; raise the last refusal where none is."""
    refusal = OSError(errno.EPERM, "nothing to try")
    for action in actions:
        try:
            action()
        except OSError as error:
            refusal = error
        else:
            return
    raise refusal


def _connect(targets: Targets) -> None:
    def connect(host: str, port: int) -> None:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
            one.settimeout(1)
            one.connect((host, port))

    _first_allowed(partial(connect, *endpoint) for endpoint in targets.endpoints)


def _socket(family: int, kind: int, protocol: int = 0) -> Attempt:
    return lambda _: socket.socket(family, kind, protocol).close()


def _signal(targets: Targets) -> None:
    _first_allowed(partial(os.kill, pid, 0) for pid in (targets.parent, targets.sibling, targets.executor) if pid)


def _read_memory(targets: Targets) -> None:
    # Code of libc's, which is at the same place in all that the zygote has forked.
    there = (ctypes.c_size_t * 2)(ctypes.cast(_libc.getpid, ctypes.c_void_p).value or 0, 8)
    buffer = ctypes.create_string_buffer(8)
    here = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    pids = (targets.parent, targets.sibling)
    _first_allowed(partial(_call, "process_vm_readv", pid, here, 1, there, 1, 0) for pid in pids if pid)


def _raise_limits(_: Targets) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))


def _survive_parent(_: Targets) -> None:
    if _libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _forked(make: Callable[[], int]) -> None:
    pid = make()
    if pid == 0:
        os._exit(0)
    with suppress(OSError):
        os.waitpid(pid, 0)


def _trace(targets: Targets) -> None:
    _call("ptrace", _PTRACE_ATTACH, targets.sibling, 0, 0)


def _other_abi(_: Targets) -> None:
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, "this machine has one")
    if _libc.syscall(_X32_GETPID) < 0:
        raise OSError(ctypes.get_errno(), "x32")


# What must be refused.
SURVIVED: Final[Mapping[str, Attempt]] = {
    "open files for reading": partial(_each_file, os.O_RDONLY),
    "open files for writing": partial(_each_file, os.O_WRONLY),
    "make a file": _write_new,
    "open /proc/self/mem": lambda _: _open("/proc/self/mem", os.O_RDWR),
    "list a directory": lambda _: os.listdir("/"),
    "read a link": lambda _: os.readlink("/proc/self/exe"),
    "open a file by its handle": lambda _: _call("open_by_handle_at", _AT_FDCWD, None, 0),
    "environment of another process": partial(_of_process, "environ"),
    "memory map of another process": partial(_of_process, "maps"),
    "memory of another process": _read_memory,
    "signal another process": _signal,
    "signal a thread of another process": lambda targets: _call("tgkill", targets.parent, targets.parent, 0),
    "handle of another process": lambda targets: _call("pidfd_open", targets.parent, 0),
    "connect to Onward": _connect,
    "internet socket": _socket(socket.AF_INET, socket.SOCK_STREAM),
    "internet socket, version 6": _socket(socket.AF_INET6, socket.SOCK_STREAM),
    "datagram socket": _socket(socket.AF_INET, socket.SOCK_DGRAM),
    "Unix socket": _socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "raw socket": _socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "packet socket": _socket(17, socket.SOCK_RAW),
    "netlink socket": _socket(16, socket.SOCK_RAW),
    "socket pair": lambda _: socket.socketpair(),
    "pipe": lambda _: os.pipe(),
    "memory file": lambda _: os.close(_call("memfd_create", b"probe", 0)),
    "mount": lambda _: _call("mount", None, None, None, 0, None),
    "make namespaces": lambda _: _call("unshare", _CLONE_NEWUSER),
    "enter namespaces": lambda _: _call("setns", 0, 0),
    "change the user": lambda _: os.setuid(0),
    "raise limits": _raise_limits,
    "limits of another process": lambda targets: resource.prlimit(targets.parent, resource.RLIMIT_NOFILE),
    "survive the parent": _survive_parent,
    "personality": lambda _: _call("personality", 0x0040000),
    "io_uring": lambda _: _call("io_uring_setup", 1, ctypes.create_string_buffer(120)),
    "userfaultfd": lambda _: os.close(_call("userfaultfd", 1)),
    "bpf": lambda _: _call("bpf", 0, ctypes.create_string_buffer(128), 128),
    "performance events": lambda _: _call("perf_event_open", ctypes.create_string_buffer(128), 0, -1, -1, 0),
    "kernel keys": lambda _: _call("keyctl", 0, -3, 1, 0, 0),
    "add a kernel key": lambda _: _call("add_key", None, None, None, 0, 0),
    "load a kernel module": lambda _: _call("init_module", None, 0, b""),
    "load a kernel": lambda _: _call("kexec_load", 0, 0, None, -1),
}  # fmt: skip
# What must be the end of the process.
DEADLY: Final[Mapping[str, Attempt]] = {
    "fork": lambda _: _forked(os.fork),
    "vfork": lambda _: _forked(partial(_call, "vfork")),
    "clone a process": lambda _: _forked(partial(_call, "clone", _SIGCHLD, 0, 0, 0, 0)),
    "execve": lambda _: os.execv("/bin/true", ["true"]),  # noqa: S606
    "execveat": lambda _: _call("execveat", _AT_FDCWD, b"/bin/true", None, None, 0),
    "ptrace": _trace,
    "calls of another ABI": _other_abi,
}
