"""A TLS connection to the RDV server, through a proxy where there is one, with the certificate judged.

The certificate must be of the CA given and for the server's name. Failing by time
alone is no reason to refuse: a device may have no clock, and what authenticates
the server is its SSH host key, which is pinned. Any other issuer is told by name
and refused: somebody looks into TLS here, and the SSH in it would not come through.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field

from tundev.proxy import connect_through
from tundev.uplinks import bound
from vtunlib import certificate
from vtunlib.errors import CertificateRefused, RdvError, RdvUnreachable, TlsIntercepted

SECONDS = 10.0
"""For each of: TCP, the proxy's answer, the handshake."""

RELAY_SAYS = "tls-relay: "
"""How a line of the relay begins: it shares ssh's standard error."""

_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, openssl/x509_vfy.h."""
_TIME_FAULTS = (9, 10)
"""X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED, openssl/x509_vfy.h."""
_NAME_FAULTS = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH."""


@dataclass(frozen=True)
class Way:
    """address, port: where TCP goes, the server itself or the proxy; host, host_port: the server.

    ca_cert: PEM; empty: the CAs that Debian brings. proxy: what the proxy is called, empty for none.
    link: the interface to go by; empty: as the routes say.
    """

    address: str
    port: int
    host: str
    host_port: int
    ca_cert: str = ""
    proxy: str = ""
    authorization: str = field(default="", repr=False)
    link: str = ""


@dataclass(frozen=True)
class Secured:
    """note: what is odd about the certificate that was accepted; empty where nothing is."""

    sock: ssl.SSLSocket
    note: str = ""


def dial(way: Way) -> Secured:
    """Connected and judged. Blocks for a few times SECONDS at most.

    Raises RdvUnreachable, ProxyRefused, CertificateRefused, TlsIntercepted.
    """
    try:
        return Secured(_handshake(way, _context(way)))
    except ssl.SSLCertVerificationError as error:
        fault = error
    if fault.verify_code in _TIME_FAULTS:
        lenient = _context(way)
        lenient.verify_flags |= _NO_CHECK_TIME
        try:
            return Secured(_handshake(way, lenient), f"certificate accepted: {_reason(fault)} by this clock")
        except ssl.SSLCertVerificationError as error:
            fault = error
    raise _refusal(way, fault)


def _context(way: Way) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # what the bundle gives is trusted as it is
    if way.ca_cert:
        context.load_verify_locations(cadata=way.ca_cert)
    else:
        context.load_default_certs()
    return context


def _handshake(way: Way, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Raises ssl.SSLCertVerificationError, RdvUnreachable, ProxyRefused."""
    target = f"[{way.host}]:{way.host_port}" if ":" in way.host else f"{way.host}:{way.host_port}"
    first = f"the proxy {way.proxy}" if way.proxy else target
    try:
        plain = bound.connection(way.address, way.port, SECONDS, way.link)
    except OSError as error:
        raise RdvUnreachable(f"{first} does not take a TCP connection: {error.strerror or error}") from None
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if way.proxy:
                connect_through(plain, way.proxy, target, way.authorization)
        except OSError as error:
            raise RdvUnreachable(f"{first} does not answer: {error.strerror or error}") from None
        try:
            return context.wrap_socket(plain, server_hostname=way.host)
        except ssl.SSLCertVerificationError:
            raise
        except OSError as error:
            if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
                raise RdvUnreachable(
                    f"what answers as {target} does not speak TLS as the RDV does: {error.reason or error}",
                    "is another program on that port, or does a firewall inspect TLS?",
                ) from None
            raise RdvUnreachable(
                f"the connection to {target} was cut off during the TLS handshake: {error.strerror or error}",
                "does a firewall let only some TLS pass?",
            ) from None
    except BaseException:
        plain.close()
        raise


def _refusal(way: Way, fault: ssl.SSLCertVerificationError) -> RdvError:
    server = f"{way.host} on port {way.host_port}"
    if fault.verify_code in _NAME_FAULTS:
        return CertificateRefused(
            f"the certificate that {server} shows is not for that name",
            f"'rdv-admin tls renew --name {way.host}' on the RDV issues it with the name",
        )
    seen = _seen(way)
    issuer = f"'{seen.issuer}'" if seen else "somebody else"
    if not way.ca_cert:
        return TlsIntercepted(
            f"the certificate that {server} shows was issued by {issuer}, whom this device does not know",
            "the RDV's own CA belongs into ca_cert of tundev.toml; with that there, TLS is intercepted here",
        )
    return TlsIntercepted(
        f"TLS to {server} is intercepted: the certificate was issued by {issuer}, not by the RDV's CA",
        f"the network's administrator must exempt {way.host} from inspection; "
        "or the RDV has another CA, then this device needs a new bundle",
    )


def _seen(way: Way) -> certificate.Certificate | None:
    """The certificate that is shown, whoever issued it; None where it is not shown again."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _handshake(way, context) as sock:
            der = sock.getpeercert(binary_form=True)
        return certificate.read(ssl.DER_cert_to_PEM_cert(der)) if der else None
    except (RdvError, OSError):
        return None


def _reason(fault: ssl.SSLCertVerificationError) -> str:
    return "it is not valid yet" if fault.verify_code == _TIME_FAULTS[0] else "it is no longer valid"
