"""Which keys, claims and addresses of an OIDC issuer are usable: decided without asking anybody."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode

from kit.auth.issuer import Issuer, IssuerUnavailable, keys_url, require_secure
from kit.auth.issuer_keys import IssuerKeys
from kit.auth.jwks import ALLOWED_ALGORITHMS, KEYS_MAX, BadKeySet, KeySet, parse_key_set
from kit.auth.oidc import NAME_LENGTH_MAX, OidcVerifier, identify
from kit.auth.tokens import BEARER_LENGTH_MAX, format_token, looks_like_jwt
from kit.clock import FakeClock
from kit.errors import InvalidToken, Unavailable

ISSUER = Issuer("https://id.example", "onward")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLAIMS: dict[str, Any] = {"iss": "https://id.example", "aud": "onward", "sub": "ada", "exp": NOW.timestamp() + 60}
P256: dict[str, Any] = {
    **ECAlgorithm.to_jwk(ec.derive_private_key(7, ec.SECP256R1()).public_key(), as_dict=True),
    "kid": "one",
}


def keys_of(*keys: object) -> KeySet:
    return parse_key_set(json.dumps({"keys": keys}).encode())


@pytest.mark.parametrize(
    ("token", "looks"),
    [
        ("e30.e30.c2ln", True),
        ("e30.e30.", True),
        ("e30.e30", False),
        ("e30..c2ln", False),
        ("e30.e30.c2ln.x", False),
        ("e30.e30.c2ln\n", False),
        ("e30.e30.c2l=", False),
        ("onw_e30.e30.c2ln", False),
        (format_token("abcd1234", "s" * 32), False),
        ("", False),
        ("a." + "b" * (BEARER_LENGTH_MAX - 4) + ".c", True),
        ("a." + "b" * (BEARER_LENGTH_MAX - 3) + ".c", False),
    ],
)
def test_a_jwt_is_told_from_our_own_tokens(token: str, looks: bool) -> None:
    assert looks_like_jwt(token) is looks


def test_no_algorithm_with_a_shared_secret_is_allowed() -> None:
    assert not {name for name in ALLOWED_ALGORITHMS if name.startswith("HS") or name.lower() == "none"}


def test_an_email_counts_only_where_it_is_verified() -> None:
    for verified, email in ((True, "ada@example.com"), (False, None), ("true", None), (1, None), (None, None)):
        claims = {**CLAIMS, "email": "ada@example.com", "email_verified": verified}
        assert identify(claims, ISSUER, NOW).email == email
    assert identify({**CLAIMS, "email": "ada@example.com"}, ISSUER, NOW).email is None


@pytest.mark.parametrize("email", ["", "ada", "a@b@c", "a b@c", "a\n@b", "a" * 250 + "@b.cd", 7, ["a@b"]])
def test_an_address_that_is_none_is_left_out(email: object) -> None:
    assert identify({**CLAIMS, "email": email, "email_verified": True}, ISSUER, NOW).email is None


@pytest.mark.parametrize(
    ("name", "kept"), [("Ada", "Ada"), ("", None), (7, None), ("A\x1b[2J", None), ("n" * 300, "n" * NAME_LENGTH_MAX)]
)
def test_a_name_is_short_and_printable_or_left_out(name: object, kept: str | None) -> None:
    assert identify({**CLAIMS, "name": name}, ISSUER, NOW).name == kept


@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "email", "email_verified", "name"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_any_claims_are_an_identity_or_an_invalid_token(changes: dict[str, Any]) -> None:
    try:
        identity = identify({**CLAIMS, **changes}, ISSUER, NOW)
    except InvalidToken:
        return
    assert (identity.issuer, bool(identity.subject)) == (ISSUER.url, True)
    assert identity.expires_at > NOW


@given(st.text(alphabet="e30.W1 -_=", max_size=40) | st.text(max_size=20))
async def test_any_text_is_refused_as_a_token_and_nobody_is_asked(token: str) -> None:
    async def fetch() -> KeySet:
        raise AssertionError("the issuer was asked")

    clock = FakeClock()
    verifier = OidcVerifier(ISSUER, clock, IssuerKeys(ISSUER.url, fetch, clock))
    with pytest.raises(InvalidToken):
        await verifier.verify(token)


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": null}', b"\xff", b"[" * 10_000])
def test_what_is_no_key_set_is_told(document: bytes) -> None:
    with pytest.raises(BadKeySet):
        parse_key_set(document)


def test_a_key_set_is_bounded() -> None:
    assert len(keys_of(*[P256] * KEYS_MAX).keys) == KEYS_MAX
    with pytest.raises(BadKeySet, match="101 keys"):
        keys_of(*[P256] * (KEYS_MAX + 1))


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "key",
        {},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "one"},
        {"kty": ["EC"], "crv": {}},
        {**P256, "use": "enc"},
        {**P256, "key_ops": ["encrypt"]},
        {**P256, "key_ops": "verify"},
        {**P256, "d": base64url_encode((7).to_bytes(32, "big")).decode()},
        {**P256, "alg": "HS256"},
        {**P256, "alg": "ES384"},
        {**P256, "crv": "P-384"},
        {**P256, "x": "AA"},
        {**P256, "y": P256["x"]},
        {**P256, "x": 7},
        {**P256, "kid": 7},
        {**P256, "kid": "k" * 513},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "n": "!!", "e": "AQAB"},
        {"kty": "RSA"},
        OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True),
        ECAlgorithm.to_jwk(ec.derive_private_key(7, ec.SECP256K1()).public_key(), as_dict=True),
        RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True),
        {"kty": "RSA", "n": base64url_encode((2**8200 + 1).to_bytes(1026, "big")).decode(), "e": "AQAB"},
    ],
)
def test_a_key_that_can_not_be_used_does_not_spoil_the_others(odd: object) -> None:
    found = keys_of(odd, P256)
    assert ([key.id for key in found.keys], found.passed_over) == (["one"], 1)


def test_a_key_is_found_by_its_id_and_algorithm_together() -> None:
    found = keys_of(P256, {**P256, "kid": "two", "alg": "ES256"})
    assert [found.find(kid, "ES256") is not None for kid in ("one", "two", "three", "", None)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert found.find("one", "RS256") is None


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example",
        "https://id.example:8443/realms/a/",
        "http://127.0.0.1:80",
        "http://localhost/x",
        "http://[::1]:1/",
    ],
)
def test_an_issuer_is_reached_by_https_or_on_the_loopback(url: str) -> None:
    assert require_secure(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "id.example",
        "http://id.example",
        "http://127.0.0.1.example",
        "http://localhost.example",
        "http://10.0.0.1",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "https://",
        "https://user@id.example",
        "https://:pass@id.example",
        "https://id.example#x",
        "https://id.example:99999",
        "https://id.example:x",
        "https://id.example/ x",
        "https://id.exam\nple",
        "https://[::1",
        "https://ïd.example",
        "https://id.example/" + "x" * 2048,
    ],
)
def test_any_other_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Issuer(url, "onward")
    with pytest.raises(ValueError):
        Issuer("https://id.example", "onward", jwks_url=url)


@pytest.mark.parametrize(
    ("url", "audience"), [("https://id.example?x", "a"), ("https://id.example", ""), ("https://id.example", "a" * 513)]
)
def test_an_issuer_without_an_audience_or_with_a_query_is_refused(url: str, audience: str) -> None:
    with pytest.raises(ValueError):
        Issuer(url, audience)


@pytest.mark.parametrize("url", ["http://127.0.0.1/keys", "http://localhost:8500/v1/kv", "http://keys.example", "", 7])
def test_an_issuer_elsewhere_can_not_send_us_to_this_machine(url: object) -> None:
    with pytest.raises(IssuerUnavailable):
        keys_url(json.dumps({"issuer": ISSUER.url, "jwks_uri": url}).encode(), ISSUER)
    good = json.dumps({"issuer": ISSUER.url, "jwks_uri": "https://keys.example"}).encode()
    assert keys_url(good, ISSUER) == "https://keys.example"


def failing() -> Callable[[], Awaitable[KeySet]]:
    async def fetch() -> KeySet:
        raise RuntimeError("a mistake of ours")

    return fetch


async def test_a_fault_while_keys_are_fetched_is_unavailable_and_not_for_ever() -> None:
    keys = IssuerKeys(ISSUER.url, failing(), FakeClock())
    for _ in range(2):
        with pytest.raises(Unavailable):
            await keys.find("one", "ES256")
    await keys.close()
