"""The caller of the current RPC."""

from contextvars import ContextVar
from dataclasses import dataclass

from kit.auth.demand import NOTHING, Demand, Subset
from kit.errors import Internal


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as the authorization layer found out.

    `principal` is opaque and safe to store in facts: "member:ada", "service:executor", "operator" or "anonymous";
    so is `credential`, what it proved itself with: "token:5f0c", "oidc", or "" for those who have but one.
    `workspace` is that of the resource asked for, "" where the call belongs to none. `permissions` are the numbers
    of `onward.common.v1.Permission` that are known to be held on the resource: at least those that were checked.
    `functions` are those that it may view, `sources` those that it administers; what a partial method answers
    must keep within them. `demand` is what was checked. All of it was true at least at position `known_at` of the
    workspace's log, and only facts end it; 0 where time may, or where that is not known.
    """

    principal: str
    workspace: str = ""
    permissions: frozenset[int] = frozenset()
    credential: str = ""
    functions: Subset = NOTHING
    sources: Subset = NOTHING
    demand: Demand | None = None
    known_at: int = 0


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
