"""What code that has taken over a worker could still do. A plain Python child, locked down, stands in for it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.executor.runtime.lockdown import ARCHITECTURES, syscall_filter

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
LOCKED = """
import ctypes, errno, json, os, resource, signal, socket, sys, threading
from services.executor.runtime.lockdown import filter_syscalls, lock_down
if {user}: os.setresgid({user}, {user}, {user}); os.setresuid({user}, {user}, {user})
status = os.open("/proc/self/status", os.O_RDONLY)
inherited = os.open("/etc/passwd", os.O_RDONLY)
degradations = lock_down((1, 2, status), parent=os.getppid()) + filter_syscalls()
libc = ctypes.CDLL(None, use_errno=True)
def refusal(action):
    try: action()
    except OSError as error: return errno.errorcode[error.errno]
    except ValueError: return "EPERM"  # what Python makes of it for limits
    return "allowed"
def call(function, *arguments):
    def action():
        if function(*arguments) < 0: raise OSError(ctypes.get_errno(), "")
    return action
def say(**found): os.write(1, json.dumps(found).encode())
{body}
"""
NOBODY = 65534


def _child(body: str, user: int = 0) -> subprocess.CompletedProcess[bytes]:
    code = LOCKED.format(body=body, user=user)
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=30, check=False)


def _said(body: str, user: int = 0) -> dict[str, Any]:
    child = _child(body, user)
    assert child.stdout, child.stderr.decode()
    said: dict[str, Any] = json.loads(child.stdout)
    return said


REFUSED = {
    "open": "lambda: os.open('/etc/passwd', os.O_RDONLY)",
    "write": "lambda: os.open('/tmp/onward-was-here', os.O_CREAT | os.O_WRONLY)",
    "list": "lambda: os.listdir('/')",
    "internet socket": "lambda: socket.socket(socket.AF_INET)",
    "unix socket": "lambda: socket.socket(socket.AF_UNIX)",
    "netlink socket": "lambda: socket.socket(16, socket.SOCK_RAW)",
    "inherited descriptor": "lambda: os.read(inherited, 1)",
    "kill": "lambda: os.kill(os.getppid(), 0)",
    "kill a thread of another": "call(libc.syscall, 234, 1, 1, 0)",
    "setuid": "lambda: os.setresuid(0, 0, 0)",
    "memfd": "lambda: os.memfd_create('x')",
    "perf": "call(libc.syscall, 298, 0, 0, -1, -1, 0)",
    "bpf": "call(libc.syscall, 321, 0, 0, 0)",
    "io_uring": "call(libc.syscall, 425, 1, 0)",
    "userfaultfd": "call(libc.syscall, 323, 0)",
    "keyctl": "call(libc.syscall, 250, 0, 0, 0)",
    "mount": "call(libc.mount, b'none', b'/', None, 0, None)",
    "namespaces": "call(libc.unshare, 0x10000000)",
    "read another's memory": "call(libc.syscall, 310, os.getppid(), 0, 0, 0, 0, 0)",
    "survive the parent": "call(libc.prctl, 1, 0, 0, 0, 0)",
    "limits of another": "lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)",
    "raise own limits": "lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))",
}


@pytest.mark.parametrize("user", [0, NOBODY], ids=["as root", "as an ordinary user"])
def test_every_system_call_that_reaches_outside_is_refused(user: int) -> None:
    """E22"""
    actions = ", ".join(f"{name!r}: refusal({action})" for name, action in REFUSED.items())
    said = _said(f"say(degradations=degradations, **{{{actions}}})", user)
    assert said.pop("degradations") == []
    allowed = {name: how for name, how in said.items() if how not in ("EPERM", "EACCES", "EBADF", "EINVAL")}
    assert allowed == {}


KILLED = {
    "fork": "os.fork()",
    "vfork": "libc.vfork()",
    "clone": "libc.syscall(56, 17, 0, 0, 0, 0)",
    "execve": "os.execv('/bin/true', ['true'])",
    "execveat": "libc.syscall(322, -100, b'/bin/true', 0, 0, 0)",
    "ptrace": "libc.ptrace(0, 0, 0, 0)",
    "a call of another ABI": "libc.syscall(0x40000000 + 39)",
}


@pytest.mark.parametrize("body", KILLED.values(), ids=KILLED.keys())
def test_making_or_tracing_a_process_is_death(body: str) -> None:
    """E22"""
    child = _child(f"{body}\nsay(survived=True)")
    assert (child.returncode, child.stdout) == (-signal.SIGSYS, b"")


def test_a_locked_process_has_no_privileges_and_no_network() -> None:
    """E22"""
    said = _said(
        "lines = os.read(status, 9999).decode().splitlines()\n"
        "status = dict(line.split(':\\t', 1) for line in lines if ':\\t' in line)\n"
        "say(**{k: status[k].split()[0] for k in ('CapEff', 'CapPrm', 'NoNewPrivs', 'Seccomp', 'Uid')})"
    )
    assert (int(said["CapEff"], 16), int(said["CapPrm"], 16)) == (0, 0)
    assert (said["NoNewPrivs"], said["Seccomp"], said["Uid"]) == ("1", "2", str(NOBODY))


def test_threads_can_still_be_made() -> None:
    said = _said("t = threading.Thread(target=lambda: None); t.start(); t.join(); say(degradations=degradations)")
    assert said["degradations"] == []


def test_an_unknown_machine_is_a_named_degradation() -> None:
    child = subprocess.run(
        [sys.executable, "-c", "import platform, json; platform.machine = lambda: 'vax'\n"
         "from services.executor.runtime.lockdown import filter_syscalls; print(json.dumps(filter_syscalls()))"],
        cwd=ROOT, capture_output=True, timeout=30, check=True,
    )  # fmt: skip
    assert json.loads(child.stdout) == ["seccomp: no table of system calls for vax"]


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_filter_of_every_machine_is_a_valid_program(machine: str) -> None:
    code = syscall_filter(ARCHITECTURES[machine], 1)
    instructions = list(struct.iter_unpack("<HBBI", code))
    assert len(instructions) < 4096
    for at, (code_, if_true, if_false, _) in enumerate(instructions):
        assert at + 1 + max(if_true, if_false) < len(instructions) or code_ == 0x06
    assert instructions[-1] == (0x06, 0, 0, 0x00050001), "what is not listed is refused"


def test_this_machine_is_known() -> None:
    assert os.uname().machine in ARCHITECTURES
    assert ctypes.sizeof(ctypes.c_void_p) == 8
