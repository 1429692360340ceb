"""`python -m kit.rpc.probe [HOST:PORT]` asks a service whether it serves: the health check of the container image.

Exit code 0 for SERVING, 1 for anything else, with one line that says what. Without an argument it asks the service that
ONWARD_LISTEN describes, on this machine. With ONWARD_TLS_CA it trusts that authority and nobody else; a service of its
own container must have the certificate in ONWARD_TLS_CERTIFICATE, by whatever name it is called.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

EXIT_SERVING = 0
EXIT_NOT_SERVING = 1
EXIT_USAGE = 2

# Below the time that docker-compose.yml gives a health check, so that the reason is ours and not "timed out".
TIMEOUT_S = 3.0

# Listening on these means every address of the machine; none of them can be called.
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 (compared, not bound)


def own_address(listen: str) -> str:
    """Where a service that listens on `listen` is reached from its own machine."""
    host, _, port = listen.rpartition(":")
    return f"{_ANY_HOST.get(host, host)}:{port}"


def status(address: str, timeout_s: float = TIMEOUT_S, ca: Path | None = None, name: str = "") -> str:
    """The name of the service's health status, or of the gRPC error that came instead.

    With `ca` it asks by TLS; `name` is the one to expect in the certificate where it is not the address.
    """
    with _channel(address, ca, name) as channel:
        stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # the package ships no types
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.RpcError as error:
            return str(error.code().name)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def _channel(address: str, ca: Path | None, name: str) -> grpc.Channel:
    options: list[tuple[str, int | str]] = [("grpc.enable_http_proxy", 0)]
    if ca is None:
        return grpc.insecure_channel(address, options)
    if name:
        options.append(("grpc.ssl_target_name_override", name))
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca.read_bytes()), options)


def _certificate_name(path: Path) -> str:
    """A name that the certificate holds; "" without one."""
    # It takes a while to import, and only TLS needs it.
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    return next(iter(names.get_values_for_type(x509.DNSName)), "")


def _asked(address: str, *, own: bool) -> str:
    ca, certificate = os.environ.get("ONWARD_TLS_CA"), os.environ.get("ONWARD_TLS_CERTIFICATE")
    # An authority alone is what a service without TLS trusts NATS by.
    if not ca or (own and not certificate):
        return status(address)
    try:
        name = _certificate_name(Path(certificate)) if own and certificate else ""
        return status(address, ca=Path(ca), name=name)
    except (OSError, ValueError) as error:
        return f"UNKNOWN ({error})"


def main(arguments: Sequence[str]) -> int:
    """Ask once and tell."""
    listen = arguments[0] if arguments else os.environ.get("ONWARD_LISTEN", "")
    if len(arguments) > 1 or ":" not in listen:
        print("usage: python -m kit.rpc.probe HOST:PORT (or set ONWARD_LISTEN)", file=sys.stderr)
        return EXIT_USAGE
    address = own_address(listen)
    found = _asked(address, own=not arguments)
    print(f"{address} {found}")
    return EXIT_SERVING if found == "SERVING" else EXIT_NOT_SERVING


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
