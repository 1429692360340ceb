"""Settings are checked before anything starts."""

import os

import pytest

from kit.settings import ServiceSettings, SettingsError, load

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
