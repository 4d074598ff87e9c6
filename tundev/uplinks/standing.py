"""What each uplink is at the moment, for others: as values on the bus, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from tundev import lan
from tundev.contract import UplinkKey
from tundev.lan import WayOut
from tundev.uplinks.choice import Choice
from vtunlib.errors import printable
from vtunlib.tunnel import UplinkType


class Standing(StrEnum):
    """Of one uplink."""

    IN_USE = "in_use"
    SPARE = "spare"
    """Worse than the one in use, and not asked."""
    RETURNING = "returning"
    """Better than the one in use and reaches the RDV again; gone back to when it has for a while, and
    no session is open."""
    UNREACHED = "unreached"
    """By it the RDV is not reached."""
    NO_CABLE = "no_cable"


TYPES: Mapping[str, str] = {
    UplinkType.LAN: "Ethernet",
    UplinkType.WLAN: "Wi-Fi",
    UplinkType.MOBILE: "modem",
    UplinkType.OTHER: "another network",
}
_WORDS: Mapping[str, str] = {
    Standing.IN_USE: "in use",
    Standing.SPARE: "spare",
    Standing.RETURNING: "reaches the RDV server again, used soon unless a session is open",
    Standing.UNREACHED: "does not reach the RDV server",
    Standing.NO_CABLE: "no cable",
}


def standing(way: WayOut, choice: Choice, in_use: str | None) -> Standing:
    """in_use: the uplink of the routes."""
    link = way.uplink.link
    if link == in_use:
        return Standing.IN_USE
    if not way.plugged:
        return Standing.NO_CABLE
    if choice.reason(link):
        return Standing.UNREACHED
    return Standing.RETURNING if choice.returning(link) else Standing.SPARE


def values(way: WayOut, choice: Choice, in_use: str | None) -> dict[str, Any]:
    """By contract.UplinkKey."""
    link = way.uplink.link
    return {
        UplinkKey.LINK: link,
        UplinkKey.TYPE: str(lan.uplink_type(link)),
        UplinkKey.ADDRESS: str(way.uplink.interface),
        UplinkKey.STANDING: str(standing(way, choice, in_use)),
        UplinkKey.REASON: choice.reason(link) or None,
        UplinkKey.PICKED: True if choice.picked and link == choice.chosen else None,
    }


def text(told: Mapping[str, Any]) -> str:
    """One of them on a line."""
    name = f"{TYPES.get(told.get(UplinkKey.TYPE, ''), 'network')} {told.get(UplinkKey.LINK, '')}"
    words = _WORDS.get(told.get(UplinkKey.STANDING, ""), "")
    by_hand = ", picked by hand" if told.get(UplinkKey.PICKED) else ""
    why = f": {told[UplinkKey.REASON]}" if told.get(UplinkKey.REASON) else ""
    return printable(f"{name} {words}{by_hand}{why}", 200)
