"""An OIDC issuer on the loopback, with real keys, and what it may do wrong."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from kit.auth.issuer import FETCH_TIMEOUT_S, Issuer, fetch_keys
from kit.auth.issuer_keys import REFRESH_WAIT_S, IssuerKeys
from kit.auth.oidc import OidcVerifier
from kit.clock import FakeClock

AUDIENCE = "onward"


@cache
def private_key(kind: str, number: int = 0) -> Any:
    """A key for an algorithm; made once, since RSA keys take long. `number` tells keys of a kind apart."""
    if kind[:2] in ("RS", "PS"):
        return rsa.generate_private_key(65537, 2048)
    curves: dict[str, ec.EllipticCurve] = {
        "ES256": ec.SECP256R1(),
        "ES384": ec.SECP384R1(),
        "ES512": ec.SECP521R1(),
    }
    return ec.generate_private_key(curves[kind]) if kind in curves else ed25519.Ed25519PrivateKey.generate()


def public_jwk(kid: str, kind: str, number: int = 0, **changes: Any) -> dict[str, Any]:
    """What an issuer publishes of a key."""
    family: Any = {"R": RSAAlgorithm, "P": RSAAlgorithm, "ES": ECAlgorithm, "Ed": OKPAlgorithm}
    algorithm = family.get(kind[:2]) or family[kind[0]]
    jwk = algorithm.to_jwk(private_key(kind, number).public_key(), as_dict=True)
    jwk.pop("key_ops", None)
    return {**jwk, "kid": kid, "use": "sig", **changes}


@dataclass
class World:
    """The issuer; tests change what it answers and look at what it was asked."""

    clock: FakeClock
    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=lambda: [public_jwk("one", "RS256")])
    asked: list[str] = field(default_factory=list)
    # None: as it has to be.
    answer: Callable[[web.Request], web.StreamResponse | None] = lambda _request: None
    metadata: dict[str, Any] = field(default_factory=dict)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    runner: web.AppRunner | None = None
    port: int = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._handle)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self.runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}/realm"

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        await self.open.wait()
        answer = self.answer(request)
        if answer is not None:
            return answer
        if request.path == "/realm/.well-known/openid-configuration":
            found = {"issuer": self.url, "jwks_uri": f"http://127.0.0.1:{self.port}/keys", **self.metadata}
            return web.json_response(found)
        return web.json_response({"keys": self.keys}) if request.path == "/keys" else web.Response(status=404)

    def asked_for_keys(self) -> int:
        return self.asked.count("/keys")

    @asynccontextmanager
    async def verifier(
        self,
        jwks_url: str | None = None,
        fetch_timeout_s: float = FETCH_TIMEOUT_S,
        refresh_wait_s: float = REFRESH_WAIT_S,
    ) -> AsyncIterator[OidcVerifier]:
        issuer = Issuer(self.url, AUDIENCE, jwks_url)
        keys = IssuerKeys(issuer.url, lambda: fetch_keys(issuer, fetch_timeout_s), self.clock, refresh_wait_s)
        verifier = OidcVerifier(issuer, self.clock, keys)
        try:
            yield verifier
        finally:
            await verifier.close()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good claims, with changes; None takes one away."""
        now = int(self.clock.now().timestamp())
        good = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "nbf": now, "exp": now + 600}
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def token(self, kind: str = "RS256", kid: str | None = "one", number: int = 0, **changes: Any) -> str:
        """A token by the issuer's key."""
        return self.signed(self.claims(**changes), {} if kid is None else {"kid": kid}, kind, number)

    def signed(self, claims: Any, headers: dict[str, Any], kind: str = "RS256", number: int = 0) -> str:
        payload = json.dumps(claims).encode()
        return jwt.PyJWS().encode(payload, private_key(kind, number), algorithm=kind, headers=headers)
