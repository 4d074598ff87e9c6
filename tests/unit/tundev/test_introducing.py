"""What a device tells the RDV of the network that a session is given."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from tundev import introducing
from tundev.lan import Uplink
from vtunlib.words import Word

MODEMS, OWN = IPv4Address("198.51.100.53"), IPv4Address("192.0.2.53")


def test_the_network_s_own_dns_server_is_told_before_a_modem_s() -> None:
    told = introducing.of_network(Uplink("tundev-lan", IPv4Interface("192.0.2.2/24")), [MODEMS, OWN])
    assert told == [
        (Word.SET_LAN_IP_ADDRESS, ("192.0.2.2/24",)),
        (Word.SET_DNS_SERVER_LIST, ("192.0.2.53", "198.51.100.53")),
    ]


def test_without_a_network_the_servers_alone_are_told() -> None:
    assert introducing.of_network(None, [MODEMS]) == [(Word.SET_DNS_SERVER_LIST, ("198.51.100.53",))]
