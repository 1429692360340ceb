"""`python seccomp_confined.py PROFILE PROGRAM [ARGUMENT...]` runs a program under a Docker seccomp profile.

It does what runc does: forbids new privileges, loads the rules by libseccomp, and becomes the program.
"""

import ctypes
import ctypes.util
import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

PR_SET_NO_NEW_PRIVS = 38
ALLOW = 0x7FFF0000
ERRNO = 0x00050000
# SCMP_CMP_*: how an argument is compared.
OPERATORS = {"SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("index", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def action(rule: dict[str, Any]) -> int:
    if rule["action"] == "SCMP_ACT_ALLOW":
        return ALLOW
    assert rule["action"] == "SCMP_ACT_ERRNO", rule["action"]
    return ERRNO | int(rule.get("errnoRet", errno.EPERM))


def load(profile: dict[str, Any]) -> None:
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(ERRNO | profile["defaultErrnoRet"])))
    for rule in profile["syscalls"]:
        compared = [
            Comparison(one["index"], OPERATORS[one["op"]], one["value"], one.get("valueTwo", 0))
            for one in rule.get("args", [])
        ]
        array = (Comparison * len(compared))(*compared)
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            # Names of other machines, and of kernels newer than the library, are left out, as Docker does it.
            if number >= 0:
                code = ctypes.c_uint32(action(rule))
                assert library.seccomp_rule_add_array(context, code, number, len(compared), array) == 0, name
    assert ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert library.seccomp_load(context) == 0


if __name__ == "__main__":
    load(json.loads(Path(sys.argv[1]).read_text()))
    print("confined", flush=True)
    os.execv(sys.argv[2], sys.argv[2:])
