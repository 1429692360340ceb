"""Locks the calling process down for good, before it sees anything of a user's.

Plain ctypes, so that nothing has to be imported or opened afterwards. Each step that the kernel refuses is a *named
degradation*: the process goes on with what it has, and says so. The figures of the design: 1.5 ms, no throughput lost.

The order matters. File descriptors first, namespaces while we may still make them, the user before `no_new_privs`,
PR_SET_PDEATHSIG after the change of user (which clears it), Landlock before seccomp (which forbids its calls).
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

NOBODY: Final = 65534

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUTS: Final = 0x04000000
_CLONE_NEWIPC: Final = 0x08000000
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_CLONE_THREAD: Final = 0x00010000

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_SET_MODE_FILTER: Final = 1
_SECCOMP_FILTER_FLAG_TSYNC: Final = 1

_ENOSYS: Final = 38
_EPERM: Final = 1

# Descriptors a worker may hold at a time: its socket, the cell, the Landlock ruleset while it is made.
_OPEN_FILES_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Architecture:
    """What differs between the machines that we know."""

    audit: int  # AUDIT_ARCH_*, as seccomp reports it
    numbers: dict[str, int]
    x32: bool = False


# Steady state needs only futex, send, receive and memory calls. The rest is the start of the isolate's thread, and the
# three scheduler calls of abseil's mutex, which aborts under contention when they are refused.
_X86_64: Final = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11,
    "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "sched_yield": 24,
    "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39, "sendto": 44, "recvfrom": 45, "exit": 60,
    "gettimeofday": 96, "getrusage": 98, "sigaltstack": 131, "sched_getparam": 143, "sched_getscheduler": 145,
    "prctl": 157, "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204, "restart_syscall": 219,
    "clock_gettime": 228, "clock_nanosleep": 230, "exit_group": 231, "ppoll": 271, "set_robust_list": 273,
    "prlimit64": 302, "getcpu": 309, "getrandom": 318, "membarrier": 324, "pkey_mprotect": 329, "pkey_alloc": 330,
    "pkey_free": 331, "rseq": 334,
    "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "ptrace": 101, "tgkill": 234, "execveat": 322, "clone3": 435,
    "seccomp": 317,
}  # fmt: skip
_AARCH64: Final = {
    "lseek": 62, "read": 63, "write": 64, "pread64": 67, "ppoll": 73, "fstat": 80, "close": 57, "exit": 93,
    "exit_group": 94, "futex": 98, "set_robust_list": 99, "nanosleep": 101, "clock_gettime": 113,
    "clock_nanosleep": 115, "sched_getscheduler": 120, "sched_getparam": 121, "sched_getaffinity": 123,
    "sched_yield": 124, "restart_syscall": 128, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135,
    "rt_sigreturn": 139, "getrusage": 165, "prctl": 167, "getcpu": 168, "gettimeofday": 169, "getpid": 172,
    "gettid": 178, "sendto": 206, "recvfrom": 207, "brk": 214, "munmap": 215, "mremap": 216, "mmap": 222,
    "mprotect": 226, "madvise": 233, "prlimit64": 261, "getrandom": 278, "membarrier": 283, "pkey_mprotect": 288,
    "pkey_alloc": 289, "pkey_free": 290, "rseq": 293,
    "clone": 220, "execve": 221, "ptrace": 117, "tgkill": 131, "execveat": 281, "clone3": 435, "seccomp": 277,
}  # fmt: skip
# Numbers that get a rule of their own below, or none at all.
_SPECIAL: Final = frozenset(
    {"clone", "clone3", "tgkill", "prctl", "prlimit64", "fork", "vfork", "execve", "execveat", "ptrace", "seccomp"}
)
_KILLED: Final = ("fork", "vfork", "execve", "execveat", "ptrace")

ARCHITECTURES: Final = {
    "x86_64": Architecture(0xC000003E, _X86_64, x32=True),
    "aarch64": Architecture(0xC00000B7, _AARCH64),
}

_libc = ctypes.CDLL(None, use_errno=True)


class _SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def lock_down(keep: Iterable[int], *, parent: int) -> list[str]:
    """Lock this process down; `keep` are the descriptors that stay open, `parent` the pid that must be its parent.

    Returns the names of what the kernel refused: namespaces, user, landlock, seccomp, limits, parent-death.
    """
    degradations: list[str] = []
    root = os.geteuid() == 0
    close_others(keep)
    _try(degradations, "namespaces", lambda: _unshare(root))
    _try(degradations, "user", lambda: _become_nobody(root))
    _try(degradations, "limits", _limit_resources)
    _try(degradations, "no-new-privs", _forbid_new_privileges)
    _try(degradations, "parent-death", lambda: _die_with(parent))
    _try(degradations, "landlock", _deny_by_landlock)
    return degradations


def filter_syscalls() -> list[str]:
    """Install the seccomp filter, the last step; returns ["seccomp"] where it could not be installed."""
    degradations: list[str] = []
    _try(degradations, "seccomp", _install_filter)
    return degradations


def _try(degradations: list[str], name: str, step: object) -> None:
    assert callable(step)
    try:
        step()
    except (OSError, ValueError) as error:
        degradations.append(f"{name}: {error}")


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def close_others(keep: Iterable[int]) -> None:
    """Close every descriptor but these; inherited ones of siblings would be a leak."""
    start = 0
    for fd in sorted(set(keep)):
        os.closerange(start, fd)
        start = fd + 1
    os.closerange(start, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _unshare(root: bool) -> None:
    # An ordinary user makes a user namespace, in which it is nobody and may make the others.
    flags = _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS | _CLONE_NEWNS
    _checked(_libc.unshare(flags if root else flags | _CLONE_NEWUSER))


def _become_nobody(root: bool) -> None:
    if not root:
        return
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _limit_resources() -> None:
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE):
        resource.setrlimit(limit, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES_MAX, _OPEN_FILES_MAX))


def _forbid_new_privileges() -> None:
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def _die_with(parent: int) -> None:
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:  # it died before the line above
        os._exit(0)


die_with = _die_with


# ---- Landlock ------------------------------------------------------------------------------------------------------

_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_CREATE_RULESET_VERSION: Final = 1
# Rights that each ABI version knows; all are handled and none is granted.
_FS_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NET_ABI: Final = 4
_NET_RIGHTS: Final = 0b11  # bind and connect TCP
_SCOPE_ABI: Final = 6
_SCOPES: Final = 0b11  # abstract Unix sockets, signals


def _deny_by_landlock() -> None:
    version = _checked(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION))
    rights = (1 << _FS_RIGHTS[min(version, max(_FS_RIGHTS))]) - 1
    net = _NET_RIGHTS if version >= _NET_ABI else 0
    scopes = _SCOPES if version >= _SCOPE_ABI else 0
    # The struct grew with the versions: a shorter one is an older one.
    size = 24 if version >= _SCOPE_ABI else 16 if version >= _NET_ABI else 8
    attributes = struct.pack("<QQQ", rights, net, scopes)[:size]
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0))
    try:
        _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


# ---- seccomp -------------------------------------------------------------------------------------------------------

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL: Final = 0x15
_JUMP_AT_LEAST: Final = 0x35
_JUMP_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_ERRNO: Final = 0x00050000
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_FIRST_ARGUMENT_AT: Final = 16
_X32_BIT: Final = 0x40000000


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _rule(number: int, verdict: int) -> list[bytes]:
    return [_instruction(_JUMP_EQUAL, number, 0, 1), _instruction(_RETURN, verdict)]


def _argument_rule(number: int, test: bytes, verdict_if: int, verdict_else: int) -> list[bytes]:
    """For one call, look at its first argument; `test` jumps over one instruction when it is false."""
    return [
        _instruction(_JUMP_EQUAL, number, 0, 4),
        _instruction(_LOAD, _FIRST_ARGUMENT_AT),
        test,
        _instruction(_RETURN, verdict_if),
        _instruction(_RETURN, verdict_else),
    ]


def syscall_filter(architecture: Architecture, pid: int) -> bytes:
    """The program: an allow-list; making processes and tracing them kills, everything else is refused with EPERM."""
    numbers = architecture.numbers
    program = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        _instruction(_JUMP_EQUAL, architecture.audit, 1, 0),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD, _NUMBER_AT),
    ]
    if architecture.x32:
        program += [_instruction(_JUMP_AT_LEAST, _X32_BIT, 0, 1), _instruction(_RETURN, _KILL_PROCESS)]
    for name, number in numbers.items():
        if name not in _SPECIAL:
            program += _rule(number, _ALLOW)
    for name in _KILLED:
        if name in numbers:
            program += _rule(numbers[name], _KILL_PROCESS)
    # A thread is a clone that says so. glibc falls back to clone, whose flags can be read, when clone3 does not exist.
    program += _rule(numbers["clone3"], _ERRNO | _ENOSYS)
    threads_only = _instruction(_JUMP_ANY_BIT, _CLONE_THREAD, 0, 1)
    program += _argument_rule(numbers["clone"], threads_only, _ALLOW, _KILL_PROCESS)
    # abort() signals its own process; nobody else's.
    itself = _instruction(_JUMP_EQUAL, pid, 0, 1)
    program += _argument_rule(numbers["tgkill"], itself, _ALLOW, _ERRNO | _EPERM)
    # Threads are given names; limits of this very process (pid 0) can be lowered, never raised.
    naming = _instruction(_JUMP_EQUAL, _PR_SET_NAME, 0, 1)
    program += _argument_rule(numbers["prctl"], naming, _ALLOW, _ERRNO | _EPERM)
    own_limits = _instruction(_JUMP_EQUAL, 0, 0, 1)
    program += _argument_rule(numbers["prlimit64"], own_limits, _ALLOW, _ERRNO | _EPERM)
    program.append(_instruction(_RETURN, _ERRNO | _EPERM))
    return b"".join(program)


def _install_filter() -> None:
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise OSError(f"no table of system calls for {platform.machine()}")
    code = syscall_filter(architecture, os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _SockFprog(len(code) // 8, ctypes.addressof(buffer))
    number = architecture.numbers["seccomp"]
    arguments = _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, ctypes.byref(program)
    _checked(_libc.syscall(number, *arguments))
