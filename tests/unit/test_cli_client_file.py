"""client.json: what is kept between commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.client_file import ClientFile
from cli.failures import UsageError
from cli.options import Options
from cli.session import Session

KEY = "onwk_7c1x9k2m4q0z_" + "s" * 32


async def test_a_write_key_is_kept_for_its_source_until_it_is_revoked(tmp_path: Path) -> None:
    file = ClientFile(tmp_path / "client.json")
    file.update(nats_url="nats://127.0.0.1:1", workspaces={"acme": "token"})
    async with Session(Options(data=tmp_path)) as session:
        session.remember_write_key("web", KEY)
        assert (session.write_key("web"), session.write_key("shop")) == (KEY, "")
        session.forget_write_key("web", "another0key")
        assert file.read()["write_keys"] == {"acme/web": KEY}
        session.forget_write_key("web", "7c1x9k2m4q0z")
    assert file.read()["write_keys"] == {}
    assert file.path.stat().st_mode & 0o777 == 0o600


async def test_a_write_key_of_a_registry_elsewhere_is_not_kept(tmp_path: Path) -> None:
    file = ClientFile(tmp_path / "client.json")
    file.update(workspaces={"acme": "token"})
    async with Session(Options(data=tmp_path, registry="registry.example.com:7801")) as session:
        session.remember_write_key("web", KEY)
    assert "write_keys" not in file.read()


async def test_publishing_without_a_write_key_tells_where_to_get_one(tmp_path: Path) -> None:
    ClientFile(tmp_path / "client.json").update(nats_url="nats://127.0.0.1:1", workspaces={"acme": "token"})
    async with Session(Options(data=tmp_path)) as session:
        with pytest.raises(UsageError, match="or ONWARD_WRITE_KEY, or make one with `onward sources keys create web`"):
            await session.publisher("web", "", lambda results: None)
