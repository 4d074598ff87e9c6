"""What is told of an uplink, as values and in words."""

from __future__ import annotations

from ipaddress import IPv4Interface

import pytest

from tundev.contract import UplinkKey
from tundev.lan import Uplink, WayOut
from tundev.uplinks import standing
from tundev.uplinks.choice import Choice
from tundev.uplinks.standing import Standing


def way(link: str, *, plugged: bool = True) -> WayOut:
    return WayOut(Uplink(link, IPv4Interface("192.0.2.2/24")), 100, plugged)


def choice_of(*links: str) -> Choice:
    choice = Choice()
    choice.there(links, 0.0)
    return choice


def test_each_uplink_has_its_standing() -> None:
    choice = choice_of("wire", "radio", "modem")
    choice.answered("wire", "no answer", 0.0)
    choice.answered("radio", "", 0.0)
    choice.agent("radio", 0.0)
    found = {link: standing.standing(way(link), choice, "radio") for link in choice.links}
    assert found == {"wire": Standing.UNREACHED, "radio": Standing.IN_USE, "modem": Standing.SPARE}
    choice.answered("wire", "", 20.0)
    assert standing.standing(way("wire"), choice, "radio") is Standing.RETURNING
    assert standing.standing(way("wire", plugged=False), choice, "radio") is Standing.NO_CABLE


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({UplinkKey.STANDING: "in_use"}, "Ethernet eth0 in use"),
        ({UplinkKey.STANDING: "in_use", UplinkKey.PICKED: True}, "Ethernet eth0 in use, picked by hand"),
        (
            {UplinkKey.STANDING: "unreached", UplinkKey.REASON: "no answer\x1b[2J"},
            "Ethernet eth0 does not reach the RDV server: no answer?[2J",
        ),
    ],
)
def test_a_line_of_each_is_for_a_person(told: dict[str, object], text: str) -> None:
    assert standing.text({UplinkKey.LINK: "eth0", UplinkKey.TYPE: "lan", **told}) == text


def test_a_standing_of_another_version_breaks_no_line() -> None:
    assert standing.text({UplinkKey.LINK: "eth0", UplinkKey.STANDING: "else"}) == "network eth0 "
