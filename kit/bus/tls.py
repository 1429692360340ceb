"""TLS towards NATS, for URLs that begin with tls://."""

import ssl
from pathlib import Path
from urllib.parse import urlparse


def tls_context(url: str, ca: Path | str | None) -> ssl.SSLContext | None:
    """Whose servers to trust, the system's authorities by default; None for another scheme.

    Raises OSError for an authority's file that can't be used.
    """
    return ssl.create_default_context(cafile=ca) if urlparse(url).scheme == "tls" else None
