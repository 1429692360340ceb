"""The caller of the current RPC."""

from contextvars import ContextVar
from dataclasses import dataclass

from kit.errors import Internal


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as the authorization layer found out.

    `principal` is opaque and safe to store in facts: "token:5f0c", "service:executor", "operator" or "anonymous".
    `workspace` is that of the resource asked for, "" where the call belongs to none. `permissions` are the numbers
    of `onward.common.v1.Permission` that are known to be held on the resource: at least the one that was checked.
    """

    principal: str
    workspace: str = ""
    permissions: frozenset[int] = frozenset()


ANONYMOUS = Caller("anonymous")
OPERATOR_PRINCIPAL = "operator"

_current: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """The caller of the RPC that this task serves."""
    try:
        return _current.get()
    except LookupError:
        raise Internal("No RPC is being served here, so nobody calls.") from None


def set_caller(caller: Caller) -> None:
    """Done once per RPC, by the authorization layer (and by tests)."""
    _current.set(caller)
