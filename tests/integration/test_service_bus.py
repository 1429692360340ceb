"""A service does not start on a bus that keeps less than its settings promise (B1)."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from kit.bus.service_bus import connect_service
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.errors import WrongState
from kit.settings import ServiceSettings, SettingsError

pytestmark = pytest.mark.integration


def settings(**values: object) -> ServiceSettings:
    return ServiceSettings(service_token=SecretStr("a token of the tests"), **values)  # type: ignore[arg-type]  # mixed


async def test_strict_without_a_way_to_check_it_is_refused(nats_url: str) -> None:
    with pytest.raises(SettingsError, match="ONWARD_NATS_MONITORING_URL"):
        await connect_service("registry", settings(nats_url=nats_url))


async def test_a_strict_service_refuses_a_relaxed_server(data_folder: DataFolder) -> None:
    server = EmbeddedNats(data_folder, [NatsUser("test", "secret")], sync_always=False)
    await server.start()
    try:
        given = {"nats_url": server.url("test"), "nats_monitoring_url": server.monitor_url}
        with pytest.raises(WrongState, match="sync_interval"):
            await connect_service("registry", settings(**given))
        bus = await connect_service("registry", settings(**given, durability="relaxed"))
        await bus.close()
    finally:
        await server.stop()


async def test_a_strict_service_accepts_a_strict_server(nats_server: EmbeddedNats, nats_url: str) -> None:
    bus = await connect_service("registry", settings(nats_url=nats_url, nats_monitoring_url=nats_server.monitor_url))
    assert bus.connected
    await bus.close()
