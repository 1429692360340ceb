"""What each service is told by its environment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cli.stack import SERVICES, Endpoints, environment

ENDS = Endpoints(
    addresses={name: f"127.0.0.1:{7801 + index}" for index, name in enumerate(SERVICES)},
    postgres_dsns={name: f"postgresql:///{name}" for name in ("registry", "delivery", "audit")},
    nats_url="nats://127.0.0.1:4222",
    nats_monitoring_url="http://127.0.0.1:8222",
    nats_passwords={name: f"password-of-{name}" for name in (*SERVICES, "auth")},
    service_token="service-token",
    operator_token="operator-token",
    key_encryption_key="key",
    nats_callout_seed="seed",
)
TLS_ENDS = replace(
    ENDS,
    internal_addresses={name: f"127.0.0.1:{7811 + index}" for index, name in enumerate(SERVICES)},
    certificates=Path("/data/certificates"),
)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_gets_onward_variables_only_and_knows_the_others(service: str) -> None:
    variables = environment(service, ENDS)
    assert all(name.startswith("ONWARD_") for name in variables)
    assert variables["ONWARD_LISTEN"] == ENDS.addresses[service]
    assert variables["ONWARD_NATS_PASSWORD"] == f"password-of-{service}"
    assert {variables[f"ONWARD_{name.upper()}_ADDRESS"] for name in SERVICES} == set(ENDS.addresses.values())


def test_secrets_go_only_to_those_who_need_them() -> None:
    holders = {
        name: {service for service in SERVICES if name in environment(service, ENDS)}
        for name in (
            "ONWARD_OPERATOR_TOKEN",
            "ONWARD_KEY_ENCRYPTION_KEY",
            "ONWARD_PREVIOUS_KEY_ENCRYPTION_KEYS",
            "ONWARD_POSTGRES_DSN",
        )
    }
    assert holders == {
        "ONWARD_OPERATOR_TOKEN": {"registry"},
        "ONWARD_KEY_ENCRYPTION_KEY": {"registry", "executor"},
        "ONWARD_PREVIOUS_KEY_ENCRYPTION_KEYS": {"registry", "executor"},
        "ONWARD_POSTGRES_DSN": {"registry", "delivery", "audit"},
    }


@pytest.mark.parametrize("service", SERVICES)
def test_with_certificates_services_call_one_another_where_they_prove_themselves(service: str) -> None:
    variables = environment(service, TLS_ENDS)
    assert variables["ONWARD_LISTEN"] == TLS_ENDS.addresses[service]
    assert variables["ONWARD_INTERNAL_LISTEN"] == TLS_ENDS.internal_addresses[service]
    called = {variables[f"ONWARD_{name.upper()}_ADDRESS"] for name in SERVICES}
    assert called == set(TLS_ENDS.internal_addresses.values())
    own = {variables[f"ONWARD_TLS_{name}"] for name in ("CERTIFICATE", "KEY", "CA")}
    assert {Path(path).parent for path in own} == {Path("/data/certificates") / service}
    assert len(own) == 3


def test_functions_reach_no_port_of_a_service() -> None:
    """F7"""
    variables = environment("executor", TLS_ENDS)
    closed = {variables[f"ONWARD_{name.upper()}_ADDRESS"] for name in SERVICES}
    closed |= set(variables["ONWARD_EGRESS_DENIED"].split(","))
    assert closed == {*TLS_ENDS.addresses.values(), *TLS_ENDS.internal_addresses.values()}
