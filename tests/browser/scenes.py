"""What the page is shown with: the sites that tests speak of, and its states one by one."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.browser.page import Page
from tests.browser.stage import Stage
from tundev.contract import Key, PortState
from tundev.states import State
from vtunlib.errors import SessionFailed

FASTER = 20
"""How much faster the page's clock runs where two minutes are to be seen."""
STEPS = (
    "asking the RDV for rpi1100 in L3",
    "setting up this end of the tunnel",
    "waiting for the tunnel",
    "tunnel up, asking the far end",
)


def ago(seconds: float) -> str:
    """That instant, ISO 8601."""
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
    return then.isoformat(timespec="seconds")


def row(account: str, label: str, location: str, lan: str = "192.168.1.20/24", **more: Any) -> dict[str, Any]:
    """A site, as ListOnsites has it."""
    facts = {
        "hostname": account,
        "uplink": "lan",
        "since": ago(7300),
        "in_session": "",
        "dns": ["192.168.1.1"],
    }
    return {"id": account, "label": label, "location": location, "lan": lan} | facts | more


ROWS = (
    row("rpi1100", "Royal Champagne", "Épernay, boiler room"),
    row(
        "rpi1102", "Waterworks North", "Pumping station 4", "172.16.8.5/24", uplink="3g", in_session="rpi1202"
    ),
    row("rpi1104", "Bakery Lindner", "Ulm, oven hall 2", "10.20.0.14/16", since=ago(300000)),
    row("rpi1107", "rpi1107", "", "192.168.0.77/24", uplink="wlan", since=ago(95)),
    row("rpi1111", "Sawmill Kettunen", "Joensuu, control cabinet", "192.168.100.3/24", since=ago(1500)),
)
HOSTILE = (
    row("rpi1200", "<script>alert(1)</script>", "x" * 200),
    row("rpi1201", "<img src=x onerror=alert(1)>", "\u202egnp.exe \u2066right to left"),
    row("rpi1202", "W" * 200, "one two three " * 15, "192.168.255.255/24 " + "9" * 60),
)


def session(**more: Any) -> dict[str, Any]:
    """The keys of a session that is up."""
    return {
        Key.MODE: "L3",
        Key.ONSITE: "rpi1100",
        Key.LAN: "192.168.1.20/24",
        Key.DNS: ["192.168.1.1", "192.168.1.2"],
        Key.RTT_MS: 23.4,
        Key.SINCE: ago(754),
        Key.ENDS: ago(-13646),
        Key.REASON: "ticket 4711",
        Key.REACH: "lan",
        Key.RX_BYTES: 48_211_034,
        Key.TX_BYTES: 1_203_344,
    } | more


def no_session(*, ended: str, wished: bool) -> dict[str, Any]:
    """The keys of a Status after it."""
    gone = dict.fromkeys(session())
    over = {
        Key.SESSION: False,
        Key.STATE: State.SSH_CONNECTION_OK,
        Key.ENDED: ended,
        Key.ENDED_AS_WISHED: wished,
    }
    return {str(key): value for key, value in (gone | over).items()}


@dataclass(frozen=True)
class Scene:
    """play: brings the page there. uplink: seen from the support LAN; pin: what is asked for."""

    play: Callable[[Stage, Page], None]
    uplink: bool = False
    pin: str = ""


def _sites(stage: Stage, page: Page) -> None:
    stage.onsites(*ROWS)
    page.until(lambda: len(page.sites) == len(ROWS), "the sites")


def _connect(stage: Stage, page: Page) -> None:
    _sites(stage, page)
    page.ask("rpi1100", reason="ticket 4711")


def _bridged(stage: Stage, page: Page) -> None:
    _sites(stage, page)
    page.ask("rpi1100", "L2", reason="ticket 4711")


def _connecting(stage: Stage, page: Page) -> None:
    _sites(stage, page)
    stage.hold(*STEPS[:3])
    page.connect("rpi1100")
    page.until(lambda: len(page.steps) == 3, "three steps")


def _failed(stage: Stage, page: Page) -> None:
    _connecting(stage, page)
    stage.release(
        SessionFailed("the onsite did not join within 30 s", "look whether it is online, and try again")
    )
    page.until_view("failed")


def _silent(stage: Stage, page: Page) -> None:
    _sites(stage, page)
    stage.hold(STEPS[0].replace("L3", "L2"), STEPS[1])
    page.connect("rpi1100", "L2")
    page.until_text("falls silent", "#silent")


def _session(stage: Stage, page: Page) -> None:
    page.browser.hurry(FASTER)
    page.open()
    _sites(stage, page)
    stage.session(**session())
    page.until_view("session")
    for number in range(62):
        rtt = round(21 + 3 * math.sin(number / 3) + 5 * (number * 7919 % 11) / 11, 1)
        received, sent = 48_211_034 + 400_000 * number, 1_203_344 + 21_000 * number
        stage.agent(rtt_ms=None if number in (25, 26) else rtt, rx_bytes=received, tx_bytes=sent)
        page.until_text(f"{received / 1e6:.1f} MB", "#rx")


def _ended(stage: Stage, page: Page) -> None:
    _sites(stage, page)
    stage.session(**session())
    page.until_view("session")
    stage.agent(**no_session(ended="the onsite's connection to the RDV was lost", wished=False))
    page.until_text("The session was cut off", "#ended")


def _trouble(stage: Stage, page: Page) -> None:
    failure = {
        Key.STATE: State.RDVSERVER_IP_OK,
        Key.FAILURE: "no answer from rdv.example.com:2222 within 5 s",
        Key.FAILURE_CLASS: "RdvUnreachable",
    }
    stage.agent(**{str(key): value for key, value in failure.items()})
    page.one("#trouble")


def _refused(stage: Stage, page: Page) -> None:
    _sites(stage, page)
    reason = (
        "another DHCP server, 192.168.1.1, answers on the adapter: it is plugged into an office network, "
        "not into a laptop"
    )
    waiting = ["enx00e04c680001 (ASIX AX88179)"]
    stage.port(state=PortState.REFUSED, reason=reason, waiting=waiting, address=None, lease=None, laptop=None)
    page.until_text("Adapter refused", "#port")


def _signin(_: Stage, page: Page) -> None:
    page.until_view("signin")


SCENES = {
    "sites": Scene(_sites),
    "connect": Scene(_connect),
    "bridged": Scene(_bridged),
    "connecting": Scene(_connecting),
    "failed": Scene(_failed),
    "silent": Scene(_silent),
    "session": Scene(_session),
    "ended": Scene(_ended),
    "trouble": Scene(_trouble),
    "refused": Scene(_refused, uplink=True),
    "signin": Scene(_signin, pin="271828"),
}
