"""What the page does with what it is told, in a real browser, on the stage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser import scenes
from tests.browser.chromium import DESKTOP, PHONE, SMALL
from tests.browser.conftest import OpenStage
from tests.browser.page import Page
from tests.browser.scenes import ROWS, SCENES, row
from tests.browser.stage import ADDRESS, MOVED, MOVED_URL, READY, Desk, Stage
from tundev import contract
from tundev.contract import PortState
from tundev.web.places import NAME
from vtunlib.errors import NotOnline, RdvError, SessionFailed


@pytest.fixture
def staged(open_stage: OpenStage) -> Iterator[tuple[Stage, Page]]:
    """The page with five sites online."""
    stage, page = open_stage()
    stage.onsites(*ROWS)
    page.until(lambda: len(page.sites) == len(ROWS), "all sites are listed")
    yield stage, page


Staged = tuple[Stage, Page]


def test_sites_are_sorted_by_name_and_found_by_what_is_typed(staged: Staged) -> None:
    _, page = staged
    assert page.sites == ["rpi1104", "rpi1100", "rpi1107", "rpi1111", "rpi1102"]
    for typed, found in (
        ("champ", ["rpi1100"]),
        ("ULM hall", ["rpi1104"]),
        ("172.16", ["rpi1102"]),
        ("rpi110", ["rpi1104", "rpi1100", "rpi1107", "rpi1102"]),
        ("nowhere", []),
    ):
        page.search(typed)
        assert page.sites == found, typed
    assert "No site matches" in page.read("#sites-empty")


def test_the_keyboard_alone_is_enough_to_connect(staged: Staged) -> None:
    stage, page = staged
    stage.hold("asking the RDV for rpi1100 in L3")
    body = page.one("body")
    body.send_keys("/")
    field = page.driver.switch_to.active_element
    assert field.get_attribute("id") == "search"
    field.send_keys("champ", Keys.ENTER)
    page.one("#ask")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.until_view("connecting")
    assert stage.asked(contract.CONNECT) == [["rpi1100", "L3", "", 0, 0]]
    stage.release()


def test_what_is_asked_for_reaches_the_agent(staged: Staged) -> None:
    stage, page = staged
    stage.hold("asking the RDV for rpi1104 in L2")
    page.connect("rpi1104", "L2", reason="ticket 4711", hours=4)
    page.until_view("connecting")
    assert stage.asked(contract.CONNECT) == [["rpi1104", "L2", "ticket 4711", 14400, 0]]
    stage.release()


def test_bridged_ends_after_an_hour_unless_something_else_is_chosen(staged: Staged) -> None:
    _, page = staged
    page.ask("rpi1100", "L2")
    assert page.one("#ask-silent").is_displayed()
    assert page.chosen("seconds") == "3600"
    page.choose("mode", "L3")
    assert page.chosen("seconds") == "0"
    assert not page.read("#ask-silent")


def test_a_site_without_a_wired_uplink_cannot_be_bridged(staged: Staged) -> None:
    _, page = staged
    page.ask("rpi1107")
    page.choose("mode", "L2")
    assert page.chosen("mode") == "L3"
    assert "not on a wired network" in page.read("#ask")


def test_a_site_in_use_says_by_whom_and_is_no_choice(staged: Staged) -> None:
    stage, page = staged
    button = page.site("rpi1102").find_element("tag name", "button")
    assert (button.text, button.is_enabled()) == ("In use by rpi1202", False)
    page.search("waterworks", enter=True)
    assert not page.read("#ask")
    stage.onsites(*(one | {"in_session": ""} for one in ROWS))
    page.until(button.is_enabled, "it is free again")


def test_an_empty_list_says_that_no_onsite_is_online(open_stage: OpenStage) -> None:
    stage, page = open_stage()
    stage.onsites()
    page.until_text("No onsite is online", "#sites-empty")


def test_where_the_adapter_s_address_is_another_the_page_is_found_by_its_name(staged: Staged) -> None:
    """The word of the move may be lost with the link."""
    stage, page = staged
    stage.port(address=None)
    page.until_text("No connection to the master", "#lost")
    stage.port(address=f"{MOVED}/29")
    page.until(lambda: NAME in page.driver.current_url, "it is open by its name")
    page.until_view("sites")


def test_five_hundred_sites_are_found_among(open_stage: OpenStage) -> None:
    stage, page = open_stage()
    stage.onsites(
        *(row(f"rpi{number}", f"Site {number}", f"Hall {number % 7}") for number in range(2000, 2500))
    )
    page.until_text("500 online", "#sites-count")
    page.search("site 2417 hall")
    assert page.sites == ["rpi2417"]


@pytest.mark.parametrize("size", [DESKTOP, SMALL], ids=["desktop", "small"])
def test_hostile_names_are_shown_as_text_and_break_nothing(
    open_stage: OpenStage, size: tuple[int, int]
) -> None:
    stage, page = open_stage()
    page.browser.size(size)
    stage.onsites(*scenes.HOSTILE)
    page.until(lambda: len(page.sites) == len(scenes.HOSTILE), "they are listed")
    assert "<img src=x onerror=alert(1)>" in page.read("#site-list")
    assert page.all("#site-list img, #site-list script") == []
    assert "\u202e" not in page.text
    assert page.fits()
    heights = [one.size["height"] for one in page.all("#site-list > li")]
    assert max(heights) < 220
    page.ask(scenes.HOSTILE[0]["id"])
    assert page.fits() and "<script>" in page.read("#ask")
    page.click("#ask-cancel")


def test_steps_appear_and_a_failure_says_what_to_do(staged: Staged) -> None:
    stage, page = staged
    stage.hold("asking the RDV for rpi1100 in L3", "setting up this end of the tunnel")
    page.connect("rpi1100")
    page.until(lambda: len(page.steps) == 2, "both steps")
    stage.step("waiting for the tunnel")
    page.until(lambda: page.steps[2:] == ["Waiting for the tunnel"], "the third step")
    stage.release(SessionFailed("the onsite did not join", "try again"))
    page.until_view("failed")
    assert page.read("#failure").splitlines() == ["The onsite did not join", "Try again"]
    stage.hold("asking the RDV for rpi1100 in L3")
    page.click("#retry")
    page.until_view("connecting")
    assert len(stage.asked(contract.CONNECT)) == 2
    stage.release()


def test_what_the_agent_refuses_at_once_is_told(staged: Staged) -> None:
    stage, page = staged
    stage.hold()
    stage.release(NotOnline("rpi1100 is not online", "masterdev list"))
    page.connect("rpi1100")
    page.until_view("failed")
    assert "Rpi1100 is not online" in page.read("#failure")
    page.click("#back")
    page.until_view("sites")


def test_cancelling_puts_everything_back_without_a_word_of_failure(staged: Staged) -> None:
    stage, page = staged
    stage.hold("asking the RDV for rpi1100 in L3")
    page.connect("rpi1100")
    page.until_view("connecting")
    stage.agent(session=True, mode="L3", onsite="rpi1100", state="SSH_connection_OK")
    page.click("#cancel")
    page.until(lambda: bool(stage.asked(contract.DISCONNECT)), "the agent is told")
    stage.agent(session=False, mode=None, onsite=None, ended="the master disconnected", ended_as_wished=True)
    stage.release(RdvError("the master disconnected"))
    page.until_view("sites")
    assert not page.read("#failure")


def test_a_session_is_seen_in_every_window_and_its_end_says_why(staged: Staged) -> None:
    stage, page = staged
    first = page.driver.current_window_handle
    stage.session(**scenes.session())
    page.until_view("session")
    assert "192.168.1.20/24" in page.read("#lan")
    assert page.read("#rtt") == "23"
    page.driver.switch_to.new_window("tab")
    page.open().until_view("session")
    stage.agent(**scenes.no_session(ended="the tunnel went down", wished=False))
    page.until_view("sites").until_text("The session was cut off", "#ended")
    assert "the tunnel went down" in page.read("#ended")
    page.click("#dismiss")
    assert not page.read("#ended")
    page.driver.switch_to.window(first)
    page.until_text("The session was cut off", "#ended")


def test_lost_probes_are_gaps_in_the_graph(staged: Staged) -> None:
    stage, page = staged
    stage.session(**scenes.session())
    page.until_view("session")
    for rtt, rx in ((20.0, 1000), (21.0, 2000), (None, 3000), (25.0, 4000)):
        stage.agent(rtt_ms=rtt, rx_bytes=rx)
        page.until_text("no answer" if rtt is None else f"{rtt:.0f}", "#rtt")
    page.until_text("1 lost", "#rtt-range")
    path = page.one("#graph").find_element("css selector", ".graph-line").get_attribute("d")
    assert path is not None and path.count("M") == 2


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
    page.until_view("sites").until_text("the time limit of 3600 s is over", "#ended")
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


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_is_readable_everywhere(open_stage: OpenStage, name: str) -> None:
    """On a phone and a desktop, light and dark: no sideways scrolling, contrast as WCAG 2.1 AA has it."""
    scene = SCENES[name]
    stage, page = open_stage(uplink=scene.uplink, pin=scene.pin)
    scene.play(stage, page)
    for size, tag in ((DESKTOP, "desktop"), (PHONE, "phone")):
        page.browser.size(size, dark=False)
        page.picture(f"{name}-{tag}")
    page.browser.size(SMALL)
    assert page.fits()
    assert page.unreadable() == []
    page.browser.size(DESKTOP, dark=True)
    assert page.unreadable() == []
    page.picture(f"{name}-dark")
    assert page.unnamed() == []
