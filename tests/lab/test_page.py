"""The master's page in the lab: who reaches it, from where, and that nobody else does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab import strict
from tests.lab.host import Host, wait_until
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.page import Browser, answers, resolve
from tests.lab.test_sessions import account, listed, session
from tests.lab.test_trouble import behind
from tests.lab.test_wrong_input import CONFIG, configured
from tests.lab.topology import CAMERA

PORT = "192.168.38.225"
PIN = "4711-0815"


def master_addresses(master: Machine, *interface: str) -> list[str]:
    """Those that it has, on all interfaces or on one."""
    told = master.run(["ip", "-4", "-o", "address", "show", *interface]).out
    return re.findall(r"inet ([\d.]+)/", told)


def uplink(master: Machine) -> str:
    """The master's address on the support desk's LAN."""
    (address,) = master_addresses(master, "eth0")
    return address


@contextmanager
def led_to(host: Host, target: str, via: str) -> Iterator[None]:
    """The host sends what is for `target` to `via`, as an attacker on that LAN would."""
    host.ip(f"route add {target}/32 via {via}")
    try:
        yield
    finally:
        host.ip(f"route del {target}/32 via {via}")


@contextmanager
def reconfigured(master: Machine, text: str, *units: str) -> Iterator[None]:
    """The services with another configuration, and with the former one again afterwards."""
    try:
        with configured(master, text):
            master.run(["systemctl", "restart", *units])
            yield
    finally:
        master.run(["systemctl", "restart", *units])


def test_the_laptop_has_the_page_by_address_and_name_and_no_neighbour_has(lab: Lab) -> None:
    laptop, bystander, own = lab.laptop, lab.bystanders[0], uplink(lab.master)
    lease = laptop.dhcp()
    page = Browser(laptop, PORT)
    status, text = page.ask("GET", "/")
    assert status == 200 and "<html" in text
    session = page.enter()
    assert (session["place"], session["pin_needed"], session["signed_in"]) == ("port", False, True)
    with page.events() as until:

        def complete(state: Any) -> bool:
            listed = {row["id"] for row in state["onsites"] or []}
            return account(lab, 0) in listed and state["port"].get("lease") == str(lease.address.ip)

        state = until("state", complete)
    assert state["agent"]["account"] == lab.plan.desks[0].account
    assert resolve(laptop.netns, str(lease.address.ip)) == [PORT]
    assert resolve(laptop.netns, str(lease.address.ip), at=PORT) == [PORT]
    # The LAN: not at the uplink's address, nor at the port's by way of it; and it hears no name.
    assert not answers(bystander.netns, own)
    with led_to(bystander, PORT, own):
        assert not answers(bystander.netns, PORT)
    assert resolve(bystander.netns, str(lab.plan.desks[0].bystander_address), patience=1.0) == []
    assert resolve(bystander.netns, str(lab.plan.desks[0].bystander_address), at=own, patience=1.0) == []


def test_l3_by_the_page_from_the_site_to_its_end_and_the_customer_sees_nothing(lab: Lab) -> None:
    laptop, camera, onsite = lab.laptop, lab.camera, account(lab, 0)
    laptop.dhcp()
    page = Browser(laptop, PORT)
    page.enter()
    with page.events() as until:
        until("state", lambda state: any(row["id"] == onsite for row in state["onsites"] or []))
        wish = {"onsite": onsite, "mode": "L3", "reason": "Störung 4711", "seconds": 0, "patience": 0}
        assert page.ask("POST", "/api/connect", wish) == (202, {})
        until("step", lambda step: onsite in step["text"])
        up = until("state", lambda state: state["agent"]["state"] == "Session_OK")
        assert up["agent"]["lan"].startswith("192.168.1.")
        taken = until("state", lambda state: any(row.get("in_session") for row in state["onsites"] or []))
        used_by = {row["id"]: row.get("in_session") for row in taken["onsites"]}
        assert used_by[onsite] == lab.plan.desks[0].account
        assert laptop.fetch(f"http://{CAMERA}/").out == camera.page()
        probed = until("state", lambda state: state["agent"].get("rtt_ms", 0) > 0)["agent"]
        assert probed["rx_bytes"] > 0
        with led_to(camera, PORT, str(up["agent"]["lan"]).partition("/")[0]):
            assert not answers(camera.netns, PORT)
        assert resolve(camera.netns, str(CAMERA), patience=1.0) == []
        assert page.ask("POST", "/api/disconnect", {}) == (200, {})
        until("state", lambda state: not state["agent"]["session"])
    assert listed(lab) == []
    assert "Störung 4711" in lab.rdv.run(["rdv-admin", "audit", "--device", onsite]).out


def test_a_connect_that_fails_is_told_with_its_reason(lab: Lab) -> None:
    lab.laptop.dhcp()
    page = Browser(lab.laptop, PORT)
    page.enter()
    with page.events() as until:
        status, told = page.ask("POST", "/api/connect", {"onsite": "rpi9999"})
        failed = told if status != 202 else until("failed", lambda _: True)
    assert failed["error"]["name"] == "NotOnline"
    assert "rpi9999 is not online" in failed["error"]["text"]


def test_on_the_support_lan_with_a_pin_it_ends_an_l2_session(lab: Lab) -> None:
    """In L2 the master has no address towards the laptop, and none on the customer's network."""
    laptop, camera, bystander, own = lab.laptop, lab.camera, lab.bystanders[0], uplink(lab.master)
    text = lab.master.run(["cat", CONFIG]).out + f'\n[web]\nuplink = true\npin = "{PIN}"\n'
    with reconfigured(lab.master, text, "masterdev-web"):
        wait_until(lambda: answers(bystander.netns, own), what="the page on the support LAN")
        page = Browser(bystander, own)
        assert page.enter()["pin_needed"] is True
        assert page.ask("GET", "/api/state")[0] == 401
        assert page.login("0000") == 403
        assert page.login(PIN) == 200
        assert page.state()["page"] == {
            "place": "uplink",
            "address": own,
            "uplink_page": True,
            "uplink_address": own,
            "account": lab.plan.desks[0].account,
        }
        with led_to(bystander, PORT, own):
            assert not answers(bystander.netns, PORT)
        laptop.dhcp()
        assert answers(laptop.netns, PORT)
        with session(lab.master, account(lab, 0), "L2"), page.events() as until:
            until("state", lambda state: state["agent"]["state"] == "Session_OK")
            lease = laptop.dhcp()
            assert lease.address in lab.plan.sites[0].lan.subnet
            assert not answers(laptop.netns, PORT)
            camera.ip("addr add 192.168.38.226/29 dev eth0")
            try:
                assert not answers(camera.netns, PORT)
                assert resolve(camera.netns, "192.168.38.226", patience=1.0) == []
            finally:
                camera.ip("addr del 192.168.38.226/29 dev eth0")
            assert resolve(laptop.netns, str(lease.address.ip), patience=1.0) == []
            assert page.ask("POST", "/api/disconnect", {}) == (200, {})
            until("state", lambda state: not state["agent"]["session"])
        assert listed(lab) == []
        laptop.dhcp()
        wait_until(lambda: answers(laptop.netns, PORT), what="the page is back on the port")
    wait_until(lambda: not answers(bystander.netns, own), what="no page on the support LAN")


def test_a_page_is_told_where_it_goes_on_when_the_customer_has_the_laptop_s_network(lab: Lab) -> None:
    subnet = 'extremity_subnet = "192.168.1.232/29"'
    text, found = re.subn(r"(?m)^extremity_subnet = .*$", subnet, lab.master.run(["cat", CONFIG]).out)
    assert found == 1
    laptop = lab.laptop
    with reconfigured(lab.master, text, "secondary-if-watcher"):
        lease = laptop.dhcp()
        assert str(lease.server) == "192.168.1.233"
        page = Browser(laptop, "192.168.1.233")
        wait_until(lambda: answers(laptop.netns, page.address), what="the page at the other address")
        page.enter()
        with page.events() as until:
            until("state", lambda state: state["onsites"])
            assert page.ask("POST", "/api/connect", {"onsite": account(lab, 0)}) == (202, {})
            moved = until("moving", lambda _: True)["url"]
        address = moved.removeprefix("http://").rstrip("/")
        wait_until(lambda: address in master_addresses(lab.master), what="the port's other address")
        there = laptop.dhcp()
        assert str(there.server) == address
        page = Browser(laptop, str(there.server))
        wait_until(lambda: answers(laptop.netns, page.address), what="the page at its new address")
        page.enter()
        with page.events() as until:
            state = until("state", lambda state: state["agent"]["state"] == "Session_OK")
            assert state["page"]["address"] == str(there.server)
            assert resolve(laptop.netns, str(there.address.ip)) == [str(there.server)]
            assert laptop.fetch(f"http://{CAMERA}/").out == lab.camera.page()
            # By the command: the answer to the page's own would come after the move, to nobody.
            lab.master.run(["masterdev", "disconnect"])
            assert until("moving", lambda _: True) == {"url": "http://192.168.1.233/"}


@pytest.mark.parametrize(("unit", "key"), [("masterdev", "agent"), ("secondary-if-watcher", "port")])
def test_the_page_says_what_is_down_and_sees_it_come_back(lab: Lab, unit: str, key: str) -> None:
    lab.laptop.dhcp()
    page = Browser(lab.laptop, PORT)
    page.enter()
    with page.events() as until:
        until("state", lambda state: state[key])
        lab.master.run(["systemctl", "kill", "--signal=KILL", unit])
        down = until("state", lambda state: state[key] is None)
        assert down["trouble"]["title"]
    if unit == "secondary-if-watcher":  # the next one looks at the port anew: it has no address meanwhile
        wait_until(
            lambda: "the page is no longer" in lab.master.journal("masterdev-web", lines=1), what="it left"
        )
        wait_until(lambda: answers(lab.laptop.netns, PORT), what="the page is back")
    with page.events() as until:
        until("state", lambda state: state[key])


def test_a_captive_portal_on_the_uplink_is_told_on_the_page(lab: Lab) -> None:
    lab.laptop.dhcp()
    page = Browser(lab.laptop, PORT)
    page.enter()
    with page.events() as until:
        with behind(lab, lab.master, strict.captive_portal):
            told = until("state", lambda state: "sign-in" in (state["trouble"] or {}).get("title", ""))
            assert strict.PORTAL_URL in told["trouble"]["text"] and told["trouble"]["checks"]
            assert told["onsites"] is None
        until("state", lambda state: state["trouble"] is None and state["onsites"])


def test_the_page_s_process_can_read_no_secret_of_the_device(lab: Lab) -> None:
    master = lab.master
    text = master.run(["cat", CONFIG]).out + f'\n[web]\npin = "{PIN}"\n'
    with reconfigured(master, text, "masterdev-web"):
        pid = master.run(["systemctl", "show", "-P", "MainPID", "masterdev-web"]).out.strip()
        inside = [
            "nsenter",
            "-t",
            pid,
            "-m",
            "setpriv",
            "--reuid=tundev-web",
            "--regid=tundev-web",
            "--init-groups",
        ]
        for file in (CONFIG, "/etc/tundev/id_ed25519", "/run/tundev/known_hosts"):
            assert master.run([*inside, "cat", file], check=False).code != 0
        settings = "/run/tundev-web/settings.json"
        assert PIN not in master.run([*inside, "cat", settings]).out
        assert master.run(["stat", "-c", "%U:%G %a", settings]).out.split() == [
            "tundev-web:tundev-web",
            "400",
        ]
        assert "tundev" not in master.run(["id", "-nG", "tundev-web"]).out.split()
        assert PIN not in master.run(["journalctl", "-b", "-u", "masterdev-web"]).out


def test_a_configuration_with_a_fault_keeps_the_page_down_and_says_why(lab: Lab) -> None:
    master = lab.master
    text = master.run(["cat", CONFIG]).out + "\n[web]\nuplink = true\n"
    with configured(master, text):
        master.run(["systemctl", "restart", "masterdev-web"], check=False)
        assert "needs a pin beside it" in master.journal("masterdev-web", lines=10)
        assert master.run(["systemctl", "is-active", "masterdev-web"], check=False).out.strip() == "failed"
    master.run(["systemctl", "restart", "masterdev-web"])
