"""How a device is, in words for who reads its card in a laptop, or stands before its screen.

Pure: made of what the boot found, the agent's status and the configuration's absence.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tundev import advice, paths
from tundev.advice_words import Advice
from tundev.contract import Key
from tundev.firstboot.boot_partition import BUNDLE
from tundev.firstboot.outcome import Outcome
from tundev.states import ONLINE, State
from vtunlib.errors import printable

_COLUMNS = 78
_STOPPED = Advice(
    "The agent does not run",
    "The service that connects this device to the RDV server does not run or does not answer.",
    [
        "Switch the device off and on again.",
        f"Does it stay so? A key in [login] of {BUNDLE} lets you in: 'journalctl -b' says more.",
        "Or write the image to the card anew, with a new bundle from the RDV's administrator.",
    ],
)
"""For who has only the card: elsewhere one can ask systemd."""


class Condition(StrEnum):
    """What the LED tells apart, the worst first."""

    NO_FILE = "no configuration"
    STARTING = "starting"
    STOPPED = "the agent does not run"
    NO_NETWORK = "no network"
    NO_RDV = "no RDV server"
    ONLINE = "online, waiting for a session"
    SESSION = "in a session"


@dataclass(frozen=True)
class Seen:
    """All that is known. status: by contract.Key, None where no agent runs."""

    outcome: Outcome = field(default_factory=Outcome)
    configured: bool = False
    enrolling: bool = False
    """Whether the one-time key has not been used yet."""
    status: Mapping[str, Any] | None = None
    upgrade: str = ""
    """What came of the last upgrade; empty where there was none."""
    starting: bool = False
    """Whether it is too early to wonder why no agent runs."""


def condition(seen: Seen) -> Condition:
    """In one word."""
    if not seen.configured:
        return Condition.NO_FILE
    if seen.status is None:
        return Condition.STARTING if seen.starting else Condition.STOPPED
    if seen.status.get(Key.SESSION):
        return Condition.SESSION
    state = seen.status.get(Key.STATE)
    if state in ONLINE:
        return Condition.ONLINE
    return Condition.NO_NETWORK if state == State.LAN_WAIT else Condition.NO_RDV


def card_lines(seen: Seen) -> list[str]:
    """For tundev-status.txt: what changes seldom, so that the card is seldom written to."""
    if seen.outcome.broken and not seen.configured:
        return _because(
            "The card's data partition cannot be used. Switch the device off and on again; "
            "where that does not help, write the image to a new card. The reason:",
            seen.outcome.broken,
        )
    shown = [*_of_file(seen), *_of_others(seen), *_of_data(seen)]
    status = seen.status
    if not seen.configured:
        return shown
    if status is not None and status.get(Key.STATE) in ONLINE:
        where = f"the RDV server {status.get(Key.SERVER)} knows this device as {status.get(Key.ACCOUNT)}"
        return [*shown, *_paragraph(f"Online: {where}."), *_of_upgrade(seen)]
    told = _STOPPED if status is None else advice.of_connection(status)
    if status is None and seen.starting:
        shown += _paragraph("It is starting. Give it a minute or two.")
    elif told is not None:
        shown += ["", *_beside(told).lines()]
    elif status is not None:
        shown += _paragraph(f"On its way to the RDV server {status.get(Key.SERVER)}.")
    if seen.enrolling:
        shown += _paragraph("It is not enrolled yet: its one-time key has not been used.")
    return [*shown, *_of_upgrade(seen)]


def screen_lines(seen: Seen) -> list[str]:
    """For the console: the same, and what changes often."""
    status = seen.status or {}
    words = [str(status[key]) for key in (Key.ACCOUNT, Key.ROLE) if key in status]
    shown = [" ".join(["Tunnelling device", *words]), "", f"State:   {condition(seen)}"]
    for key, name in ((Key.SERVER, "RDV"), (Key.UPLINK, "Uplink"), (Key.ADDRESS, "Address")):
        if key in status:
            shown.append(f"{name + ':':<8} {status[key]}")
    shown += _wrapped("; ".join(status.get(Key.UPLINKS, ())), " " * 9)
    return [printable(line) for line in [*shown, *card_lines(seen)]]


def _of_file(seen: Seen) -> list[str]:
    outcome = seen.outcome
    instead = (
        "This device goes on with the file of before." if seen.configured else "This device waits for it."
    )
    if outcome.fault:
        return _because(
            f"The file {BUNDLE} on this card was not taken over:",
            outcome.fault,
            f"{instead} Mend the file on any computer, put the card back and switch on.",
        )
    if outcome.hindered:
        return _because(
            f"The file {BUNDLE} on this card could not be read or kept, by no fault of its own:",
            outcome.hindered,
            f"{instead} The card is full or worn out: write the image to a new one, with a new bundle.",
        )
    if outcome.untidied:
        return _because(
            "The card's file was taken over, but the card could not be written: "
            "what was secret in the file may be there still.",
            outcome.untidied,
        )
    if outcome.misnamed:
        subject = "One of the files" if ", " in outcome.misnamed else "The file"
        text = f"{subject} {outcome.misnamed} on this card must be called {BUNDLE}."
        return _paragraph(f"{text} Windows hides the end of a name: show it, and rename the file.")
    if outcome.damaged:
        text = f"The changed file {BUNDLE} on this card was {outcome.damaged}: it was not copied to its end."
        again = "Copy yours again, and eject the card before you pull it out."
        return _paragraph(f"{text} The former one was put back, and this device goes on with it. {again}")
    if not seen.configured:
        text = f"Copy this device's {BUNDLE} to where this file is, put the card back and switch on."
        return _paragraph(f"There is no configuration. {text}")
    return []


def _of_others(seen: Seen) -> list[str]:
    if not seen.outcome.exposed:
        return []
    text = (
        f"Whoever finds this card can read a device's secrets on it, in {seen.outcome.exposed}: delete that."
    )
    return _paragraph(f"{text} If it was meant for this device, have it take the place of {BUNDLE}.")


def _beside(told: Advice) -> Advice:
    """With the name that the file has beside this one: who reads a card in a laptop sees no other."""
    title, text, *checks = (
        words.replace(str(paths.CONFIG), BUNDLE) for words in (told.title, told.text, *told.checks)
    )
    return Advice(title, text, checks)


def _of_data(seen: Seen) -> list[str]:
    if not seen.outcome.remade:
        return []
    text = (
        "What this device had kept was damaged beyond repair, and was begun anew: configuration, keys, logs."
    )
    known = f"Where the RDV server does not know it any more, it needs a new {BUNDLE}."
    return _because(f"{text} {known} The reason:", seen.outcome.remade)


def _of_upgrade(seen: Seen) -> list[str]:
    return _paragraph(seen.upgrade) if seen.upgrade else []


def _because(told: str, reason: str, then: str = "") -> list[str]:
    return [*_paragraph(told), *_wrapped(reason, "  "), *(_paragraph(then) if then else [])]


def _paragraph(text: str) -> list[str]:
    return ["", *_wrapped(text, "")]


def _wrapped(text: str, indent: str) -> list[str]:
    lines = textwrap.wrap(
        printable(text), _COLUMNS, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    return [printable(line) for line in lines]


def for_card(lines: list[str], when: str) -> bytes:
    """The file: CRLF, for Notepad of any age."""
    return "".join(f"{line}\r\n" for line in [f"This device at {when}:", *lines]).encode()
