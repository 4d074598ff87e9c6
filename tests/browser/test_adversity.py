"""When something is wrong, moves, falls silent or is hostile: on the stage."""

from __future__ import annotations

from typing import Any

from selenium.webdriver.common.keys import Keys

from tests.browser import scenes
from tests.browser.conftest import OpenStage, Staged
from tests.browser.scenes import ROWS
from tests.browser.stage import ADDRESS, MOVED, MOVED_URL, READY, Desk
from tundev import contract
from tundev.contract import PortState
from tundev.web.places import NAME


def test_where_the_adapter_s_address_is_another_the_page_is_found_by_its_name(staged: Staged) -> None:
    """The word of the move may be lost with the link."""
    stage, page = staged
    stage.port(address=None)
    page.until_text("No connection to the master", "#lost")
    stage.port(address=f"{MOVED}/29")
    page.until(lambda: NAME in page.driver.current_url, "it is open by its name")
    page.until_view("sites")


def test_an_attempt_that_begins_anew_does_not_hide_where_the_last_one_failed(open_stage: OpenStage) -> None:
    stage, page = open_stage()
    failed = '#chain li[data-is="failed"]'
    for state, failure, named in (
        ("IP_addr_OK", "rdv.example.com has no address", "Name"),
        ("RDVServer_IP_OK", "no answer from rdv.example.com:2222", "Server"),
        ("IP_addr_OK", "no answer from rdv.example.com:2222", "Server"),
        ("LAN_wait", "no network", "Network"),
    ):
        stage.agent(state=state, failure=failure, failure_class="RdvUnreachable")
        page.until_text(failure[1:], "#rdv")
        assert page.read(failed).split("\n")[0] == named


def test_the_adapter_is_refused_and_then_good_again(staged: Staged) -> None:
    stage, page = staged
    stage.port(state=PortState.REFUSED, reason="another DHCP server, 192.168.1.1, answers on the adapter")
    page.until_text("Adapter refused", "#port").until_text("192.168.1.1", "#trouble")
    page.ask("rpi1100")
    assert not page.one("#ask-connect").is_enabled()
    stage.port(state=PortState.READY, reason=None)
    page.until(lambda: bool(page.one("#ask-connect").is_enabled()), "it can be connected again")
    page.click("#ask-cancel")


def test_without_an_adapter_the_session_waits_for_one(open_stage: OpenStage) -> None:
    stage, page = open_stage(uplink=True)
    stage.onsites(*ROWS)
    stage.port(state=PortState.ABSENT, interface=None, address=None, lease=None, laptop=None)
    page.until_text("No adapter", "#port")
    stage.hold("waiting for the adapter")
    page.ask("rpi1100")
    assert "waits two minutes" in page.read("#ask-port")
    page.click("#ask-connect")
    page.until_text("Waiting for the adapter", "#steps")
    assert stage.asked(contract.CONNECT) == [["rpi1100", "L3", "", 0, 120]]
    stage.release()


def test_the_page_goes_on_at_its_new_address_by_itself(staged: Staged) -> None:
    stage, page = staged
    stage.port(address=f"{MOVED}/29", moved="192.168.38.224/29 is also the customer's")
    page.until(lambda: bool(page.driver.current_url == MOVED_URL), "it is at the new address")
    page.until_view("sites").until_text("also the customer's", "#port")


def test_a_link_that_flaps_is_told_calmly_and_gets_over_it(staged: Staged, staged_desk: Desk) -> None:
    stage, page = staged
    staged_desk.laptop.ip("link set eth0 down")
    page.until_text("No connection to the master", "#lost", patience=60)
    staged_desk.laptop.ip("link set eth0 up")
    stage.onsites(ROWS[0])
    page.until(lambda: not page.read("#lost") and page.sites == ["rpi1100"], "it is up to date again")


def test_bridged_the_page_says_farewell_and_comes_back(staged: Staged) -> None:
    stage, page = staged
    stage.hold("setting up this end of the tunnel")
    page.connect("rpi1100", "L2")
    page.until_text("This page falls silent now", "#silent")
    assert "an hour is over" in page.read("#silent") and "masterdev disconnect" in page.read("#silent")
    stage.port(state=PortState.BORROWED, address=None, lease=None)
    page.until_text("Silent while your laptop is on the site's network", "#lost", patience=60)
    stage.release()
    stage.agent(**scenes.no_session(ended="the time limit of 3600 s is over", wished=True))
    stage.port(**READY)
    page.until_view("sites").until_text("time limit of 3600 s is over", "#ended")
    page.one("#again")


def test_the_pin_is_asked_for_and_a_wrong_one_refused(open_stage: OpenStage) -> None:
    stage, page = open_stage(pin="271828", uplink=True)
    stage.onsites(*ROWS)
    page.until_view("signin")
    page.one("#pin").send_keys("314159", Keys.ENTER)
    page.until_text("this is not the PIN", "#signin-error")
    page.one("#pin").send_keys("271828", Keys.ENTER)
    page.until_view("sites").until(lambda: page.sites, "the sites")


_FOREIGN = """<!DOCTYPE html><title>elsewhere</title><p>foreign</p>
<form id="form" method="post" enctype="text/plain" action="http://{address}/api/connect">
<input name='{{"onsite":"rpi1100","mode":"L3","x":"' value='"}}'></form>"""
_ATTACK = """
const done = arguments[arguments.length - 1];
const url = "http://{address}/api/connect", body = JSON.stringify({{onsite: "rpi1100", mode: "L3"}});
const ways = [
  {{method: "POST", mode: "no-cors", body}},
  {{method: "POST", body, headers: {{"Content-Type": "application/json", "X-CSRF": "x"}}}},
  {{method: "POST", body, headers: {{"Content-Type": "text/plain"}}}},
];
const ask = (way) => fetch(url, {{credentials: "include", ...way}}).then((a) => a.type, () => "refused");
Promise.all(ways.map(ask)).then((told) => {{
  document.getElementById("form").submit();
  done(told);
}});
"""


def test_another_page_in_the_same_browser_cannot_drive_it(
    staged: Staged, staged_desk: Desk, tmp_path: Any
) -> None:
    stage, page = staged
    (tmp_path / "index.html").write_text(_FOREIGN.format(address=ADDRESS), encoding="utf-8")
    server = ["/usr/bin/python3", "-u", "-m", "http.server", "8000", "--bind", "127.0.0.1"]
    with staged_desk.laptop.start([*server, "--directory", str(tmp_path)]) as elsewhere:
        elsewhere.wait_line("Serving HTTP")
        page.driver.get("http://127.0.0.1:8000/")
        told = page.driver.execute_async_script(_ATTACK.format(address=ADDRESS))
        assert told == ["opaque", "refused", "refused"]
        page.until_text("another page asks for this")
    assert stage.asked(contract.CONNECT) == []
    page.browser.complaints()  # of the foreign page
    page.browser.hosts_asked()
