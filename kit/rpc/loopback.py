"""What stays on this machine: the only place where plaintext may go."""

from ipaddress import ip_address


def is_loopback(address: str) -> bool:
    """Whether host:port is reached from this machine alone."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
