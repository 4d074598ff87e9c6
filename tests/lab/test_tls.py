"""TLS on 443: behind firewalls that pass only web traffic, and what is told where that is not enough."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rdv.tls import authority
from rdv.tls.authority import Pair
from tests.lab import strict
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.process import Result
from tests.lab.router import Router
from tests.lab.test_kills import main_pid
from tests.lab.test_sessions import account, session
from tests.lab.test_wrong_input import CONFIG, configured, refused, status, stopped, wait_connected
from tests.lab.topology import CAMERA, RDV_NAME
from tundev.states import State
from vtunlib.errors import UsageError

NOW = datetime.datetime.now(datetime.UTC)
TLS = "/etc/rdv/tls"
SERVED = f"{TLS}/server.pem"
UNIT = "onsitedev.service"
SEEN = 40.0
"""Seconds in which a device has tried all ways at least once."""


@contextmanager
def dialling(machine: Machine, *lines: str, text: str = "") -> Iterator[None]:
    """The device with these lines more in [rdv], started anew; afterwards as it was."""
    text = text or machine.run(["cat", CONFIG]).out
    try:
        with configured(machine, text.replace("[rdv]\n", "\n".join(["[rdv]", *lines, ""]), 1)):
            machine.run(["systemctl", "restart", UNIT])
            yield
    finally:
        machine.run(["systemctl", "restart", UNIT])
        wait_connected(machine)


def wait_failure(machine: Machine, kind: str) -> str:
    """What the device says about why it is not online, once it is an error of this class."""
    told: dict[str, str] = {}

    def failed() -> bool:
        told.clear()
        told.update(status(machine))
        return told.get("failure_class") == kind

    wait_until(failed, what=f"{machine.name} reports {kind}", deadline=SEEN, every=0.2)
    assert told["state"] != State.SSH_CONNECTION_OK
    return told["failure"]


def wait_online_by(machine: Machine, transport: str) -> None:
    wait_until(
        lambda: (
            (told := status(machine)).get("state") == State.SSH_CONNECTION_OK
            and told["transport"] == transport
        ),
        what=f"{machine.name} online by {transport}",
        deadline=SEEN,
        every=0.2,
    )


def router(lab: Lab) -> Router:
    """The first customer's."""
    return lab.routers[lab.plan.sites[0].lan.name]


def tls(lab: Lab, *words: str) -> Result:
    return lab.rdv.run(["rdv-admin", "tls", *words])


@contextmanager
def serving(lab: Lab, pair: Pair) -> Iterator[None]:
    """stunnel with this key and certificate; afterwards with a new one of the RDV's own."""
    lab.rdv.copy_in(pair.key + pair.certificate, SERVED, mode=0o640)
    lab.rdv.run(["chgrp", "stunnel4", SERVED])
    lab.rdv.run(["systemctl", "reload", "rdv-stunnel"])
    try:
        yield
    finally:
        tls(lab, "renew")


def ca(lab: Lab) -> Pair:
    """The RDV's own."""
    return Pair(lab.rdv.run(["cat", f"{TLS}/ca.key"]).out, lab.rdv.run(["cat", f"{TLS}/ca.crt"]).out)


def test_only_443_passes(lab: Lab) -> None:
    """The device finds the way by itself; a session carries, also while the certificate is renewed."""
    with dialling(lab.onsite), strict.only_https(router(lab)):
        lab.onsite.run(["systemctl", "restart", UNIT])
        wait_online_by(lab.onsite, "tls")
        assert "note" not in status(lab.onsite)
        with session(lab.master, account(lab, 0), "L3"):
            lab.laptop.dhcp()
            with lab.laptop.losing_nothing(str(CAMERA)):
                assert RDV_NAME in tls(lab, "renew").out
                assert lab.laptop.fetch(f"http://{CAMERA}/").out == lab.camera.page()
        lab.onsite.run(["systemctl", "restart", UNIT])
        wait_online_by(lab.onsite, "tls")
    assert status(lab.onsite)["transport"] == "ssh"


def test_a_device_is_stopped_at_once_whose_dns_server_is_silent(lab: Lab) -> None:
    """The resolver would keep the agent for longer than systemd waits for it, and cannot be interrupted."""
    folder = f"/etc/systemd/system/{UNIT}.d"
    lab.onsite.run(["mkdir", folder])
    lab.onsite.copy_in('[Service]\nEnvironment="RES_OPTIONS=timeout:30 attempts:2"\n', f"{folder}/wait.conf")
    try:
        lab.onsite.run(["systemctl", "daemon-reload"])
        with strict.no_dns(router(lab)):
            lab.onsite.run(["systemctl", "restart", UNIT])
            wait_until(
                lambda: status(lab.onsite).get("state") == State.IP_ADDR_OK,
                what="the onsite asks for the RDV's address",
                every=0.2,
            )
            lab.onsite.run(["systemctl", "stop", UNIT])
            assert lab.onsite.run(["systemctl", "show", "-P", "Result", UNIT]).out.strip() == "success"
    finally:
        lab.onsite.run(["rm", "-r", folder])
        lab.onsite.run(["systemctl", "daemon-reload"])
        lab.onsite.run(["systemctl", "restart", UNIT])
        wait_connected(lab.onsite)


def test_only_a_proxy_leads_out(lab: Lab) -> None:
    """It resolves the RDV's name, which the device cannot; it wants a password, which is shown nowhere."""
    gateway = router(lab)
    url = f"http://tech:{{}}@{gateway.lan.router.ip}:{strict.PROXY_PORT}"
    with dialling(lab.onsite), strict.only_proxy(gateway):
        with strict.proxy(gateway, "tech", "SECRET"):
            with dialled(lab, f'proxy = "{url.format("WRONG")}"', 'transport = "tls"'):
                assert "wants another user and password" in wait_failure(lab.onsite, "ProxyRefused")
            with dialled(lab, f'proxy = "{url.format("SECRET")}"'):
                wait_online_by(lab.onsite, "tls via proxy")
                assert "SECRET" not in lab.onsite.run(["tundev-status", "--json"]).out
                with session(lab.master, account(lab, 0), "L3"):
                    lab.laptop.dhcp()
                    assert lab.laptop.fetch(f"http://{CAMERA}/").out == lab.camera.page()
        right = f'proxy = "{url.format("SECRET")}"'
        with strict.proxy(gateway, "tech", "SECRET", passes=563), dialled(lab, right, 'transport = "tls"'):
            told = wait_failure(lab.onsite, "ProxyRefused")
            assert f"403 Access violation; its administrator must allow CONNECT to {RDV_NAME}:443" in told
        assert "SECRET" not in lab.onsite.journal(lines=1000)


@contextmanager
def dialled(lab: Lab, *lines: str) -> Iterator[None]:
    """As `dialling`, in a network where the device without these lines does not come online."""
    text = lab.onsite.run(["cat", CONFIG]).out
    with configured(lab.onsite, text.replace("[rdv]\n", "\n".join(["[rdv]", *lines, ""]), 1)):
        lab.onsite.run(["systemctl", "restart", UNIT])
        yield


def test_the_flag_for_tls_on_the_command_line(lab: Lab) -> None:
    """The service is asked where it goes by TLS; without the service the command goes by itself."""
    done = lab.master.run(["masterdev", "-T", "-l"], check=False)
    refused(done, UsageError, "goes by direct SSH", "transport")
    with stopped(lab.master, "masterdev.service"):
        named = ["-u", lab.plan.desks[0].account, "-R", RDV_NAME]
        assert account(lab, 0) in lab.master.run(["masterdev", "-T", *named, "-l"], deadline=60).out
    assert "accepted connection from" in lab.rdv.journal("rdv-stunnel.service")


def test_a_fault_never_touches_the_stunnel_that_runs(lab: Lab) -> None:
    """Nor does a port that a web server has: all else goes on, and it is told."""
    rdv, unit, conf = lab.rdv, "rdv-stunnel.service", "/etc/rdv/stunnel.conf"
    pid = main_pid(rdv, unit)
    good = rdv.run(["cat", conf]).out
    with rdv.saying(good.replace("TIMEOUTidle", "TIMOUTidle"), conf):
        assert rdv.run(["systemctl", "reload", unit], check=False).code != 0
        assert "TIMOUTidle" in rdv.journal(unit)
    assert main_pid(rdv, unit) == pid
    assert json.loads(tls(lab, "show", "--json").out)["port_answers"] is True

    rdv.run(["systemctl", "stop", unit])
    with rdv.start(["openssl", "s_server", "-quiet", "-accept", "443", "-cert", SERVED, "-www"]) as web:
        wait_until(
            lambda: rdv.run(["ss", "-H", "-l", "-n", "-t", "sport", "=", ":443"]).out,
            what=f"{web.shown} listens",
        )
        assert rdv.run(["systemctl", "start", unit], check=False).code != 0
        assert "port 443 is taken by another program" in rdv.journal(unit)
        assert "does not run" in json.loads(tls(lab, "show", "--json").out)["warnings"][0]
    wait_until(
        lambda: rdv.run(["systemctl", "is-active", unit], check=False).code == 0,
        what="stunnel, once the port is free",
        every=0.2,
    )


def test_an_interception_is_told_by_its_issuer_and_refused(lab: Lab) -> None:
    theirs = authority.make_ca("Example Inspection", NOW)
    pair = authority.issue(theirs, [RDV_NAME], NOW)
    with dialling(lab.onsite), strict.interception(router(lab), pair.key + pair.certificate):
        lab.onsite.run(["systemctl", "restart", UNIT])
        told = wait_failure(lab.onsite, "TlsIntercepted")
        assert "by ssh: " in told and "issued by 'CN=RDV CA of Example Inspection'" in told
        assert account(lab, 0) not in lab.online()


@pytest.mark.parametrize(("years", "said"), [(10, "not valid yet"), (-10, "no longer valid")])
def test_a_clock_that_is_wrong_strands_no_device(lab: Lab, years: int, said: str) -> None:
    """The lab shares the host's clock, so it is the certificate that is of another time."""
    pair = authority.issue(ca(lab), [RDV_NAME], NOW + datetime.timedelta(days=365 * years))
    with serving(lab, pair), dialling(lab.onsite, 'transport = "tls"'):
        wait_online_by(lab.onsite, "tls")
        assert said in status(lab.onsite)["note"]
        assert said in lab.onsite.journal(UNIT)
        warnings = json.loads(tls(lab, "show", "--json").out)["warnings"]
        assert ["not valid today" in one for one in warnings] == [True]


def test_a_certificate_of_somebody_elses(lab: Lab) -> None:
    """Devices with a bundle from before see a stranger; those with a new one take it, and our own again."""
    company = authority.make_ca("the company", NOW)
    pair = authority.issue(company, [RDV_NAME], NOW)
    for name, text in (("cert", pair.certificate), ("key", pair.key), ("ca", company.certificate)):
        lab.rdv.copy_in(text, f"/root/{name}.pem", mode=0o600)
    before = lab.onsite.run(["cat", CONFIG]).out
    try:
        with dialling(lab.onsite, 'transport = "tls"'):
            tls(lab, "use", "/root/cert.pem", "/root/key.pem", "--ca", "/root/ca.pem")
            assert json.loads(tls(lab, "show", "--json").out)["origin"] == "given"
            lab.onsite.run(["systemctl", "restart", UNIT])
            assert "'CN=RDV CA of the company'" in wait_failure(lab.onsite, "TlsIntercepted")
            bundle = lab.rdv.run(["cat", f"{TLS}/bundle.crt"]).out
            own = lab.rdv.run(["cat", f"{TLS}/ca.crt"]).out
            new = lab.onsite.run(["cat", CONFIG]).out.replace(own.strip(), bundle.strip())
            with configured(lab.onsite, new):
                lab.onsite.run(["systemctl", "restart", UNIT])
                wait_online_by(lab.onsite, "tls")
                tls(lab, "use", "--own")
                lab.onsite.run(["systemctl", "restart", UNIT])
                wait_online_by(lab.onsite, "tls")
    finally:
        tls(lab, "use", "--own")
        lab.rdv.run(["rm", "/root/cert.pem", "/root/key.pem", "/root/ca.pem"])
    assert lab.onsite.run(["cat", CONFIG]).out == before
