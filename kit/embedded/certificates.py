"""An authority of its own for one installation, and a certificate for each service, made and renewed at a start.

    authority/  ca.pem, ca.key
    registry/   certificate.pem, key.pem, ca.pem     (the same for every service)

A service needs its own folder and nothing else; the authority's key stays with whoever makes certificates.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kit.clock import Clock, SystemClock
from kit.embedded.data_folder import explained
from kit.rpc.identity import certificate_name

# The longest that clients of all kinds have accepted of a server's certificate.
VALID = timedelta(days=825)
# Renewing it makes every client fetch another file, so it outlives several generations.
AUTHORITY_VALID = timedelta(days=3650)
# What is left of less than this at a start is renewed.
RENEWED_BEFORE = timedelta(days=30)
# Machines whose clocks are behind accept a new certificate too.
CLOCK_SKEW = timedelta(minutes=10)

_USAGES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


@dataclass(frozen=True, slots=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class ServiceFiles:
    """The three files that a service's settings name."""

    certificate: Path
    key: Path
    ca: Path


def authority_file(folder: Path) -> Path:
    """What clients trust."""
    return folder / "authority" / "ca.pem"


def service_files(folder: Path, service: str) -> ServiceFiles:
    """Where a service's files are."""
    own = folder / service
    return ServiceFiles(own / "certificate.pem", own / "key.pem", own / "ca.pem")


def make_certificates(folder: Path, hosts: Mapping[str, Sequence[str]], clock: Clock | None = None) -> list[str]:
    """Make what is missing, damaged, about to expire or for other names; the answer names the services renewed.

    `hosts` are the names and addresses by which each service is called. Safe to repeat after a crash at any point: a
    file appears as a whole or not at all, and a key that lies beside another one's certificate is replaced. Raises
    EmbeddedError for a folder that can't be written.
    """
    now = (clock or SystemClock()).now()
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        authority = _authority(folder, now)
        return [service for service, names in hosts.items() if _renewed(folder, service, names, authority, now)]


def _authority(folder: Path, now: datetime) -> _Pair:
    certificate, key = authority_file(folder), folder / "authority" / "ca.key"
    known = _read(certificate, key)
    if known is not None and _lasts(known.certificate, now):
        return known
    made = _new_authority(now)
    _write_pair(made, certificate, key)
    return made


def _renewed(folder: Path, service: str, hosts: Sequence[str], authority: _Pair, now: datetime) -> bool:
    files, names = service_files(folder, service), _names(service, hosts)
    ca = _pem(authority.certificate)
    if _content(files.ca) != ca:
        _write(files.ca, ca)
    known = _read(files.certificate, files.key)
    if known is not None and _is_good(known.certificate, names, authority, now):
        return False
    _write_pair(_new_certificate(service, names, authority, now), files.certificate, files.key)
    return True


def _is_good(
    certificate: x509.Certificate, names: x509.SubjectAlternativeName, authority: _Pair, now: datetime
) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature):
        return False
    return held == names and _lasts(certificate, now)


def _lasts(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_after_utc - now >= RENEWED_BEFORE


def _names(service: str, hosts: Iterable[str]) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = [x509.DNSName(certificate_name(service))]
    for host in dict.fromkeys(hosts):
        try:
            names.append(x509.IPAddress(ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return x509.SubjectAlternativeName(names)


def _new_authority(now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # Named by its key: an older authority of the same name must not be taken for it.
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _name(f"Onward services {identifier.digest.hex()[:16]}")
    certificate = (
        _builder(name, name, key.public_key(), now, now + AUTHORITY_VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return _Pair(certificate, key)


def _new_certificate(service: str, names: x509.SubjectAlternativeName, authority: _Pair, now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(now + VALID, authority.certificate.not_valid_after_utc)
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        _builder(_name(certificate_name(service)), authority.certificate.subject, key.public_key(), now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(_USAGES, critical=False)
        .add_extension(names, critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _Pair(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(until)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _read(certificate_file: Path, key_file: Path) -> _Pair | None:
    """The pair, None where it is missing, damaged or does not fit together."""
    try:
        certificate = x509.load_pem_x509_certificate(_content(certificate_file))
        key = serialization.load_pem_private_key(_content(key_file), password=None)
    except (ValueError, TypeError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return _Pair(certificate, key)


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _write_pair(pair: _Pair, certificate_file: Path, key_file: Path) -> None:
    key = pair.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key_file, key)
    _write(certificate_file, _pem(pair.certificate))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes) -> None:
    """Replace the file as a whole; readable by its owner only."""
    # A folder that exists may be a mounted volume, whose mode is not ours to change.
    path.parent.mkdir(mode=0o700, exist_ok=True)
    scratch = path.with_name(path.name + ".new")
    with suppress(FileNotFoundError):
        scratch.unlink()
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.rename(path)
