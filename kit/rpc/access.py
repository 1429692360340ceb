"""What each RPC declares about its access, read once at the start."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from kit.auth.demand import Demand
from kit.errors import Internal
from onward.common.v1 import access_pb2

# These belong to no workspace, so their methods name no resource.
_WITHOUT_RESOURCE = frozenset(
    {access_pb2.PERMISSION_NONE, access_pb2.PERMISSION_OPERATE, access_pb2.PERMISSION_SERVICE}
)


class AccessUndeclared(Internal):
    """A method without a valid access option: the server must not start."""


@dataclass(frozen=True, slots=True)
class Access:
    """An RPC's permission and where its request names the resource (as a path of field names).

    `also` holds further permissions with their paths; `partial` is as in `Demand`.
    """

    permission: int
    resource_path: tuple[str, ...]
    read_only: bool
    also: tuple[tuple[int, tuple[str, ...]], ...] = ()
    partial: bool = False

    def resource_of(self, request: Message) -> str:
        """The resource's name as the request has it; "" for methods that name none."""
        return _named(request, self.resource_path)

    def demand(self, request: Message) -> Demand:
        """What the caller of this request needs."""
        also = tuple((permission, _named(request, path)) for permission, path in self.also)
        return Demand(self.permission, self.resource_of(request), also, self.partial)

    @property
    def resource_field(self) -> str:
        """The path as callers know it."""
        return ".".join(self.resource_path)


def declared_access(method: MethodDescriptor) -> Access:
    """Read a method's option; raise `AccessUndeclared` if it is missing or points nowhere."""
    options = method.GetOptions()
    if not options.HasExtension(access_pb2.access):
        raise AccessUndeclared(f"{method.full_name} declares no access; add option (onward.common.v1.access)")
    option = options.Extensions[access_pb2.access]
    path = _checked(method, option.permission, option.resource_field)
    also = tuple((one.permission, _checked(method, one.permission, one.resource_field)) for one in option.also)
    return Access(option.permission, path, option.read_only, also, option.partial)


def _checked(method: MethodDescriptor, permission: int, resource_field: str) -> tuple[str, ...]:
    path = tuple(resource_field.split(".")) if resource_field else ()
    _check_permission(method, permission, path)
    if path:
        _check_path(method, path)
    return path


def _named(request: Message, path: tuple[str, ...]) -> str:
    value: object = request
    for name in path:
        value = getattr(value, name)
    return cast(str, value) if path else ""


def undeclared(methods: Iterable[MethodDescriptor]) -> list[str]:
    """What is wrong with the declarations of these methods, for a test that walks all of them."""
    problems = []
    for method in methods:
        try:
            declared_access(method)
        except AccessUndeclared as error:
            problems.append(error.message)
    return problems


def _check_permission(method: MethodDescriptor, permission: int, path: tuple[str, ...]) -> None:
    if permission == access_pb2.PERMISSION_UNSPECIFIED:
        raise AccessUndeclared(f"{method.full_name} declares no permission")
    if not path and permission not in _WITHOUT_RESOURCE:
        raise AccessUndeclared(f"{method.full_name} needs a resource_field for its permission")


def _check_path(method: MethodDescriptor, path: tuple[str, ...]) -> None:
    where: Descriptor | None = method.input_type
    for place, name in enumerate(path):
        field = where.fields_by_name.get(name) if where is not None else None
        if field is None or field.is_repeated:
            raise AccessUndeclared(f"{method.full_name}: resource_field {'.'.join(path)} is not a field of its request")
        where = field.message_type
        if place == len(path) - 1 and field.type != FieldDescriptor.TYPE_STRING:
            raise AccessUndeclared(f"{method.full_name}: resource_field {'.'.join(path)} is not a string")
