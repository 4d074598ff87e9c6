"""A session's reach, enforced by a real kernel: which frames and packets come out at the onsite's end.

The tunnel devices are the session's own, made from the very rules; this test is
both vtunds, so what it writes is what a device would send.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import FileIO
from pathlib import Path

import pytest

from rdv.access.reach import ALL, LAN, Reach, parse
from rdv.sessions import glue
from tests.netns.attach import attach
from tests.unit.rdv.sessions import session
from vtunlib.namespace import inside
from vtunlib.network import Network, Sysctl
from vtunlib.tunnel import Role, TunnelMode

SECONDS = 20
LAPTOP, CAMERA, PLC, DNS = "192.168.1.77", "192.168.1.50", "192.168.1.60", "192.168.1.1"
ELSEWHERE = "10.8.0.5"
MULTICAST, BROADCAST = "224.0.0.251", "255.255.255.255"
LIST = parse([f"{CAMERA} 80/tcp", f"{ELSEWHERE}/32", f"{PLC} 8000-8080/udp", f"{PLC} icmp"])

OUR_MAC, THEIR_MAC = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02"
IPV4, ARP, IPV6, VLAN, QINQ, STRANGE = 0x0800, 0x0806, 0x86DD, 0x8100, 0x88A8, 0x88B5
TCP, UDP, ICMP, GRE = 6, 17, 1, 47


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(target: str, protocol: int, payload: bytes, *, source: str = LAPTOP, options: bytes = b"") -> bytes:
    """A packet that a router takes: its header's checksum is right."""
    words = 5 + len(options) // 4
    size = words * 4 + len(payload)
    parts = (0x40 | words, 0, size, 1, 0, 64, protocol)
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    bare = struct.pack("!BBHHHBBH", *parts, 0) + ends + options
    return struct.pack("!BBHHHBBH", *parts, checksum(bare)) + ends + options + payload


def tcp(target: str, port: int, *, source: str = LAPTOP, sport: int = 40000, flags: int = 0x02) -> bytes:
    header = struct.pack("!HHIIBBHHH", sport, port, 1, 0, 0x50, flags, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!HH", TCP, len(header))
    return ipv4(
        target, TCP, header[:16] + struct.pack("!H", checksum(pseudo + header)) + header[18:], source=source
    )


def udp(target: str, port: int, *, source: str = LAPTOP, sport: int = 40000) -> bytes:
    return ipv4(target, UDP, struct.pack("!HHHH", sport, port, 8, 0), source=source)  # no checksum


def echo(target: str, *, source: str = LAPTOP, kind: int = 8, number: int = 0) -> bytes:
    bare = struct.pack("!BBHHH", kind, 0, 0, 7, number)
    return ipv4(target, ICMP, bare[:2] + struct.pack("!H", checksum(bare)) + bare[4:], source=source)


def ipv6(target: str, following: int = 59, payload: bytes = b"") -> bytes:
    ends = socket.inet_pton(socket.AF_INET6, "fe80::77") + socket.inet_pton(socket.AF_INET6, target)
    return struct.pack("!IHBB", 0x60000000, len(payload), following, 255) + ends + payload


def frame(kind: int, payload: bytes, *tags: int) -> bytes:
    """An Ethernet frame; tags: the Ethernet types of VLAN tags before its own."""
    head = b"".join(struct.pack("!HH", tag, 5) for tag in tags)
    return THEIR_MAC + OUR_MAC + head + struct.pack("!H", kind) + payload.ljust(46, b"\0")


def snap(payload: bytes) -> bytes:
    """IPv4 in an IEEE 802.3 frame by way of SNAP (RFC 1042)."""
    inner = b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", IPV4) + payload
    return THEIR_MAC + OUR_MAC + struct.pack("!H", len(inner)) + inner


# What rdv-netns@.service sets.
_KERNEL = [
    Sysctl("net.ipv4.ip_forward", "1"),
    Sysctl("net.ipv4.conf.all.rp_filter", "0"),
    Sysctl("net.ipv4.conf.default.rp_filter", "0"),
    Sysctl("net.ipv6.conf.default.disable_ipv6", "1"),
    *(
        Sysctl(f"net.bridge.bridge-nf-call-{what}", "0")
        for what in ("iptables", "ip6tables", "arptables")
        if Path("/proc/sys/net/bridge").is_dir()
    ),
]


class Ends:
    """Both ends of a session, as its two vtunds hold them."""

    def __init__(self, namespace: str, mode: TunnelMode, reach: Reach, stack: ExitStack) -> None:
        self.mode = mode
        made = session(mode, reach)
        self.session = made
        Network(namespace).set([*_KERNEL, *glue.desired(made)])
        self._held: dict[Role, FileIO] = {
            role: stack.enter_context(inside(namespace, attach, str(role), mode)) for role in Role
        }
        self._marks = iter(range(1, 10_000))
        self._wait_ready()

    def passes(self, sent: bytes, to: Role = Role.ONSITE) -> bool:
        """Whether it comes out at that end. What is sent after it, and surely passes, says when to stop."""
        source = self._held[Role.MASTER if to is Role.ONSITE else Role.ONSITE]
        mark = self._mark()
        source.write(sent)
        source.write(mark)
        found = False
        while not self._same(came := self.next(to), mark):
            found = found or self._same(came, sent)
        return found

    def _wait_ready(self) -> None:
        """A device passes frames a moment after it was attached to: until something of each way came out."""
        there = self._until_out(Role.ONSITE, self._mark)
        if self.mode is TunnelMode.L2:
            self._until_out(Role.MASTER, self._mark)
            return
        asker, number = socket.inet_ntoa(there[12:16]), int.from_bytes(there[26:28], "big")
        answer = echo(asker, source=str(self.session.lan.ip), kind=0, number=number)
        self._until_out(Role.MASTER, lambda: answer)

    def _until_out(self, to: Role, make: Callable[[], bytes]) -> bytes:
        source = self._held[Role.MASTER if to is Role.ONSITE else Role.ONSITE]
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            source.write(make())
            if select.select([self._held[to]], [], [], 0.05)[0]:
                return self.next(to)
        raise AssertionError(f"nothing passes to the {to}")

    def send(self, sent: bytes, source: Role = Role.MASTER) -> None:
        """Put it in at that end."""
        self._held[source].write(sent)

    def next(self, end: Role, protocol: int | None = None, kind: int | None = None) -> bytes:
        """What comes out next at that end; of IP with that protocol, of ICMP of that kind, where given."""
        while True:
            readable, _, _ = select.select([self._held[end]], [], [], SECONDS)
            assert readable, f"nothing comes out at the end of the {end}"
            came: bytes = self._held[end].read(4096) or b""
            if protocol in (None, came[9]) and (kind is None or (came[9], came[20]) == (ICMP, kind)):
                return came

    def _mark(self) -> bytes:
        number = next(self._marks)
        if self.mode is TunnelMode.L2:
            return frame(ARP, struct.pack("!I", number))
        return echo(str(self.session.lan.ip), number=number)

    def _same(self, came: bytes, sent: bytes) -> bool:
        if self.mode is TunnelMode.L2:
            return came == sent
        # Routed it has another source and one hop less; the addressee and what it is are the same.
        return (came[9], came[16:20], came[22:24], came[26:28]) == (
            sent[9],
            sent[16:20],
            sent[22:24],
            sent[26:28],
        )


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


Case = tuple[Reach, bytes, bool]
"""In a session of that reach: what is sent, and whether it comes out at the other end."""

LSRR = b"\x83\x07\x04" + socket.inet_aton(ELSEWHERE) + b"\0"
"""Loose source route (RFC 791): by way of the addressee to ELSEWHERE."""


ROUTED: list[Case] = [
    (LAN, tcp(CAMERA, 22), True),
    (LAN, echo(CAMERA), True),
    (LAN, ipv4(CAMERA, GRE, b"anything"), True),
    (LAN, udp(DNS, 53), True),
    (LAN, tcp(ELSEWHERE, 443), False),
    (LAN, echo(ELSEWHERE), False),
    (LAN, echo("8.8.8.8"), False),
    (LAN, ipv4(CAMERA, UDP, b"12345678", options=LSRR), False),
    (LIST, tcp(CAMERA, 80), True),
    (LIST, tcp(CAMERA, 22), False),
    (LIST, udp(CAMERA, 80), False),
    (LIST, echo(CAMERA), False),
    (LIST, tcp(ELSEWHERE, 22), True),
    (LIST, ipv4(ELSEWHERE, GRE, b"anything"), True),
    (LIST, tcp("10.8.0.6", 22), False),
    (LIST, udp(PLC, 8000), True),
    (LIST, udp(PLC, 8080), True),
    (LIST, udp(PLC, 8081), False),
    (LIST, echo(PLC), True),
    (LIST, udp(DNS, 53), True),
    (LIST, tcp(DNS, 53), True),
    (LIST, tcp(DNS, 80), False),
    (ALL, tcp(ELSEWHERE, 22), True),
]

BRIDGED: list[Case] = [
    (LAN, frame(IPV4, tcp(CAMERA, 22)), True),
    (LAN, frame(IPV4, udp("192.168.1.255", 137)), True),
    (LAN, frame(IPV4, udp(MULTICAST, 5353)), True),
    (LAN, frame(IPV4, udp(BROADCAST, 67, source="0.0.0.0", sport=68)), True),
    (LAN, frame(IPV4, udp(ELSEWHERE, 443)), False),
    (LAN, frame(IPV4, ipv4(CAMERA, UDP, b"12345678", options=LSRR)), False),
    (LAN, frame(ARP, b"who has"), True),
    (LAN, frame(STRANGE, b"no IP in it"), True),
    (LAN, frame(IPV6, ipv6("fe80::1")), True),
    (LAN, frame(IPV6, ipv6("ff02::fb")), True),
    (LAN, frame(IPV6, ipv6("2001:db8::1")), False),
    (LAN, frame(IPV6, ipv6("fe80::1", 43, b"\x3b\0\x04\0" + bytes(4))), False),  # a routing header
    # To an address of the LAN, but of another network by its tag.
    (LAN, frame(IPV4, tcp(CAMERA, 22), VLAN), False),
    (LAN, frame(IPV4, tcp(CAMERA, 22), QINQ, VLAN), False),
    (LAN, frame(IPV4, tcp(CAMERA, 22), QINQ), False),
    (LAN, frame(IPV4, tcp(CAMERA, 22), VLAN, VLAN, VLAN), False),
    (LAN, frame(ARP, b"who has", VLAN), False),
    (LAN, frame(STRANGE, b"no IP in it", QINQ, VLAN), False),
    (LAN, frame(0x9100, b"another tag"), False),
    (LAN, frame(0x8864, b"PPPoE"), False),
    (LAN, snap(udp(ELSEWHERE, 443)), False),
    (LIST, frame(IPV4, tcp(CAMERA, 80)), True),
    (LIST, frame(IPV4, tcp(CAMERA, 22)), False),
    (LIST, frame(IPV4, udp(CAMERA, 80)), False),
    (LIST, frame(IPV4, echo(PLC)), True),
    (LIST, frame(IPV4, udp(PLC, 8080)), True),
    (LIST, frame(IPV4, udp(ELSEWHERE, 443)), True),
    (LIST, frame(IPV4, udp(DNS, 53)), True),
    (LIST, frame(IPV4, udp(DNS, 54)), False),
    (LIST, frame(IPV4, udp(BROADCAST, 67, source="0.0.0.0", sport=68)), True),
    (LIST, frame(IPV4, udp(BROADCAST, 5353)), False),
    (LIST, frame(IPV4, udp(MULTICAST, 5353)), False),
    (LIST, frame(IPV4, ipv4(ELSEWHERE, UDP, b"12345678", options=LSRR)), False),
    (LIST, frame(ARP, b"who has"), True),
    (LIST, frame(IPV6, ipv6("fe80::1")), False),
    (LIST, frame(STRANGE, b"no IP in it"), False),
    (LIST, frame(IPV4, tcp(CAMERA, 80), VLAN), False),
    (LIST, frame(IPV4, tcp(CAMERA, 80), QINQ, VLAN), False),
    (LIST, snap(tcp(CAMERA, 80)), False),
    (ALL, frame(IPV4, tcp(ELSEWHERE, 22), QINQ, VLAN), True),
    (ALL, frame(IPV6, ipv6("2001:db8::1")), True),
]

ADVERTISEMENT = ipv6("ff02::1", 58, b"\x86" + bytes(15))

BRIDGED_BACK: list[Case] = [
    (LAN, frame(IPV4, tcp(LAPTOP, 40000, source=CAMERA, sport=22, flags=0x12)), True),
    (LAN, frame(IPV4, udp(MULTICAST, 5353, source=CAMERA)), True),
    (LAN, frame(STRANGE, b"no IP in it"), True),
    (LAN, frame(IPV6, ipv6("ff02::fb")), True),
    (LAN, frame(IPV6, ADVERTISEMENT), False),
    (LAN, frame(STRANGE, b"no IP in it", VLAN), False),
    (LIST, frame(IPV4, tcp(LAPTOP, 40000, source=CAMERA, sport=80, flags=0x12)), True),
    (LIST, frame(IPV4, tcp(LAPTOP, 40000, source=CAMERA, sport=22, flags=0x12)), False),
    (LIST, frame(IPV4, echo(LAPTOP, source=PLC, kind=0)), True),
    (LIST, frame(IPV4, udp(LAPTOP, 68, source=DNS, sport=67)), True),
    (LIST, frame(IPV4, udp(LAPTOP, 40000, source=DNS, sport=53)), True),
    (LIST, frame(IPV4, udp(MULTICAST, 5353, source="192.168.1.99")), False),
    (LIST, frame(IPV4, echo(LAPTOP, source=DNS, kind=3)), True),  # a router's word: unreachable
    (LIST, frame(ARP, b"is at"), True),
    (LIST, frame(IPV6, ADVERTISEMENT), False),
    (ALL, frame(IPV6, ADVERTISEMENT), True),
]


def expected(cases: list[Case], reach: Reach) -> dict[bytes, bool]:
    """What is to become of each packet in a session of that reach."""
    return {sent: passes for one, sent, passes in cases if one is reach}


@pytest.mark.parametrize("reach", [LAN, LIST, ALL], ids=["lan", "list", "all"])
def test_routed_only_what_may_be_reached_is(namespace: str, stack: ExitStack, reach: Reach) -> None:
    ends = Ends(namespace, TunnelMode.L3, reach, stack)
    wanted = expected(ROUTED, reach)
    assert {sent: ends.passes(sent) for sent in wanted} == wanted


def test_routed_a_refusal_is_told_at_once_and_answers_come_back(namespace: str, stack: ExitStack) -> None:
    ends = Ends(namespace, TunnelMode.L3, LIST, stack)
    ends.send(tcp(CAMERA, 22))
    refusal = ends.next(Role.MASTER, kind=3)
    assert refusal[21] == 13  # administratively prohibited (RFC 1812)
    ends.send(tcp(CAMERA, 80))
    asked = ends.next(Role.ONSITE, TCP)
    ends.send(tcp(socket.inet_ntoa(asked[12:16]), 40000, source=CAMERA, sport=80, flags=0x12), Role.ONSITE)
    answer = ends.next(Role.MASTER, TCP)
    assert (answer[12:16], answer[16:20]) == (socket.inet_aton(CAMERA), socket.inet_aton(LAPTOP))


@pytest.mark.parametrize("reach", [LAN, LIST, ALL], ids=["lan", "list", "all"])
def test_bridged_only_what_may_be_reached_is_and_is_heard(
    namespace: str, stack: ExitStack, reach: Reach
) -> None:
    ends = Ends(namespace, TunnelMode.L2, reach, stack)
    for cases, to in ((BRIDGED, Role.ONSITE), (BRIDGED_BACK, Role.MASTER)):
        wanted = expected(cases, reach)
        assert {sent: ends.passes(sent, to) for sent in wanted} == wanted
