"""`rdv-admin tls`: what devices see on 443, renewing it, and serving a certificate of somebody else's."""

from __future__ import annotations

import argparse
import datetime
import re
import socket
import ssl
from pathlib import Path
from typing import Any

from rdv.admin.link import note, show_json
from rdv.tls import check, files, given, upkeep
from vtunlib import certificate, units
from vtunlib.errors import RdvError, UsageError, printable

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_CONNECT_SECONDS = 5.0

_EXAMPLES = """\
examples:
  rdv-admin tls show
  rdv-admin tls renew --name rdv.example.com
  rdv-admin tls use fullchain.pem privkey.pem --public
  rdv-admin tls use server.crt server.key --ca company-ca.crt
  rdv-admin tls use --own
"""


def add_parser(subjects: Any) -> None:
    """The words of `rdv-admin tls`."""
    tls = subjects.add_parser(
        "tls",
        help="TLS on 443, for devices behind strict firewalls",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).add_subparsers(required=True, metavar="COMMAND")
    show = tls.add_parser("show", help="certificate, CA, and whether the port answers with it")
    show.add_argument("--json", action="store_true")
    show.set_defaults(work=tls_show)
    renew = tls.add_parser("renew", help="issue this server's certificate anew, by its own CA")
    renew.add_argument(
        "--name", action="append", default=[], help="a name or address to be in it; repeatable"
    )
    renew.set_defaults(work=tls_renew)
    use = tls.add_parser("use", help="serve a certificate of somebody else's, or again one of our own")
    use.add_argument(
        "certificate",
        nargs="?",
        type=Path,
        metavar="CERT",
        help="PEM, what is between it and its root after it",
    )
    use.add_argument("key", nargs="?", type=Path, metavar="KEY", help="its private key, PEM, not encrypted")
    from_whom = use.add_mutually_exclusive_group()
    from_whom.add_argument(
        "--ca", type=Path, metavar="FILE", help="the CA that devices check it against, PEM"
    )
    from_whom.add_argument("--public", action="store_true", help="a CA that every Debian knows issued it")
    from_whom.add_argument("--own", action="store_true", help="back to a certificate of this server's own CA")
    use.set_defaults(work=tls_use)


async def tls_show(arguments: argparse.Namespace) -> None:
    """Certificate, CA and port, with what is wrong about them."""
    facts = known()
    if arguments.json:
        show_json(facts)
        return
    for key, value in facts.items():
        if key != "warnings":
            print(f"{key.replace('_', ' '):<22} {_shown(value)}")
    for warning in facts["warnings"]:
        note(f"warning: {warning}")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)


def known() -> dict[str, Any]:
    """All that there is to tell; its `warnings` say what is not well. Raises RdvError."""
    now = datetime.datetime.now(datetime.UTC)
    served = upkeep.served()
    if served is None:
        raise RdvError("there is no certificate yet", "'systemctl start rdv-certificate' makes it")
    shown = served.certificate
    bundle = certificate.split(files.bundle_ca())
    number = check.port()
    status, answer = units.status(upkeep.UNIT), _answer(number)
    warnings = []
    if not shown.not_before <= now <= shown.not_after:
        warnings.append(
            "the certificate is not valid today; devices that know this server's host key come in"
        )
    elif shown.days_left(now) < upkeep.WARN_DAYS:
        how = "rdv-admin tls renew" if served.own else "rdv-admin tls use CERT KEY"
        warnings.append(f"the certificate is valid for {shown.days_left(now)} more days: {how}")
    if not status.startswith("active"):
        warnings.append(f"{upkeep.UNIT} does not run: 'systemctl status {upkeep.UNIT}' says why")
    if answer is None:
        warnings.append(f"nothing answers on port {number}")
    elif answer != shown.fingerprint:
        warnings.append(
            f"what answers on port {number} shows another certificate; is it another program? "
            f"'ss -ltnp sport = :{number}' tells"
        )
    return {
        "names": list(shown.names),
        "issued_by": shown.issuer,
        "origin": "own" if served.own else "given",
        "valid_from": f"{shown.not_before:%Y-%m-%d}",
        "valid_until": f"{shown.not_after:%Y-%m-%d}",
        "days_left": shown.days_left(now),
        "fingerprint": shown.fingerprint,
        "devices_check_against": [certificate.read(pem).subject for pem in bundle] or ["the CAs of Debian"],
        "ca_fingerprint": certificate.read(bundle[0]).fingerprint if bundle else "",
        "ca_valid_until": f"{certificate.read(bundle[0]).not_after:%Y-%m-%d}" if bundle else "",
        "service": status,
        "port": number,
        "port_answers": answer == shown.fingerprint,
        "warnings": warnings,
    }


def _answer(number: int) -> str | None:
    """The fingerprint of what the port shows; empty where that is no TLS, None where nobody answers."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", number), _CONNECT_SECONDS) as plain:
            try:
                with context.wrap_socket(plain) as secure:
                    der = secure.getpeercert(binary_form=True)
            except OSError:
                return ""
    except OSError:
        return None
    return certificate.read(ssl.DER_cert_to_PEM_cert(der)).fingerprint if der else ""


async def tls_renew(arguments: argparse.Namespace) -> None:
    """Issue it anew, its names kept and those given added."""
    for name in arguments.name:
        if not _NAME.fullmatch(name):
            raise UsageError(f"{printable(name)!r} is no name", "expected a name or an address")
    served = upkeep.served()
    if served is not None and not served.own:
        raise UsageError(
            "the certificate served was given, not issued here", "'rdv-admin tls use' with another, or --own"
        )
    upkeep.ensure(also=arguments.name, anew=True)
    _tell_served()


async def tls_use(arguments: argparse.Namespace) -> None:
    """Serve the certificate given, or one of our own again."""
    if arguments.own:
        if arguments.certificate is not None:
            raise UsageError("--own takes no certificate", "rdv-admin tls use --own")
        served = upkeep.served()
        if served is not None and served.own:
            print("a certificate of this server's own CA is served already")
            return
        upkeep.ensure(anew=True)
        _tell_served()
        return
    if arguments.certificate is None or arguments.key is None:
        raise UsageError("no certificate given", "rdv-admin tls use CERT KEY, or --own")
    wanted = given.examine(arguments.certificate, arguments.key, arguments.ca, public=arguments.public)
    given.use(wanted)
    _tell_served()
    note(
        "devices whose bundle is older check against the CA that was in force then: those that come in by "
        "TLS alone will report this certificate as an interception until they have a new bundle; "
        "those that reach port 2222 are not concerned"
    )


def _tell_served() -> None:
    served = upkeep.served()
    assert served is not None
    shown = served.certificate
    print(f"certificate for {', '.join(shown.names)}")
    print(f"issued by {shown.issuer}, valid until {shown.not_after:%Y-%m-%d}")
    if not upkeep.reload():
        note(f"{upkeep.UNIT} does not run, so nobody is served it yet")
