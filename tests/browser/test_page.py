"""What the page does with what it is told, and what a person can do with it: on the stage."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser import scenes
from tests.browser.chromium import DESKTOP, SMALL
from tests.browser.conftest import OpenStage, Staged
from tests.browser.page import Page
from tests.browser.scenes import ROWS, row
from tests.browser.stage import Stage
from tundev import contract
from vtunlib.errors import NotOnline, RdvError, SessionFailed


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


def connects(stage: Stage, page: Page, number: int) -> list[list[Any]]:
    """What the agent was asked, once it was so often: the page shows that it connects before it is heard."""
    page.until(lambda: len(stage.asked(contract.CONNECT)) >= number, "the agent is asked")
    return stage.asked(contract.CONNECT)


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
    assert connects(stage, page, 1) == [["rpi1100", "L3", "", 0, 0]]
    stage.release()


def test_what_is_asked_for_reaches_the_agent(staged: Staged) -> None:
    stage, page = staged
    stage.hold("asking the RDV for rpi1104 in L2")
    page.connect("rpi1104", "L2", reason="ticket 4711", hours=4)
    page.until_view("connecting")
    assert connects(stage, page, 1) == [["rpi1104", "L2", "ticket 4711", 14400, 0]]
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
    assert len(connects(stage, page, 2)) == 2
    stage.release()


def test_what_the_agent_refuses_at_once_is_told(staged: Staged) -> None:
    stage, page = staged
    stage.hold()
    stage.release(NotOnline("rpi1100 is not online", "masterdev list"))
    page.connect("rpi1100")
    page.until_view("failed")
    assert "rpi1100 is not online" in page.read("#failure")
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


def test_a_cookie_that_is_another_by_now_is_no_obstacle(staged: Staged) -> None:
    """As after the page's service began anew, or where two windows were opened at once."""
    stage, page = staged
    page.browser.devtools("Network.clearBrowserCookies")
    stage.hold("asking the RDV for rpi1100 in L3")
    page.connect("rpi1100")
    page.until_text("Asking the RDV", "#steps")
    assert len(stage.asked(contract.CONNECT)) == 1
    stage.release()
