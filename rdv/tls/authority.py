"""Making a CA and issuing a server's certificate, by openssl; nothing here writes what others read.

`openssl ca` is what can set the day from which a certificate is valid. Its
bookkeeping is in a folder that lives as long as the call.
"""

from __future__ import annotations

import datetime
import ipaddress
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vtunlib.run import run

CA_DAYS = 20 * 365
SERVER_DAYS = 730
EARLIER = datetime.timedelta(days=1)
"""How much before now a certificate is valid: for a device whose clock is slow."""

_NAME_LIMIT = 64
"""RFC 5280, appendix A: ub-common-name."""

_CONF = """\
[ca]
default_ca = it
[it]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = policy
unique_subject = no
[policy]
commonName = supplied
[request]
distinguished_name = subject
prompt = no
utf8 = yes
[subject]
CN = {name}
[extensions]
subjectKeyIdentifier = hash
{extensions}
"""
_CA_EXTENSIONS = """\
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign"""
_SERVER_EXTENSIONS = """\
authorityKeyIdentifier = keyid
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {names}"""


@dataclass(frozen=True)
class Pair:
    """A private key and its certificate, both PEM."""

    key: str
    certificate: str


def make_ca(name: str, now: datetime.datetime) -> Pair:
    """A new CA that signs itself, for CA_DAYS. Raises RdvError."""
    with tempfile.TemporaryDirectory(prefix="rdv-tls-") as folder:
        until = now + datetime.timedelta(days=CA_DAYS)
        own = f"RDV CA of {name}"[:_NAME_LIMIT]
        return _sign(Path(folder), own, _CA_EXTENSIONS, ["-selfsign"], now - EARLIER, until)


def issue(ca: Pair, names: Sequence[str], now: datetime.datetime, days: int = SERVER_DAYS) -> Pair:
    """A new key and its certificate for these names and addresses, the first one its own. Raises RdvError."""
    with tempfile.TemporaryDirectory(prefix="rdv-tls-") as text:
        folder = Path(text)
        (folder / "ca.crt").write_text(ca.certificate, encoding="ascii")
        (folder / "ca.key").write_text(ca.key, encoding="ascii")
        signer = ["-cert", f"{folder}/ca.crt", "-keyfile", f"{folder}/ca.key"]
        extensions = _SERVER_EXTENSIONS.format(names=", ".join(_alternative(name) for name in names))
        until = now + datetime.timedelta(days=days)
        return _sign(folder, names[0][:_NAME_LIMIT], extensions, signer, now - EARLIER, until)


def _sign(
    folder: Path,
    name: str,
    extensions: str,
    signer: list[str],
    since: datetime.datetime,
    until: datetime.datetime,
) -> Pair:
    conf, key = folder / "conf", folder / "new.key"
    conf.write_text(_CONF.format(folder=folder, name=name, extensions=extensions), encoding="ascii")
    (folder / "index").touch()
    run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key)])
    run(
        [
            *("openssl", "req", "-new", "-config", str(conf), "-section", "request"),
            *("-key", str(key), "-out", f"{folder}/new.csr"),
        ]
    )
    if signer == ["-selfsign"]:
        signer = ["-selfsign", "-keyfile", str(key)]
    run(
        [
            *("openssl", "ca", "-batch", "-notext", "-config", str(conf), "-extensions", "extensions"),
            *("-startdate", f"{since:%Y%m%d%H%M%SZ}", "-enddate", f"{until:%Y%m%d%H%M%SZ}"),
            *("-in", f"{folder}/new.csr", "-out", f"{folder}/new.crt", *signer),
        ]
    )
    return Pair(key.read_text(encoding="ascii"), (folder / "new.crt").read_text(encoding="ascii"))


def _alternative(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"
