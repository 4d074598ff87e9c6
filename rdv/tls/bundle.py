"""What TLS adds to a device's bundle: the CA, and a certificate for the name by which the device dials."""

from __future__ import annotations

from rdv.tls import files, upkeep


def host_of(server: str) -> str:
    """The name or address in `name:port`."""
    return server.rpartition(":")[0] if ":" in server else server


def prepare(server: str) -> str:
    """Have the certificate be for this server name; what is wrong with that, or empty. Raises RdvError."""
    host = host_of(server)
    if upkeep.ensure(also=[host]):
        upkeep.reload()
    served = upkeep.served()
    if served is None or host in served.certificate.names:
        return ""
    return (
        f"the certificate given does not name {host}, so devices refuse it: "
        f"it is for {', '.join(served.certificate.names)}"
    )


def lines() -> list[str]:
    """The lines of [rdv] in a bundle; none where the CA is one that every Debian knows. Raises RdvError."""
    pem = files.bundle_ca()
    return [f'ca_cert  = """\n{pem}"""'] if pem else []
