"""Write the tables of docs/permissions.md: from the protos, where each RPC declares its access, and from the rights.

`python tools/permissions.py --check` writes nothing and exits 1 when the page is out of date.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

import onward
from kit.auth.demand import EVERYTHING, Subset
from kit.rpc.access import Access, declared_access
from onward.common.v1 import access_pb2 as access
from onward.registry.v1 import resources_pb2 as pb
from services.registry.domain.rights import Rights, Target, allows, granted

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "permissions.md"
ACCESS = ROOT / "protos" / "onward" / "common" / "v1" / "access.proto"
# What follows is written by this program.
MARK = "<!-- Made by tools/permissions.py; what is above is written by hand. -->\n"

ROLES: dict[pb.Role.ValueType, str] = {
    pb.ROLE_OWNER: "Owner",
    pb.ROLE_FUNCTIONS_ADMIN: "Functions Admin",
    pb.ROLE_FUNCTIONS_READ_ONLY: "Functions Read-only",
    pb.ROLE_SOURCE_ADMIN: "Source Admin",
    pb.ROLE_MEMBER: "Member",
    pb.ROLE_AUDITOR: "Auditor",
}
OUTSIDE: dict[int, str] = {
    access.PERMISSION_NONE: "anybody, without a token",
    access.PERMISSION_OPERATE: "the operator",
    access.PERMISSION_SERVICE: "Onward's own services",
}
MINE, OTHERS = "mine", "others"
OF_ITS_OWN = "on what it is for"
WHOLE = "if for all"
# Resources of each kind that a permission is asked on.
WORKSPACE = {"": Target()}
FUNCTION = {"": Target("functions", function=MINE)}
SOURCE = {"": Target("sources", source=MINE)}
DESTINATION = {"": Target("destinations", MINE, MINE)}
PLACES = {
    "of a destination": Target("destinations", MINE, MINE),
    "of a source": Target("sources", source=MINE),
    "of the workspace": Target(),
}
TARGETS: dict[int, dict[str, Target]] = {
    access.PERMISSION_WORKSPACE_ENTER: WORKSPACE,
    access.PERMISSION_WORKSPACE_VIEW: WORKSPACE,
    access.PERMISSION_WORKSPACE_ADMINISTER: WORKSPACE,
    access.PERMISSION_AUDIT_VIEW: WORKSPACE,
    access.PERMISSION_FUNCTION_CREATE: WORKSPACE,
    access.PERMISSION_FUNCTION_VIEW: FUNCTION,
    access.PERMISSION_FUNCTION_EDIT: FUNCTION,
    access.PERMISSION_SOURCE_ADMINISTER: SOURCE,
    access.PERMISSION_DELIVERY_VIEW: DESTINATION,
    access.PERMISSION_DELIVERY_OPERATE: DESTINATION,
    access.PERMISSION_DESTINATION_VIEW: DESTINATION,
    access.PERMISSION_DESTINATION_ADMINISTER: DESTINATION,
    access.PERMISSION_FILTER_VIEW: PLACES,
    access.PERMISSION_FILTER_ADMINISTER: PLACES,
}


def files() -> list[FileDescriptor]:
    """All files of Onward's protos."""
    found = (one.name for one in pkgutil.walk_packages(onward.__path__, "onward."))
    modules = (importlib.import_module(name) for name in sorted(found) if name.endswith("_pb2"))
    return [module.DESCRIPTOR for module in modules]


def methods() -> list[MethodDescriptor]:
    """All RPCs of all services, by file."""
    services = (service for file in files() for service in file.services_by_name.values())
    return [method for service in services for method in service.methods]


def short_name(method: MethodDescriptor) -> str:
    """As `registry.FunctionService.SaveFunction`."""
    return re.sub(r"^onward\.(\w+)\.v1\.", r"\1.", str(method.full_name))


def comments() -> dict[str, str]:
    """What access.proto says of each permission."""
    found = re.findall(r"((?: +//.*\n)+) +PERMISSION_(\w+) = \d+;", ACCESS.read_text())
    return {name: " ".join(re.findall(r"// ?(.*)", text)).strip() for text, name in found}


def of(role: pb.Role.ValueType, scope: Subset = EVERYTHING) -> Rights:
    return granted([(role, scope)])


def holds(role: pb.Role.ValueType, permission: int, target: Target) -> str:
    """How far a role carries a permission; "" for not at all."""
    if not allows(of(role), permission, target):
        return _beside(role, permission, target)
    if allows(of(role, Subset.of([OTHERS])), permission, target):
        return "yes"
    return OF_ITS_OWN if allows(of(role, Subset.of([MINE])), permission, target) else WHOLE


def _beside(role: pb.Role.ValueType, permission: int, target: Target) -> str:
    partners = _partners(role, permission, target)
    return f"{OF_ITS_OWN}, with {' or '.join(partners)}" if partners else ""


def _partners(role: pb.Role.ValueType, permission: int, target: Target) -> list[str]:
    """The roles that carry it together with this one, where neither does alone."""
    alone = [one for one in ROLES if not allows(of(one), permission, target)]
    return [ROLES[one] for one in alone if role in alone and allows(of(role) | of(one), permission, target)]


def holders(permission: int, target: Target) -> str:
    """The roles that carry a permission, in one sentence's worth; a star marks those that hold for listed things."""
    found = {role: holds(role, permission, target) for role in ROLES if allows(of(role), permission, target)}
    told = {"yes": "{}", WHOLE: "{} of all functions", OF_ITS_OWN: "{} *"}
    single = [told[how].format(ROLES[role]) for role, how in found.items()]
    return ", ".join([*single, *_pairs(permission, target)])


def _pairs(permission: int, target: Target) -> list[str]:
    """The roles that carry it together with another one, told once."""
    pairs = {role: beside for role in ROLES if (beside := _partners(role, permission, target))}
    if not pairs:
        return []
    # Of Source Admin with one of two others, it is the one that all pairs have.
    role = max(pairs, key=lambda one: len(pairs[one]))
    return [f"{ROLES[role]} * with {' or '.join(f'{one} *' for one in pairs[role])}"]


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def permission_rows() -> Iterator[list[str]]:
    for permission, targets in TARGETS.items():
        name = access.Permission.Name(permission).removeprefix("PERMISSION_")  # type: ignore[arg-type]  # a number
        for place, target in targets.items():
            told = [holds(role, permission, target) for role in ROLES]
            yield [f"`{name}` {place}".strip(), *told]


def rpc_row(method: MethodDescriptor) -> list[str]:
    declared = declared_access(method)
    needs = [_need(declared.permission, declared.resource_field)]
    needs += [_need(permission, ".".join(path)) for permission, path in declared.also]
    return [f"`{method.name}`", " and ".join(needs), _who(declared)]


def _need(permission: int, field: str) -> str:
    name = access.Permission.Name(permission).removeprefix("PERMISSION_")  # type: ignore[arg-type]  # a number
    return f"`{name}` on `{field}`" if field else f"`{name}`"


def _who(declared: Access) -> str:
    if declared.permission in OUTSIDE:
        return OUTSIDE[declared.permission]
    targets = TARGETS[declared.permission]
    told = [f"{place}: {holders(declared.permission, one)}".removeprefix(": ") for place, one in targets.items()]
    told += [f"and on `{'.'.join(path)}`: {holders(one, _only(TARGETS[one]))}" for one, path in declared.also]
    return "; ".join([*told, *(["answers their part"] if declared.partial else [])])


def _only(targets: dict[str, Target]) -> Target:
    (target,) = targets.values()
    return target


def tables() -> str:
    """What stands below the mark."""
    text = f"\n## Permissions\n\n{table(['permission', *ROLES.values()], list(permission_rows()))}\n"
    said = comments()
    text += table(["permission", "what it is"], [[f"`{name}`", said[name]] for name in said if name != "UNSPECIFIED"])
    text += "\n## RPCs\n\nA star: on the functions or sources that the role is for.\n"
    for service, rpcs in groupby(methods(), key=lambda one: short_name(one).rpartition(".")[0]):
        text += f"\n### {service}\n\n{table(['RPC', 'permission', 'who'], [rpc_row(one) for one in rpcs])}"
    return text


def page() -> str:
    """The page as it should be."""
    return PAGE.read_text().partition(MARK)[0] + MARK + tables()


def main() -> int:
    fresh = page()
    if "--check" in sys.argv:
        stale = PAGE.read_text() != fresh
        if stale:
            print("docs/permissions.md is out of date: run `python tools/permissions.py`", file=sys.stderr)
        return int(stale)
    PAGE.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
