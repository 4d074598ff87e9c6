"""A certificate that somebody else issued: looked at from all sides before anything is replaced by it."""

from __future__ import annotations

import datetime
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rdv.tls import check, files, upkeep
from vtunlib import certificate
from vtunlib.errors import RdvError, UsageError, printable
from vtunlib.run import run


@dataclass(frozen=True)
class Given:
    """served: key, certificate and chain as stunnel serves them; ca: what devices check against."""

    served: str
    ca: str


def examine(cert: Path, key: Path, ca: Path | None, *, public: bool) -> Given:
    """Raises UsageError where key, chain, dates or CA do not fit; RdvError."""
    chain = certificate.split(_read(cert))
    if not chain:
        raise UsageError(f"there is no certificate in {cert}", "expected PEM")
    secret = _private_key(key)
    _check_pair(chain[0], secret, cert, key)
    now = datetime.datetime.now(datetime.UTC)
    shown = certificate.read(chain[0])
    if not shown.not_before <= now <= shown.not_after:
        raise UsageError(
            f"the certificate in {cert} is not valid today",
            f"it is from {shown.not_before:%Y-%m-%d} to {shown.not_after:%Y-%m-%d}",
        )
    if not shown.names:
        raise UsageError("the certificate names no server", "it needs subjectAltName with this server's name")
    roots = _roots(chain, ca)
    if not roots and not public:
        raise UsageError(
            "it is not known against which CA devices check this certificate",
            "give --ca FILE, or --public where every Debian knows the CA",
        )
    _check_chain(chain, "" if public else "".join(roots))
    return Given(secret + "".join(chain), "" if public else "".join(roots))


def use(given: Given, folder: Path = files.FOLDER, conf: Path = files.STUNNEL_CONF) -> None:
    """Serve it from the next reload on. Bundles carry our own CA too, so that --own goes back unnoticed.

    Raises ConfigError, with all as it was, where stunnel would not serve it: a key that is too weak.
    """
    with files.locked(folder):
        own = (folder / files.CA).read_text(encoding="ascii")
        server, bundle = ((folder / name).read_text("ascii") for name in (files.SERVER, files.BUNDLE_CA))
        upkeep.put(folder, given.served, given.ca + own if given.ca else "")
        try:
            check.check(conf)
        except RdvError:
            upkeep.put(folder, server, bundle)
            raise


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None


def _private_key(path: Path) -> str:
    text = _read(path)
    if "ENCRYPTED" in text:
        raise UsageError(
            f"the key in {path} is encrypted, and nobody is there to open it", "openssl pkey -in OLD -out NEW"
        )
    try:
        return run(["openssl", "pkey"], stdin=text)
    except RdvError:
        raise UsageError(f"there is no private key in {path}", "expected PEM") from None


def _check_pair(leaf: str, secret: str, cert: Path, key: Path) -> None:
    public = run(["openssl", "x509", "-noout", "-pubkey"], stdin=leaf)
    if public != run(["openssl", "pkey", "-pubout"], stdin=secret):
        raise UsageError(f"the key in {key} is not that of the certificate in {cert}")


def _roots(chain: list[str], ca: Path | None) -> list[str]:
    """What is to be trusted: the CA given, else what in the chain signs itself."""
    found = certificate.split(_read(ca)) if ca is not None else chain[1:]
    shown = [(pem, certificate.read(pem)) for pem in found]
    if ca is not None and not any(one.authority for _, one in shown):
        raise UsageError(f"there is no CA in {ca}", "expected the certificate of a CA, PEM")
    return [pem for pem, one in shown if one.authority and (ca is not None or one.subject == one.issuer)]


def _check_chain(chain: list[str], roots: str) -> None:
    with tempfile.TemporaryDirectory(prefix="rdv-tls-") as folder:
        argv = ["openssl", "verify", "-purpose", "sslserver"]
        if roots:
            trusted = Path(folder) / "ca"
            trusted.write_text(roots, encoding="utf-8")
            # What devices are given is trusted as it is, whether it signs itself or not.
            argv += ["-no-CApath", "-no-CAstore", "-partial_chain", "-CAfile", str(trusted)]
        if chain[1:]:
            between = Path(folder) / "between"
            between.write_text("".join(chain[1:]), encoding="utf-8")
            argv += ["-untrusted", str(between)]
        try:
            run(argv, stdin=chain[0])
        except RdvError as error:
            raise UsageError(
                f"the certificate does not lead to the CA: {printable(error.message)}",
                "is a certificate between them missing in CERT?",
            ) from None
