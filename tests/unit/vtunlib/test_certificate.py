"""What a certificate says, of those that this framework makes and of strange ones."""

from __future__ import annotations

import datetime

import pytest

from rdv.tls import authority
from vtunlib import certificate
from vtunlib.errors import RdvError
from vtunlib.run import run

NOW = datetime.datetime(2026, 1, 10, 12, tzinfo=datetime.UTC)


def test_a_certificate_that_was_issued_here() -> None:
    ca = authority.make_ca("rdv.example.com", NOW)
    pair = authority.issue(ca, ["rdv.example.com", "203.0.113.10", "2001:db8::10"], NOW)
    told = certificate.read(pair.certificate)
    assert told.subject == "CN=rdv.example.com"
    assert told.issuer == "CN=RDV CA of rdv.example.com"
    assert told.names == ("rdv.example.com", "203.0.113.10", "2001:db8::10")
    assert told.not_before == NOW - datetime.timedelta(days=1)
    assert told.not_after == NOW + datetime.timedelta(days=730)
    assert told.days_left(NOW) == 730
    assert (told.authority, certificate.read(ca.certificate).authority) == (False, True)


@pytest.mark.parametrize(
    ("host", "fits"),
    [("rdv.example.com", True), ("a.example.org", True), ("a.b.example.org", False), ("example.org", False)],
)
def test_for_which_servers_it_is(host: str, fits: bool) -> None:
    names = ("rdv.example.com", "*.example.org")
    shown = certificate.Certificate("CN=a", "CN=b", names, NOW, NOW, "AA", False)
    assert shown.is_for(host) is fits


def test_a_name_made_to_deceive_stays_on_its_line() -> None:
    """The names in a certificate are whatever its maker likes."""
    subject = "/CN=evil\nnotAfter=2099-01-01 00:00:00Z\x1b[2J\n    CA:TRUE"
    pem = run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", "/dev/null", "-days", "1", "-subj", subject),
            *("-addext", "basicConstraints=CA:FALSE"),
        ]
    )
    told = certificate.read(pem)
    assert told.subject.isprintable() and "2099" in told.subject
    assert told.not_after.year != 2099
    assert not told.authority


def test_a_chain_is_split_into_its_certificates() -> None:
    ca = authority.make_ca("a", NOW)
    assert certificate.split(f"noise\n{ca.certificate}{ca.certificate}") == [ca.certificate] * 2
    assert certificate.split("noise") == []


def test_what_is_no_certificate_is_told() -> None:
    with pytest.raises(RdvError):
        certificate.read("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
