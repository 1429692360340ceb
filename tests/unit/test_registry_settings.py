"""The registry's own settings."""

from __future__ import annotations

import base64
import os

import pytest

from kit.settings import SettingsError, load
from services.registry.settings import Settings

ISSUER = "https://id.example.com/realm"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [n for n in os.environ if n.upper().startswith("ONWARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ONWARD_SERVICE_TOKEN", "0123456789abcdef-service")
    monkeypatch.setenv("ONWARD_OPERATOR_TOKEN", "0123456789abcdef-operator")
    monkeypatch.setenv("ONWARD_KEY_ENCRYPTION_KEY", base64.b64encode(b"k" * 32).decode())
    return monkeypatch


def given(environment: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        environment.setenv(f"ONWARD_OIDC_{name.upper()}", value)


def test_there_is_no_identity_provider_unless_one_is_named(environment: pytest.MonkeyPatch) -> None:
    assert load(Settings).oidc is None
    given(environment, issuer="", audience="", jwks_url="")
    assert load(Settings).oidc is None


def test_an_issuer_and_an_audience_make_one(environment: pytest.MonkeyPatch) -> None:
    given(environment, issuer=ISSUER, audience="onward")
    found = load(Settings).oidc
    assert found is not None
    assert (found.url, found.audience, found.jwks_url) == (ISSUER, "onward", None)
    given(environment, jwks_url="https://id.example.com/keys")
    found = load(Settings).oidc
    assert found is not None
    assert found.jwks_url == "https://id.example.com/keys"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"issuer": ISSUER}, "ONWARD_OIDC_AUDIENCE: is not set"),
        ({"audience": "onward"}, "ONWARD_OIDC_ISSUER is not set"),
        ({"jwks_url": "https://id.example.com/keys"}, "ONWARD_OIDC_ISSUER is not set"),
        ({"issuer": "http://id.example.com", "audience": "onward"}, "ONWARD_OIDC_ISSUER: must begin with https://"),
        ({"issuer": f"{ISSUER}?a=b", "audience": "onward"}, "must have no query"),
        ({"issuer": ISSUER, "audience": "onward", "jwks_url": "http://x/"}, "ONWARD_OIDC_JWKS_URL: must begin with"),
        ({"issuer": ISSUER, "audience": "x" * 513}, "ONWARD_OIDC_AUDIENCE: the audience must have 1 to 512"),
    ],
)
def test_half_an_identity_provider_stops_the_start(
    environment: pytest.MonkeyPatch, values: dict[str, str], told: str
) -> None:
    given(environment, **values)
    with pytest.raises(SettingsError, match=told):
        load(Settings)
