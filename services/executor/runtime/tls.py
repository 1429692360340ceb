"""Certificates: always verified, failures named as Node names them."""

import ssl
from pathlib import Path
from typing import Final

from services.executor.runtime.egress import EgressError, system_error

# X509_V_ERR_* of OpenSSL to Node's code and words.
_VERIFY_CODES: Final[dict[int, tuple[str, str]]] = {
    2: ("UNABLE_TO_GET_ISSUER_CERT", "unable to get issuer certificate"),
    9: ("CERT_NOT_YET_VALID", "certificate is not yet valid"),
    10: ("CERT_HAS_EXPIRED", "certificate has expired"),
    18: ("DEPTH_ZERO_SELF_SIGNED_CERT", "self-signed certificate"),
    19: ("SELF_SIGNED_CERT_IN_CHAIN", "self-signed certificate in certificate chain"),
    20: ("UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "unable to get local issuer certificate"),
    21: ("UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unable to verify the first certificate"),
    22: ("CERT_CHAIN_TOO_LONG", "certificate chain too long"),
    23: ("CERT_REVOKED", "certificate revoked"),
    24: ("INVALID_CA", "invalid CA certificate"),
    26: ("INVALID_PURPOSE", "unsupported certificate purpose"),
    27: ("CERT_UNTRUSTED", "certificate not trusted"),
    28: ("CERT_REJECTED", "certificate rejected"),
}
_NAME_MISMATCHES: Final = (62, 64)  # host name, IP address


def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """The system's authorities, and those of `ca_file` besides; reads files, so call it off the loop."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    return context


def tls_error(error: ssl.SSLError, host: str) -> EgressError:
    """Not `network`: a wrong certificate or protocol is a setting to be mended, which no retry does."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_error(error, host)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return tls_hung_up()
    return EgressError("EPROTO", "system", f"write EPROTO {error.reason or 'handshake failure'}")


def tls_hung_up() -> EgressError:
    return system_error("ECONNRESET", "Client network socket disconnected before secure TLS connection was established")


def _certificate_error(error: ssl.SSLCertVerificationError, host: str) -> EgressError:
    if error.verify_code in _NAME_MISMATCHES:
        message = f"Hostname/IP does not match certificate's altnames: Host: {host}. is not in the cert's altnames"
        return EgressError("ERR_TLS_CERT_ALTNAME_INVALID", "system", message)
    code, message = _VERIFY_CODES.get(error.verify_code, ("CERT_UNTRUSTED", str(error.verify_message)))
    return EgressError(code, "system", message)
