"""The one place where an RPC's declared access meets the caller's token."""

import hmac
import re
from collections.abc import Callable

from kit.auth.authorizer import Authorizer
from kit.auth.caller import ANONYMOUS, OPERATOR_PRINCIPAL, Caller
from kit.auth.demand import Demand
from kit.auth.names import workspace_in
from kit.auth.tokens import BEARER_LENGTH_MAX, TOKEN_LENGTH_MAX, looks_like_jwt, parse_token
from kit.errors import InvalidToken, OnwardError, PermissionDenied
from onward.common.v1 import access_pb2

# The caller as it was found a moment ago, without asking anybody; None where that is not known.
Remember = Callable[[str, Demand], Caller | None]

_SERVICE_NAME = re.compile(r"[a-z]{1,32}")
# Tells a service that it is its own token that was refused, not the one that it asks about.
SERVICE_TOKEN_REFUSED = {"token": "service"}
SERVICE_CERTIFICATE_REFUSED = {"certificate": "service"}


class Gate:
    """Lets calls in by their method's permission.

    Services prove themselves by one shared token, and by a certificate that says which one they are (without TLS they
    say it themselves); the operator has a token as well. Where no operator token is configured, the authorizer decides
    about PERMISSION_OPERATE.
    """

    def __init__(
        self,
        authorizer: Authorizer,
        service_token: str,
        operator_token: str | None = None,
        remember: Remember | None = None,
    ) -> None:
        assert service_token, "an empty service token would let everybody in"
        self._authorizer = authorizer
        self._service_token = service_token.encode()
        self._operator_token = operator_token.encode() if operator_token else None
        self._remember = remember

    def require_token(self, token: str, permission: int) -> None:
        """Raise `InvalidToken` where a token is needed and none came that may be one: no more need be looked at."""
        if permission == access_pb2.PERMISSION_NONE:
            return
        if not token:
            raise InvalidToken("A token is needed: send it as metadata `authorization: Bearer onw_...`.")
        if len(token) > BEARER_LENGTH_MAX:
            raise InvalidToken(
                f"The token has {len(token)} characters; {BEARER_LENGTH_MAX} are allowed. Ask the identity provider's"
                " administrator for one with fewer claims."
            )

    async def admit(self, token: str, service: str | None, demand: Demand) -> Caller:
        """The caller, if `token` carries what is demanded; see `Authorizer` for what is raised.

        `service` is the service that calls, None where it should have proved so by a certificate and did not; it
        counts only beside the service token.
        """
        if demand.permission == access_pb2.PERMISSION_NONE:
            return ANONYMOUS
        if demand.permission == access_pb2.PERMISSION_SERVICE:
            return self._admit_service(token, service, demand.resource)
        if demand.permission == access_pb2.PERMISSION_OPERATE and self._operator_token is not None:
            return self._admit_operator(token)
        return await self._authorizer.authorize(token, demand)

    def admit_provisionally(self, token: str, demand: Demand) -> Caller | None:
        """As `admit`, by what was true a moment ago, for who makes sure together with the effect; None: not known."""
        return self._remember(token, demand) if self._remember is not None else None

    def _admit_service(self, token: str, service: str | None, resource: str) -> Caller:
        if not _same(token, self._service_token):
            raise _refusal(token, "Only Onward's own services may call this.", SERVICE_TOKEN_REFUSED)
        if service is None:
            raise InvalidToken(
                "Only Onward's own services may call this: call ONWARD_INTERNAL_LISTEN, with a certificate whose DNS"
                " names hold the service's, such as onward-executor.",
                metadata=SERVICE_CERTIFICATE_REFUSED,
            )
        name = service if _SERVICE_NAME.fullmatch(service) else "unnamed"
        permissions = frozenset({int(access_pb2.PERMISSION_SERVICE)})
        return Caller(f"service:{name}", workspace_in(resource), permissions)

    def _admit_operator(self, token: str) -> Caller:
        assert self._operator_token is not None
        if not _same(token, self._operator_token):
            raise _refusal(token, "Only the operator may call this.", {})
        return Caller(OPERATOR_PRINCIPAL, "", frozenset({int(access_pb2.PERMISSION_OPERATE)}))


def _same(token: str, expected: bytes) -> bool:
    return len(token) <= TOKEN_LENGTH_MAX and hmac.compare_digest(token.encode(), expected)


def _refusal(token: str, message: str, metadata: dict[str, str]) -> OnwardError:
    """A user's token is not enough; anything else is no token at all. Whether it is known is not looked up."""
    if looks_like_jwt(token):
        return PermissionDenied(message, metadata=metadata)
    try:
        parse_token(token)
    except InvalidToken:
        return InvalidToken(message, metadata=metadata)
    return PermissionDenied(message, metadata=metadata)
