"""The technician's work at the desk, in the lab: a real browser on the laptop, and all machines real."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import DESKTOP, PHONE, Chromium, chromium
from tests.browser.page import Page
from tests.lab import strict
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.test_page import reconfigured
from tests.lab.test_port import CONFIGURED, OWN, WATCHER, becomes, office, status
from tests.lab.test_sessions import account, listed, session
from tests.lab.test_trouble import behind
from tests.lab.test_wrong_input import CONFIG
from tests.lab.topology import CAMERA_NAME, CUSTOMER_LAN
from tundev.web.places import NAME

URL = f"http://{OWN}/"
CLASHING = IPv4Network("192.168.1.224/29")
PIN = "4711-0815"


@pytest.fixture(scope="module")
def laptop_browser(whole_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser on the first desk's laptop."""
    with chromium(whole_lab.laptop.netns, tmp_path_factory.mktemp("laptop-browser")) as browser:
        yield browser


@pytest.fixture
def page(lab: Lab, laptop_browser: Chromium) -> Iterator[Page]:
    """The page, as the technician has it who plugged in a minute ago."""
    laptop_browser.size(DESKTOP)
    lab.laptop.dhcp()
    opened = Page(laptop_browser, URL).open()
    listing(opened, lab)
    yield opened
    complaints = laptop_browser.complaints()
    asked = laptop_browser.hosts_asked()
    laptop_browser.tidy()
    assert complaints == []
    assert {host for host in asked if not private(host)} <= {CAMERA_NAME, NAME}


def listing(page: Page, lab: Lab) -> None:
    """Until both sites are listed."""
    page.until(lambda: page.sites == [site.account for site in lab.plan.sites], "both sites")


def private(host: str) -> bool:
    """Whether it is an address that the laptop's network may have."""
    try:
        return IPv4Address(host).is_private
    except ValueError:
        return False


def test_a_session_from_the_search_to_its_end(lab: Lab, page: Page) -> None:
    """The camera's page by its name in another tab, live figures, the same in a second window."""
    first = page.driver.current_window_handle
    page.search("onsite1", enter=True)
    page.one("#reason").send_keys("ticket 4711", Keys.ENTER)
    page.until_view("session")
    assert listed(lab)[0]["reason"] == "ticket 4711"
    assert page.read("#lan").startswith("192.168.1.")
    page.until(lambda: page.samples >= 2, "two probes")
    before = page.amount("#rx")
    assert before > 0
    page.driver.switch_to.new_window("tab")
    page.driver.get(f"http://{CAMERA_NAME}/")
    page.until_text(f"{lab.camera.name} of {lab.plan.sites[0].lan.name}", "h1")
    page.open().until_view("session")
    assert "ticket 4711" in page.read("#session-reason")
    page.driver.switch_to.window(first)
    page.until(lambda: page.amount("#rx") > before, "more bytes")
    page.picture("desk-session-desktop")
    page.browser.size(PHONE)
    assert page.fits()
    page.click("#disconnect")
    page.until_view("sites").until_text("The session is over", "#ended")
    assert listed(lab) == []
    page.until(
        lambda: bool(page.site(account(lab, 0)).find_element("tag name", "button").is_enabled()), "free"
    )


def test_bridged_the_page_is_silent_until_the_session_is_over(lab: Lab, page: Page) -> None:
    page.ask(account(lab, 0), "L2")
    assert "This page cannot be reached during a bridged session" in page.read("#ask-silent")
    page.click("#ask-connect")
    page.until_text("This page falls silent now", "#silent")
    wait_until(lambda: [row["state"] for row in listed(lab)] == ["up"], what="the session is up")
    assert lab.laptop.dhcp().address.network == CUSTOMER_LAN
    page.until_text("This page comes back by itself", "#lost")
    lab.master.run(["masterdev", "disconnect"])
    lab.laptop.dhcp()
    page.until_view("sites").until_text("The master disconnected", "#ended")


def test_an_onsite_that_is_lost_in_a_session_is_told(lab: Lab, page: Page) -> None:
    page.connect(account(lab, 0))
    page.until_view("session")
    lab.onsite.run(["systemctl", "kill", "--signal=KILL", "onsitedev"])
    page.until_view("sites").until_text("The session was cut off", "#ended")
    lab.wait_online()
    page.click("#again")
    page.until_view("session")


def test_a_site_in_another_master_s_session_says_so(lab: Lab, page: Page) -> None:
    with session(lab.masters[1], account(lab, 0), "L3"):
        page.until_text(f"In use by {lab.plan.desks[1].account}", "#site-list")
    page.until(lambda: "In use" not in page.read("#site-list"), "it is free again")


def test_an_rdv_out_of_reach_is_told_with_the_state_that_failed(lab: Lab, page: Page) -> None:
    with behind(lab, lab.master, strict.nothing_out):
        page.until_text("The RDV server cannot be reached", "#trouble", patience=60)
        page.until_text("No list of sites yet", "#sites-empty")
        page.until_text("Server", '#chain li[data-is="failed"]')
    listing(page, lab)
    assert not page.read("#trouble")


def test_a_laptop_that_moves_is_taken_along_and_back(lab: Lab, page: Page) -> None:
    """The laptop's own network is also the customer's."""
    text = lab.master.run(["cat", CONFIG]).out
    with reconfigured(lab.master, text.replace(str(CONFIGURED), str(CLASHING)), WATCHER):
        assert becomes(lab, "ready")["address"] == "192.168.1.225/29"
        lab.laptop.dhcp()
        page.driver.get("http://192.168.1.225/")
        listing(page, lab)
        page.connect(account(lab, 0))
        page.until_view("moving").until_text("This page moves", "#moving")
        # As the laptop does when its link comes up again, which is after the master's address is another.
        wait_until(lambda: "moved" in lab.port(lab.master), what="the port has moved")
        lab.laptop.dhcp()
        page.until_view("session")
        assert "192.168.1.225" not in page.driver.current_url
        assert "the customer's LAN" in str(lab.port(lab.master)["moved"])
        page.click("#disconnect")
        page.until_view("moving")
        wait_until(lambda: "moved" not in lab.port(lab.master), what="the port has moved back")
        lab.laptop.dhcp()
        page.until_view("sites").until(lambda: "192.168.1.225" in page.driver.current_url, "it is back")
    becomes(lab, "ready")


def test_on_the_support_lan_behind_a_pin(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    """From there the adapter is seen that is not there or refused, and a bridged session, which is ended."""
    address = str(status(lab.master)["address"]).partition("/")[0]
    bystander, text = lab.bystanders[0], lab.master.run(["cat", CONFIG]).out
    web = f'\n[web]\nuplink = true\npin = "{PIN}"\n'
    with (
        reconfigured(lab.master, text + web, "masterdev-web.service"),
        chromium(bystander.netns, tmp_path_factory.mktemp("bystander-browser")) as browser,
    ):
        browser.size(DESKTOP)
        page = Page(browser, f"http://{address}/").open().until_view("signin")
        page.one("#pin").send_keys("0000", Keys.ENTER)
        page.until_text("this is not the PIN", "#signin-error")
        page.one("#pin").send_keys(PIN, Keys.ENTER)
        listing(page.until_view("sites"), lab)
        page.connect(account(lab, 0), "L2", hours=1)
        page.until_view("session").until_text("ends in", "#left")
        page.click("#disconnect")
        page.until_view("sites")
        lab.adapter.pull()
        page.until_text("No adapter", "#port").until_text("Plug the USB-Ethernet adapter", "#trouble")
        with office(lab.laptop):
            lab.adapter.plug(lab.master)
            page.until_text("Adapter refused", "#port").until_text("10.20.0.1", "#trouble")
            page.picture("desk-refused-desktop")
        lab.adapter.pull_cable()
        page.until_text("No cable", "#port")
        lab.adapter.put_cable_back()
        page.until_text("Adapter ready", "#port")
        assert browser.complaints() == []
        assert browser.hosts_asked() <= {address}
