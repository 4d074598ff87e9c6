"""How a device shows how it is: in words on its card and its console, by its LED."""

from __future__ import annotations

import asyncio
import os
import pty
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.host import wait_until
from tests.unit.tundev.firstboot.conftest import RDV
from tundev.appliance.led import NAMES, PATTERNS, Led
from tundev.appliance.pace import CAP_SECONDS, Pace
from tundev.appliance.report import Report
from tundev.appliance.status_text import Condition, Seen, card_lines, condition, for_card, screen_lines
from tundev.firstboot import outcome
from tundev.firstboot.boot_partition import BootPartition
from tundev.firstboot.outcome import Outcome
from tundev.states import State

ROOT = Path(__file__).parents[3]
ONLINE: dict[str, Any] = {
    "role": "onsite",
    "account": "rpi1100",
    "server": "rdv.example.com",
    "state": "SSH_connection_OK",
    "uplink": "tundev-lan",
    "address": "192.168.1.101/24",
    "session": False,
}
REFUSED = {
    **ONLINE,
    "state": "RDVServer_TCP_OK",
    "failure": "the one-time key of this device was used, replaced or has expired",
    "failure_class": "AuthenticationRefused",
}
NO_NETWORK = {**ONLINE, "state": "LAN_wait"}
FAULT = "tundev.toml, line 3: [rdv] acount: is unknown; expected one of server, account"

CASES: dict[str, tuple[Seen, Condition, list[str]]] = {
    "online": (
        Seen(configured=True, status=ONLINE),
        Condition.ONLINE,
        ["Online: the RDV server rdv.example.com knows this device as rpi1100."],
    ),
    "in a session": (
        Seen(configured=True, status={**ONLINE, "state": "Session_OK", "session": True}),
        Condition.SESSION,
        ["Online: the RDV server"],
    ),
    "refused": (
        Seen(configured=True, enrolling=True, status=REFUSED),
        Condition.NO_RDV,
        ["the one-time key of this device was used, replaced", "It is not enrolled yet"],
    ),
    "no network": (
        Seen(configured=True, enrolling=True, status=NO_NETWORK),
        Condition.NO_NETWORK,
        ["This onsite has no network:", "hand out IPv4 addresses (DHCP)?"],
    ),
    "on its way": (
        Seen(configured=True, status={**ONLINE, "state": "IP_addr_OK"}),
        Condition.NO_RDV,
        ["On its way to the RDV server rdv.example.com."],
    ),
    "no agent yet": (Seen(configured=True, starting=True), Condition.STARTING, ["It is starting."]),
    "no agent": (Seen(configured=True), Condition.STOPPED, ["The agent does not run"]),
    "no file": (Seen(), Condition.NO_FILE, ["There is no configuration.", "Copy this device's tundev.toml"]),
    "a bad file": (
        Seen(Outcome(fault=FAULT)),
        Condition.NO_FILE,
        ["The file tundev.toml on this card was not taken over", "line 3: [rdv] acount", "waits for it"],
    ),
    "a bad file after a good one": (
        Seen(Outcome(fault=FAULT), configured=True, status=ONLINE),
        Condition.ONLINE,
        ["line 3: [rdv] acount", "goes on with the file of before", "Online: "],
    ),
    "another name": (
        Seen(Outcome(misnamed="tundev.toml.txt")),
        Condition.NO_FILE,
        ["The file tundev.toml.txt on this card must be called tundev.toml."],
    ),
    "several of other names": (
        Seen(Outcome(misnamed="rpi1100.toml, rpi1200.toml")),
        Condition.NO_FILE,
        ["One of the files rpi1100.toml, rpi1200.toml on this card must be called tundev.toml."],
    ),
    "a damaged change": (
        Seen(Outcome(damaged="empty"), configured=True, status=ONLINE),
        Condition.ONLINE,
        ["tundev.toml on this card was empty", "was put back", "Copy yours again, and eject", "Online: "],
    ),
    "a full card": (
        Seen(Outcome(hindered="No space left on device")),
        Condition.NO_FILE,
        ["by no fault of its own: No space left on device", "waits for it. The card is full or worn out"],
    ),
    "copies beside it": (
        Seen(Outcome(exposed="tundev.toml~"), configured=True, status=ONLINE),
        Condition.ONLINE,
        ["can read a device's secrets on it, in tundev.toml~", "delete", "Online: "],
    ),
    "secrets still there": (
        Seen(Outcome(untidied="Input/output error"), configured=True, status=ONLINE),
        Condition.ONLINE,
        ["the card could not be written", "may be there still", "Input/output error"],
    ),
    "data made anew": (
        Seen(Outcome(remade="e2fsck failed (exit status 12): bad"), configured=True, status=REFUSED),
        Condition.NO_RDV,
        ["damaged beyond repair", "exit status 12"],
    ),
    "a card that is broken": (
        Seen(Outcome(broken="cannot read /dev/mmcblk0p4: Input/output error")),
        Condition.NO_FILE,
        ["write the image to a new card", "cannot read /dev/mmcblk0p4"],
    ),
    "after an upgrade": (
        Seen(configured=True, status=ONLINE, upgrade="Upgraded to 0.2.0."),
        Condition.ONLINE,
        ["Upgraded to 0.2.0."],
    ),
}


def test_the_console_has_a_line_for_each_of_several_uplinks() -> None:
    uplinks = ["Ethernet tundev-lan does not reach the RDV server: no answer", "modem wwan0 in use"]
    seen = Seen(configured=True, status={**ONLINE, "uplink": "wwan0", "uplinks": uplinks})
    shown = screen_lines(seen)
    at = shown.index("Uplink:  wwan0")
    assert " ".join(" ".join(shown[at + 1 :]).split()).find(f"{'; '.join(uplinks)}") >= 0


@pytest.mark.parametrize("case", CASES)
def test_each_condition_is_told_in_words(case: str) -> None:
    seen, wanted, told = CASES[case]
    assert condition(seen) is wanted
    for lines in (card_lines(seen), screen_lines(seen)):
        text = " ".join(line.strip() for line in lines)
        assert not [words for words in told if words not in text], text
        assert max(map(len, lines)) <= 79
        assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("failure", ["NameNotResolved", "RdvUnreachable", "ProtocolError", "ProxyRefused"])
def test_the_card_names_the_file_that_is_on_it(failure: str) -> None:
    seen = Seen(configured=True, status={**REFUSED, "failure_class": failure})
    text = " ".join(" ".join(card_lines(seen)).split())
    assert re.search(r"(in|of) tundev\.toml", text) and "/etc/" not in text


def test_a_session_is_no_reason_to_write_the_card() -> None:
    states = (State.SSH_CONNECTION_OK, State.TUNNEL_CONNECTION_OK, State.SESSION_OK)
    texts = [card_lines(Seen(configured=True, status={**ONLINE, "state": state})) for state in states]
    assert texts[0] == texts[1] == texts[2]


def test_what_a_server_says_cannot_move_the_cursor() -> None:
    seen = Seen(configured=True, status={**REFUSED, "failure": "\x1b[2J", "account": "\x1b]0;x\x07"})
    assert all(line.isprintable() for line in screen_lines(seen))


def test_the_cards_file_has_the_ends_of_line_of_windows() -> None:
    text = for_card(["", "Online."], "2026-11-25 21:00 UTC")
    assert text == b"This device at 2026-11-25 21:00 UTC:\r\n\r\nOnline.\r\n"


def test_what_is_found_before_any_folder_is_made_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "run/firstboot.json"
    assert outcome.read(file) == Outcome()
    outcome.write(Outcome(remade="why"), file)
    assert outcome.read(file) == Outcome(remade="why")
    file.write_text("{")
    assert outcome.read(file) == Outcome()


# the LED


class KernelsLed:
    """The files that the kernel has for a LED; those of a trigger are there from the start."""

    def __init__(self, leds: Path, name: str) -> None:
        self._where = leds / name
        self._where.mkdir(parents=True)
        for file in ("trigger", "brightness", "delay_on", "delay_off"):
            (self._where / file).write_text("")
        (self._where / "max_brightness").write_text("255\n")

    def shown(self) -> tuple[str, int, int]:
        """The trigger, and the number or two that go with it. Fails for one that no module was loaded for."""
        trigger = (self._where / "trigger").read_text()
        assert trigger in {"none", *loaded_triggers()}, f"{trigger}: Invalid argument"
        files = {"timer": ("delay_on", "delay_off"), "none": ("brightness", "brightness")}.get(trigger, ())
        first, second = (int((self._where / file).read_text()) for file in files) if files else (0, 0)
        return trigger, first, second


def loaded_triggers() -> set[str]:
    """Those that are there when the report begins, whatever this kernel has built in."""
    unit = (ROOT / "rootfs-overlay/image/usr/lib/systemd/system/tundev-report.service").read_text()
    before, wanted = (set(re.search(f"^{key}=(.*)$", unit, re.M)[1].split()) for key in ("After", "Wants"))  # type: ignore[index]
    return set(re.findall(r"modprobe@ledtrig_(\w+)\.service", " ".join(before & wanted)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shown", Condition)
def test_the_led_shows_each_condition(tmp_path: Path, name: str, shown: Condition) -> None:
    led = KernelsLed(tmp_path, name)
    Led(tmp_path).show(shown)
    pattern = PATTERNS[shown]
    lit = (255, 255) if pattern.trigger == "none" else (pattern.on, pattern.off)
    assert led.shown() == (pattern.trigger, *lit)


def test_what_a_person_must_tell_apart_blinks_differently() -> None:
    told_apart = [Condition.NO_FILE, Condition.NO_NETWORK, Condition.NO_RDV, Condition.ONLINE]
    patterns = {PATTERNS[shown] for shown in (*told_apart, Condition.SESSION)}
    assert len(patterns) == 5


def test_a_board_without_the_led_shows_nothing(tmp_path: Path) -> None:
    Led(tmp_path).show(Condition.ONLINE)
    assert not list(tmp_path.iterdir())


# the pace


def test_a_calm_device_writes_at_once_and_a_restless_one_ever_more_seldom() -> None:
    pace, now, writes = Pace(), 0.0, []
    while now < 24 * 3600:
        now += pace.wait(now) + 0.1
        pace.wrote(now)
        writes.append(now)
    assert writes[0] < 1 and writes[1] < 30
    assert len(writes) < 24 + 12
    assert pace.wait(now + CAP_SECONDS) == 0
    pace.wrote(now + 3 * CAP_SECONDS)
    assert pace.wait(now + 3 * CAP_SECONDS) < 30


# all of it


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Report]:
    def make(console: Path = tmp_path / "no console", *, start: float = 60.0) -> Report:
        for name in ("boot", "leds"):
            (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / "tundev.toml").write_text(RDV)
        return Report(
            BootPartition(tmp_path / "boot"),
            led=Led(tmp_path / "leds"),
            console=console,
            configuration=tmp_path / "tundev.toml",
            found=tmp_path / "firstboot.json",
            upgraded=tmp_path / "outcome",
            settle=0.0,
            start=start,
        )

    return make


def card(tmp_path: Path) -> str:
    return (tmp_path / "boot/tundev-status.txt").read_text()


def test_what_the_agent_says_is_on_the_card_once_until_it_says_something_else(
    made: Callable[..., Report], tmp_path: Path
) -> None:
    report = made()
    report.agent(ONLINE)
    report.write()
    assert "Online: the RDV server rdv.example.com" in card(tmp_path)
    before = (tmp_path / "boot/tundev-status.txt").stat().st_ino
    report.agent({**ONLINE, "session": True, "state": "Session_OK"})
    report.write()
    assert (tmp_path / "boot/tundev-status.txt").stat().st_ino == before
    report.agent(None)
    report.write()
    assert "The agent does not run" in card(tmp_path)


def test_an_agent_is_given_time_to_start_and_is_then_missed(
    made: Callable[..., Report], tmp_path: Path
) -> None:
    report = made()
    report.agent(None)
    report.write()
    assert "It is starting." in card(tmp_path)

    async def live() -> None:
        running = asyncio.create_task(made(start=0.0).run())
        told = "The agent does not run"
        await asyncio.to_thread(wait_until, lambda: told in card(tmp_path), what=told)
        running.cancel()

    asyncio.run(live())


def test_what_the_boot_found_is_on_the_card(made: Callable[..., Report], tmp_path: Path) -> None:
    outcome.write(Outcome(fault=FAULT), tmp_path / "firstboot.json")
    made().write()
    assert "line 3: [rdv] acount" in card(tmp_path)


def test_the_console_is_cleared_and_shows_the_state(made: Callable[..., Report]) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "wb", buffering=0):
        report = made(Path(f"/proc/self/fd/{theirs}"))
        report.agent(ONLINE)
        report.show()
        shown = screen.read(4096).decode()
    assert shown.startswith("\x1b[H\x1b[2J") and "Address: 192.168.1.101/24" in shown


def test_it_writes_a_change_by_itself(made: Callable[..., Report], tmp_path: Path) -> None:
    async def live() -> None:
        report = made()
        running = asyncio.create_task(report.run())
        file = tmp_path / "boot/tundev-status.txt"
        report.agent(REFUSED)
        await asyncio.to_thread(wait_until, file.exists, what="the file")
        running.cancel()

    asyncio.run(live())
    assert "one-time key" in card(tmp_path)
