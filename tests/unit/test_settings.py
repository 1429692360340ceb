"""Settings are checked before anything starts."""

import base64
import os

import pytest

from kit.auth.tokens import TOKEN_LENGTH_MAX
from kit.settings import ServiceSettings, SettingsError, load
from services.registry.settings import Settings as RegistrySettings

TOKEN = "0123456789abcdef-service"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [n for n in os.environ if n.upper().startswith("ONWARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ONWARD_SERVICE_TOKEN", TOKEN)
    return monkeypatch


def test_an_unknown_variable_is_refused_and_the_nearest_known_one_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONWARD_LOG_LEVLE", "debug")
    with pytest.raises(SettingsError, match=r"^ONWARD_LOG_LEVLE is not a setting \(did you mean ONWARD_LOG_LEVEL\?\)$"):
        load(ServiceSettings)


def test_all_that_is_wrong_is_told_in_one_line_without_the_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONWARD_SERVICE_TOKEN", "hunter2")
    environment.setenv("ONWARD_LISTEN", "nowhere")
    with pytest.raises(SettingsError) as caught:
        load(ServiceSettings)
    told = str(caught.value)
    assert "ONWARD_SERVICE_TOKEN: must have at least" in told
    assert "ONWARD_LISTEN: must be host:port" in told
    assert "\n" not in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("x" * (TOKEN_LENGTH_MAX + 1), "must have at most 256 characters"),
        (f"{TOKEN}\n", "must not begin or end with a space or a line break"),
        (f" {TOKEN}", "must not begin or end with a space or a line break"),
    ],
)
def test_a_secret_that_no_caller_could_present_is_refused(
    environment: pytest.MonkeyPatch, token: str, problem: str
) -> None:
    environment.setenv("ONWARD_SERVICE_TOKEN", token)
    with pytest.raises(SettingsError, match=f"^ONWARD_SERVICE_TOKEN: {problem}$"):
        load(ServiceSettings)


def test_a_secret_may_be_as_long_as_what_is_compared(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONWARD_SERVICE_TOKEN", "x" * TOKEN_LENGTH_MAX)
    assert len(load(ServiceSettings).service_token.get_secret_value()) == TOKEN_LENGTH_MAX


def test_the_operator_and_the_services_do_not_share_a_token(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONWARD_KEY_ENCRYPTION_KEY", base64.b64encode(b"k" * 32).decode())
    environment.setenv("ONWARD_OPERATOR_TOKEN", TOKEN)
    with pytest.raises(SettingsError, match=r"^ONWARD_OPERATOR_TOKEN: must not be the same as ONWARD_SERVICE_TOKEN$"):
        load(RegistrySettings)
    environment.setenv("ONWARD_OPERATOR_TOKEN", TOKEN + "2")
    assert load(RegistrySettings).operator_token.get_secret_value() == TOKEN + "2"


def test_a_missing_variable_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("ONWARD_SERVICE_TOKEN")
    with pytest.raises(SettingsError, match=r"^ONWARD_SERVICE_TOKEN is not set$"):
        load(ServiceSettings)


def test_an_empty_variable_counts_as_unset(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONWARD_OTLP_ENDPOINT", "")
    environment.setenv("ONWARD_LISTEN", "")
    settings = load(ServiceSettings)
    assert settings.otlp_endpoint is None
    assert settings.listen == "127.0.0.1:0"


def test_settings_can_not_be_changed(environment: pytest.MonkeyPatch) -> None:
    settings = load(ServiceSettings)
    with pytest.raises(ValueError, match="frozen"):
        settings.listen = "127.0.0.1:1"


def test_settings_do_not_show_their_secrets(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONWARD_NATS_PASSWORD", "hunter2")
    assert "hunter2" not in repr(load(ServiceSettings))
    assert TOKEN not in repr(load(ServiceSettings))


@pytest.mark.parametrize("listen", ["127.0.0.1:70000", "127.0.0.1", ":1", "http://a:1"])
def test_an_address_must_be_host_and_port(environment: pytest.MonkeyPatch, listen: str) -> None:
    environment.setenv("ONWARD_LISTEN", listen)
    with pytest.raises(SettingsError, match="ONWARD_LISTEN"):
        load(ServiceSettings)


TLS = {
    "ONWARD_TLS_CERTIFICATE": "/certs/certificate.pem",
    "ONWARD_TLS_KEY": "/certs/key.pem",
    "ONWARD_TLS_CA": "/certs/ca.pem",
    "ONWARD_INTERNAL_LISTEN": "0.0.0.0:7811",
}


@pytest.mark.parametrize("name", ["ONWARD_LISTEN", "ONWARD_REGISTRY_ADDRESS", "ONWARD_AUDIT_ADDRESS"])
@pytest.mark.parametrize("address", ["0.0.0.0:7801", "[::]:7801", "10.0.0.1:7801", "registry:7801"])
def test_plaintext_stays_on_the_loopback(name: str, address: str, environment: pytest.MonkeyPatch) -> None:
    """H8"""
    environment.setenv(name, address)
    with pytest.raises(SettingsError, match=rf"^{name} is [^\n]*: set ONWARD_TLS_CERTIFICATE, [^\n]*$"):
        load(ServiceSettings)
    for variable, value in TLS.items():
        environment.setenv(variable, value)
    load(ServiceSettings)


@pytest.mark.parametrize("address", ["127.0.0.1:7801", "127.1.2.3:7801", "[::1]:7801", "localhost:7801"])
def test_the_loopback_needs_no_tls(address: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONWARD_LISTEN", address)
    environment.setenv("ONWARD_REGISTRY_ADDRESS", address)
    assert load(ServiceSettings).listen == address


@pytest.mark.parametrize("name", TLS)
def test_half_of_tls_is_refused_and_the_missing_half_is_named(name: str, environment: pytest.MonkeyPatch) -> None:
    for variable, value in TLS.items():
        environment.setenv(variable, value)
    environment.delenv(name)
    with pytest.raises(SettingsError, match=f"^{name} not set: TLS needs all of "):
        load(ServiceSettings)


def test_an_authority_alone_is_enough_for_nats(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONWARD_TLS_CA", TLS["ONWARD_TLS_CA"])
    assert load(ServiceSettings).tls_certificate is None
