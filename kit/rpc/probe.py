"""`python -m kit.rpc.probe [HOST:PORT]` asks a service whether it serves: the health check of the container image.

Exit code 0 for SERVING, 1 for anything else, with one line that says what. Without an argument it asks the service that
ONWARD_LISTEN describes, on this machine.
"""

import os
import sys
from collections.abc import Sequence

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


def status(address: str, timeout_s: float = TIMEOUT_S) -> str:
    """The name of the service's health status, or of the gRPC error that came instead."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # the package ships no types
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.RpcError as error:
            return str(error.code().name)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def main(arguments: Sequence[str]) -> int:
    """Ask once and tell."""
    listen = arguments[0] if arguments else os.environ.get("ONWARD_LISTEN", "")
    if len(arguments) > 1 or ":" not in listen:
        print("usage: python -m kit.rpc.probe HOST:PORT (or set ONWARD_LISTEN)", file=sys.stderr)
        return EXIT_USAGE
    address = own_address(listen)
    found = status(address)
    print(f"{address} {found}")
    return EXIT_SERVING if found == "SERVING" else EXIT_NOT_SERVING


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
