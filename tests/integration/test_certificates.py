"""The certificates that an installation makes for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from kit.clock import FakeClock
from kit.embedded import certificates
from kit.embedded.certificates import (
    AUTHORITY_VALID,
    RENEWED_BEFORE,
    VALID,
    authority_file,
    make_certificates,
    service_files,
)
from kit.embedded.errors import EmbeddedError

pytestmark = pytest.mark.integration

HOSTS: Mapping[str, Sequence[str]] = {"registry": ("registry", "127.0.0.1"), "executor": ("executor", "127.0.0.1")}
BOTH = ["registry", "executor"]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_everything_is_made_for_its_owner_only(tmp_path: Path, clock: FakeClock) -> None:
    folder = tmp_path / "certs"
    assert make_certificates(folder, HOSTS, clock) == BOTH
    own = {"certificate.pem", "key.pem", "ca.pem"}
    assert set(contents(folder)) == {
        "authority/ca.pem",
        "authority/ca.key",
        *(f"{service}/{name}" for service in BOTH for name in own),
    }
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_certificate_names_its_service_and_where_it_is_called(tmp_path: Path, clock: FakeClock) -> None:
    make_certificates(tmp_path, HOSTS, clock)
    made = certificate(service_files(tmp_path, "registry").certificate)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["onward-registry", "registry"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    made.verify_directly_issued_by(certificate(authority_file(tmp_path)))
    assert made.not_valid_after_utc == clock.now() + VALID


def test_made_again_nothing_changes_until_thirty_days_are_left(tmp_path: Path, clock: FakeClock) -> None:
    make_certificates(tmp_path, HOSTS, clock)
    before = contents(tmp_path)
    clock.advance((VALID - RENEWED_BEFORE).total_seconds())
    assert make_certificates(tmp_path, HOSTS, clock) == []
    assert contents(tmp_path) == before
    clock.advance(1)
    ca = authority_file(tmp_path).read_bytes()
    assert make_certificates(tmp_path, HOSTS, clock) == BOTH
    assert authority_file(tmp_path).read_bytes() == ca, "clients would have to fetch another one"


def test_no_certificate_outlives_its_authority_and_both_are_renewed(tmp_path: Path, clock: FakeClock) -> None:
    make_certificates(tmp_path, HOSTS, clock)
    clock.advance((AUTHORITY_VALID - RENEWED_BEFORE).total_seconds())
    make_certificates(tmp_path, HOSTS, clock)
    authority, made = (
        certificate(authority_file(tmp_path)),
        certificate(service_files(tmp_path, "registry").certificate),
    )
    assert made.not_valid_after_utc == authority.not_valid_after_utc
    clock.advance(timedelta(days=1).total_seconds())
    assert make_certificates(tmp_path, HOSTS, clock) == BOTH
    assert certificate(authority_file(tmp_path)) != authority
    for service in BOTH:
        files = service_files(tmp_path, service)
        assert files.ca.read_bytes() == authority_file(tmp_path).read_bytes()
        certificate(files.certificate).verify_directly_issued_by(certificate(files.ca))


def test_another_host_renews_the_certificate_of_that_service_alone(tmp_path: Path, clock: FakeClock) -> None:
    make_certificates(tmp_path, HOSTS, clock)
    assert make_certificates(tmp_path, {**HOSTS, "executor": ("executor", "10.0.0.1")}, clock) == ["executor"]


@pytest.mark.parametrize("damage", [b"", b"nonsense"])
@pytest.mark.parametrize("name", ["certificate.pem", "key.pem"])
def test_a_damaged_file_is_replaced(name: str, damage: bytes, tmp_path: Path, clock: FakeClock) -> None:
    make_certificates(tmp_path, HOSTS, clock)
    (tmp_path / "registry" / name).write_bytes(damage)
    assert make_certificates(tmp_path, HOSTS, clock) == ["registry"]


def test_a_key_beside_the_certificate_of_another_is_replaced(tmp_path: Path, clock: FakeClock) -> None:
    make_certificates(tmp_path, HOSTS, clock)
    service_files(tmp_path, "registry").key.write_bytes(service_files(tmp_path, "executor").key.read_bytes())
    assert make_certificates(tmp_path, HOSTS, clock) == ["registry"]


def test_a_lost_authority_is_replaced_with_all_that_it_signed(tmp_path: Path, clock: FakeClock) -> None:
    make_certificates(tmp_path, HOSTS, clock)
    (tmp_path / "authority" / "ca.key").unlink()
    assert make_certificates(tmp_path, HOSTS, clock) == BOTH


class PowerFailureError(Exception):
    """Ends the work between two files."""


def test_a_crash_between_any_two_files_is_mended_by_the_next_start(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = certificates._write
    for crash_after in range(8):
        folder, written = tmp_path / str(crash_after), 0

        def write(path: Path, content: bytes, after: int = crash_after) -> None:
            nonlocal written
            if written == after:
                raise PowerFailureError
            written += 1
            whole(path, content)

        monkeypatch.setattr(certificates, "_write", write)
        with pytest.raises(PowerFailureError):
            make_certificates(folder, HOSTS, clock)
        monkeypatch.setattr(certificates, "_write", whole)
        make_certificates(folder, HOSTS, clock)
        for service in BOTH:
            files = service_files(folder, service)
            certificate(files.certificate).verify_directly_issued_by(certificate(files.ca))
        assert make_certificates(folder, HOSTS, clock) == []


def test_a_folder_that_can_not_be_written_is_told(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "certs").write_text("")
    with pytest.raises(EmbeddedError, match="certs"):
        make_certificates(tmp_path / "certs", HOSTS, clock)
