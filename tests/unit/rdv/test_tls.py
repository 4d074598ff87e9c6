"""CA and certificate: made once, renewed when due, replaced only by what fits."""

from __future__ import annotations

import datetime
import os
import stat
from pathlib import Path

import pytest

from rdv.tls import authority, check, files, given, upkeep
from rdv.tls.authority import Pair
from vtunlib import certificate
from vtunlib.errors import ConfigError, UsageError
from vtunlib.run import run

NOW = datetime.datetime.now(datetime.UTC)
LONG_AGO = NOW - datetime.timedelta(days=5000)
CONF = Path(__file__).resolve().parents[3] / "rdv/system/etc/rdv/stunnel.conf"
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a file of stunnel's group, and a network namespace")


@pytest.fixture(scope="module")
def ca() -> Pair:
    return authority.make_ca("another company", NOW)


def _given(folder: Path, chain: str, key: str) -> tuple[Path, Path]:
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_text(chain)
    key_file.write_text(key)
    return cert_file, key_file


@ROOT
def test_made_once_and_the_same_again_changes_nothing(tmp_path: Path) -> None:
    assert upkeep.ensure(tmp_path) == "there is none"
    ca, server = (tmp_path / files.CA).read_text(), (tmp_path / files.SERVER).read_text()
    assert upkeep.ensure(tmp_path) == ""
    assert ((tmp_path / files.CA).read_text(), (tmp_path / files.SERVER).read_text()) == (ca, server)
    assert files.bundle_ca(tmp_path) == ca
    assert stat.S_IMODE((tmp_path / files.CA_KEY).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / files.SERVER).stat().st_mode) == 0o640
    served = upkeep.served(tmp_path)
    assert served is not None and served.own


@ROOT
def test_a_name_that_is_not_in_it_is_added_and_those_that_are_stay(tmp_path: Path) -> None:
    upkeep.ensure(tmp_path, ["rdv.example.com"])
    ca = (tmp_path / files.CA).read_text()
    assert upkeep.ensure(tmp_path, ["192.0.2.7"]) == "192.0.2.7 is not in it"
    served = upkeep.served(tmp_path)
    assert served is not None and {"rdv.example.com", "192.0.2.7"} <= set(served.certificate.names)
    assert (tmp_path / files.CA).read_text() == ca, "bundles pin the CA"
    assert (tmp_path / "server.pem.old").exists()


@ROOT
def test_a_ca_that_was_cut_off_while_it_was_made_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / files.CA_KEY).write_text("half a k")
    assert upkeep.ensure(tmp_path) == "there is none"


@pytest.mark.parametrize(
    ("days", "own", "names", "due"),
    [
        (61, True, ["a"], ""),
        (59, True, ["a"], "it is valid until"),
        (-1, True, ["a"], "it is valid until"),
        (61, True, ["a", "b"], "b is not in it"),
        (59, False, ["b"], ""),
    ],
)
def test_when_a_certificate_is_due(days: int, own: bool, names: list[str], due: str) -> None:
    until = NOW + datetime.timedelta(days=days, hours=1)
    shown = certificate.Certificate("CN=a", "CN=b", ("a",), LONG_AGO, until, "AA", False)
    told = upkeep.is_due(upkeep.Served(shown, own), names, NOW)
    assert told.startswith(due) if due else told == ""


@ROOT
def test_a_given_certificate_is_served_and_bundles_carry_its_ca_beside_our_own(
    open_directory: Path, ca: Pair
) -> None:
    folder = open_directory / "tls"
    upkeep.ensure(folder, ["old-name.example.com"])
    conf = _stunnel_conf(folder)
    own = files.bundle_ca(folder)
    pair = authority.issue(ca, ["rdv.example.com"], NOW)
    cert, key = _given(open_directory, pair.certificate + ca.certificate, pair.key)
    given.use(given.examine(cert, key, None, public=False), folder, conf)
    served = upkeep.served(folder)
    assert served is not None and not served.own
    assert files.bundle_ca(folder) == ca.certificate + own
    assert upkeep.ensure(folder, ["another.example.com"]) == "", "it is not ours to renew"
    assert upkeep.ensure(folder, anew=True)
    served = upkeep.served(folder)
    names = {"old-name.example.com", "rdv.example.com"}
    assert served is not None and served.own and names <= set(served.certificate.names)
    assert files.bundle_ca(folder) == own


@ROOT
def test_what_stunnel_would_not_serve_leaves_all_as_it_was(open_directory: Path) -> None:
    folder = open_directory / "tls"
    upkeep.ensure(folder)
    conf = _stunnel_conf(folder)
    before = {name: (folder / name).read_text() for name in (files.SERVER, files.BUNDLE_CA)}
    cert, key = open_directory / "cert.pem", open_directory / "key.pem"
    subject = ["-subj", "/CN=a", "-addext", "subjectAltName=DNS:rdv.example.com"]
    weak = ["openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "30", *subject]
    run([*weak, "-keyout", str(key), "-out", str(cert)])
    with pytest.raises(ConfigError, match="key too small"):
        given.use(given.examine(cert, key, cert, public=False), folder, conf)
    assert {name: (folder / name).read_text() for name in before} == before


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("key", "not that of the certificate"),
        ("dates", "not valid today"),
        ("ca", "does not lead to the CA"),
        ("unknown", "against which CA"),
        ("public", "does not lead to the CA"),
        ("no certificate", "there is no certificate"),
        ("no key", "there is no private key"),
        ("no CA", "there is no CA"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_changes(
    tmp_path: Path, ca: Pair, fault: str, told: str
) -> None:
    pair = authority.issue(ca, ["rdv.example.com"], LONG_AGO if fault == "dates" else NOW)
    other = authority.make_ca("a third company", NOW)
    key = other.key if fault == "key" else "nothing" if fault == "no key" else pair.key
    cert = "nothing" if fault == "no certificate" else pair.certificate
    cert_file, key_file = _given(tmp_path, cert, key)
    ca_file: Path | None = tmp_path / "ca.pem"
    assert ca_file is not None
    ca_file.write_text({"ca": other.certificate, "no CA": pair.certificate}.get(fault, ca.certificate))
    if fault in ("unknown", "public"):
        ca_file = None
    with pytest.raises(UsageError, match=told):
        given.examine(cert_file, key_file, ca_file, public=fault == "public")


@ROOT
@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        ("TIMEOUTidle = 300", "TIMOUT = 300", 'line {}: "TIMOUT = 300"'),
        ("[rdv]", "[rdv", 'line {}: "[rdv"'),
        ("debug = notice", "debug = loud", 'line {}: "debug = loud"'),
        ("{tls}/server.pem", "/nonexistent.pem", "No such file"),
    ],
)
def test_a_configuration_that_stunnel_would_not_take(
    open_directory: Path, wrong: str, right: str, told: str
) -> None:
    conf = _stunnel_conf(open_directory)
    check.check(conf)
    text = conf.read_text()
    wrong = wrong.replace("{tls}", str(open_directory))
    assert wrong in text
    number = text[: text.index(wrong)].count("\n") + 1
    conf.write_text(text.replace(wrong, right))
    with pytest.raises(ConfigError) as raised:
        check.check(conf)
    assert told.format(number) in str(raised.value)


def _stunnel_conf(folder: Path) -> Path:
    """The shipped one, with a certificate that is there; stunnel's user must get into the folder."""
    upkeep.ensure(folder)
    conf = folder / "stunnel.conf"
    conf.write_text(CONF.read_text().replace("/etc/rdv/tls", str(folder)))
    return conf


def test_the_port_is_the_one_that_stunnel_is_to_listen_on(tmp_path: Path) -> None:
    assert check.port(CONF) == 443
    other = tmp_path / "stunnel.conf"
    other.write_text("[rdv]\naccept = 8443\n")
    assert check.port(other) == 8443
    assert (check.wants_ipv6(CONF), check.wants_ipv6(other)) == (True, False)
