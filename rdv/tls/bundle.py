"""What a device's bundle asks of TLS: a certificate for the name by which the device dials."""

from __future__ import annotations

from rdv.tls import upkeep


def host_of(server: str) -> str:
    """The name or address in `name:port`."""
    return server.rpartition(":")[0] if ":" in server else server


def prepare(server: str) -> str:
    """Have the certificate be for this server name; what is wrong with that, or empty. Raises RdvError."""
    host = host_of(server)
    if upkeep.ensure(also=[host]):
        upkeep.reload()
    served = upkeep.served()
    if served is None or served.certificate.is_for(host):
        return ""
    return (
        f"the certificate given does not name {host}, so devices refuse it: "
        f"it is for {', '.join(served.certificate.names)}"
    )
